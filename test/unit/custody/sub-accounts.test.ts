import assert from "node:assert/strict";
import { Register, type Opening } from "../../../src/custody/register.ts";
import type { AssetSymbol } from "../../../src/domain/chain.ts";
import type { SubAccountName } from "../../../src/domain/names.ts";

// Goal: the ledger of a sub-account is that of its own leaves, and no leaf moves anything from one to another.
// Method: each rule once by hand; any interleaving is played in test/property/sub-accounts.test.ts.

const OWN = "eip155:1:0x0000000000000000000000000000000000000A11";
const OUT = "eip155:1:0x0000000000000000000000000000000000000B01";
const ETH = "ETH" as AssetSymbol;
const [ALPHA, BETA] = ["alpha", "beta"] as SubAccountName[] as [SubAccountName, SubAccountName];
const NONE: ReadonlySet<string> = new Set();

let index = 0;
const leaf = (type: string, content: object): Opening => ({ type, index: index++, at: index * 1000, ...content });
const deposit = (amount: number, subAccount?: string, transaction = `0x${index}`) => {
  const seen = { transaction, position: "0", asset: ETH, amount: String(amount) };
  return leaf("observed", {
    what: "deposit",
    deposit: { ...seen, ...(subAccount === undefined ? {} : { subAccount }) },
  });
};
const balance = (amount: number) =>
  leaf("observed", { what: "balance", balance: { asset: ETH, amount: String(amount), block: 7 }, by: "watcher" });
const authorized = (request: string, amount: number, more: object = {}) =>
  leaf("authorized", {
    request,
    intent: {
      chain: "eip155:1",
      account: OWN,
      operations: [{ kind: "transfer", asset: ETH, from: OWN, to: OUT, amount: String(amount) }],
      fee: { asset: ETH, max: "5" },
      claims: [],
    },
    ...more,
  });
const of = (...openings: Opening[]) => Register.of([leaf("key-created", { accounts: [OWN] }), ...openings]);
const closing = (register: Register, name: SubAccountName) => register.subAccount(name).position(ETH).closing;

describe("the ledgers of sub-accounts", () => {
  it("a deposit is booked once, whoever is named later, and for what was reported first", () => {
    const register = of(deposit(30, undefined, "0xa"), deposit(99, "alpha", "0xa"), deposit(30, "beta", "0xa"));
    assert.deepEqual([closing(register, ALPHA), closing(register, BETA)], [30n, 0n]);
    assert.deepEqual([register.position(ETH).closing, register.unallocated(ETH)], [30n, 0n]);
  });

  it("outcomes are those of whose request it was", () => {
    const register = of(deposit(30, "alpha"), deposit(30, "beta"), authorized("a", 10, { subAccount: ALPHA }));
    assert.equal(closing(register, ALPHA), 15n);
    register.apply(leaf("signed", { request: "a", transactionHash: "0xff" }));
    register.apply(leaf("observed", { what: "transaction", transaction: { request: "a", state: "mined", fee: "2" } }));
    assert.deepEqual([closing(register, ALPHA), closing(register, BETA)], [18n, 30n]);
    assert.equal(register.subAccount(ALPHA).debits.get("a")!.transaction, "0xff");
    register.apply(authorized("b", 10, { subAccount: BETA }));
    register.apply(leaf("failed", { request: "b", spend: "given-back" }));
    assert.equal(closing(register, BETA), 30n);
  });

  it("what was before there were any is nobody's, and may be below zero: then nobody is paid from what is not there", () => {
    const register = of(deposit(50, undefined, "0xb"), authorized("old", 15), deposit(0, "alpha", "0xb"), balance(30));
    assert.deepEqual([closing(register, ALPHA), register.unallocated(ETH)], [50n, -20n]);
    assert.equal(register.availableTo(ALPHA, ETH, NONE), 10n, "the reading may hold what is still under way");
    register.apply(
      leaf("observed", { what: "transaction", transaction: { request: "old", state: "mined", fee: "5" } }),
    );
    register.apply(balance(30));
    assert.equal(register.availableTo(ALPHA, ETH, NONE), 30n);
  });

  it("what others may draw since before is nobody's to take", () => {
    const allowance = { kind: "allowance", asset: ETH, from: OWN, to: OUT, amount: "7" };
    const intent = {
      chain: "eip155:1",
      account: OWN,
      operations: [allowance],
      fee: { asset: ETH, max: "0" },
      claims: [],
    };
    const register = of(leaf("authorized", { request: "old", intent }), deposit(30, "alpha"), balance(30));
    assert.equal(register.availableTo(ALPHA, ETH, NONE), 23n);
  });

  it("a lien takes of the one that it is on", () => {
    const lien = (name: string, amount: string, subAccount: string) =>
      leaf("lien-placed", { lien: name, asset: ETH, amount, securedParty: "bank", subAccount });
    const register = of(deposit(30, "alpha"), deposit(30, "beta"), balance(60), lien("one", "20", "alpha"));
    const available = () => [ALPHA, BETA].map((name) => register.availableTo(name, ETH, NONE));
    assert.deepEqual(available(), [10n, 30n]);
    register.apply(lien("two", "all", "beta"));
    assert.deepEqual(available(), [10n, "none"]);
    register.apply(leaf("lien-released", { lien: "one", remaining: "5" }));
    register.apply(leaf("lien-released", { lien: "two", remaining: "none" }));
    assert.deepEqual(available(), [25n, 30n]);
    assert.deepEqual(register.subAccount(ALPHA).position(ETH).free, 25n);
  });
});
