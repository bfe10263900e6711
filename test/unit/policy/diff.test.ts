import assert from "node:assert/strict";
import type { CompiledPolicy } from "../../../src/policy/compile.ts";
import { diffHouses, diffPolicies } from "../../../src/policy/diff.ts";
import { ACCOUNTS, CLIENT, clientPolicy, housePolicy } from "./fixture.ts";

// Goal: each kind of change is named, and called tightening only where it opens nothing.
// Method: one change of one document, both ways; the other way must be the opposite. Random changes are attacked in
// test/property/policy-diff.test.ts.

const rule = (fields: object = {}) => ({
  id: "pay",
  allow: ["transfer"],
  by: ["payouts"],
  to: ["treasury"],
  amount: { ETH: { max: "10" } },
  ...fields,
});
const withRules = (...rules: object[]) => ({ rules });
const limits = (fields: object) => ({
  limits: { ...CLIENT.limits, "eth-daily": { sum: "ETH", max: "600", window: { rolling: "24h" }, ...fields } },
});

/** From the looser document to the tighter one. */
const cases: [string, object, object, string][] = [
  ["a lower maximum", withRules(rule()), withRules(rule({ amount: { ETH: { max: "9" } } })), "newly-denied"],
  ["fewer destinations", withRules(rule({ to: ["treasury", "kraken"] })), withRules(rule()), "newly-denied"],
  ["fewer callers", withRules(rule({ by: ["payouts", "trading"] })), withRules(rule()), "newly-denied"],
  ["one key instead of all", withRules(rule()), withRules(rule({ from: ["hot-1"] })), "newly-denied"],
  ["working hours", withRules(rule()), withRules(rule({ when: { hours: "09:00-17:00", tz: "UTC" } })), "newly-denied"],
  ["a rule less", withRules(rule(), { ...rule({ to: ["kraken"] }), id: "two" }), withRules(rule()), "newly-denied"],
  [
    "a deny more",
    withRules(rule()),
    withRules(rule(), { id: "no", deny: ["transfer"], amount: { ETH: { over: "5" } } }),
    "newly-denied",
  ],
  [
    "a deny that no operation meets",
    withRules(rule()),
    withRules(rule({ allow: ["transfer"] }), {
      id: "no",
      deny: ["transfer"],
      to: ["treasury"],
      amount: { USDC: "any" },
    }),
    "none",
  ],
  ["approvals", withRules(rule()), withRules(rule({ approvals: { officers: "1" } })), "asks-more"],
  [
    "no approvals from web pages",
    {
      ...withRules(rule({ approvals: { officers: "1" } })),
      groups: { officers: { members: ["alice", "bob"], via: ["console"] } },
    },
    { ...withRules(rule({ approvals: { officers: "1" } })), groups: { officers: ["alice", "bob"] } },
    "asks-more",
  ],
  [
    "the same, loudly",
    withRules(rule({ approvals: { officers: "2" }, delay: "1h" })),
    withRules(rule({ approvals: { officers: "2" }, delay: "1h", breakGlass: "true" })),
    "asks-more",
  ],
  [
    "more approvals",
    withRules(rule({ approvals: { officers: "1" } })),
    withRules(rule({ approvals: { officers: "2" } })),
    "asks-more",
  ],
  [
    "a longer delay",
    withRules(rule({ delay: "1h", approvals: { officers: "1", expireAfter: "24h" } })),
    withRules(rule({ delay: "2h", approvals: { officers: "1", expireAfter: "24h" } })),
    "asks-more",
  ],
  [
    "an earlier expiry",
    withRules(rule({ approvals: { officers: "1", expireAfter: "24h" } })),
    withRules(rule({ approvals: { officers: "1", expireAfter: "12h" } })),
    "asks-more",
  ],
  [
    "fewer persons in a group",
    { ...withRules(rule({ approvals: { officers: "1" } })) },
    { ...withRules(rule({ approvals: { officers: "1" } })), groups: { officers: ["alice"], desk: ["dave"] } },
    "asks-more",
  ],
  ["a lower cap", limits({}), limits({ max: "599" }), "limit-tighter"],
  ["a longer window", limits({}), limits({ window: { rolling: "25h" } }), "limit-tighter"],
  [
    "a rolling window instead of a day",
    limits({ window: { calendar: "day", tz: "UTC" } }),
    limits({ window: { rolling: "25h" } }),
    "limit-tighter",
  ],
  [
    "a month instead of a day",
    limits({ window: { calendar: "day", tz: "UTC" } }),
    limits({ window: { calendar: "month", tz: "UTC" } }),
    "limit-tighter",
  ],
  ["one window instead of one per key", limits({ per: "key" }), limits({}), "limit-tighter"],
  [
    "a limit more",
    {},
    { limits: { ...CLIENT.limits, hourly: { count: "transactions", max: "5", window: { rolling: "1h" } } } },
    "limit-tighter",
  ],
  ["a lower fee cap", {}, { fee: { ETH: { max: "0.01" } } }, "fee-tighter"],
  ["a cap instead of none", { fee: { ETH: "uncapped" } }, {}, "fee-tighter"],
  [
    "a longer cool-off",
    {},
    { addressBook: { ...CLIENT.addressBook, treasury: { address: ACCOUNTS.treasury, coolOff: "1h" } } },
    "address-book",
  ],
];

