import { hash } from "node:crypto";
import { z } from "zod";
import { GatewayError } from "../../domain/errors.ts";
import { parseJson } from "../../domain/strict-json.ts";
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

/** The last moment that a date can be. */
const LAST_MS = 8.64e15;

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
  return { index: proof.index, size, at: new Date(at).toISOString(), opening: openedAt(proof.index, at, opening) };
}

const malformed = (what: string): GatewayError => new GatewayError("malformed-proof", `expected ${what}`);

const Content = z.strictObject({ at: z.int().max(LAST_MS), salt: z.string().refine(isHash), opening: z.string() });

/** @throws {GatewayError} `malformed-proof` where the `extra` line is anything but what opens the leaf */
export function contentOf(extra: Uint8Array | undefined): z.infer<typeof Content> {
  try {
    return Content.parse(parseJson(extra!));
  } catch {
    throw malformed("a receipt of this gateway, whose `extra` line opens its leaf");
  }
}

/** What it says of itself is where it stands: the log's own key vouches for the place, not for the content. */
function openedAt(index: number, at: number, text: string): unknown {
  let opening: unknown;
  try {
    opening = parseJson(Buffer.from(text));
  } catch {
    throw malformed(`JSON in leaf ${index}, each name once`);
  }
  const said = opening as { readonly index?: unknown; readonly at?: unknown } | null;
  if (said?.index === index && said.at === at) return opening;
  throw malformed(`a leaf that says it is leaf ${index}`);
}
