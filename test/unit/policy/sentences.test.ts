import assert from "node:assert/strict";
import type { Account, AssetSymbol } from "../../../src/domain/chain.ts";
import type { Operation } from "../../../src/domain/intent.ts";
import type { KeyName } from "../../../src/domain/names.ts";
import type { CallerName, ClientId } from "../../../src/domain/names.ts";
import { chargesOf } from "../../../src/policy/charges.ts";
import { evaluate } from "../../../src/policy/evaluate.ts";
import { parsePolicy, policyHash } from "../../../src/policy/parse.ts";
import {
  ACCOUNTS,
  ASSETS,
  CLIENT,
  HOUR,
  HOUSE,
  NOW,
  allowance,
  checkAccount,
  clientPolicy,
  codes,
  decide,
  eth,
  factsFor,
  filesOf,
  housePolicy,
  intentOf,
  policies,
  transfer,
  usdc,
  withFee,
} from "./fixture.ts";

// Goal: each of the twelve sentences of the policy's meaning (DESIGN section 6) holds, by its number.
// Method: small documents through the real parser, intents by hand, the decision and its reasons compared.

const LIMITS = CLIENT.limits;
const allow = (fields: object) => ({
  id: "rule",
  allow: ["transfer"],
  to: ["treasury"],
  amount: { ETH: { max: "10" } },
  ...fields,
});
const toTreasury = (amount: string) => intentOf(transfer(ACCOUNTS.treasury, eth(amount)));

describe("sentence 1: every operation needs an allow", () => {
  it("an operation that a rule matches is allowed", () => {
    const decision = decide(policies(), toTreasury("10"));
    assert.equal(decision.outcome, "allow");
    assert.deepEqual(decision.reasons, [{ code: "rule-allowed", rule: "payouts", operation: 0 }]);
  });
  it("an intent without operations is denied", () => {
    assert.deepEqual(codes(decide(policies(), intentOf())), ["empty-intent"]);
  });
  it("one operation of two without an allow denies both", () => {
    const decision = decide(policies(), intentOf(transfer(ACCOUNTS.treasury, 1n), transfer(ACCOUNTS.stranger, 1n)));
    assert.equal(decision.outcome, "deny");
    assert.deepEqual(
      decision.reasons.map((reason) => ("operation" in reason ? reason.operation : undefined)),
      [1],
    );
  });
  it("one matching deny is final", () => {
    const decision = decide(
      policies({ rules: [...CLIENT.rules, { id: "stop", deny: ["any"], to: ["treasury"] }] }),
      toTreasury("1"),
    );
    assert.deepEqual(decision.reasons, [{ code: "rule-denied", rule: "stop", operation: 0 }]);
  });
  it("a policy without rules allows nothing", () => {
    assert.deepEqual(codes(decide(policies({ rules: [] }), toTreasury("1"))), ["no-rule-allows"]);
  });
  it("a counter that is not known denies", () => {
    const policy = policies();
    const facts = { ...factsFor(policy, toTreasury("1")), spent: new Map() };
    assert.deepEqual(codes(evaluate(policy, toTreasury("1"), facts)), ["missing-fact"]);
  });
  it("an error denies and is no exception", () => {
    const decision = evaluate(policies(), toTreasury("1"), undefined as never);
    assert.equal(decision.outcome, "deny");
    assert.deepEqual(codes(decision), ["evaluation-failed"]);
  });
  it("a deny rule that cannot be evaluated is not skipped: it denies", () => {
    const when = { days: ["sun"], tz: "UTC" };
    const policy = policies({ rules: [...CLIENT.rules, { id: "stop", deny: ["any"], when }] });
    assert.equal(decide(policy, toTreasury("1")).outcome, "allow");
    Object.assign(policy.client.denies[0]!.when!.zone, {
      offsetMs: () => {
        throw new Error("the clock is broken");
      },
    });
    const { outcome, reasons, rules } = decide(policy, toTreasury("1"));
    assert.equal(outcome, "deny");
    assert.deepEqual(reasons, [{ code: "rule-failed", rule: "stop", detail: "the clock is broken" }]);
    assert.equal(rules.find(({ rule }) => rule === "stop")?.because, "the rule could not be evaluated");
  });
  it("a caller that the document does not declare is denied", () => {
    assert.deepEqual(codes(decide(policies(), toTreasury("1"), { caller: "mallory" as never })), ["missing-fact"]);
  });
  it("an approver cannot ask", () => {
    assert.deepEqual(codes(decide(policies(), toTreasury("1"), { caller: "alice" as never })), ["missing-fact"]);
  });
  it("another client's policy decides nothing", () => {
    const owners = new Map([[ACCOUNTS.hot, "other-fund" as ClientId]]);
    const decision = decide(policies(), toTreasury("1"), { client: "other-fund" as ClientId, owners });
    assert.deepEqual(codes(decision), ["missing-fact"]);
  });
  it("a negative fee is denied", () =>
    assert.deepEqual(codes(decide(policies(), withFee(toTreasury("1"), -1n))), ["missing-fact"]));
  it("an asset of another chain is denied, though a rule names it", () => {
    const chains = { ...ASSETS.chains, "eip155:10": { name: "OP Mainnet", native: "OP-ETH" } };
    const assets = { ...ASSETS.assets, "OP-ETH": { chain: "eip155:10", decimals: "18", standard: "native" } };
    const changes = {
      fee: { ...CLIENT.fee, "OP-ETH": { max: "1" } },
      rules: [{ ...CLIENT.rules[0], amount: { "OP-ETH": { max: "10" } } }],
      limits: { daily: { sum: "OP-ETH", max: "10", window: { rolling: "24h" } } },
    };
    const policy = {
      client: clientPolicy(changes, { "assets.yaml": { ...ASSETS, chains, assets } }),
      house: housePolicy(),
    };
    assert.deepEqual(codes(decide(policy, intentOf(transfer(ACCOUNTS.treasury, 1n, "OP-ETH")))), ["missing-fact"]);
  });
  it("an asset that the registry does not have on this chain is denied", () => {
    assert.deepEqual(codes(decide(policies(), intentOf(transfer(ACCOUNTS.treasury, 1n, "GHOST")))), ["missing-fact"]);
  });
});

