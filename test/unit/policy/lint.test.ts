import assert from "node:assert/strict";
import { checkPolicy, LINTS } from "../../../src/policy/lint.ts";
import { sarifOf } from "../../../src/policy/reports.ts";
import { ACCOUNTS, CLIENT, checkAccount, filesOf } from "./fixture.ts";

// Goal: what looks wrong in a valid document is said, where it stands; what is right is left alone.
// Method: a document without findings, and one change for each finding.

const rule = (fields: object = {}) => ({
  id: "pay",
  allow: ["transfer"],
  by: ["payouts"],
  to: ["treasury"],
  amount: { ETH: { max: "10" } },
  ...fields,
});
const test = {
  name: "pays",
  now: "2026-11-20T12:00:00Z",
  request: { by: "payouts", from: "hot-1", transfer: { asset: "ETH", amount: "1", to: "treasury" } },
  expect: { decision: "allow" },
};
const CLEAN = {
  ...CLIENT,
  groups: undefined,
  addressBook: { treasury: CLIENT.addressBook.treasury, kraken: CLIENT.addressBook.kraken },
  rules: [rule({ to: ["treasury", "kraken"] })],
  limits: { "eth-daily": { sum: "ETH", max: "600", window: { rolling: "24h" } } },
  tests: [test],
};

const found = (changes: object) => checkPolicy("policy.yaml", filesOf({ ...CLEAN, ...changes }), checkAccount);
const groups = { officers: ["alice", "bob", "erin"] };
const deciding = (decision: string) => [{ ...test, expect: { decision } }];

const cases: [string, object, RegExp][] = [
  [
    "swallowed-allow",
    { rules: [...CLEAN.rules, { id: "no", deny: ["transfer"], to: ["treasury", "kraken"] }], tests: deciding("deny") },
    /everything that rule `pay` allows is denied by others/,
  ],
  [
    "deny-walked-round",
    {
      rules: [
        ...CLEAN.rules,
        rule({ id: "routers", allow: ["allowance"], to: ["kraken"] }),
        { id: "no-kraken", deny: ["transfer"], to: ["kraken"] },
      ],
    },
    /rule `no-kraken` denies a transfer that rule `routers` lets be drawn: allowance of 0 ETH/,
  ],
  [
    "overlapping-allows",
    {
      groups,
      rules: [...CLEAN.rules, rule({ id: "asks", approvals: { officers: "2" } })],
      tests: deciding("needs-approval"),
    },
    /rule `asks` and `pay` ask for different things for one operation: transfer of 0 ETH/,
  ],
  [
    "amount-gap",
    {
      groups,
      rules: [
        ...CLEAN.rules,
        rule({
          id: "large",
          to: ["treasury", "kraken"],
          amount: { ETH: { over: "20", max: "30" } },
          approvals: { officers: "2" },
        }),
      ],
    },
    /no rule allows over 10 up to 20 ETH/,
  ],
  [
    "quorum-too-large",
    {
      groups,
      rules: [rule({ to: ["treasury", "kraken"], approvals: { officers: "3" } })],
      tests: deciding("needs-approval"),
    },
    /expected at most 2, the members of `officers` who can count, found `3`/,
  ],
  [
    "single-approver",
    {
      groups,
      rules: [rule({ to: ["treasury", "kraken"], approvals: { officers: "1" } })],
      tests: deciding("needs-approval"),
    },
    /rule `pay` is met by one person/,
  ],
  [
    "cap-below-maximum",
    { limits: { "eth-daily": { sum: "ETH", max: "5", window: { rolling: "24h" } } } },
    /rule `pay` allows 10 ETH, but limit `eth-daily` never lets more than 5 pass/,
  ],
  [
    "unused-limit",
    { limits: { ...CLEAN.limits, usdc: { sum: "USDC", max: "5", window: { rolling: "24h" } } } },
    /limit `usdc` counts nothing that a rule allows/,
  ],
  ["unused-entry", { addressBook: CLIENT.addressBook }, /no rule or limit reaches `safe`/],
  ["unused-group", { groups }, /no rule asks group `officers`/],
  [
    "sums-only-per-part",
    { limits: { "eth-daily": { sum: "ETH", max: "600", window: { rolling: "24h" }, per: "key" } } },
    /expected a sum limit of `ETH` over the whole client/,
  ],
  ["untested-rule", { tests: [] }, /no test matches rule `pay`/],
  ["failing-test", { tests: deciding("deny") }, /test `pays` fails: expected the decision `deny`, found `allow`/],
];

