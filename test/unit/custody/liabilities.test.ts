import assert from "node:assert/strict";
import fc from "fast-check";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { extractProofs, writeProofs } from "../../../src/cli/assurance/proof-files.ts";
import {
  liabilityProof,
  proveLiabilities,
  verifyLiability,
  type Liabilities,
  type LiabilityProof,
  type Owed,
} from "../../../src/custody/liabilities.ts";

// Goal: whoever holds a proof knows that its position is in the published sum; nobody's can be left out or lowered unseen.
// Method: random books; sums are added up beside; each figure of a proof is changed in turn. 100,000 positions with SOAK.

const of = { gateway: "acme", checkpoint: { size: 7, root: "r" } };
const proofOf = ({ provenOf, summary }: Liabilities, client: string) => liabilityProof(provenOf(client), summary);
const POSITIONS = process.env["SOAK"] === undefined ? 5_000 : 100_000;

describe("custody/liabilities", () => {
  it("every client's proof holds, and the sums are those of all positions", () => {
    const books = fc.uniqueArray(
      fc.record({
        client: fc.constantFrom("a", "b", "c", "d", "e"),
        asset: fc.constantFrom("eip155:1/native", "eip155:1/erc20:0x1"),
        amount: fc.bigInt(-5n, 2n ** 100n),
      }),
      { minLength: 1, selector: ({ client, asset }) => `${client} ${asset}` },
    );
    fc.assert(
      fc.property(books, (owed) => {
        const made = proveLiabilities(owed, of);
        for (const { asset, sum, count } of made.summary.assets) {
          const amounts = owed.filter((each) => each.asset === asset).map(({ amount }) => (amount < 0n ? 0n : amount));
          assert.deepEqual([BigInt(sum), count], [amounts.reduce((a, b) => a + b, 0n), amounts.length]);
        }
        assert.equal(made.summary.belowZero, owed.filter(({ amount }) => amount < 0n).length);
        for (const client of made.clients) {
          const { positions } = verifyLiability(JSON.parse(JSON.stringify(proofOf(made, client))));
          assert.equal(positions.length, owed.filter((each) => each.client === client).length);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("no figure of a proof can be changed", () => {
    const owed: Owed[] = ["a", "b", "c", "d", "e"].map((client, at) => ({ client, asset: "x", amount: BigInt(at) }));
    const proof = proofOf(proveLiabilities(owed, of), "c");
    const [position] = proof.positions as [LiabilityProof["positions"][number]];
    const [total] = proof.summary.assets as [LiabilityProof["summary"]["assets"][number]];
    const changed = (change: object): unknown => ({ ...proof, positions: [{ ...position, ...change }] });
    const sibling = { ...position.path[0]!, sum: String(BigInt(position.path[0]!.sum) + 1n) };
    for (const [what, other] of Object.entries({
      amount: changed({ amount: "1" }),
      index: changed({ index: position.index ^ 1 }),
      sibling: changed({ path: position.path.with(0, sibling) }),
      client: { ...proof, client: "d" },
      sum: { ...proof, summary: { ...proof.summary, assets: [{ ...total, sum: "9" }] } },
      root: { ...proof, summary: { ...proof.summary, assets: [{ ...total, root: "00".repeat(32) }] } },
      twice: { ...proof, positions: [position, position] },
      field: { ...proof, more: 1 },
    }))
      assert.throws(() => verifyLiability(other), /liabilit|position|sum|path|expected/, what);
  });

  it("a client's asset is counted once", () => {
    const twice = ["a", "a"].map((client) => ({ client, asset: "x", amount: 1n }));
    assert.throws(() => proveLiabilities(twice, of), { code: "liabilities-invalid" });
  });

  it(`${POSITIONS} positions are proven and written, each in a path of their logarithm (100,000 in 10 s of CPU under SOAK)`, () => {
    const owed = Array.from({ length: POSITIONS }, (_, at) => ({ client: `c${at}`, asset: "x", amount: BigInt(at) }));
    const folder = mkdtempSync(join(tmpdir(), "portcullis-owed-"));
    try {
      const before = process.cpuUsage();
      const made = proveLiabilities(owed, of);
      writeProofs(folder, made, "a receipt\n");
      const { user, system } = process.cpuUsage(before);
      const ms = (user + system) / 1000;
      const [file] = extractProofs(folder, join(folder, "own"), ["c17"]);
      const own = JSON.parse(readFileSync(file!, "utf8")) as LiabilityProof;
      assert.deepEqual(own, { ...proofOf(made, "c17"), receipt: "a receipt\n" });
      assert.ok(verifyLiability(own).positions[0]!.path.length <= Math.ceil(Math.log2(POSITIONS)));
      if (POSITIONS < 100_000) return;
      console.log(`      ${POSITIONS} positions proven and written: ${Math.round(ms)} ms of CPU`);
      assert.ok(ms <= 10_000, `${ms} ms`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