describe("sentence 2: a rule matches when all its fields hold", () => {
  const cases: [string, object, Parameters<typeof decide>[2], "allow" | "deny"][] = [
    ["by the caller that it names", { by: ["payouts"] }, {}, "allow"],
    ["not by another caller", { by: ["trading"] }, {}, "deny"],
    ["with the key that it names", { from: ["hot-1"] }, {}, "allow"],
    ["not with another key", { from: ["hot-2"] }, {}, "deny"],
    ["with the key in `key`", { key: ["hot-1"] }, {}, "allow"],
    ["not with another key than in `key`", { key: ["hot-2"] }, { key: "hot-1" as KeyName }, "deny"],
    ["on the chain that it names", { chain: ["eip155:1"] }, {}, "allow"],
    ["with a fee in its band", { fee: { ETH: { max: "0.001" } } }, {}, "allow"],
    ["not with a fee over its band", { fee: { ETH: { max: "0.0009" } } }, {}, "deny"],
    ["to an address by its account", { to: [ACCOUNTS.treasury] }, {}, "allow"],
    ["not to another address", { to: ["kraken"] }, {}, "deny"],
    ["to anyone", { to: ["anyone"] }, {}, "allow"],
    ["not where the asset is not named", { amount: { USDC: "any" } }, {}, "deny"],
  ];
  for (const [name, fields, changes, outcome] of cases) {
    it(name, () =>
      assert.equal(decide(policies({ rules: [allow(fields)] }), toTreasury("1"), changes).outcome, outcome),
    );
  }
});

describe("sentence 2: local time", () => {
  const when = (fields: object) => policies({ rules: [allow({ when: { tz: "Europe/Zurich", ...fields } })] });
  const at = (time: string) => ({ now: Date.parse(time) });
  const cases: [string, object, string, "allow" | "deny"][] = [
    ["Saturday has begun in Zurich while it is Friday in UTC", { days: ["sat"] }, "2026-11-20T23:00:00Z", "allow"],
    ["a minute before it has not", { days: ["sat"] }, "2026-11-20T22:59:59Z", "deny"],
    ["the first minute is in the hours", { hours: "09:00-17:30" }, "2026-11-20T08:00:00Z", "allow"],
    ["the minute before is not", { hours: "09:00-17:30" }, "2026-11-20T07:59:59Z", "deny"],
    ["the last minute is in", { hours: "09:00-17:30" }, "2026-11-20T16:29:59Z", "allow"],
    ["the end is not", { hours: "09:00-17:30" }, "2026-11-20T16:30:00Z", "deny"],
    ["summer time is an hour earlier in UTC", { hours: "09:00-17:30" }, "2026-07-20T07:00:00Z", "allow"],
    ["24:00 is the end of the day", { hours: "23:00-24:00" }, "2026-11-20T22:59:59Z", "allow"],
    ["day and hours have to hold both", { days: ["fri"], hours: "09:00-10:00" }, "2026-11-20T10:00:00Z", "deny"],
  ];
  for (const [name, fields, time, outcome] of cases) {
    it(name, () => assert.equal(decide(when(fields), toTreasury("1"), at(time)).outcome, outcome));
  }
});

describe("sentence 3: amount is the transaction's total", () => {
  const banded = policies({ rules: [allow({ amount: { ETH: { over: "2", max: "10" } } })] });
  it("`max` includes and `over` excludes", () => {
    assert.equal(decide(banded, toTreasury("10")).outcome, "allow");
    assert.equal(decide(banded, toTreasury("2")).outcome, "deny");
    assert.equal(decide(banded, intentOf(transfer(ACCOUNTS.treasury, eth("2") + 1n))).outcome, "allow");
    assert.equal(decide(banded, intentOf(transfer(ACCOUNTS.treasury, eth("10") + 1n))).outcome, "deny");
  });
  it("cutting one payment into five changes nothing", () => {
    const five = intentOf(...Array.from({ length: 5 }, () => transfer(ACCOUNTS.treasury, eth("2.1"))));
    assert.equal(decide(policies(), five).outcome, "deny");
  });
  it("a negative amount, which no decoder makes, hides no other", () => {
    const intent = intentOf(transfer(ACCOUNTS.treasury, eth("15")), transfer(ACCOUNTS.treasury, -eth("6")));
    const facts = factsFor(policies(), toTreasury("1"));
    assert.deepEqual(codes(evaluate(policies(), intent, facts)), ["evaluation-failed"]);
  });
  it("an allowance counts with the transfers", () => {
    const policy = policies({ rules: [allow({ allow: ["transfer", "allowance"], amount: { USDC: { max: "100" } } })] });
    const both = intentOf(transfer(ACCOUNTS.treasury, usdc("60"), "USDC"), allowance(ACCOUNTS.treasury, usdc("60")));
    assert.equal(decide(policy, both).outcome, "deny");
  });
  it("a transfer to `own` is not in the total", () => {
    const policy = policies({ rules: [allow({ to: ["treasury", "own"] })] });
    const swept = intentOf(transfer(ACCOUNTS.cold, eth("1000")), transfer(ACCOUNTS.treasury, eth("10")));
    assert.equal(decide(policy, swept).outcome, "allow");
  });
  it("each asset has a total of its own", () => {
    assert.equal(
      decide(
        policies(),
        intentOf(transfer(ACCOUNTS.treasury, eth("10")), transfer(ACCOUNTS.treasury, usdc("20000"), "USDC")),
      ).outcome,
      "allow",
    );
  });
});

