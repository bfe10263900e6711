import { hash } from "node:crypto";
import { openCheckpoint, parseCheckpoint, type TreeHead } from "../../tlog/checkpoint.ts";
import { sameHash, type Hash } from "../../tlog/hashes.ts";
import { parseNote, type NoteKey } from "../../tlog/note.ts";
import { parseProof, verifyProof } from "../../tlog/proof.ts";
import { GrowingTree } from "../../tlog/tree.ts";
import type { Findings } from "./findings.ts";
import type { LeafLine } from "./format.ts";
import { contentOf } from "./receipt.ts";

/** What somebody kept and expects to find in the tree again. */
type Kept = { readonly what: string; readonly note: string };

/**
 * Builds the tree anew from leaves and openings, and holds against it every checkpoint and receipt: those of the export
 * and those that others kept.
 */
export class TreeCheck {
  readonly #findings: Findings;
  readonly #tree = new GrowingTree();
  readonly #wantedRoots = new Map<number, ({ readonly what: string } & TreeHead)[]>();
  readonly #wantedLeaves = new Map<number, { what: string; matches: (hash: Hash, leaf: LeafLine) => boolean }[]>();
  readonly #kept: (Kept & { readonly index?: number; readonly leaf?: Hash })[] = [];
  #at = 0;
  #expected = 0;
  checkpoints = 0;
  receipts = 0;
  last: TreeHead | undefined;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  get size(): number {
    return this.#tree.size;
  }

