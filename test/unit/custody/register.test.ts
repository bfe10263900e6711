import assert from "node:assert/strict";
import fc from "fast-check";
import { Register, type Opening } from "../../../src/custody/register.ts";
import type { Account, AssetSymbol } from "../../../src/domain/chain.ts";

// Goal: a position is opening + credits − debits at every moment, whatever happened; a lien is never lent out twice.
// Method: random histories against a list that is summed anew each time; each rule once by hand.

const OWN = "eip155:1:0x0000000000000000000000000000000000000A11" as Account;
const OWN_2 = "eip155:1:0x0000000000000000000000000000000000000A12" as Account;
const OUT = "eip155:1:0x0000000000000000000000000000000000000B01" as Account;
const ETH = "ETH" as AssetSymbol;
const USDC = "USDC" as AssetSymbol;

let index = 0;
const leaf = (type: string, content: object): Opening => ({ type, index: index++, at: index * 1000, ...content });
const key = () => leaf("key-created", { accounts: [OWN, OWN_2] });
const deposit = (amount: bigint, transaction = `0x${index}`, asset = ETH) =>
  leaf("observed", { what: "deposit", deposit: { transaction, position: "0", asset, amount: String(amount) } });
const authorized = (request: string, amount: bigint, { to = OUT, fee = 5n, asset = ETH } = {}) =>
  leaf("authorized", {
    request,
    intent: {
      chain: "eip155:1",
      account: OWN,
      operations: [{ kind: "transfer", asset, from: OWN, to, amount: String(amount) }],
      fee: { asset: ETH, max: String(fee) },
      claims: [],
    },
  });
const seen = (request: string, state: string, fee?: bigint) =>
  leaf("observed", {
    what: "transaction",
    transaction: { request, state, ...(fee === undefined ? {} : { fee: String(fee), block: 7, depth: 12 }) },
  });
const lien = (name: string, amount: string, asset = ETH) =>
  leaf("lien-placed", { lien: name, asset, amount, securedParty: "bank" });
const balance = (amount: bigint, by = "watcher") =>
  leaf("observed", { what: "balance", balance: { asset: ETH, amount: String(amount), block: 7 }, by });
const closing = (openings: Opening[], asset = ETH) => Register.of([key(), ...openings]).position(asset).closing;