describe("sentence 4: what rules ask for adds up", () => {
  const two = allow({ id: "two", approvals: { officers: "2", expireAfter: "24h" }, delay: "1h" });
  const desk = allow({ id: "desk", approvals: { desk: "1", expireAfter: "12h" }, delay: "30m" });
  const approvals = (...entries: [string, number][]) => entries.map(([person, at]) => ({ person, at: NOW + at }));

  it("the largest quorum of each group, the longest delay, the earliest expiry", () => {
    const decision = decide(
      policies({ rules: [two, desk, allow({ id: "one", approvals: { officers: "1" } })] }),
      toTreasury("1"),
    );
    assert.equal(decision.outcome, "needs-approval");
    assert.deepEqual(
      new Map(decision.missing.approvals.map(({ group, need }) => [group, need])),
      new Map([
        ["desk", 1],
        ["officers", 2],
      ]),
    );
    assert.equal(decision.missing.delayMs, HOUR);
    assert.equal(decision.expiresAt, NOW + 12 * HOUR);
  });
  it("a rule that asks for nothing does not open a rule that asks", () => {
    assert.equal(
      decide(policies({ rules: [allow({}), { ...two, id: "strict" }] }), toTreasury("1")).outcome,
      "needs-approval",
    );
  });
  it("rules of all operations of the transaction add up", () => {
    const policy = policies({ rules: [two, allow({ id: "b", to: ["safe"], approvals: { desk: "1" } })] });
    const decision = decide(policy, intentOf(transfer(ACCOUNTS.treasury, 1n), transfer(ACCOUNTS.safe, 1n)));
    assert.deepEqual(decision.missing.approvals.map(({ group }) => group).toSorted(), ["desk", "officers"]);
  });
  it("a rule for emergencies is named whatever else matches, and only where it is not denied", () => {
    const glass = allow({ id: "glass", breakGlass: "true", approvals: { officers: "2" }, delay: "1h" });
    const quiet = allow({ id: "quiet", approvals: { officers: "1" } });
    for (const rules of [[glass], [glass, quiet], [quiet, glass]]) {
      const decision = decide(policies({ rules }), toTreasury("1"));
      assert.deepEqual([decision.outcome, decision.breakGlass], ["needs-approval", ["glass"]]);
    }
    const given = { submittedAt: NOW, now: NOW + 2 * HOUR, approvals: approvals(["alice", 0], ["bob", HOUR]) };
    const allowed = decide(policies({ rules: [glass, quiet] }), toTreasury("1"), given);
    assert.deepEqual([allowed.outcome, allowed.breakGlass], ["allow", ["glass"]]);
    const no = { id: "no", deny: ["transfer"], to: ["treasury"] };
    assert.equal(decide(policies({ rules: [glass, no] }), toTreasury("1"), given).breakGlass, undefined);
    assert.equal(decide(policies({ rules: [quiet] }), toTreasury("1")).breakGlass, undefined);
  });
  it("complete approvals still wait for the delay, counted from the last one that was needed", () => {
    const policy = policies({ rules: [two] });
    const given = approvals(["alice", 0], ["bob", HOUR]);
    const early = decide(policy, toTreasury("1"), { submittedAt: NOW, now: NOW + 2 * HOUR - 1, approvals: given });
    assert.deepEqual([early.outcome, early.missing.notBefore], ["needs-approval", NOW + 2 * HOUR]);
    assert.equal(
      decide(policy, toTreasury("1"), { submittedAt: NOW, now: NOW + 2 * HOUR, approvals: given }).outcome,
      "allow",
    );
  });
  it("without approvals the delay counts from submission", () => {
    const policy = policies({ rules: [allow({ delay: "1h" })] });
    assert.equal(decide(policy, toTreasury("1"), { submittedAt: NOW - HOUR + 1 }).outcome, "needs-approval");
    assert.equal(decide(policy, toTreasury("1"), { submittedAt: NOW - HOUR }).outcome, "allow");
  });
  it("a request lapses when its approvals do", () => {
    const policy = policies({ rules: [two] });
    const given = approvals(["alice", 0], ["bob", 0]);
    const late = decide(policy, toTreasury("1"), { submittedAt: NOW, now: NOW + 24 * HOUR, approvals: given });
    assert.deepEqual([late.outcome, codes(late)], ["deny", ["approvals-expired"]]);
  });
  it("persons count, not approvals", () => {
    const policy = policies({ rules: [two] });
    const decision = decide(policy, toTreasury("1"), {
      submittedAt: NOW - 5 * HOUR,
      approvals: approvals(["alice", -4 * HOUR], ["alice", -3 * HOUR]),
    });
    assert.deepEqual(decision.missing.approvals, [{ group: "officers", have: 1, need: 2 }]);
  });
  it("a person who operates the calling service does not count", () => {
    const given = approvals(["alice", -4 * HOUR], ["erin", -4 * HOUR]);
    const policy = policies({ rules: [two] });
    assert.equal(
      decide(policy, toTreasury("1"), { submittedAt: NOW - 5 * HOUR, approvals: given }).outcome,
      "needs-approval",
    );
    assert.equal(
      decide(policy, toTreasury("1"), { submittedAt: NOW - 5 * HOUR, approvals: given, caller: "trading" as never })
        .outcome,
      "allow",
    );
  });
  it("a person in two groups fills one place", () => {
    const policy = policies({ rules: [two, { ...desk, delay: undefined }] });
    const with2 = approvals(["alice", -4 * HOUR], ["bob", -4 * HOUR]);
    assert.equal(
      decide(policy, toTreasury("1"), { submittedAt: NOW - 5 * HOUR, approvals: with2 }).outcome,
      "needs-approval",
    );
    const with3 = [...with2, ...approvals(["dave", -3 * HOUR])];
    assert.equal(decide(policy, toTreasury("1"), { submittedAt: NOW - 5 * HOUR, approvals: with3 }).outcome, "allow");
  });
  it("a person who gave way to a later one still counts", () => {
    // alice sits at the desk first; when bob and dave come she has to move, or dave would be sent away.
    const policy = policies({
      rules: [two, { ...desk, delay: undefined }],
      groups: { officers: ["alice", "bob", "erin"], desk: ["alice", "dave"] },
    });
    const given = approvals(["dave", -4 * HOUR], ["alice", -4 * HOUR], ["bob", -3 * HOUR]);
    assert.equal(decide(policy, toTreasury("1"), { submittedAt: NOW - 5 * HOUR, approvals: given }).outcome, "allow");
  });
  it("an approval from the future does not count", () => {
    const policy = policies({ rules: [allow({ approvals: { officers: "1" } })] });
    const { outcome, missing } = decide(policy, toTreasury("1"), { approvals: approvals(["alice", 1]) });
    assert.equal(outcome, "needs-approval");
    assert.deepEqual(missing.approvals, [{ group: "officers", have: 0, need: 1 }]);
  });
  it("only approvers count, whatever a group says", () => {
    const policy = policies({ rules: [allow({ approvals: { officers: "1" } })] });
    const changes = { submittedAt: NOW - HOUR, approvals: approvals(["alice", -1]) };
    assert.equal(decide(policy, toTreasury("1"), changes).outcome, "allow");
    // No document that is valid has such a group; the evaluator does not rely on it.
    Object.assign(policy.client.callers.get("alice" as CallerName)!, { role: "auditor" });
    assert.equal(decide(policy, toTreasury("1"), changes).outcome, "needs-approval");
  });
});