describe("lint", () => {
  it("says nothing of a document that is right", () => assert.deepEqual(found({}), []));

  for (const [code, changes, message] of cases) {
    it(`${code}: ${LINTS[code as keyof typeof LINTS]}`, () => {
      const finding = found(changes).find((one) => one.code === code);
      assert.ok(finding, JSON.stringify(found(changes)));
      assert.match(finding.message, message);
      assert.ok(finding.line > 1 && finding.hint !== "");
    });
  }

  it("unreachable-rule: two keys at once", () => {
    const never = { id: "never", deny: ["transfer"], to: ["treasury"], key: ["hot-1"], from: ["hot-2"] };
    const finding = found({ rules: [...CLEAN.rules, never] }).find(({ code }) => code === "unreachable-rule");
    assert.match(finding!.message, /no operation can match rule `never`/);
  });

  it("unused-limit: a key that no rule signs with, though its asset is spent", () => {
    const limit = (fields: object) => ({ sum: "ETH", max: "600", window: { rolling: "24h" }, ...fields });
    const limits = { "eth-daily": limit({}), typo: limit({ key: ["hto-1"] }), right: limit({ key: ["hot-1"] }) };
    const rules = CLEAN.rules.map((rule) => ({ ...rule, from: ["hot-1"] }));
    const unused = (changes: object) => found({ limits, ...changes }).filter(({ code }) => code === "unused-limit");
    assert.deepEqual(
      unused({ rules }).map(({ message }) => message),
      ["limit `typo` counts nothing that a rule allows"],
    );
    assert.deepEqual(unused({}), [], "rules that name no key let any sign");
  });

  it("fixed-zone: of a limit as of a rule, and not of places", () => {
    const limit = (tz: string) => ({ sum: "ETH", max: "600", window: { calendar: "day", tz } });
    for (const [tz, wrong] of [
      ["EST", 1],
      ["Etc/GMT+5", 1],
      ["America/New_York", 0],
      ["UTC", 0],
    ] as const)
      assert.equal(
        found({ limits: { "eth-daily": limit(tz) } }).filter(({ code }) => code === "fixed-zone").length,
        wrong,
        tz,
      );
  });

  it("argument-spelling: a deny that nothing can meet", () => {
    const deny = (value: string) => ({ id: "no", deny: ["call"], arguments: { to: { in: [value] } } });
    const address = ACCOUNTS.usdc.slice("eip155:1:".length);
    for (const [value, wrong] of [
      [address, 0],
      [address.toLowerCase(), 1],
      ["007", 1],
      ["7", 0],
      ["0", 0],
      ["text", 0],
    ] as const)
      assert.equal(
        found({ rules: [...CLEAN.rules, deny(value)] }).filter(({ code }) => code === "argument-spelling").length,
        wrong,
        value,
      );
  });

  it("a document that is no policy has those findings alone", () => {
    const findings = found({ version: "x" });
    assert.deepEqual(
      findings.map(({ code, severity }) => [code, severity]),
      [["invalid", "error"]],
    );
  });

  it("SARIF has rule, level, place and message", () => {
    const findings = found({ groups });
    const run = (
      JSON.parse(sarifOf(findings)) as { runs: { results: object[]; tool: { driver: { rules: object[] } } }[] }
    ).runs[0]!;
    assert.deepEqual(run.tool.driver.rules, [{ id: "unused-group" }]);
    assert.deepEqual(run.results, [
      {
        ruleId: "unused-group",
        level: "warning",
        message: { text: "no rule asks group `officers` (remove it, or name it in `approvals`)" },
        locations: [
          {
            physicalLocation: {
              artifactLocation: { uri: "policy.yaml" },
              region: { startLine: findings[0]!.line, startColumn: findings[0]!.column },
            },
          },
        ],
      },
    ]);
  });
});
