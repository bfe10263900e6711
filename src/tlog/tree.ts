import { GatewayError } from "../domain/errors.ts";
import { EMPTY_ROOT, nodeHash, sameHash, type Hash } from "./hashes.ts";

/*
 * The Merkle tree of RFC 6962, section 2.1, seen from outside: which of its nodes a root or a proof is made of. Where the
 * nodes come from (tiles, memory) is the reader's business, so nothing here grows with the log.
 */

/** Entries [start, end), as in D[start:end]. */
type Range = { readonly start: number; readonly end: number };

/** The root of a complete subtree: of entries [index · 2^level, (index + 1) · 2^level). */
export type Node = { readonly level: number; readonly index: number };

/** @returns the hashes of these nodes, in this order */
export type NodeReader = (nodes: readonly Node[]) => Promise<readonly Hash[]>;

/** The largest power of two smaller than n, where the RFC splits n > 1 entries. */
function splitOf(n: number): number {
  let k = 1;
  while (k * 2 < n) k *= 2;
  return k;
}

/** A range of the RFC's recursion begins at a multiple of its size: it is complete subtrees, the largest one first. */
function subtreesOf({ start, end }: Range): Node[] {
  const nodes: Node[] = [];
  for (let at = start; at < end;) {
    let [level, size] = [0, 1];
    while (size * 2 <= end - at) [level, size] = [level + 1, size * 2];
    nodes.push({ level, index: at / size });
    at += size;
  }
  return nodes;
}

async function hashRanges(ranges: readonly Range[], read: NodeReader): Promise<Hash[]> {
  const nodes = ranges.map(subtreesOf);
  const hashes = [...(await read(nodes.flat()))];
  return nodes.map((of) => hashes.splice(0, of.length).reduceRight((right, left) => nodeHash(left, right)));
}

/** MTH(D[0:size]) */
export async function rootOf(size: number, read: NodeReader): Promise<Hash> {
  if (size === 0) return EMPTY_ROOT;
  const [root] = await hashRanges([{ start: 0, end: size }], read);
  return root!;
}

/** PATH(index, D[0:size]), section 2.1.1: the siblings from the leaf upwards. */
export async function inclusionProof(index: number, size: number, read: NodeReader): Promise<Hash[]> {
  if (!(index >= 0 && index < size))
    throw new GatewayError("not-in-tree", `expected an index below ${size}, found ${index}`);
  return hashRanges(path(index, { start: 0, end: size }), read);
}

function path(index: number, { start, end }: Range): Range[] {
  if (end - start === 1) return [];
  const middle = start + splitOf(end - start);
  return index < middle
    ? [...path(index, { start, end: middle }), { start: middle, end }]
    : [...path(index, { start: middle, end }), { start, end: middle }];
}

/** PROOF(from, D[0:to]), section 2.1.2. Empty where there is nothing to prove: every tree extends the empty one and itself. */
export async function consistencyProof(from: number, to: number, read: NodeReader): Promise<Hash[]> {
  if (!(from >= 0 && from <= to)) throw new GatewayError("not-in-tree", `expected a size up to ${to}, found ${from}`);
  if (from === 0) return [];
  return hashRanges(subproof(from, { start: 0, end: to }, true), read);
}

/** SUBPROOF(from, D[start:end], known): `known` as long as the verifier has this subtree's hash, being the old root. */
function subproof(from: number, { start, end }: Range, known: boolean): Range[] {
  if (from === end) return known ? [] : [{ start, end }];
  const middle = start + splitOf(end - start);
  return from <= middle
    ? [...subproof(from, { start, end: middle }, known), { start: middle, end }]
    : [...subproof(from, { start: middle, end }, false), { start, end: middle }];
}

const isOdd = (n: number): boolean => n % 2 === 1;
const half = (n: number): number => Math.floor(n / 2);

/** RFC 9162, section 2.1.3.2. */
export function rootFromInclusion(index: number, size: number, leaf: Hash, proof: readonly Hash[]): Hash | undefined {
  if (!(index >= 0 && index < size)) return undefined;
  let [fn, sn, root] = [index, size - 1, leaf];
  for (const sibling of proof) {
    if (sn === 0) return undefined;
    if (isOdd(fn) || fn === sn) {
      root = nodeHash(sibling, root);
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)];
    } else root = nodeHash(root, sibling);
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 ? root : undefined;
}

/** RFC 9162, section 2.1.4.2: whether the tree of size `to` begins with that of size `from`. */
export function isConsistent(
  from: { readonly size: number; readonly root: Hash },
  to: { readonly size: number; readonly root: Hash },
  proof: readonly Hash[],
): boolean {
  if (from.size > to.size || from.size < 0) return false;
  if (from.size === 0) return proof.length === 0 && sameHash(from.root, EMPTY_ROOT);
  if (from.size === to.size) return proof.length === 0 && sameHash(from.root, to.root);
  if (proof.length === 0) return false;
  let [fn, sn] = [from.size - 1, to.size - 1];
  while (isOdd(fn)) [fn, sn] = [half(fn), half(sn)];
  // fn is 0 now where `from` is a power of two: its root is a node of the new tree, and the proof begins above it.
  const rest = [...proof];
  const seed = fn === 0 ? from.root : rest.shift()!;
  let [old, grown] = [seed, seed];
  for (const sibling of rest) {
    if (sn === 0) return false;
    if (isOdd(fn) || fn === sn) {
      [old, grown] = [nodeHash(sibling, old), nodeHash(sibling, grown)];
      while (!isOdd(fn) && fn !== 0) [fn, sn] = [half(fn), half(sn)];
    } else grown = nodeHash(grown, sibling);
    [fn, sn] = [half(fn), half(sn)];
  }
  return sn === 0 && sameHash(old, from.root) && sameHash(grown, to.root);
}

/** A tree that only grows, in as many hashes as its size has ones in binary: for who reads a log from the beginning. */
export class GrowingTree {
  #size = 0;
  /** Roots of complete subtrees, the largest first. */
  readonly #subtrees: Hash[] = [];

  get size(): number {
    return this.#size;
  }

  append(leaf: Hash): void {
    let [root, joins] = [leaf, this.#size];
    for (; isOdd(joins); joins = half(joins)) root = nodeHash(this.#subtrees.pop()!, root);
    this.#subtrees.push(root);
    this.#size += 1;
  }

  root(): Hash {
    return this.#size === 0 ? EMPTY_ROOT : this.#subtrees.reduceRight((right, left) => nodeHash(left, right));
  }
}