  /** Of all leaves so far. */
  get head(): TreeHead {
    return { size: this.#tree.size, root: this.#tree.root() };
  }

  /** @returns the RFC 6962 hash of the leaf's entry */
  take(leaf: LeafLine): Hash {
    const { index, at } = leaf;
    if (index !== this.#expected) this.#outOfOrder(index);
    if (at < this.#at) this.#findings.add("time-falls", `leaf ${index} is older than the one before it`, index);
    [this.#expected, this.#at] = [index + 1, Math.max(at, this.#at)];
    const hashed = hashOf(leaf);
    for (const { what, matches } of this.#wantedLeaves.get(index) ?? []) {
      if (!matches(hashed, leaf))
        this.#findings.add("promise-broken", `${what} names another leaf ${index} than the log's`, index);
    }
    this.#wantedLeaves.delete(index);
    this.#tree.append(hashed);
    this.#holdRoots();
    return hashed;
  }

  #outOfOrder(index: number): void {
    if (index > this.#expected) {
      const missing = index === this.#expected + 1 ? `${this.#expected}` : `${this.#expected} to ${index - 1}`;
      this.#findings.add("leaf-missing", `expected leaf ${this.#expected}, found ${index}: ${missing} missing`, index);
    } else {
      this.#findings.add("leaf-order", `expected leaf ${this.#expected}, found ${index}: out of its order`, index);
    }
  }

  /** Roots that were wanted at the size which the tree has now. */
  #holdRoots(): void {
    const wanted = this.#wantedRoots.get(this.#tree.size);
    if (!wanted) return;
    const root = this.#tree.root();
    for (const { what, root: claimed } of wanted) {
      if (!sameHash(root, claimed)) {
        this.#findings.add(
          "checkpoint-root",
          `${what}, of ${this.#tree.size} leaves, has another root than the log up to leaf ${this.#tree.size - 1}`,
          this.#tree.size - 1,
        );
      }
    }
    this.#wantedRoots.delete(this.#tree.size);
  }

  /** A checkpoint of the export: of exactly the leaves above it. */
  takeCheckpoint(note: string, key: NoteKey): void {
    this.checkpoints += 1;
    const what = `checkpoint ${this.checkpoints}`;
    const head = this.#open(what, note, key);
    if (!head) return;
    if (head.size !== this.#tree.size)
      this.#findings.add("checkpoint-size", `${what} covers ${head.size} leaves, above it stand ${this.#tree.size}`);
    else if (!sameHash(head.root, this.#tree.root())) {
      this.#findings.add(
        "checkpoint-root",
        `${what}, of ${head.size} leaves, has another root than the log up to leaf ${head.size - 1}`,
        head.size - 1,
      );
    }
    this.last = head;
  }

  #open(what: string, note: string, key: NoteKey | undefined): TreeHead | undefined {
    try {
      return key ? openCheckpoint(Buffer.from(note), key) : parseCheckpoint(parseNote(Buffer.from(note)).text);
    } catch (error) {
      this.#findings.add("checkpoint-invalid", `${what}: ${(error as Error).message}`);
      return undefined;
    }
  }

  /** A checkpoint that somebody else kept: before the first leaf, so that its root can be held when it comes. */
  keepCheckpoint(what: string, note: string): void {
    const head = this.#open(what, note, undefined);
    if (!head) return;
    this.#kept.push({ what, note });
    this.keepRoot(what, head);
  }

  /** A root that stands elsewhere, such as in a chain: nobody's signature here says so. */
  keepRoot(what: string, head: TreeHead): void {
    this.#wantedRoots.set(head.size, [...(this.#wantedRoots.get(head.size) ?? []), { what, ...head }]);
  }

  keepReceipt(what: string, text: string): void {
    try {
      const proof = parseProof(text);
      const leaf = hashOf({ index: proof.index, client: "", number: 0, ...contentOf(proof.extra) });
      this.#kept.push({ what, note: text, index: proof.index, leaf });
      this.keepRoot(what, parseCheckpoint(parseNote(Buffer.from(proof.checkpoint)).text));
      this.keepLeaf(what, proof.index, (hashed) => sameHash(hashed, leaf));
    } catch (error) {
      this.#findings.add("receipt-invalid", `${what}: ${(error as Error).message}`);
    }
  }

  keepLeaf(what: string, index: number, matches: (hash: Hash, leaf: LeafLine) => boolean): void {
    this.#wantedLeaves.set(index, [...(this.#wantedLeaves.get(index) ?? []), { what, matches }]);
  }

  /** Signatures of what was kept, now that the log's key is known; and what was waited for in vain. */
  finish(key: NoteKey): void {
    for (const { what, note, leaf } of this.#kept) {
      try {
        if (leaf) verifyProof(parseProof(note), leaf, key);
        else openCheckpoint(Buffer.from(note), key);
        if (leaf) this.receipts += 1;
      } catch (error) {
        this.#findings.add(leaf ? "receipt-invalid" : "checkpoint-invalid", `${what}: ${(error as Error).message}`);
      }
    }
    for (const [size, wanted] of this.#wantedRoots)
      for (const { what } of wanted)
        this.#findings.add("log-shorter", `${what} covers ${size} leaves, the log has ${this.#tree.size}`);
    for (const [index, wanted] of this.#wantedLeaves)
      for (const { what } of wanted)
        this.#findings.add("promise-broken", `${what} names leaf ${index}, which the log does not have`, index);
  }
}

/** docs/log.md: what the tree holds of a leaf is a text of four lines; RFC 6962 hashes it behind a zero byte. */
function hashOf(leaf: LeafLine): Hash {
  const commitment = "commitment" in leaf ? leaf.commitment : commitmentOf(leaf.salt, leaf.opening);
  return hash("sha256", `\0portcullis/leaf/v1\n${leaf.index}\n${leaf.at}\n${commitment}\n`, "buffer");
}

/** Where what is hashed is put together, one leaf after the other: a buffer for each would cost half as much as its hash. */
let both = Buffer.allocUnsafe(64 * 1024);

/** SHA-256(salt ‖ opening) */
function commitmentOf(salt: string, opening: string): string {
  const size = Buffer.byteLength(salt, "base64") + Buffer.byteLength(opening);
  if (size > both.length) both = Buffer.allocUnsafe(2 * size);
  const written = both.write(salt, "base64");
  return hash("sha256", both.subarray(0, written + both.write(opening, written)), "base64");
}
