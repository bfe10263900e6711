import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes } from "@noble/hashes/utils.js";

/*
 * RFC 6962, section 2.1, word for word: recursive, over all leaves, with another hash library. Slow, and easy to believe.
 */

type Bytes = Uint8Array;

export const textbookLeaf = (entry: Bytes): Bytes => sha256(concatBytes(Uint8Array.of(0), entry));
const node = (left: Bytes, right: Bytes): Bytes => sha256(concatBytes(Uint8Array.of(1), left, right));

const split = (n: number): number => 2 ** Math.ceil(Math.log2(n) - 1);

/** MTH, of leaves that are hashed already. */
export function textbookRoot(leaves: readonly Bytes[]): Bytes {
  if (leaves.length === 0) return sha256(new Uint8Array());
  if (leaves.length === 1) return leaves[0]!;
  const k = split(leaves.length);
  return node(textbookRoot(leaves.slice(0, k)), textbookRoot(leaves.slice(k)));
}

/** PATH(m, D[n]) */
export function textbookPath(m: number, leaves: readonly Bytes[]): Bytes[] {
  if (leaves.length === 1) return [];
  const k = split(leaves.length);
  return m < k
    ? [...textbookPath(m, leaves.slice(0, k)), textbookRoot(leaves.slice(k))]
    : [...textbookPath(m - k, leaves.slice(k)), textbookRoot(leaves.slice(0, k))];
}

/** PROOF(m, D[n]) = SUBPROOF(m, D[n], true) */
export function textbookProof(m: number, leaves: readonly Bytes[], known = true): Bytes[] {
  if (m === leaves.length) return known ? [] : [textbookRoot(leaves)];
  const k = split(leaves.length);
  return m <= k
    ? [...textbookProof(m, leaves.slice(0, k), known), textbookRoot(leaves.slice(k))]
    : [...textbookProof(m - k, leaves.slice(k), false), textbookRoot(leaves.slice(0, k))];
}
