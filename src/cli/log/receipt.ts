import { hash } from "node:crypto";
import { GatewayError } from "../../domain/errors.ts";
import { leafHash } from "../../tlog/hashes.ts";
import type { NoteKey } from "../../tlog/note.ts";
import { isHash } from "./format.ts";
import { parseProof, verifyProof } from "../../tlog/proof.ts";

export type CheckedReceipt = {
  readonly index: number;
  readonly size: number;
  readonly at: string;
  readonly opening: unknown;
};

/**
 * Verifies a receipt offline. Its `extra` line is believed only because it hashes to the leaf that the log has signed.
 * @throws {GatewayError} `malformed-proof`, `not-in-tree`, `signature-invalid`, `unsigned-note`
 */
export function checkReceipt(text: string, key: NoteKey): CheckedReceipt {
  const proof = parseProof(text);
  const { at, salt, opening } = contentOf(proof.extra);
  const commitment = hash("sha256", Buffer.concat([Buffer.from(salt, "base64"), Buffer.from(opening)]), "base64");
  const entry = `portcullis/leaf/v1\n${proof.index}\n${at}\n${commitment}\n`;
  const { size } = verifyProof(proof, leafHash(Buffer.from(entry)), key);
  return { index: proof.index, size, at: new Date(at).toISOString(), opening: JSON.parse(opening) as unknown };
}

function contentOf(extra: Uint8Array | undefined): { at: number; salt: string; opening: string } {
  try {
    const content = JSON.parse(Buffer.from(extra!).toString()) as { at: number; salt: string; opening: string };
    if (Number.isSafeInteger(content.at) && isHash(content.salt) && typeof content.opening === "string") return content;
  } catch {
    // as below
  }
  throw new GatewayError("malformed-proof", "expected a receipt of this gateway, whose `extra` line opens its leaf");
}
