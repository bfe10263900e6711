/** JSON as Portcullis writes it: amounts, which JSON cannot hold, become decimal strings of the smallest unit. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/**
 * The value that a reader of the JSON would get: plain objects and arrays, amounts as texts, nothing undefined.
 * A copy is several times cheaper than a replacer, which the engine calls for every field.
 */
export function asJson(value: unknown): Json {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null) return value as Json;
  if (Array.isArray(value)) return value.map(asJson);
  const copy: Record<string, Json> = {};
  for (const [key, member] of Object.entries(value)) if (member !== undefined) copy[key] = asJson(member);
  return copy;
}

/** Most values hold no amounts: for them the copy is not made. */
export function encodeJson(value: unknown): string {
  try {
    return JSON.stringify(value);
  } catch {
    return JSON.stringify(asJson(value));
  }
}
