import assert from "node:assert/strict";
import { compileClient } from "../../../src/policy/compile.ts";
import { diffPolicies } from "../../../src/policy/diff.ts";
import { parsePolicy, tryParsePolicy } from "../../../src/policy/parse.ts";
import type { DecisionFacts } from "../../../src/domain/decision.ts";
import type { Account, AssetSymbol, ChainId } from "../../../src/domain/chain.ts";
import type { Intent } from "../../../src/domain/intent.ts";
import type { ClientId } from "../../../src/domain/names.ts";
import { wrongSubAccount } from "../../../src/policy/omnibus.ts";
import { madeUpAccount } from "../../../src/policy/world.ts";
import { checkAccount } from "./fixture.ts";

// Goal: an omnibus document says who the owners are, and limits each of them; what changes for them is never taken for a
// tightening that is none.
// Method: one document that is right, changed in one thing.

const KEY = "ed25519:M6VqVUrtA/kadQU9EtD0ORaImZtOy1kR/HPbKRYegRM=";
const OTHER = "ed25519:rE+HDdsI1jl4pUTVAqZMhR+1ashqyyHECzFcmYkssJU=";
const assets = {
  apiVersion: "portcullis/v1",
  kind: "AssetRegistry",
  chains: { "eip155:1": { name: "Ethereum", native: "ETH" } },
  assets: { ETH: { chain: "eip155:1", decimals: "0", standard: "native" } },
};
const daily = { sum: "ETH", max: "100", window: { rolling: "24h" } };
const POOLED = {
  apiVersion: "portcullis/v1",
  kind: "ClientPolicy",
  client: "acme",
  version: "1",
  use: ["assets.yaml"],
  omnibus: { subAccounts: ["alpha", "beta"] },
  callers: { payouts: { role: "wallet-service", keys: [KEY], subAccount: "alpha" } } as object,
  fee: { ETH: { max: "10" } },
  rules: [{ id: "pay", allow: ["transfer"], to: ["anyone"], amount: { ETH: { max: "50" } } }],
  limits: { each: { ...daily, per: "sub-account" } } as object,
};
type Change = Partial<Record<keyof typeof POOLED | "owner" | "exit" | "addressBook", unknown>>;
const APART: Change = {
  omnibus: undefined,
  callers: { payouts: { role: "wallet-service", keys: [KEY] } },
  limits: { daily },
};
const files = (change: Change) =>
  new Map([
    ["policy.yaml", JSON.stringify({ ...POOLED, ...change })],
    ["assets.yaml", JSON.stringify(assets)],
  ]);
const findings = (change: Change) =>
  tryParsePolicy("policy.yaml", files(change), checkAccount).findings.map(({ message }) => message);
const compiled = (change: Change) => compileClient(parsePolicy("policy.yaml", files(change), checkAccount));
const diff = (before: Change, after: Change) => diffPolicies(compiled(before), compiled({ ...after, version: "2" }));

