import assert from "node:assert/strict";
import fc from "fast-check";
import { planExit, type ExitTerms, type Held } from "../../../src/custody/exit.ts";
import type { Asset } from "../../../src/domain/assets.ts";
import type { Account, AssetSymbol, ChainId } from "../../../src/domain/chain.ts";
import type { KeyName } from "../../../src/domain/names.ts";

// Goal: everything that is not pledged and can pay for its way is in the plan, and nothing else; whatever is not, is named.
// Method: each case by hand; any holdings against the sums that no plan may break.

const CHAIN = "eip155:1" as ChainId;
const EXIT = `${CHAIN}:0xexit` as Account;
const asset = (symbol: string, standard: Asset["standard"] = "erc20"): Asset => ({
  symbol: symbol as AssetSymbol,
  chain: CHAIN,
  decimals: 0,
  standard,
});
const [ETH, USDC, DAI] = [asset("ETH", "native"), asset("USDC"), asset("DAI")];
const held = (account: string, of: Asset, amount: bigint): Held => ({
  key: "hot-1" as KeyName,
  account: `${CHAIN}:${account}` as Account,
  asset: of,
  amount,
  gas: of.standard === "native" ? 2n : 5n,
});
const terms = (available: Record<string, bigint> = {}, exit = new Map([[CHAIN, EXIT]])): ExitTerms => ({
  exit,
  available: new Map(Object.entries(available)) as Map<AssetSymbol, bigint>,
  gasPriceMax: new Map([[CHAIN, 1n]]),
});
const short = (all: readonly Held[], of: ExitTerms = terms()) => {
  const { transfers, left } = planExit(all, of);
  return {
    transfers: transfers.map(({ account, asset: { symbol }, amount }) => [account.slice(-1), symbol, Number(amount)]),
    left: left.map(({ asset: { symbol }, amount, why }) => [symbol, Number(amount), why]),
  };
};

describe("a plan to return everything", () => {
  it("tokens go first, then the native asset less what all of it costs", () => {
    assert.deepEqual(short([held("a", ETH, 100n), held("a", USDC, 7n), held("b", ETH, 10n)]), {
      transfers: [
        ["a", "USDC", 7],
        ["a", "ETH", 93],
        ["b", "ETH", 8],
      ],
      left: [],
    });
  });

  it("what is pledged stays, and fees are not taken from it", () => {
    const all = [held("a", ETH, 100n), held("a", USDC, 50n), held("b", USDC, 30n), held("b", ETH, 20n)];
    assert.deepEqual(short(all, terms({ USDC: 60n, ETH: 30n })), {
      transfers: [
        ["a", "USDC", 50],
        ["b", "USDC", 10],
        ["a", "ETH", 18],
      ],
      left: [
        ["USDC", 20, "pledged"],
        ["ETH", 75, "pledged"],
        ["ETH", 15, "pledged"],
      ],
    });
    assert.deepEqual(short([held("a", ETH, 9n)], terms({ ETH: 0n })).left, [["ETH", 9, "pledged"]]);
  });

  it("an account that cannot pay for its transfers is named, and so is what no exit is fixed for", () => {
    assert.deepEqual(short([held("a", ETH, 4n), held("a", USDC, 7n), held("b", USDC, 1n)]), {
      transfers: [["a", "ETH", 2]],
      left: [
        ["USDC", 7, "the account cannot pay for the transfer"],
        ["USDC", 1, "the account cannot pay for the transfer"],
      ],
    });
    assert.deepEqual(short([held("a", ETH, 2n)]).left, [["ETH", 2, "less than the fee"]]);
    const nowhere = short([held("a", ETH, 9n)], terms({}, new Map())).left;
    assert.deepEqual(nowhere, [["ETH", 7, "the policy fixes no `exit` on this chain"]]);
    assert.deepEqual(short([held("a", asset("APE", "erc721"), 2n)]).left[0]!.slice(0, 2), ["APE", 2]);
  });

  it("no plan moves or spends more than there is, or than liens leave", () => {
    const amount = fc.bigInt(0n, 60n);
    const some = fc.array(
      fc.tuple(fc.constantFrom("a", "b", "c"), fc.constantFrom(ETH, USDC, DAI), amount).map((of) => held(...of)),
      { maxLength: 9 },
    );
    const available = fc.dictionary(fc.constantFrom("ETH", "USDC", "DAI"), amount);
    fc.assert(
      fc.property(some, available, (all, free) => {
        const once = [...new Map(all.map((each) => [`${each.account}${each.asset.symbol}`, each])).values()];
        const { transfers, left } = planExit(once, terms(free));
        const sum = (values: readonly bigint[]) => values.reduce((a, b) => a + b, 0n);
        for (const { account, asset: of, amount: there } of once) {
          const own = transfers.filter((each) => each.account === account);
          const moved = sum(own.filter((each) => each.asset === of).map((each) => each.amount));
          const fees = of === ETH ? sum(own.map(({ fee }) => fee)) : 0n;
          assert.ok(moved + fees <= there, `${account} ${of.symbol}`);
          const stays = sum(left.filter((each) => each.account === account && each.asset === of).map((e) => e.amount));
          if (of !== ETH) assert.equal(moved + stays, there);
        }
        for (const of of [ETH, USDC, DAI]) {
          const moved = sum(transfers.filter((each) => each.asset === of).map((each) => each.amount));
          const fees = of === ETH ? sum(transfers.map(({ fee }) => fee)) : 0n;
          const most = free[of.symbol];
          assert.ok(most === undefined || moved + fees <= most, of.symbol);
        }
      }),
      { numRuns: 500 },
    );
  });
});