describe("sentence 5: limits stand by themselves", () => {
  const limit = (fields: object) => ({
    ...LIMITS,
    extra: { sum: "ETH", max: "15", window: { rolling: "24h" }, ...fields },
  });
  const chargesFor = (fields: object, intent = toTreasury("2"), changes: object = {}) => {
    const policy = policies({ limits: limit(fields) });
    return chargesOf(policy, intent, { ...factsFor(policy, intent), ...changes }).filter(
      (charge) => charge.limit === "extra",
    );
  };

  it("up to the cap is allowed, one wei more is denied", () => {
    const policy = policies({ limits: limit({ to: ["treasury"] }) });
    const spent = { extra: eth("5") };
    assert.equal(decide(policy, toTreasury("10"), { spent }).outcome, "allow");
    const over = decide(policy, toTreasury("10"), { spent: { extra: eth("5") + 1n } });
    assert.deepEqual([over.outcome, codes(over)], ["deny", ["over-limit"]]);
  });
  it("a native sum without `to` and `amount` counts the greatest possible fee too", () => {
    assert.deepEqual(
      chargesFor({}).map(({ amount }) => amount),
      [eth("2.001")],
    );
    assert.deepEqual(
      chargesFor({ to: ["treasury"] }).map(({ amount }) => amount),
      [eth("2")],
    );
    assert.deepEqual(
      chargesFor({ amount: { ETH: { max: "10" } } }).map(({ amount }) => amount),
      [eth("2")],
    );
  });
  it("a transaction that moves another asset still costs its fee", () => {
    assert.deepEqual(
      chargesFor({}, intentOf(transfer(ACCOUNTS.treasury, 1n, "USDC"))).map(({ amount }) => amount),
      [eth("0.001")],
    );
  });
  it("transfers to `own` are not spend", () => {
    assert.deepEqual(chargesFor({ to: ["anyone"] }, intentOf(transfer(ACCOUNTS.cold, eth("9")))), []);
  });
  it("a band counts only transactions whose total lies in it", () => {
    const fields = { amount: { ETH: { over: "1", max: "3" } } };
    assert.equal(chargesFor(fields).length, 1);
    assert.equal(chargesFor(fields, toTreasury("1")).length, 0);
    assert.equal(chargesFor(fields, toTreasury("3.1")).length, 0);
  });
  it("counts only the callers and keys that it names", () => {
    assert.equal(chargesFor({ by: ["trading"] }).length, 0);
    assert.equal(chargesFor({ key: ["hot-1"] }).length, 1);
  });
  it("a window begins its length before now, and does not hold its first moment", () => {
    assert.deepEqual(
      chargesFor({}).map(({ windowStartsAt }) => windowStartsAt),
      [NOW - 24 * HOUR],
    );
  });
  it("scopes are named after key, caller and destination", () => {
    const scopeOf = (per: string) => chargesFor({ per }).map(({ counter }) => counter);
    assert.deepEqual(scopeOf("key"), ["acme-fund/extra/hot-1"]);
    assert.deepEqual(scopeOf("caller"), ["acme-fund/extra/payouts"]);
    assert.deepEqual(scopeOf("destination"), [`acme-fund/extra/${ACCOUNTS.treasury}`]);
  });
  it("`per: destination` counts each destination by itself", () => {
    const intent = intentOf(
      transfer(ACCOUNTS.treasury, 1n),
      transfer(ACCOUNTS.safe, 2n),
      transfer(ACCOUNTS.treasury, 3n),
    );
    assert.deepEqual(
      chargesFor({ per: "destination" }, intent).map(({ amount }) => amount),
      [4n, 2n],
    );
  });
  const startOf = (window: object | string, now: string) =>
    chargesFor({ window }, toTreasury("2"), { now: Date.parse(now) }).map(({ windowStartsAt }) =>
      new Date(windowStartsAt + 1).toISOString(),
    );
  it("a calendar window begins with the local day, week or month, through changes of the clocks", () => {
    const zurich = (calendar: string) => ({ calendar, tz: "Europe/Zurich" });
    assert.deepEqual(startOf(zurich("day"), "2026-11-20T12:00:00Z"), ["2026-11-19T23:00:00.000Z"]);
    assert.deepEqual(startOf(zurich("week"), "2026-11-20T12:00:00Z"), ["2026-11-15T23:00:00.000Z"]);
    assert.deepEqual(startOf(zurich("month"), "2026-11-20T12:00:00Z"), ["2026-10-31T23:00:00.000Z"]);
    // Summer time ended on 2026-10-25: the month began at another offset than the one of now.
    assert.deepEqual(startOf(zurich("month"), "2026-10-28T12:00:00Z"), ["2026-09-30T22:00:00.000Z"]);
    assert.deepEqual(startOf(zurich("week"), "2026-10-31T23:59:59Z"), ["2026-10-25T23:00:00.000Z"]);
    // In Beirut the clocks went forward at midnight of 2026-03-29: the day began at 01:00.
    assert.deepEqual(startOf({ calendar: "day", tz: "Asia/Beirut" }, "2026-03-29T12:00:00Z"), [
      "2026-03-28T22:00:00.000Z",
    ]);
    // In Havana they go back from 01:00 to midnight on 2026-11-01: the day begins at the first of two midnights.
    assert.deepEqual(startOf({ calendar: "day", tz: "America/Havana" }, "2026-11-01T12:00:00Z"), [
      "2026-11-01T04:00:00.000Z",
    ]);
  });
  it("a lifetime window holds everything", () => {
    assert.deepEqual(
      chargesFor({ window: "lifetime" }).map(({ windowStartsAt }) => windowStartsAt),
      [-1],
    );
  });
  it("a count per asset has a window for each asset that moves", () => {
    const intent = intentOf(transfer(ACCOUNTS.treasury, 1n), transfer(ACCOUNTS.treasury, 1n, "USDC"));
    const fields = { sum: undefined, count: "transactions", max: "3", per: "asset" };
    assert.deepEqual(
      chargesFor(fields, intent).map(({ counter }) => counter),
      ["acme-fund/extra/ETH", "acme-fund/extra/USDC"],
    );
  });
  it("a count counts transactions, not operations", () => {
    const policy = policies({
      limits: { ...LIMITS, extra: { count: "transactions", max: "2", window: { rolling: "1h" } } },
    });
    const intent = intentOf(transfer(ACCOUNTS.treasury, 1n), transfer(ACCOUNTS.treasury, 1n));
    const charges = chargesOf(policy, intent, factsFor(policy, intent)).filter((charge) => charge.limit === "extra");
    assert.deepEqual(
      charges.map(({ amount }) => amount),
      [1n],
    );
    assert.equal(decide(policy, intent, { spent: { extra: 1n } }).outcome, "allow");
    assert.equal(decide(policy, intent, { spent: { extra: 2n } }).outcome, "deny");
  });
});

