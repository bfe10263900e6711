import assert from "node:assert/strict";
import fc from "fast-check";
import { leafHash, type Hash } from "../../../src/tlog/hashes.ts";
import { grow, nodesFrom, type TileId } from "../../../src/tlog/tiles.ts";
import {
  consistencyProof,
  GrowingTree,
  inclusionProof,
  isConsistent,
  rootFromInclusion,
  rootOf,
} from "../../../src/tlog/tree.ts";
import { textbookLeaf, textbookPath, textbookProof, textbookRoot } from "../../support/textbook-tree.ts";

// Goal: roots and proofs are RFC 6962's, whatever the size and however the tree came to it.
// Method: the recursive definition of the RFC, with another hash library, beside trees kept in tiles.

const entry = (n: number): Buffer => Buffer.from(`entry ${n}`);
const leaves = (size: number): Uint8Array[] => Array.from({ length: size }, (_, n) => textbookLeaf(entry(n)));
const hex = (hashes: readonly Uint8Array[]) => hashes.map((hash) => Buffer.from(hash).toString("hex"));
const nameOf = ({ level, index }: TileId) => `${level}/${index}`;

/** Tiles in memory, grown in steps of these sizes. */
async function tiled(steps: readonly number[]) {
  const tiles = new Map<string, Uint8Array>();
  const reads: string[] = [];
  const readTile = async (id: TileId) => {
    reads.push(nameOf(id));
    return tiles.get(nameOf(id));
  };
  let size = 0;
  for (const step of steps) {
    const hashes: Hash[] = Array.from({ length: step }, (_, n) => leafHash(entry(size + n)));
    for (const tile of await grow(size, hashes, readTile)) tiles.set(nameOf(tile), tile.hashes);
    size += step;
  }
  return { size, tiles, reads, readTile, read: nodesFrom(readTile) };
}

const SIZES = [0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33, 255, 256, 257, 511, 512, 513, 700];

describe("tlog/tree", () => {
  it("roots are those of the definition, for every way to grow", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(300), { maxLength: 6 }), async (steps) => {
        const { size, read } = await tiled(steps);
        assert.deepEqual(await rootOf(size, read), Buffer.from(textbookRoot(leaves(size))));
      }),
      { numRuns: 40 },
    );
  });

  it("a tree of 70,000 leaves has the tiles that the specification counts", async () => {
    const { tiles } = await tiled([69_999, 1]);
    const ofLevel = (level: number) => [...tiles].filter(([name]) => name.startsWith(`${level}/`));
    const widths = (level: number) => ofLevel(level).map(([, hashes]) => hashes.length / 32);
    assert.deepEqual([widths(0).filter((width) => width === 256).length, widths(0).at(-1)], [273, 112]);
    assert.deepEqual(widths(1), [256, 17]);
    assert.deepEqual(widths(2), [1]);
  });

  it("growing reads the right edge and nothing else", async () => {
    const tree = await tiled([70_000]);
    tree.reads.length = 0;
    await grow(70_000, [leafHash(entry(70_000))], tree.readTile);
    assert.deepEqual(tree.reads, ["0/273"]);
  });

  it("the tree that a reader grows has the same roots", () => {
    const tree = new GrowingTree();
    for (let size = 0; size <= 600; size++) {
      if (SIZES.includes(size)) assert.deepEqual(Buffer.from(tree.root()), Buffer.from(textbookRoot(leaves(size))));
      tree.append(leafHash(entry(size)));
    }
    assert.equal(tree.size, 601);
  });

  it("inclusion proofs are those of the definition, verify, and prove no other leaf, place or tree", async () => {
    const { read } = await tiled([700]);
    for (const size of SIZES.filter((each) => each > 0)) {
      const root = await rootOf(size, read);
      for (const index of new Set(
        [0, 1, 2, size >> 1, size - 2, size - 1].filter((each) => each >= 0 && each < size),
      )) {
        const proof = await inclusionProof(index, size, read);
        assert.deepEqual(hex(proof), hex(textbookPath(index, leaves(size))));
        const leaf = leafHash(entry(index));
        assert.deepEqual(rootFromInclusion(index, size, leaf, proof), root);
        const others = [
          rootFromInclusion(index, size, leafHash(entry(index + 1)), proof),
          rootFromInclusion(index + 1, size, leaf, proof),
          rootFromInclusion(index, size, leaf, [...proof, leaf]),
          ...(proof.length > 0 ? [rootFromInclusion(index, size, leaf, proof.slice(1))] : []),
        ];
        for (const other of others) assert.notDeepEqual(other, root);
      }
    }
  });

  it("consistency proofs are those of the definition and verify, in one direction only", async () => {
    const { read } = await tiled([700]);
    const heads = await Promise.all(SIZES.map(async (size) => ({ size, root: await rootOf(size, read) })));
    for (const from of heads) {
      for (const to of heads.filter(({ size }) => size >= from.size)) {
        const proof = await consistencyProof(from.size, to.size, read);
        if (from.size > 0) assert.deepEqual(hex(proof), hex(textbookProof(from.size, leaves(to.size))));
        assert.ok(isConsistent(from, to, proof));
        const lie = leafHash(entry(-1));
        assert.ok(!isConsistent({ ...from, root: lie }, to, proof));
        if (from.size > 0) assert.ok(!isConsistent(from, { ...to, root: lie }, proof));
        assert.ok(!isConsistent(from, to, [...proof, lie]));
        if (proof.length > 0) assert.ok(!isConsistent(from, to, proof.slice(0, -1)));
        if (to.size > from.size) assert.ok(!isConsistent(to, from, proof));
      }
    }
  });

  it("no proof of any shape shows two trees of one size with different roots as one", () => {
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(fc.nat(20), fc.nat(20), hash, hash, fc.array(hash, { maxLength: 6 }), (a, b, one, two, proof) => {
        const [from, to] = [Math.min(a, b), Math.max(a, b)];
        assert.ok(!isConsistent({ size: from, root: one }, { size: to, root: two }, proof) || from === to);
      }),
      { numRuns: 500 },
    );
  });

  it("a place outside the tree has no proof", async () => {
    const { read } = await tiled([5]);
    await assert.rejects(inclusionProof(5, 5, read), { code: "not-in-tree" });
    await assert.rejects(consistencyProof(6, 5, read), { code: "not-in-tree" });
    assert.equal(rootFromInclusion(0, 0, leafHash(entry(0)), []), undefined);
    assert.equal(rootFromInclusion(0, 4, leafHash(entry(0)), [leafHash(entry(1))]), undefined, "half a path");
  });

  it("a tile that is missing or too narrow stops the proof", async () => {
    const { tiles, read } = await tiled([300]);
    await assert.rejects(rootOf(301, read), { code: "integrity" });
    tiles.delete("0/0");
    await assert.rejects(
      inclusionProof(
        3,
        300,
        nodesFrom(async (id) => tiles.get(nameOf(id))),
      ),
      { code: "integrity", message: /tile 0\/0/ },
    );
    await assert.rejects(
      grow(299, [leafHash(entry(0))], async (id) => tiles.get(nameOf(id))),
      { code: "integrity" },
    );
  });
});
