import { z } from "zod";
import { encodeJson } from "./json.ts";
import { parseJson } from "./strict-json.ts";

/*
 * What the gateway says under the log token's `statement` key: a text with a type of its own (I18), its kind, and one line
 * of JSON. Whoever gets one verifies it without the gateway.
 */

const TYPE = "portcullis/statement/v1";

/** As it is handed out and kept in a file. */
export const Statement = z.strictObject({
  text: z.string(),
  /** Ed25519 over the text's UTF-8, base64. */
  signature: z.string(),
  /** As it signed; believed only where it is the key that the reader knows already. */
  key: z.string(),
});
export type Statement = z.infer<typeof Statement>;

/** @param kind one word for what is said, such as `key-attestation` */
export const statementText = (kind: string, content: unknown): string => `${TYPE}\n${kind}\n${encodeJson(content)}\n`;

const TEXT = /^portcullis\/statement\/v1\n([a-z-]{1,40})\n(\{[^\n]*\})\n$/;

/** @returns undefined for a text of another shape, and for JSON in which a name stands twice: readers differ on that */
export function readStatementText(text: string): { readonly kind: string; readonly content: unknown } | undefined {
  const [, kind, json] = TEXT.exec(text) ?? [];
  if (kind === undefined || json === undefined) return undefined;
  try {
    return { kind, content: parseJson(Buffer.from(json)) };
  } catch {
    return undefined;
  }
}