describe("sentence 6: allowances are counted at the full new allowance", () => {
  const rule = allow({ allow: ["allowance"], amount: { USDC: { max: "100" } } });
  it("up to `max` it is allowed and counted", () => {
    const decision = decide(policies({ rules: [rule] }), intentOf(allowance(ACCOUNTS.treasury, usdc("100"))));
    assert.equal(decision.outcome, "allow");
    assert.equal(decision.limits.find(({ limit }) => limit === "usdc-daily")?.requested, "100");
  });
  it("an unlimited one exceeds every `max`", () => {
    assert.equal(
      decide(policies({ rules: [{ ...rule, unbounded: "true" }] }), intentOf(allowance(ACCOUNTS.treasury, "unlimited")))
        .outcome,
      "deny",
    );
  });
  it("an unlimited one exceeds every limit, also under `any` and `unbounded`", () => {
    const open = policies({ rules: [{ ...rule, amount: { USDC: "any" }, unbounded: "true" }] });
    assert.deepEqual(codes(decide(open, intentOf(allowance(ACCOUNTS.treasury, "unlimited")))), ["over-limit"]);
  });
  it("a rule for transfers allows no allowance", () => {
    assert.equal(decide(policies(), intentOf(allowance(ACCOUNTS.treasury, 1n))).outcome, "deny");
  });
});

