import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { leafOf, rootFrom, SumTree, type SumNode } from "../../../src/custody/sum-tree.ts";

// Goal: no position can be left out or lowered without another root, and a client needs a short path to see that.
// Method: the tree by its definition, recursively, is the oracle; every single change of a proof is tried.

const leaves = (amounts: readonly bigint[]): SumNode[] =>
  amounts.map((amount, at) => leafOf({ client: `client-${at}`, asset: "ETH", amount, salt: Buffer.alloc(32, at) }));

const sameNode = (one: SumNode, other: SumNode): boolean =>
  one.sum === other.sum && Buffer.compare(one.hash, other.hash) === 0;

/** RFC 6962, section 2.1, with sums. */
function textbook(nodes: readonly SumNode[]): SumNode {
  if (nodes.length === 1) return nodes[0]!;
  const split = 2 ** Math.floor(Math.log2(nodes.length - 1));
  const [left, right] = [textbook(nodes.slice(0, split)), textbook(nodes.slice(split))];
  const word = (sum: bigint) => Buffer.from(sum.toString(16).padStart(64, "0"), "hex");
  const text = Buffer.concat([Buffer.of(1), left.hash, word(left.sum), right.hash, word(right.sum)]);
  return { hash: createHash("sha256").update(text).digest(), sum: left.sum + right.sum };
}

describe("the tree of liabilities", () => {
  const amounts = fc.array(fc.bigInt(0n, 2n ** 128n), { minLength: 1, maxLength: 70 });

  it("has the root and the sum of its definition, and every position proves itself", () => {
    fc.assert(
      fc.property(amounts, (given) => {
        const nodes = leaves(given);
        const tree = new SumTree(nodes);
        assert.deepEqual(tree.root, textbook(nodes));
        assert.equal(
          tree.root.sum,
          given.reduce((sum, amount) => sum + amount, 0n),
        );
        for (const [at, node] of nodes.entries()) assert.deepEqual(rootFrom(node, tree.proof(at)), tree.root);
      }),
      { numRuns: 60 },
    );
  });

  it("a lowered amount, sibling or sum, another salt, name or place: another root, or no proof at all", () => {
    const given = [5n, 0n, 7n, 11n, 13n, 17n, 19n];
    const nodes = leaves(given);
    const tree = new SumTree(nodes);
    const holds = (leaf: SumNode, proof = tree.proof(3)): boolean => {
      try {
        const root = rootFrom(leaf, proof);
        return Buffer.compare(root.hash, tree.root.hash) === 0 && root.sum === tree.root.sum;
      } catch {
        return false;
      }
    };
    const whole = { client: "client-3", asset: "ETH", amount: 11n, salt: Buffer.alloc(32, 3) };
    assert.ok(holds(leafOf(whole)));
    for (const change of [{ client: "client-4" }, { asset: "USDC" }, { amount: 10n }, { salt: Buffer.alloc(32) }])
      assert.ok(!holds(leafOf({ ...whole, ...change })), JSON.stringify(Object.keys(change)));
    const proof = tree.proof(3);
    for (const [at, node] of proof.path.entries()) {
      for (const changed of [
        { ...node, sum: node.sum - 1n },
        { ...node, sum: -node.sum },
        { ...node, hash: Buffer.alloc(32) },
      ])
        assert.ok(!holds(nodes[3]!, { ...proof, path: proof.path.with(at, changed) }));
      assert.ok(!holds(nodes[3]!, { ...proof, path: proof.path.toSpliced(at, 1) }));
    }
    assert.ok(!holds(nodes[3]!, { ...proof, path: [...proof.path, nodes[0]!] }));
    for (const index of [-1, 2, 4, 7, 0.5]) assert.ok(!holds(nodes[3]!, { ...proof, index }));
    // Sums shifted between two children: a tree that hashes only their total would not notice.
    const [first, ...rest] = proof.path;
    assert.ok(!holds({ ...nodes[3]!, sum: 12n }, { ...proof, path: [{ ...first!, sum: first!.sum - 1n }, ...rest] }));
  });

  it("whatever is changed in a proof, in however many places: it leads to the same root or does not hold", () => {
    const change = fc.record({
      at: fc.nat(),
      sum: fc.option(fc.bigInt(-(2n ** 20n), 2n ** 20n), { nil: undefined }),
      byte: fc.option(fc.nat(31), { nil: undefined }),
    });
    fc.assert(
      fc.property(
        fc.array(fc.bigInt(0n, 2n ** 16n), { minLength: 2, maxLength: 40 }),
        fc.nat(),
        fc.bigInt(-(2n ** 16n), 2n ** 16n),
        fc.array(change, { maxLength: 3 }),
        (given, which, added, changes) => {
          const nodes = leaves(given);
          const tree = new SumTree(nodes);
          const [index, path] = [which % nodes.length, [...tree.proof(which % nodes.length).path]];
          for (const { at, sum, byte } of changes) {
            const node = path[at % path.length]!;
            const hash = Buffer.from(node.hash);
            if (byte !== undefined) hash[byte]! ^= 1;
            path[at % path.length] = { hash, sum: node.sum + (sum ?? 0n) };
          }
          const leaf = { ...nodes[index]!, sum: nodes[index]!.sum + added };
          const isSame = added === 0n && path.every((node, at) => sameNode(node, tree.proof(index).path[at]!));
          let root: SumNode | undefined;
          try {
            root = rootFrom(leaf, { ...tree.proof(index), path });
          } catch {
            // no sum at all
          }
          assert.equal(root !== undefined && sameNode(root, tree.root), isSame);
          // What others find under the same root: together never more than its sum.
          if (isSame) assert.ok(root!.sum >= leaf.sum + path.reduce((sum, node) => sum + node.sum, 0n));
        },
      ),
      { numRuns: process.env["SOAK"] === undefined ? 300 : 20_000 },
    );
  });

  it("an inner node is no leaf, and no sum is below zero or above 256 bits", () => {
    const tree = new SumTree(leaves([1n, 2n]));
    const inner = new SumTree([tree.root, ...leaves([3n])]);
    assert.notDeepEqual(inner.root, new SumTree(leaves([3n, 3n])).root);
    assert.throws(() => leafOf({ client: "a", asset: "ETH", amount: -1n, salt: Buffer.alloc(32) }), {
      code: "liabilities-invalid",
    });
    assert.throws(() => new SumTree(leaves([2n ** 256n - 1n, 1n])), { code: "liabilities-invalid" });
    assert.throws(() => new SumTree([]), { code: "liabilities-invalid" });
  });
});
