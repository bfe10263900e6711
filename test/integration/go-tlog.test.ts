import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { leafHash, nodeHash, type Hash } from "../../src/tlog/hashes.ts";
import {
  consistencyProof,
  inclusionProof,
  isConsistent,
  rootFromInclusion,
  rootOf,
  type Node,
} from "../../src/tlog/tree.ts";
import { buildGoAuditor } from "../support/go-auditor.ts";

// Goal: our proofs are those that others verify, and what others refuse we refuse.
// Method: trees of all small sizes and some larger ones; every proof as it is, and with something changed, is judged by
// golang.org/x/mod/sumdb/tlog and by us.

const SIZES = [...Array.from({ length: 33 }, (_, n) => n + 1), 255, 256, 257, 1000];

const entry = (n: number): Hash => leafHash(createHash("sha256").update(`entry ${n}`).digest());
const leaves = Array.from({ length: SIZES.at(-1)! }, (_, n) => entry(n));
const nodeOf = ({ level, index }: Node): Hash =>
  level === 0
    ? leaves[index]!
    : nodeHash(nodeOf({ level: level - 1, index: 2 * index }), nodeOf({ level: level - 1, index: 2 * index + 1 }));
const read = async (nodes: readonly Node[]) => nodes.map(nodeOf);

type Proof = { path: Hash[]; size: number; root: Hash; of: number; hash: Hash; inclusion: boolean };

const asJson = ({ path, root, hash, ...rest }: Proof) => {
  const base64 = (bytes: Hash) => Buffer.from(bytes).toString("base64");
  return { ...rest, path: path.map(base64), root: base64(root), hash: base64(hash) };
};

/** Ours. */
function holds({ path, size, root, of, hash, inclusion }: Proof): boolean {
  if (!inclusion) return isConsistent({ size: of, root: hash }, { size, root }, path);
  const found = rootFromInclusion(of, size, hash, path);
  return found !== undefined && Buffer.from(found).equals(root);
}

async function proofsOf(size: number): Promise<Proof[]> {
  const root = await rootOf(size, read);
  const places =
    size < 40 ? leaves.slice(0, size).map((_, n) => n) : [0, 1, 254, 255, 256, size - 1].filter((n) => n < size);
  const inclusions = places.map(async (of) => {
    const path = await inclusionProof(of, size, read);
    return { path, size, root, of, hash: leaves[of]!, inclusion: true };
  });
  const extensions = places.map(async (at) => {
    const path = await consistencyProof(at + 1, size, read);
    return { path, size, root, of: at + 1, hash: await rootOf(at + 1, read), inclusion: false };
  });
  return Promise.all([...inclusions, ...extensions]);
}

/** The ways in which a proof may be wrong; some of them leave a small one as it was. */
const CHANGES: readonly ((proof: Proof) => Proof)[] = [
  (proof) => ({ ...proof, root: entry(-1) }),
  (proof) => ({ ...proof, hash: entry(-1) }),
  (proof) => ({ ...proof, of: proof.of + 1 }),
  (proof) => ({ ...proof, of: Math.max(proof.of - 1, 1) }),
  (proof) => ({ ...proof, size: proof.size + 1 }),
  (proof) => ({ ...proof, path: proof.path.slice(1) }),
  (proof) => ({ ...proof, path: proof.path.slice(0, -1) }),
  (proof) => ({ ...proof, path: [...proof.path, entry(-1)] }),
  (proof) => ({ ...proof, path: proof.path.toReversed() }),
];

describe("our tree and Go's", function () {
  this.timeout(60_000);
  let auditor: ReturnType<typeof buildGoAuditor>;
  before(() => void (auditor = buildGoAuditor()));
  after(() => auditor.remove());

  it("every proof of ours is accepted there", async () => {
    const proofs = (await Promise.all(SIZES.map(proofsOf))).flat();
    const said = await auditor.proofs(proofs.map(asJson));
    assert.equal(said.length, proofs.length);
    assert.deepEqual(
      proofs.filter((_, n) => !said[n]),
      [],
    );
  });

  it("of proofs with something changed both say the same, and nearly all are refused", async () => {
    const proofs = (await Promise.all(SIZES.map(proofsOf))).flat();
    const changed = fc.sample(
      fc.tuple(fc.constantFrom(...proofs), fc.constantFrom(...CHANGES)).map(([proof, change]) => change(proof)),
      3_000,
    );
    const said = await auditor.proofs(changed.map(asJson));
    assert.deepEqual(
      changed.filter((proof, n) => holds(proof) !== said[n]),
      [],
    );
    assert.ok(said.filter((accepted) => !accepted).length > 2_000);
  });
});