describe("sentence 7: calls, typed data and what else is signed", () => {
  const from = ACCOUNTS.hot;
  const call: Operation = {
    kind: "call",
    from,
    to: ACCOUNTS.treasury,
    selector: "0xa694fc3a",
    method: { signature: "stake(uint256)", arguments: {} },
  };
  const blind: Operation = { kind: "call", from, to: ACCOUNTS.treasury, selector: "0xa694fc3a" };
  const typed: Operation = { kind: "typed-data", from, domain: { name: "Venue", chainId: "1" }, primaryType: "Order" };
  const outcome = (rule: object, operation: Operation, changes: object = {}) =>
    decide(policies({ rules: [{ id: "rule", ...rule }] }), intentOf(operation), changes).outcome;

  it("a call needs its method, by signature or selector", () => {
    assert.equal(outcome({ allow: ["call"], to: ["treasury"], method: ["stake(uint256)"] }, call), "allow");
    assert.equal(outcome({ allow: ["call"], to: ["treasury"], method: ["0xa694fc3a"] }, call), "allow");
    assert.equal(outcome({ allow: ["call"], to: ["treasury"], method: ["unstake(uint256)"] }, call), "deny");
  });
  const staking = (args: Record<string, string>): Operation => ({
    ...call,
    method: { signature: "stake(uint256,address)", arguments: args },
  });
  const bounded = (tests: object) => ({ allow: ["call"], to: ["treasury"], method: ["0xa694fc3a"], arguments: tests });
  it("arguments have to be what the rule says", () => {
    const cases: [object, Record<string, string>, "allow" | "deny"][] = [
      [{ amount: { max: "32" } }, { amount: "32" }, "allow"],
      [{ amount: { max: "32" } }, { amount: "33" }, "deny"],
      [{ amount: { over: "31", max: "32" } }, { amount: "31" }, "deny"],
      [{ amount: { max: "32" } }, { amount: "0x20" }, "deny"],
      [{ amount: { max: "32" } }, { amount: "-1" }, "deny"],
      [{ amount: { max: "32" } }, {}, "deny"],
      [{ mode: { in: ["1", "2"] } }, { mode: "2" }, "allow"],
      [{ mode: { in: ["1", "2"] } }, { mode: "3" }, "deny"],
      [{ who: { to: ["treasury"] } }, { who: ACCOUNTS.treasury.slice(9) }, "allow"],
      [{ who: { to: ["tag:exchange"] } }, { who: ACCOUNTS.kraken.slice(9) }, "allow"],
      [{ who: { to: ["treasury"] } }, { who: ACCOUNTS.kraken.slice(9) }, "deny"],
      [{ amount: { max: "32" }, who: { to: ["treasury"] } }, { amount: "1", who: ACCOUNTS.kraken.slice(9) }, "deny"],
      [{ toString: { in: ["x"] } }, {}, "deny"],
    ];
    for (const [tests, args, expected] of cases)
      assert.equal(outcome(bounded(tests), staking(args)), expected, JSON.stringify([tests, args]));
  });
  it("an address in an argument cools off as a destination does", () => {
    const pays = staking({ who: ACCOUNTS.kraken.slice(9) });
    const rule = bounded({ who: { to: ["kraken"] } });
    const heldFor = (hours: number) => ({ heldSince: new Map([[ACCOUNTS.kraken, NOW - hours * HOUR]]) });
    assert.equal(outcome(rule, pays, heldFor(24)), "allow");
    assert.equal(outcome(rule, pays, heldFor(23)), "deny");
    assert.equal(outcome(rule, pays, { heldSince: new Map() }), "deny");
  });
  it("a call that was not decoded has no arguments", () => {
    assert.equal(outcome({ ...bounded({ amount: { max: "32" } }), unbounded: "true" }, blind), "deny");
  });
  it("a call that was not decoded needs `unbounded`", () => {
    const rule = { allow: ["call"], to: ["treasury"], method: ["0xa694fc3a"] };
    assert.equal(outcome(rule, blind), "deny");
    assert.equal(outcome({ ...rule, unbounded: "true" }, blind), "allow");
  });
  it("typed data needs its domain and primary type", () => {
    const rule = { allow: ["typed-data"], domain: { name: "Venue" }, primaryType: ["Order"], unbounded: "true" };
    assert.equal(outcome(rule, typed), "allow");
    assert.equal(outcome({ ...rule, domain: { name: "Venue", chainId: "5" } }, typed), "deny");
    assert.equal(outcome({ ...rule, domain: { verifyingContract: "x" } }, typed), "deny");
    assert.equal(outcome({ ...rule, primaryType: ["Permit"] }, typed), "deny");
  });
  it("a message needs a rule that lists the word", () => {
    const message: Operation = { kind: "message", from, format: "siwe" };
    assert.equal(outcome({ allow: ["message"] }, message), "allow");
    assert.equal(outcome({ allow: ["message"], format: ["text"] }, message), "deny");
    assert.equal(outcome({ allow: ["deploy"] }, message), "deny");
  });
  it("a raw digest needs a rule that lists the word and a key that was made for it", () => {
    const rule = { allow: ["raw-digest"], unbounded: "true" };
    assert.equal(outcome(rule, { kind: "raw-digest", from }, { keyPurpose: "raw" }), "allow");
    assert.equal(outcome(rule, { kind: "raw-digest", from }), "deny");
  });
  it("delegate, deploy and govern are allowed only by a rule that lists the word", () => {
    const delegate: Operation = { kind: "delegate", from, to: ACCOUNTS.treasury };
    const govern: Operation = { kind: "govern", from, to: ACCOUNTS.treasury, method: "addOwner(address)" };
    assert.equal(outcome({ allow: ["delegate"], to: ["treasury"], unbounded: "true" }, delegate), "allow");
    assert.equal(outcome({ allow: ["govern"], to: ["treasury"] }, govern), "allow");
    assert.equal(outcome({ allow: ["govern"], to: ["treasury"], method: ["removeOwner(address)"] }, govern), "deny");
    assert.equal(outcome({ allow: ["deploy"] }, { kind: "deploy", from }), "allow");
    for (const operation of [delegate, govern, { kind: "deploy", from } as const])
      assert.equal(outcome(allow({}), operation), "deny");
  });
});

describe("sentence 8: destinations", () => {
  const paying = (to: Account, rule: object, changes: object = {}) =>
    decide(policies({ rules: [allow(rule)] }), intentOf(transfer(to, 1n)), changes);
  it("an address of another client matches `client:` alone", () => {
    assert.equal(paying(ACCOUNTS.other, { to: ["client:other-fund"] }).outcome, "allow");
    for (const to of [["anyone"], ["client:third-fund"], ["house"], [ACCOUNTS.other]]) {
      assert.deepEqual(codes(paying(ACCOUNTS.other, { to })), ["no-rule-allows", "foreign-account"], String(to));
    }
  });
  it("an address of another client in the book matches nothing", () => {
    const policy = policies({
      addressBook: { friend: { address: ACCOUNTS.other } },
      rules: [allow({ to: ["friend"] })],
    });
    assert.equal(decide(policy, intentOf(transfer(ACCOUNTS.other, 1n))).outcome, "deny");
  });
  it("an address of the house matches `house` alone", () => {
    assert.equal(paying(ACCOUNTS.house, { to: ["house"] }).outcome, "allow");
    assert.equal(paying(ACCOUNTS.house, { to: ["anyone"] }).outcome, "deny");
  });
  it("a deny rule means everyone by `anyone`", () => {
    const rules = [allow({ to: ["house"] }), { id: "stop", deny: ["transfer"], to: ["anyone"] }];
    assert.deepEqual(codes(decide(policies({ rules }), intentOf(transfer(ACCOUNTS.house, 1n)))), ["rule-denied"]);
  });
  it("`own` is this client's accounts", () => {
    assert.equal(paying(ACCOUNTS.cold, { to: ["own"] }).outcome, "allow");
    assert.equal(paying(ACCOUNTS.stranger, { to: ["own"] }).outcome, "deny");
  });
  it("a tag stands for all entries that have it", () => {
    assert.equal(paying(ACCOUNTS.kraken2, { to: ["tag:exchange"] }).outcome, "allow");
    assert.equal(paying(ACCOUNTS.treasury, { to: ["tag:exchange"] }).outcome, "deny");
  });
  it("an address cools off from when it was first held", () => {
    const heldSince = (ms: number) => ({ heldSince: new Map([[ACCOUNTS.kraken, ms]]) });
    assert.equal(paying(ACCOUNTS.kraken, { to: ["kraken"] }, heldSince(NOW - 24 * HOUR)).outcome, "allow");
    assert.deepEqual(codes(paying(ACCOUNTS.kraken, { to: ["kraken"] }, heldSince(NOW - 24 * HOUR + 1))), [
      "address-cooling-off",
      "no-rule-allows",
    ]);
  });
  it("while it cools off it is not anyone either", () => {
    const heldSince = new Map([[ACCOUNTS.kraken, NOW - HOUR]]);
    assert.equal(paying(ACCOUNTS.kraken, { to: ["anyone"] }, { heldSince }).outcome, "deny");
  });
  it("an address of which nobody knows since when it is held is denied", () => {
    assert.deepEqual(codes(paying(ACCOUNTS.kraken, { to: ["kraken"] }, { heldSince: new Map() })), [
      "missing-fact",
      "no-rule-allows",
    ]);
  });
  it("the longest cool-off of all entries with the address holds", () => {
    const addressBook = { fresh: { address: ACCOUNTS.treasury, coolOff: "2h" }, old: { address: ACCOUNTS.treasury } };
    const policy = policies({ addressBook, rules: [allow({ to: ["old"] })] });
    assert.equal(
      decide(policy, toTreasury("1"), { heldSince: new Map([[ACCOUNTS.treasury, NOW - HOUR]]) }).outcome,
      "deny",
    );
  });
});