describe("what changes between two versions of a policy", () => {
  for (const [name, loose, tight, kind] of cases) {
    it(name, () => {
      const [before, after] = [clientPolicy(loose), clientPolicy(tight)];
      const forth = diffPolicies(before, after);
      assert.equal(forth.verdict, kind === "none" ? "none" : "tightening", JSON.stringify(forth.changes));
      if (kind === "none") return;
      assert.ok(
        forth.changes.some((change) => change.kind === kind),
        JSON.stringify(forth.changes),
      );
      assert.equal(diffPolicies(after, before).verdict, "loosening");
    });
  }

  it("what only an emergency opens is named so", () => {
    const glass = {
      ...rule({ to: ["safe"], approvals: { officers: "2" }, delay: "1h" }),
      id: "out",
      breakGlass: "true",
    };
    const { verdict, changes } = diffPolicies(clientPolicy(withRules(rule())), clientPolicy(withRules(rule(), glass)));
    assert.deepEqual([verdict, changes.map(({ kind }) => kind)], ["loosening", ["break-glass"]]);
    assert.match(changes[0]!.text, /^is permitted now by breaking the glass, and was not: transfer of /);
  });

  it("nothing changes between a document and itself under other words", () => {
    const split = withRules(rule({ amount: { ETH: { max: "4" } } }), {
      ...rule({ amount: { ETH: { over: "4", max: "10" } } }),
      id: "rest",
    });
    assert.deepEqual(diffPolicies(clientPolicy(withRules(rule())), clientPolicy(split)), {
      verdict: "none",
      changes: [],
    });
  });
  it("both ways at once is mixed", () => {
    const { verdict, changes } = diffPolicies(
      clientPolicy(withRules(rule())),
      clientPolicy(withRules(rule({ amount: { ETH: { over: "1", max: "11" } } }))),
    );
    assert.equal(verdict, "mixed");
    assert.deepEqual(changes.map(({ kind }) => kind).toSorted(), ["newly-denied", "newly-permitted"]);
  });
  it("an example is a request", () => {
    const { changes } = diffPolicies(
      clientPolicy(withRules(rule())),
      clientPolicy(withRules(rule({ amount: { ETH: { max: "11" } } }))),
    );
    assert.match(
      changes[0]!.text,
      /^is permitted now and was not: transfer of 10\.000000000000000001 ETH in total to treasury by payouts/,
    );
  });
  it("a limit is told with what it counts, and what no document names in words", () => {
    const one = { sum: "ETH", max: "5", window: "lifetime", to: ["safe", "tag:exchange"], key: ["hot-1"] };
    const { changes } = diffPolicies(clientPolicy(), clientPolicy({ limits: { ...CLIENT.limits, one } }));
    assert.match(changes[0]!.text, /: 5 ETH with key hot-1 to safe, tag:exchange \(lifetime\)$/);
    const [gone] = diffPolicies(clientPolicy(withRules(rule())), clientPolicy({ rules: [] })).changes;
    assert.match(gone!.text, / by payouts with a key that no rule names$/);
  });
  it("a name that stands for another address is a loosening", () => {
    const moved = { addressBook: { ...CLIENT.addressBook, treasury: { address: ACCOUNTS.stranger } } };
    assert.equal(diffPolicies(clientPolicy(), clientPolicy(moved)).verdict, "mixed");
  });
  it("a limit on a name that stands for another address holds no more", () => {
    const held = { limits: { ...CLIENT.limits, t: { sum: "ETH", max: "5", window: { rolling: "1d" }, to: ["safe"] } } };
    const moved = { ...held, addressBook: { ...CLIENT.addressBook, safe: { address: ACCOUNTS.stranger } } };
    assert.ok(
      diffPolicies(clientPolicy(held), clientPolicy(moved)).changes.some(({ kind }) => kind === "limit-looser"),
    );
  });
  it("of what is outstanding another destination is a loosening: from there more can come back; so is a window without end that gets one", () => {
    const withLimit = (window: unknown, to: string[]) =>
      clientPolicy({ limits: { ...CLIENT.limits, t: { sum: "ETH", max: "5", window, to } } });
    const one = withLimit("outstanding", ["safe"]);
    const looser = (after: CompiledPolicy, before = one) =>
      diffPolicies(before, after).changes.some(({ kind }) => kind === "limit-looser");
    assert.equal(looser(withLimit("outstanding", ["safe", "treasury"])), true);
    assert.equal(looser(withLimit({ rolling: "90d" }, ["safe"])), true);
    assert.equal(looser(one, withLimit("lifetime", ["safe"])), true);
    assert.equal(looser(withLimit("lifetime", ["safe"])), false);
    assert.equal(looser(one), false);
  });
  it("new authority is a loosening, whoever has it", () => {
    const key = `ed25519:${Buffer.alloc(32, 77).toString("base64")}`;
    const callers = { ...CLIENT.callers, watcher: { role: "auditor", keys: [key] } };
    assert.equal(diffPolicies(clientPolicy(), clientPolicy({ callers })).verdict, "loosening");
    const second = { ...CLIENT.callers, alice: { ...CLIENT.callers.alice, keys: [...CLIENT.callers.alice.keys, key] } };
    assert.equal(diffPolicies(clientPolicy(), clientPolicy({ callers: second })).verdict, "loosening");
  });
  it("a person who operates a service no longer is a loosening where approvals are asked", () => {
    const asking = withRules(rule({ approvals: { officers: "1" } }));
    const { operatedBy: _operators, ...payouts } = CLIENT.callers.payouts;
    assert.ok(_operators);
    const free = { ...asking, callers: { ...CLIENT.callers, payouts } };
    assert.equal(diffPolicies(clientPolicy(asking), clientPolicy(free)).verdict, "loosening");
  });
});

