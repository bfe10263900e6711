/** JSON as Portcullis writes it: amounts, which JSON cannot hold, become decimal strings of the smallest unit. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

const bigintsAsText = (_key: string, value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);

export const encodeJson = (value: unknown): string => JSON.stringify(value, bigintsAsText);

/** The same, as a value: what a reader of the JSON would get. */
export const asJson = (value: unknown): Json => JSON.parse(encodeJson(value)) as Json;
