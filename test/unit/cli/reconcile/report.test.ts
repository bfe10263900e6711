import assert from "node:assert/strict";
import { isNotYet, type ChainNow } from "../../../../src/cli/reconcile/chains.ts";
import { beforeIn, bodyOf, type Report } from "../../../../src/cli/reconcile/report.ts";
import type { Break } from "../../../../src/custody/reconcile.ts";
import type { Opening } from "../../../../src/custody/register.ts";
import type { AssetSymbol, ChainId } from "../../../../src/domain/chain.ts";
import { ReportBody } from "../../../../src/domain/custody.ts";

// Goal: how old a finding is comes from the same observer's newest leaf and from nowhere else; what is later than the block
// is left out, what claims to be later than the chain is not.
// Method: what is written into a leaf is read again; openings by hand.

const SINCE = "2026-01-02T03:04:05.678Z";
const breaks: Break[] = [
  { client: "a", asset: "USDC" as AssetSymbol, cause: "chain-under", difference: -5n, since: Date.parse(SINCE) },
  { client: "a", asset: "ETH" as AssetSymbol, cause: "books-over", difference: 10n ** 30n, since: Date.parse(SINCE) },
];
const outside = `eip155:1:0x742d35Cc6634C0532925a3b844Bc454e4438f44e transaction 3 0x${"a".repeat(64)}`;
const report: Report = {
  format: "portcullis/reconciliation/v1",
  gateway: "g",
  client: "a",
  at: SINCE,
  chains: [{ chain: "eip155:1", block: 7, hash: `0x${"b".repeat(64)}`, head: 18 }],
  ...{ assets: [], breaks: [], closed: [], transactions: [], rewritten: [] },
  signedOutside: [{ what: outside, since: SINCE, status: "new" }],
};
const leaf = (by: string, body: object): Opening => ({ type: "reported", index: 1, at: 1, by, ...body });

describe("cli/reconcile/report", () => {
  it("what a leaf says of a report is what the next one knows", () => {
    const body = bodyOf(report, breaks);
    assert.deepEqual(ReportBody.parse(body), body);
    assert.equal(body.outcome, "breaks");
    const before = beforeIn([leaf("watcher", body)], "a", "watcher");
    assert.deepEqual(before.breaks, breaks);
    assert.deepEqual([...before.outside], [[outside, SINCE]]);
    assert.deepEqual([...before.chains], [["eip155:1", { block: 7, hash: `0x${"b".repeat(64)}` }]]);
  });
  it("another's report, and one of another kind, make no finding younger", () => {
    const clean = { kind: "reconciliation", summary: { breaks: 0 } };
    const openings = [
      leaf("watcher", bodyOf(report, breaks)),
      leaf("auditor", clean),
      leaf("watcher", { ...clean, kind: "liabilities" }),
    ];
    assert.equal(beforeIn(openings, "a", "watcher").breaks.length, 2);
    assert.equal(beforeIn([...openings, leaf("watcher", clean)], "a", "watcher").breaks.length, 0);
  });
  it("a thousand breaks fit into a leaf: their number is told, not the age of each", () => {
    const many = Array.from({ length: 1_000 }, (_, index) => ({ ...breaks[0]!, asset: `A${index}` as AssetSymbol }));
    const body = ReportBody.parse(bodyOf(report, many));
    assert.ok(JSON.stringify(body).length < 32_768);
    assert.equal(body.summary["breaks"], 1_000);
  });

  const chain = "eip155:1" as ChainId;
  const settled = { chain, number: 100, hash: "0x" };
  const chains = new Map([[chain, { settled, head: 111 } as ChainNow]]);
  const isLater = (what: object) =>
    isNotYet({ type: "observed", index: 1, at: 1, ...what }, chains, new Map([["r", chain]]));
  it("what was observed between the block that is read and the newest is not yet compared", () => {
    for (const block of [101, 111]) {
      assert.ok(isLater({ deposit: { block, to: `${chain}:0x1` } }));
      assert.ok(isLater({ transaction: { block, request: "r" } }));
    }
  });
  it("what is at the block or below, above the newest, of another chain or of none is compared", () => {
    for (const block of [100, 112]) assert.ok(!isLater({ deposit: { block, to: `${chain}:0x1` } }));
    assert.ok(!isLater({ deposit: { block: 105, to: "eip155:5:0x1" } }));
    assert.ok(!isLater({ transaction: { block: 105, request: "unknown" } }));
    assert.ok(!isLater({ balance: { block: 105 } }));
  });
});