describe("what is told apart before a change is called tightening", () => {
  const verdict = (before: object, after: object) => diffPolicies(clientPolicy(before), clientPolicy(after)).verdict;
  const call = (test: object) =>
    withRules({
      id: "call",
      allow: ["call"],
      to: ["safe"],
      chain: ["eip155:1"],
      method: ["deposit(uint256)"],
      arguments: { a: test },
    });
  const zones = [
    ["Australia/Sydney", "Europe/Zurich has summer time, Sydney as well", "2026-04-01T10:30:00Z"],
    ["Africa/Casablanca", "Morocco ends its summer time for Ramadan", "2026-02-25T10:30:00Z"],
  ] as const;

  it("hours in zones whose clocks stand so to each other for some weeks of a year only", () => {
    for (const [tz, why, at] of zones) {
      const noon = { when: { hours: "11:00-14:00", tz: "Europe/Zurich" } };
      const hour = hourIn(tz, at);
      const closed = { id: "no", deny: ["any"], when: { hours: hour, tz } };
      const narrow = { when: { hours: hourIn("Europe/Zurich", at), tz: "Europe/Zurich" } };
      assert.equal(verdict(withRules(rule(narrow), closed), withRules(rule(narrow))), "loosening", why);
      assert.equal(verdict(withRules(rule(noon), closed), withRules(rule(noon))), "loosening", why);
    }
  });
  it("an hour in which one clock has changed and the other has not yet", () => {
    // In March New York goes from 02:00 to 03:00 at 07:00 UTC; Chicago shows 01:00, and follows an hour later.
    const both = [
      rule({ when: { days: ["sun"], hours: "03:00-04:00", tz: "America/New_York" } }),
      { id: "no", deny: ["any"], when: { days: ["sun"], hours: "01:00-02:00", tz: "America/Chicago" } },
    ];
    assert.equal(verdict(withRules(...both), withRules(both[0]!)), "loosening");
  });
  it("numbers of a band of which another rule lists some", () => {
    assert.equal(verdict(call({ in: ["4", "10"] }), call({ over: "3", max: "10" })), "loosening");
    assert.equal(verdict(call({ over: "3", max: "10" }), call({ in: ["4", "10"] })), "tightening");
  });
  it("addresses of a tag of which another rule lists some", () => {
    const listed = ACCOUNTS.kraken.slice("eip155:1:".length);
    assert.equal(verdict(call({ in: [listed] }), call({ to: ["tag:exchange"] })), "mixed");
    const unnamed = {
      ...CLIENT.addressBook,
      kraken: { address: [ACCOUNTS.kraken, ACCOUNTS.kraken2], tags: ["exchange"] },
    };
    const [before, after] = [call({ in: [listed] }), call({ to: ["tag:exchange"] })].map((rules) => ({
      ...rules,
      addressBook: unnamed,
    }));
    assert.equal(verdict(before!, after!), "loosening");
  });
  it("values that look like what stands for all others", () => {
    const { arguments: _any, ...free } = call({ in: ["?"] }).rules[0] as { arguments: object };
    assert.ok(_any);
    for (const value of ["?", "(another)", "?".repeat(200)])
      assert.equal(verdict(call({ in: [value] }), withRules(free)), "loosening");
  });
  it("a day on which clocks go back by two hours", () => {
    const day = limits({ window: { calendar: "day", tz: "Antarctica/Troll" } });
    assert.equal(verdict(day, limits({ window: { rolling: "25h" } })), "mixed");
    assert.equal(verdict(day, limits({ window: { rolling: "26h" } })), "tightening");
  });
});

/** The hour of the day at a moment, as a rule writes it. */
function hourIn(timeZone: string, at: string): string {
  const hour = new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit" }).format(new Date(at)).slice(0, 2);
  return `${hour}:00-${hour === "23" ? "23:59" : `${String(Number(hour) + 1).padStart(2, "0")}:00`}`;
}

describe("what changes between two versions of the house policy", () => {
  const deny = { id: "no", deny: ["transfer"], to: ["house"] };
  it("a deny more is tightening, a deny less loosening", () => {
    assert.equal(diffHouses(housePolicy(), housePolicy({ rules: [deny] })).verdict, "tightening");
    assert.equal(diffHouses(housePolicy({ rules: [deny] }), housePolicy()).verdict, "loosening");
  });
  it("a cap where none was is tightening, a shorter delay of changes loosening", () => {
    assert.equal(diffHouses(housePolicy(), housePolicy({ fee: { ETH: { max: "1" } } })).verdict, "tightening");
    assert.equal(
      diffHouses(housePolicy({ policyDelay: "2h" }), housePolicy({ policyDelay: "1h" })).verdict,
      "loosening",
    );
  });
});
