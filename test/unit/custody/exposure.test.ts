import assert from "node:assert/strict";
import { exposuresOf, type Venue } from "../../../src/custody/exposure.ts";
import { Register, type Opening } from "../../../src/custody/register.ts";
import type { Account, AssetSymbol } from "../../../src/domain/chain.ts";

// Goal: what is at a venue is what was sent there and did not come back, by the leaves alone.
// Method: each rule once by hand.

const OWN = "eip155:1:0x0000000000000000000000000000000000000A11" as Account;
const KRAKEN = "eip155:1:0x0000000000000000000000000000000000000B01" as Account;
const PAYS_OUT = "eip155:1:0x0000000000000000000000000000000000000B02" as Account;
const OTHER = "eip155:1:0x0000000000000000000000000000000000000C01" as Account;
const ETH = "ETH" as AssetSymbol;

let index = 0;
const leaf = (type: string, content: object): Opening => ({ type, index: index++, at: index * 1000, ...content });
const back = (amount: number, from: Account, asset = "ETH") => {
  const deposit = { transaction: `0x${index}`, position: "0", asset, amount: String(amount), from };
  return leaf("observed", { what: "deposit", deposit });
};
const send = (request: string, amount: number, to: Account, asset = "ETH") =>
  leaf("authorized", {
    request,
    intent: {
      chain: "eip155:1",
      account: OWN,
      operations: [{ kind: "transfer", asset, from: OWN, to, amount: String(amount) }],
      fee: { asset: ETH, max: "3" },
      claims: [],
    },
  });
const seen = (request: string, state: string) =>
  leaf("observed", { what: "transaction", transaction: { request, state, fee: "1" } });
const venues: Venue[] = [
  { venue: "at-kraken", max: 50n, isAt: (account) => account === KRAKEN || account === PAYS_OUT },
  { venue: "other", isAt: (account) => account === OTHER },
];
const at = (...openings: Opening[]) =>
  Object.fromEntries(
    exposuresOf(Register.of([leaf("key-created", { accounts: [OWN] }), ...openings]), ETH, venues).map((each) => [
      each.venue,
      each.amount,
    ]),
  );

describe("exposure per venue", () => {
  it("sent there, less what came back from any of its addresses; the fee goes to nobody", () => {
    assert.deepEqual(at(send("a", 30, KRAKEN), back(10, PAYS_OUT)), { "at-kraken": 20n });
  });
  it("each venue and each asset by itself; what goes elsewhere is at none", () => {
    const sent = [send("a", 30, KRAKEN), send("b", 5, OTHER), send("c", 7, KRAKEN, "USDC"), send("d", 9, OWN)];
    assert.deepEqual(at(...sent, back(6, KRAKEN, "USDC")), { "at-kraken": 30n, other: 5n });
  });
  it("a profit makes no room for later, and none at another venue", () => {
    assert.deepEqual(at(send("b", 5, OTHER), send("a", 10, KRAKEN), back(99, KRAKEN), send("c", 4, KRAKEN)), {
      other: 5n,
      "at-kraken": 4n,
    });
  });
  it("what never arrived is not there", () => {
    const sent = [send("a", 10, KRAKEN), send("b", 20, KRAKEN), send("c", 40, KRAKEN), send("d", 80, KRAKEN)];
    const ended = [seen("a", "mined"), seen("b", "replaced"), seen("c", "reverted")];
    assert.deepEqual(at(...sent, ...ended, leaf("failed", { request: "d", spend: "given-back" })), {
      "at-kraken": 10n,
    });
    assert.deepEqual(at(send("a", 10, KRAKEN), send("a", 10, KRAKEN)), { "at-kraken": 10n }, "authorized again");
    assert.deepEqual(at(send("a", 10, KRAKEN), seen("a", "dropped")), { "at-kraken": 10n }, "it may still be sent");
  });
  it("a limit's bound is said beside", () => {
    const [exposure] = exposuresOf(Register.of([send("a", 60, KRAKEN)]), ETH, venues);
    assert.deepEqual(exposure, { venue: "at-kraken", amount: 60n, max: 50n });
  });
});
