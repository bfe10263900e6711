import { writeFileSync } from "node:fs";
import { GatewayError } from "../domain/errors.ts";
import { parseJson } from "../domain/strict-json.ts";
import { readText } from "./text-file.ts";

/**
 * JSON that every reader reads the same: of two members of one name another tool could show the other one.
 * @throws {GatewayError} `usage`; `file-invalid` for JSON that two readers could read in two ways
 */
export function readJson(path: string): unknown {
  const text = readText(path);
  try {
    JSON.parse(text);
  } catch (error) {
    throw new GatewayError("usage", `cannot read \`${path}\`: ${(error as Error).message}`);
  }
  try {
    return parseJson(Buffer.from(text));
  } catch (error) {
    throw new GatewayError("file-invalid", `\`${path}\`: ${(error as Error).message}`);
  }
}

export const writeJson = (path: string, value: unknown): void =>
  writeFileSync(path, `${JSON.stringify(value, undefined, 1)}\n`);