describe("I13: a transaction draws on one owner", () => {
  const foreign = intentOf(transfer(ACCOUNTS.treasury, 1n, "USDC", ACCOUNTS.safe));
  it("an account of nobody here is refused unless a rule names it", () => {
    assert.deepEqual(codes(decide(policies(), foreign)), ["foreign-account", "no-rule-allows"]);
    const rules = [allow({ amount: { USDC: "any" }, from: ["account:safe"] })];
    assert.equal(decide(policies({ rules }), foreign).outcome, "allow");
  });
  it("a key's name does not stand for an account", () => {
    const rules = [allow({ amount: { USDC: "any" }, from: ["hot-1"] })];
    assert.equal(decide(policies({ rules }), foreign).outcome, "deny");
  });
  it("another client's account is refused whatever a rule says", () => {
    const policy = policies({
      addressBook: { ...CLIENT.addressBook, theirs: { address: ACCOUNTS.other } },
      rules: [allow({ amount: { USDC: "any" }, from: ["account:theirs"] })],
    });
    assert.deepEqual(codes(decide(policy, intentOf(transfer(ACCOUNTS.treasury, 1n, "USDC", ACCOUNTS.other)))), [
      "foreign-account",
    ]);
  });
  it("two owners in one transaction are refused", () => {
    const policy = policies({ rules: [allow({ amount: { USDC: "any" }, from: ["hot-1", "account:safe"] })] });
    const both = intentOf(
      transfer(ACCOUNTS.treasury, 1n, "USDC"),
      transfer(ACCOUNTS.treasury, 1n, "USDC", ACCOUNTS.safe),
    );
    assert.deepEqual(codes(decide(policy, both)), ["foreign-account"]);
  });
  it("a key whose account is not this client's signs nothing", () => {
    const decision = decide(policies(), { ...toTreasury("1"), account: ACCOUNTS.other });
    assert.ok(codes(decision).includes("foreign-account"));
  });
});

describe("the fee cap", () => {
  it("up to the cap is allowed, one wei more is denied", () => {
    assert.equal(decide(policies(), withFee(toTreasury("1"), eth("0.02"))).outcome, "allow");
    assert.deepEqual(codes(decide(policies(), withFee(toTreasury("1"), eth("0.02") + 1n))), ["over-fee-cap"]);
  });
  it("`uncapped` is no cap, and the house's still holds", () => {
    const uncapped = { fee: { ETH: "uncapped" } };
    assert.equal(decide(policies(uncapped), withFee(toTreasury("1"), eth("5"))).outcome, "allow");
    const decision = decide(policies(uncapped, { fee: { ETH: { max: "1" } } }), withFee(toTreasury("1"), eth("5")));
    assert.deepEqual([codes(decision), decision.fee], [["over-fee-cap"], { asset: "ETH", cap: "1", max: "5" }]);
  });
  it("where no cap is written nothing is paid", () => {
    const policy = { ...policies(), client: { ...clientPolicy(), fees: new Map<AssetSymbol, bigint | null>() } };
    assert.deepEqual(codes(decide(policy, toTreasury("1"))), ["no-fee-cap"]);
  });
});

