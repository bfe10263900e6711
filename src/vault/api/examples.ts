import type { Json } from "../../domain/json.ts";

/** Bodies of the OpenAPI document's examples, by operation. A test sends each of them to a vault. */
export const EXAMPLES: Readonly<Record<string, Readonly<Record<string, Json>>>> = {};
