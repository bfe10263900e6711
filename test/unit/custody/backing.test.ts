import assert from "node:assert/strict";
import { backingOf } from "../../../src/custody/backing.ts";
import type { AssetSymbol } from "../../../src/domain/chain.ts";

// Goal: a token of which more is out than its reserves hold is a break of that size, and what is unknown is no reserve.
// Method: by hand, with reserves of more and of fewer decimals than the token.

const token = "TKN" as AssetSymbol;
const of = (supply: bigint | undefined, ...reserves: [bigint | undefined, number][]) =>
  backingOf({
    client: "issuer",
    token,
    supply: { amount: supply, decimals: 6 },
    reserves: reserves.map(([amount, decimals]) => ({ amount, decimals })),
  });

describe("custody/backing", () => {
  it("is whole where the reserves hold as much or more", () => {
    assert.equal(of(5_000_000n, [5_000_000n, 6]), undefined);
    assert.equal(of(5_000_000n, [3n * 10n ** 18n, 18], [200n, 2]), undefined);
    assert.equal(of(0n), undefined);
  });
  it("is short by what is missing, and never by less", () => {
    const short = { client: "issuer", asset: token, cause: "backing-short" };
    assert.deepEqual(of(5_000_000n, [4_999_999n, 6]), { ...short, difference: -1n });
    // A millionth of a unit less one of 18 decimals is not there.
    assert.deepEqual(of(5_000_000n, [5n * 10n ** 18n - 1n, 18]), { ...short, difference: -1n });
    assert.deepEqual(of(5_000_000n), { ...short, difference: -5_000_000n });
  });
  it("is unknown where the supply or any reserve is", () => {
    for (const found of [of(undefined, [5n, 6]), of(5n, [9n, 6], [undefined, 6])])
      assert.equal(found?.cause, "backing-not-read");
  });
});