describe("sentence 9: the house", () => {
  it("the house denies", () => {
    const house = { rules: [{ id: "house-stop", deny: ["transfer"], amount: { ETH: { over: "5" } } }] };
    assert.equal(decide(policies({}, house), toTreasury("5")).outcome, "allow");
    const decision = decide(policies({}, house), toTreasury("6"));
    assert.deepEqual(decision.reasons, [{ code: "rule-denied", rule: "house-stop", operation: 0 }]);
  });
  it("the house cannot allow", () => {
    assert.throws(() => housePolicy({ rules: [allow({})] }), /expected a field `deny`.*it never allows/);
  });
  it("the house limits all clients together, or each", () => {
    const limits = {
      all: { sum: "ETH", max: "8", window: { rolling: "24h" } },
      each: { count: "transactions", max: "9", window: { rolling: "1h" }, per: "client" },
    };
    const policy = policies({}, { limits });
    const charges = chargesOf(policy, toTreasury("1"), factsFor(policy, toTreasury("1")));
    assert.deepEqual(
      charges.filter(({ of }) => of === "house").map(({ counter }) => counter),
      ["house/all/-", "house/each/acme-fund"],
    );
    assert.deepEqual(codes(decide(policy, toTreasury("7"), { spent: { all: eth("1") } })), ["over-limit"]);
  });
  it("an asset is the same asset under another name", () => {
    const { ETH, USDC } = ASSETS.assets;
    const renamed = { ...ASSETS, assets: { ETH, DOLLAR: USDC } };
    const client = clientPolicy(
      {
        use: ["renamed.yaml"],
        rules: [allow({ amount: { DOLLAR: "any" } })],
        limits: { daily: { sum: "DOLLAR", max: "9999", window: { rolling: "1d" } } },
      },
      { "renamed.yaml": renamed },
    );
    const house = housePolicy({ limits: { usdc: { sum: "USDC", max: "10", window: { rolling: "1d" } } } });
    const decision = decide({ client, house }, intentOf(transfer(ACCOUNTS.treasury, usdc("11"), "DOLLAR")));
    assert.deepEqual(codes(decision), ["over-limit"]);
  });
  it("registries that disagree on decimals deny", () => {
    const { ETH, USDC } = ASSETS.assets;
    const wrong = { ...ASSETS, assets: { ETH, USDC: { ...USDC, decimals: "18" } } };
    const policy = { client: clientPolicy(), house: housePolicy({ use: ["wrong.yaml"] }, { "wrong.yaml": wrong }) };
    const intent = intentOf(transfer(ACCOUNTS.treasury, 1n, "USDC"));
    assert.deepEqual(codes(evaluate(policy, intent, factsFor(policies(), intent))), ["evaluation-failed"]);
  });
  it("the decision names both documents", () => {
    const policy = policies();
    assert.deepEqual(decide(policy, toTreasury("1")).policy, {
      version: 7,
      hash: policy.client.hash,
      houseVersion: 3,
      houseHash: policy.house.hash,
    });
  });
  it("a hash covers the document with the files that it uses, and nothing that only people see", () => {
    const hashOf = (text: string, assets: object = ASSETS) =>
      policyHash(
        parsePolicy(
          "policy.yaml",
          new Map([
            ["policy.yaml", text],
            ["assets.yaml", JSON.stringify(assets)],
          ]),
          checkAccount,
        ),
      );
    const text = filesOf(CLIENT).get("policy.yaml")!;
    assert.match(hashOf(text), /^sha256:[0-9a-f]{64}$/);
    assert.equal(hashOf(`# a comment\n${JSON.stringify(CLIENT)}`), hashOf(text));
    assert.notEqual(hashOf(text.replace('"7"', '"8"')), hashOf(text));
    assert.notEqual(
      hashOf(text, { ...ASSETS, chains: { "eip155:1": { name: "Mainnet", native: "ETH" } } }),
      hashOf(text),
    );
  });
  it("quorum and delay of policy changes are the house's", () => {
    assert.deepEqual([housePolicy().policyQuorum, housePolicy().policyDelayMs], [1, 0]);
    const callers = {
      ...HOUSE.callers,
      second: { role: "policy-officer", keys: [`ed25519:${Buffer.alloc(32, 8).toString("base64")}`] },
    };
    const house = housePolicy({ callers, policyQuorum: "2", policyDelay: "2h" });
    assert.deepEqual([house.policyQuorum, house.policyDelayMs], [2, 2 * HOUR]);
  });
});

describe("sentence 11: decimals come from the registry", () => {
  it("an amount with more decimals than its asset is no policy", () => {
    assert.throws(
      () => policies({ rules: [allow({ amount: { USDC: { max: "0.0000001" } } })] }),
      /expected at most 6 decimals, found `0.0000001`/,
    );
  });
  it("the greatest amount that 256 bits hold is compared exactly", () => {
    const max = ((1n << 256n) - 1n).toString();
    const whole = max.slice(0, -18);
    const policy = policies({
      rules: [allow({ amount: { ETH: { max: `${whole}.${max.slice(-18)}` } } })],
      limits: { big: { sum: "ETH", max: `${whole}9`, window: { rolling: "1d" } } },
    });
    assert.equal(decide(policy, intentOf(transfer(ACCOUNTS.treasury, (1n << 256n) - 1n))).outcome, "allow");
  });
});

describe("sentence 12: a decision explains itself", () => {
  it("each rule says what decided", () => {
    const rules = [allow({ id: "small" }), allow({ id: "kraken", to: ["kraken"] }), { id: "calls", deny: ["call"] }];
    const decision = decide(policies({ rules }), toTreasury("11"));
    assert.deepEqual(
      decision.rules.map(({ rule, matched, because }) => [rule, matched, because]),
      [
        ["calls", false, "it is about `call`, not `transfer`"],
        ["small", false, "the transaction's total of 11 ETH is not at most 10 ETH"],
        ["kraken", false, `its destinations do not have \`${ACCOUNTS.treasury}\` (treasury)`],
      ],
    );
    assert.deepEqual(decision.reasons, [
      {
        code: "no-rule-allows",
        operation: 0,
        kind: "transfer",
        nearest: "small",
        detail: "the nearest rule, `small`, does not match: the transaction's total of 11 ETH is not at most 10 ETH",
      },
    ]);
  });
  it("an allowed request tells its matching rules, and all when asked", () => {
    const policy = policies({ rules: [...CLIENT.rules, { id: "calls", deny: ["call"] }] });
    const intent = toTreasury("1");
    assert.deepEqual(
      evaluate(policy, intent, factsFor(policy, intent)).rules.map(({ rule }) => rule),
      ["payouts"],
    );
    assert.deepEqual(
      evaluate(policy, intent, factsFor(policy, intent), { explain: true }).rules.map(({ rule }) => rule),
      ["calls", "payouts"],
    );
  });
  it("each limit says cap, spent, requested and remaining", () => {
    const decision = decide(policies(), toTreasury("1"), { spent: { "eth-daily": eth("599.5") } });
    assert.deepEqual(decision.limits, [
      {
        limit: "eth-daily",
        of: "client",
        counter: "acme-fund/eth-daily/-",
        holds: false,
        cap: "600",
        spent: "599.5",
        requested: "1.001",
        remaining: "0.5",
        unit: "ETH",
        window: "rolling 24h",
      },
    ]);
    assert.deepEqual(decision.reasons, [
      {
        code: "over-limit",
        limit: "eth-daily",
        detail: "1.001 ETH on top of 599.5 in the window (rolling 24h) is over the cap of 600",
      },
    ]);
  });
});
