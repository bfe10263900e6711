import { createHash } from "node:crypto";
import { GatewayError } from "../domain/errors.ts";

/*
 * Proof of liabilities: a Merkle tree of what is owed, in which every node carries the sum below it. A node's hash covers
 * both children's sums, so no sum can be lowered without another root (Maxwell's tree hashes one sum only, and can be
 * cheated: Hu, Zhang, Guo 2019). Amounts are unsigned numbers of 256 bits and never overflow.
 * The shape is RFC 6962's: the left part of n leaves holds the largest power of two below n.
 */

export type SumNode = { readonly hash: Uint8Array; readonly sum: bigint };

export type Liability = {
  /** Whose: never in the tree but as part of a salted hash. */
  readonly client: string;
  readonly asset: string;
  /** In the asset's smallest unit. */
  readonly amount: bigint;
  /** 32 bytes, secret to the client: without it no guess at who is in the tree can be tried. */
  readonly salt: Uint8Array;
};

/** From the leaf up: what stands beside it, and on which side. */
export type SumProof = {
  readonly index: number;
  readonly count: number;
  readonly path: readonly SumNode[];
};

const SUM_MAX = (1n << 256n) - 1n;
const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const TYPE = "portcullis/liability/v1";

export function leafOf({ client, asset, amount, salt }: Liability): SumNode {
  if (salt.length !== 32) throw invalid("expected a salt of 32 bytes");
  const text = [TYPE, client, asset, amount.toString()].map((part) => `${part}\n`).join("");
  return { hash: sha256(LEAF, salt, Buffer.from(text)), sum: checked(amount) };
}

const nodeOf = (left: SumNode, right: SumNode): SumNode => ({
  hash: sha256(NODE, left.hash, word(left.sum), right.hash, word(right.sum)),
  sum: checked(left.sum + right.sum),
});

/** Built once; gives the root and the proof of any leaf. */
export class SumTree {
  /** Level 0 are the leaves; a node without a sibling rises as it is. */
  readonly #levels: SumNode[][];

  /** @throws {GatewayError} `liabilities-invalid` for no leaf, an amount below zero, or a sum of more than 256 bits */
  constructor(leaves: readonly SumNode[]) {
    if (leaves.length === 0) throw invalid("expected at least one position");
    this.#levels = [[...leaves]];
    for (let level = this.#levels[0]!; level.length > 1; this.#levels.push(level)) level = pairs(level);
  }

  get root(): SumNode {
    return this.#levels.at(-1)![0]!;
  }

  proof(index: number): SumProof {
    const [leaves] = this.#levels;
    if (!Number.isSafeInteger(index) || index < 0 || index >= leaves!.length)
      throw invalid("expected the index of a leaf");
    const path: SumNode[] = [];
    for (let [depth, at] = [0, index]; depth < this.#levels.length - 1; depth++, at >>= 1) {
      const sibling = this.#levels[depth]![at ^ 1];
      if (sibling) path.push(sibling);
    }
    return { index, count: leaves!.length, path };
  }
}

function pairs(level: readonly SumNode[]): SumNode[] {
  const above: SumNode[] = [];
  for (let at = 0; at < level.length; at += 2) {
    const [left, right] = [level[at]!, level[at + 1]];
    above.push(right ? nodeOf(left, right) : left);
  }
  return above;
}

/**
 * The root that follows from a leaf and its proof. A client compares it with the published one.
 * @throws {GatewayError} `liabilities-invalid` for a path of another length than the shape of the tree has
 */
export function rootFrom(leaf: SumNode, { index, count, path }: SumProof): SumNode {
  if (!Number.isSafeInteger(count) || !Number.isSafeInteger(index) || index < 0 || index >= count || count > 2 ** 40)
    throw invalid("expected the index of a leaf");
  const siblings = [...path];
  let node = { hash: leaf.hash, sum: checked(leaf.sum) };
  for (let [at, width] = [index, count]; width > 1; at = Math.floor(at / 2), width = Math.ceil(width / 2)) {
    if (at % 2 === 0 && at === width - 1) continue; // no sibling: it rises as it is
    const sibling = siblings.shift();
    if (!sibling) throw invalid("the path is shorter than the tree is high");
    checked(sibling.sum);
    node = at % 2 === 0 ? nodeOf(node, sibling) : nodeOf(sibling, node);
  }
  if (siblings.length > 0) throw invalid("the path is longer than the tree is high");
  return node;
}

function checked(sum: bigint): bigint {
  if (sum < 0n || sum > SUM_MAX) throw invalid("expected sums of 0 to 2^256 − 1");
  return sum;
}

const word = (sum: bigint): Buffer => Buffer.from(sum.toString(16).padStart(64, "0"), "hex");

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest();
}

const invalid = (message: string): GatewayError => new GatewayError("liabilities-invalid", message);
