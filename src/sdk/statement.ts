import { createPublicKey, verify } from "node:crypto";
import { GatewayError } from "../domain/errors.ts";
import { readStatementText, Statement } from "../domain/statement.ts";

/** SubjectPublicKeyInfo up to the key: RFC 8410, section 4. */
const ED25519_SPKI = Buffer.from("302a300506032b6570032100", "hex");

/**
 * Verifies a statement without the gateway.
 * @param key `ed25519:` and 32 bytes in base64, as the reader knows it: from `gateway.json` or leaf 0, never from the statement
 * @throws {GatewayError} `statement-invalid`
 */
export function verifyStatement(json: unknown, key: string): { readonly kind: string; readonly content: unknown } {
  const parsed = Statement.safeParse(json);
  if (!parsed.success) throw invalid("expected a statement with `text`, `signature` and `key`");
  const { text, signature } = parsed.data;
  if (!isSignedBy(key, text, signature)) {
    throw invalid("the statement is not signed by the gateway's `statement` key", {
      expected: key,
      found: parsed.data.key,
    });
  }
  const read = readStatementText(text);
  if (!read) throw invalid("the signed text is no statement");
  return read;
}

function isSignedBy(key: string, text: string, signature: string): boolean {
  const [, base64] = /^ed25519:([A-Za-z0-9+/]{43}=)$/.exec(key) ?? [];
  if (base64 === undefined) throw new GatewayError("usage", "expected a key as `ed25519:` and 32 bytes in base64");
  const publicKey = createPublicKey({
    key: Buffer.concat([ED25519_SPKI, Buffer.from(base64, "base64")]),
    format: "der",
    type: "spki",
  });
  const bytes = Buffer.from(signature, "base64");
  // One signature has one spelling: what a lenient decoder skips is not part of it.
  return bytes.toString("base64") === signature && verify(null, Buffer.from(text, "utf8"), publicKey, bytes);
}

const invalid = (message: string, facts = {}) => new GatewayError("statement-invalid", message, { facts });