describe("policy/omnibus", () => {
  it("a document that is right has no finding", () => {
    assert.deepEqual([findings({}), findings(APART)], [[], []]);
  });

  const caller = (change: object) => ({ callers: { payouts: { role: "wallet-service", keys: [KEY], ...change } } });
  const cases: [string, Change, RegExp][] = [
    ["a name that means nobody", { omnibus: { subAccounts: ["alpha", "unallocated"] } }, /reserved word `unallocated`/],
    ["a name twice", { omnibus: { subAccounts: ["alpha", "alpha"] } }, /each sub-account once, found `alpha`/],
    ["none", { omnibus: { subAccounts: [] } }, /at least one entry/],
    ["the custodian's own funds", { owner: "house" }, /no `omnibus` with `owner: house`/],
    [
      "one place to return all to",
      { exit: "home", addressBook: { home: { address: `eip155:1:0x${"1".repeat(40)}` } } },
      /no `exit` with `omnibus`/,
    ],
    [
      "a caller of a sub-account that is none",
      caller({ subAccount: "gamma" }),
      /a sub-account of `omnibus`, found `gamma`/,
    ],
    [
      "an approver of one",
      caller({ role: "approver", subAccount: "alpha" }),
      /on a wallet service, found it on `approver`/,
    ],
    [
      "a bound caller where there are none",
      { ...APART, ...caller({ subAccount: "alpha" }) },
      /a sub-account of `omnibus`/,
    ],
    ["limits per sub-account where there are none", { ...APART, limits: POOLED.limits }, /with `omnibus` alone/],
    ["no limit of each", { limits: { daily } }, /expected a sum limit per sub-account that counts all `ETH`/],
  ];
  for (const [what, change, message] of cases)
    it(`${what}: refused`, () => {
      const found = findings(change);
      assert.ok(
        found.some((each) => message.test(each)),
        found.join("\n"),
      );
    });

  const changes: [string, Change, Change, string, RegExp][] = [
    ["putting owners together", APART, {}, "loosening", /become those of several owners/],
    ["keeping them apart no more", {}, APART, "mixed", /nothing keeps sub-accounts apart/],
    [
      "a further sub-account",
      {},
      { omnibus: { subAccounts: ["alpha", "beta", "gamma"] } },
      "loosening",
      /`gamma` is new/,
    ],
    ["one less", {}, { omnibus: { subAccounts: ["alpha"] } }, "tightening", /`beta` is gone/],
    ["another order", {}, { omnibus: { subAccounts: ["beta", "alpha"] } }, "none", /^$/],
    [
      "a caller bound to another",
      {},
      caller({ subAccount: "beta" }),
      "loosening",
      /asks for sub-account `beta`, before for sub-account `alpha`/,
    ],
    ["a caller bound no more", {}, caller({}), "loosening", /asks for whichever it names/],
    ["a caller bound", caller({}), {}, "loosening", /before for whichever it names/],
    [
      "a higher limit of each",
      {},
      { limits: { each: { ...daily, max: "101", per: "sub-account" } } },
      "loosening",
      /limit `each`/,
    ],
    ["a limit of all besides", {}, { limits: { ...POOLED.limits, daily } }, "tightening", /limit `daily` holds/],
  ];
  for (const [what, before, after, verdict, text] of changes)
    it(`${what}: ${verdict}`, () => {
      const found = diff(before, after);
      const texts = found.changes.map((change) => change.text).join("\n");
      assert.equal(found.verdict, verdict, texts);
      assert.match(texts, text);
    });

  it("a limit of all does not stand in for a limit of each that is higher, nor one of each for one of all", () => {
    const each = { each: { ...daily, per: "sub-account" } };
    assert.equal(diff({ limits: { ...each, daily } }, { limits: each }).verdict, "loosening");
    const both = { ...each, other: { ...daily, max: "50", per: "sub-account" } };
    assert.equal(diff({ limits: both }, { limits: each }).verdict, "loosening");
  });

  it("only what can be booked is signed: amounts and readable words, no item, no allowance, nothing unread", () => {
    const policy = compiled({});
    const [own, to] = ["own", "to"].map((what) => madeUpAccount("eip155:1" as ChainId, what)) as [Account, Account];
    const decided = (operation: object, subAccount?: string) => {
      const operations = [{ from: own, ...operation }] as unknown as Intent["operations"];
      const fee = { asset: "ETH" as AssetSymbol, max: 0n };
      const intent: Intent = { chain: "eip155:1" as ChainId, account: own, operations, fee, claims: [] };
      const owners = new Map([[own, "acme" as ClientId]]);
      const facts = { now: 1, client: "acme", caller: "desk", key: "hot-1", subAccount, owners };
      return wrongSubAccount(policy, intent, facts as unknown as DecisionFacts).map(({ code }) => code);
    };
    const amount = { kind: "transfer", asset: "ETH", to, amount: 1n };
    assert.deepEqual(decided(amount, "alpha"), []);
    assert.deepEqual(decided(amount), ["sub-account"]);
    assert.deepEqual(decided({ kind: "message", format: "text" }), []);
    const unbooked = [
      { ...amount, asset: "ART", tokenId: "7" },
      { ...amount, kind: "allowance" },
      { kind: "message", format: "opaque" },
      { kind: "call", to, selector: "0xa694fc3a" },
      { kind: "delegate", to },
      { kind: "typed-data", domain: {}, primaryType: "Order" },
      { kind: "raw-digest" },
    ];
    for (const operation of unbooked) assert.deepEqual(decided(operation, "alpha"), ["sub-account"], operation.kind);
  });

  it("a second key of a caller is no word about sub-accounts", () => {
    const more = diff({}, caller({ keys: [KEY, OTHER], subAccount: "alpha" }));
    assert.equal(more.changes.filter(({ text }) => text.includes("asks for")).length, 0);
  });
});