describe("the register of positions", () => {
  it("a debit stands from its authorization on, at the most that it can cost", () => {
    assert.equal(closing([deposit(100n), authorized("a", 30n)]), 65n);
  });

  it("a fee that was less comes back when the transaction is mined; a reverted one returns what it moved", () => {
    assert.equal(closing([deposit(100n), authorized("a", 30n), seen("a", "mined", 2n)]), 68n);
    assert.equal(closing([deposit(100n), authorized("a", 30n), seen("a", "reverted", 2n)]), 98n);
  });

  it("a replaced one returns everything, a dropped one nothing: its bytes can be sent again", () => {
    assert.equal(closing([deposit(100n), authorized("a", 30n), seen("a", "replaced")]), 100n);
    assert.equal(closing([deposit(100n), authorized("a", 30n), seen("a", "dropped")]), 65n);
  });

  it("what has ended on the chain is not ended again", () => {
    const twice = [
      deposit(100n),
      authorized("a", 30n),
      seen("a", "mined", 2n),
      seen("a", "replaced"),
      seen("a", "mined", 0n),
    ];
    assert.equal(closing(twice), 68n);
  });

  it("no word of an observer makes a fee larger than what was reserved, or smaller than nothing", () => {
    assert.equal(closing([deposit(100n), authorized("a", 30n), seen("a", "mined", 99n)]), 65n);
  });

  it("a failed request returns its debit only where the log says that nothing was signed", () => {
    const failed = (spend: string) => leaf("failed", { request: "a", spend });
    assert.equal(closing([deposit(100n), authorized("a", 30n), failed("given-back")]), 100n);
    assert.equal(closing([deposit(100n), authorized("a", 30n), failed("counted")]), 65n);
  });

  it("a request that is authorized again stands once", () => {
    assert.equal(closing([deposit(100n), authorized("a", 30n), authorized("a", 30n)]), 65n);
  });

  it("between the client's own accounts only the fee is spent", () => {
    assert.equal(closing([deposit(100n), authorized("a", 30n, { to: OWN_2 })]), 95n);
  });

  it("one transfer on a chain is one deposit, however often it is reported", () => {
    assert.equal(closing([deposit(100n, "0xaa"), deposit(100n, "0xaa"), deposit(1n, "0xaa", USDC)]), 100n);
  });

  it("liens take what there is, and no more; a released one takes nothing", () => {
    const position = (...liens: Opening[]) =>
      Register.of([key(), deposit(100n), balance(100n), ...liens]).position(ETH);
    assert.deepEqual([position(lien("l", "60")).free, position(lien("l", "60"), lien("m", "60")).free], [40n, 0n]);
    assert.equal(position(lien("l", "60"), lien("m", "60")).encumbered, 100n);
    assert.deepEqual([position(lien("l", "all")).encumbered, position(lien("l", "all")).free], [100n, 0n]);
    assert.equal(position(lien("l", "all"), leaf("lien-released", { lien: "l", remaining: "none" })).free, 100n);
  });

  it("an allowance reduces what is free, and no position", () => {
    const allowance = (more: object) =>
      leaf("authorized", {
        request: `r${index}`,
        intent: {
          chain: "eip155:1",
          account: OWN,
          operations: [{ kind: "allowance", asset: USDC, from: OWN, to: OUT, ...more }],
          fee: { asset: ETH, max: "0" },
          claims: [],
        },
      });
    const of = (more: object) => Register.of([key(), deposit(100n, "0x1", USDC), allowance(more)]).position(USDC);
    assert.deepEqual([of({ amount: "30" }).closing, of({ amount: "30" }).free], [100n, 70n]);
    assert.equal(of({ amount: "5", unlimited: true }).free, 0n);
  });

  it("closing = credits − debits, and free + encumbered ≤ what is there, for every prefix of every history", () => {
    const request = fc.constantFrom("a", "b", "c", "d");
    const amount = fc.bigInt(0n, 50n);
    const event = fc.oneof(
      amount.map((value) => deposit(value)),
      fc
        .tuple(request, amount, fc.constantFrom(OUT, OWN_2))
        .map(([name, value, to]) => authorized(name, value, { to })),
      fc
        .tuple(request, fc.constantFrom("mined", "reverted", "replaced", "dropped", "broadcast"), fc.bigInt(0n, 9n))
        .map(([name, state, fee]) => seen(name, state, fee)),
      request.map((name) => leaf("failed", { request: name, spend: "given-back" })),
      fc.tuple(fc.constantFrom("l", "m"), fc.constantFrom("10", "all")).map(([name, value]) => lien(name, value)),
      amount.map((value) => balance(value)),
      fc.constantFrom("l", "m").map((name) => leaf("lien-released", { lien: name, remaining: "none" })),
    );
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40 }), (history) => {
        const register = Register.of([key()]);
        for (const opening of history) {
          register.apply(opening);
          const { credits, debits, closing, encumbered, free } = register.position(ETH);
          let [credited, summed] = [0n, 0n];
          for (const movement of register.movements) {
            assert.ok(movement.amount >= 0n);
            const adds = movement.kind === "credit" || movement.kind === "correction";
            summed += adds ? movement.amount : -movement.amount;
            if (movement.kind === "credit") credited += movement.amount;
          }
          assert.deepEqual([closing, credits, credits - debits], [summed, credited, summed]);
          // No debit gives back more than it took.
          assert.ok(debits >= 0n);
          assert.ok(free >= 0n && encumbered >= 0n && free + encumbered <= (closing > 0n ? closing : 0n));
        }
      }),
      { numRuns: 300 },
    );
  });
});
