import assert from "node:assert/strict";
import { GatewayError } from "../../../src/domain/errors.ts";
import type { Finding } from "../../../src/policy/finding.ts";
import { parsePolicy } from "../../../src/policy/parse.ts";
import { ACCOUNTS, ASSETS, CLIENT, HOUSE, checkAccount, filesOf } from "./fixture.ts";

// Goal: what is not exactly the format is refused, with the place and a sentence.
// Method: one small document; each case changes one thing of its text.

const DOCUMENT = `apiVersion: portcullis/v1
kind: ClientPolicy
client: acme-fund
version: 7
use: [assets.yaml]
callers:
  payouts: {role: wallet-service, keys: ["ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="]}
  alice: {role: approver, keys: ["sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHAAAABHNzaDo="]}
groups: {officers: [alice]}
addressBook:
  treasury: {address: "${ACCOUNTS.treasury}", tags: [settlement]}
fee: {ETH: {max: "0.02"}}
rules:
  - id: payouts
    allow: [transfer]
    by: [payouts]
    to: [treasury]
    amount: {ETH: {max: "10"}}
limits:
  eth-daily: {sum: ETH, max: 600, window: {rolling: 24h}}
`;

const parse = (text: string, others: Readonly<Record<string, string>> = {}) =>
  parsePolicy(
    "policy.yaml",
    new Map(Object.entries({ "policy.yaml": text, "assets.yaml": JSON.stringify(ASSETS), ...others })),
    checkAccount,
  );

function findingsOf(act: () => unknown): readonly Finding[] {
  try {
    act();
  } catch (error) {
    assert.ok(error instanceof GatewayError, String(error));
    assert.equal(error.code, "policy-invalid");
    return error.facts.findings as Finding[];
  }
  assert.fail("expected the document to be refused");
}

const place = ({ file, line, column, message }: Finding) => `${file}:${line}:${column} ${message}`;
const change = (from: string | RegExp, to: string): string => {
  const changed = DOCUMENT.replace(from, to);
  assert.notEqual(changed, DOCUMENT, `expected ${String(from)} in the document`);
  return changed;
};

describe("a policy document", () => {
  it("is read", () => {
    const { document } = parse(DOCUMENT);
    assert.equal(document.version, "7");
    assert.equal(document.limits?.["eth-daily"]?.max, "600");
  });

  const cases: [string, string | RegExp, string, string][] = [
    [
      "an unknown field",
      "by: [payouts]",
      "bye: [payouts]",
      "policy.yaml:16:5 expected a field of the format, found `bye`",
    ],
    [
      "an unknown operation",
      "[transfer]",
      "[transfers]",
      "policy.yaml:15:13 expected `transfer` or `allowance` or `call` or `deploy` or `delegate` or `govern` or `message` or `typed-data` or `raw-digest`, found `transfers`",
    ],
    [
      "`any` in an allow rule",
      "[transfer]",
      "[any]",
      "policy.yaml:15:13 expected `transfer` or `allowance` or `call` or `deploy` or `delegate` or `govern` or `message` or `typed-data` or `raw-digest`, found `any`",
    ],
    ["a missing field", "version: 7\n", "", "policy.yaml:1:1 expected a field `version`, found none"],
    [
      "a version that is no number",
      "version: 7",
      "version: 7.0",
      "policy.yaml:4:10 expected the version of this document: a whole number from 1, found `7.0`",
    ],
    [
      "another kind",
      "ClientPolicy",
      "Policy",
      "policy.yaml:2:7 expected `kind` to be `ClientPolicy` or `HousePolicy`, found `Policy`",
    ],
    [
      "an amount with an exponent",
      '"10"',
      "1e1",
      "policy.yaml:18:25 expected a decimal number such as `1.5`, found `1e1`",
    ],
    ["a negative amount", '"10"', '"-1"', "policy.yaml:18:25 expected a decimal number such as `1.5`, found `-1`"],
    [
      "a 300-digit amount",
      '"10"',
      `"${"9".repeat(300)}"`,
      `policy.yaml:18:25 expected at most 78 digits, found \`${"9".repeat(77)}...\``,
    ],
    [
      "too many decimals",
      '"10"',
      `"0.${"1".repeat(19)}"`,
      `policy.yaml:18:25 expected at most 18 decimals, found \`0.${"1".repeat(19)}\``,
    ],
    [
      "an unknown asset",
      '{ETH: {max: "10"}}',
      '{DOGE: {max: "10"}}',
      "policy.yaml:18:14 expected an asset of the registry, found `DOGE`",
    ],
    [
      "a band without amounts",
      '{max: "10"}}',
      '{over: "10", max: "10"}}',
      "policy.yaml:18:37 expected `max` above `over`, found `10` and `10`",
    ],
    [
      "`over` alone in an allow rule",
      '{max: "10"}}',
      '{over: "10"}}',
      "policy.yaml:18:19 expected `max` in an allow rule, found `over` alone",
    ],
    [
      "no amount where an asset moves",
      '    amount: {ETH: {max: "10"}}\n',
      "",
      "policy.yaml:14:5 expected a field `amount` where `transfer` is allowed, found none",
    ],
    [
      "no destination",
      "    to: [treasury]\n",
      "",
      "policy.yaml:14:5 expected a field `to` where `transfer` is allowed, found none",
    ],
    [
      "an unknown destination",
      "to: [treasury]",
      "to: [tresury]",
      "policy.yaml:17:10 expected a name of the address book, found `tresury`",
    ],
    [
      "an unknown tag",
      "to: [treasury]",
      'to: ["tag:exchange"]',
      "policy.yaml:17:10 expected a tag that an address book entry has, found `tag:exchange`",
    ],
    [
      "oneself as another client",
      "to: [treasury]",
      'to: ["client:acme-fund"]',
      "policy.yaml:17:10 expected another client, found `client:acme-fund`",
    ],
    [
      "an unknown caller",
      "by: [payouts]",
      "by: [payout]",
      "policy.yaml:16:10 expected a caller with the role `wallet-service`, found `payout`",
    ],
    [
      "an approver who asks",
      "by: [payouts]",
      "by: [alice]",
      "policy.yaml:16:10 expected a caller with the role `wallet-service`, found `alice`, which is `approver`",
    ],
    [
      "a member who cannot approve",
      "[alice]}\n",
      "[payouts]}\n",
      "policy.yaml:9:21 expected a caller with the role `approver`, found `payouts`, which is `wallet-service`",
    ],
    [
      "an unknown group",
      "    to: [treasury]\n",
      "    to: [treasury]\n    approvals: {board: 2}\n",
      "policy.yaml:18:17 expected a name of `groups`, found `board`",
    ],
    [
      "a delay beyond the expiry",
      "    to: [treasury]\n",
      "    to: [treasury]\n    delay: 24h\n    approvals: {officers: 1, expireAfter: 1d}\n",
      "policy.yaml:19:43 expected `expireAfter` above the delay of `24h`, found `1d`",
    ],
    [
      "an emergency without a delay",
      "    to: [treasury]\n",
      "    to: [treasury]\n    breakGlass: true\n    approvals: {officers: 2}\n",
      "policy.yaml:14:5 expected a `delay` beside `breakGlass`, found none",
    ],
    [
      "an emergency that one person decides",
      "    to: [treasury]\n",
      "    to: [treasury]\n    breakGlass: true\n    delay: 1h\n    approvals: {officers: 1}\n",
      "policy.yaml:14:5 expected `approvals` of at least 2 persons beside `breakGlass`, found 1",
    ],
    [
      "an emergency that leads anywhere",
      "    to: [treasury]\n",
      "    to: [treasury, anyone]\n    breakGlass: true\n    delay: 1h\n    approvals: {officers: 2}\n",
      "policy.yaml:17:20 expected destinations that were chosen before beside `breakGlass`, found `anyone`",
    ],
    [
      "an emergency without a bound",
      "    to: [treasury]\n",
      "    to: [treasury]\n    breakGlass: true\n    delay: 1h\n    approvals: {officers: 2}\n    unbounded: true\n",
      "policy.yaml:21:5 expected no `unbounded` beside `breakGlass`, found it",
    ],
    [
      "an emergency that is `false`",
      "    to: [treasury]\n",
      "    to: [treasury]\n    breakGlass: false\n",
      "policy.yaml:18:17 expected `true`, found `false`",
    ],
    [
      "a policy officer in a client's document",
      "role: approver",
      "role: policy-officer",
      "policy.yaml:8:17 expected `wallet-service` or `approver` or `observer` or `secured-party` or `auditor`, found `policy-officer`",
    ],
    [
      "a key that is none",
      "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHAAAABHNzaDo=",
      "ed25519:AAAA",
      "policy.yaml:8:34 expected a public key: `ed25519:<base64 of 32 bytes>`, `ecdsa-p256:…`, `ssh-ed25519 …`, `sk-ssh-ed25519@openssh.com …` or `webauthn:…`, found `ed25519:AAAA`",
    ],
    [
      "three keys",
      '["sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHAAAABHNzaDo="]',
      '["ssh-ed25519 AAAA", "ssh-ed25519 AAAB", "ssh-ed25519 AAAC"]',
      "policy.yaml:8:33 expected one or two public keys, found a list",
    ],
    [
      "one key for two callers",
      "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHAAAABHNzaDo=",
      "ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
      "policy.yaml:8:34 expected each key once, found the key of `payouts` again",
    ],
    [
      "a reserved client",
      "client: acme-fund",
      "client: gateway",
      "policy.yaml:3:9 expected another name than the reserved word `gateway`",
    ],
    ["a reserved caller", "  alice:", "  log:", "policy.yaml:8:3 expected another name than the reserved word `log`"],
    [
      "a reserved address book name",
      "  treasury:",
      "  anyone:",
      "policy.yaml:11:3 expected another name than the reserved word `anyone`",
    ],
    [
      "look-alike letters",
      "client: acme-fund",
      "client: аcme-fund",
      "policy.yaml:3:9 expected a client: 1 to 24 characters of `a-z`, `0-9` and `-`, found `аcme-fund`",
    ],
    [
      "an address without its checksum",
      ACCOUNTS.treasury,
      ACCOUNTS.usdc.toLowerCase(),
      "policy.yaml:11:23 expected a checksum address, found `0xa0b86991c6218b36c1d19d4a2e9eb0ce3606eb48`",
    ],
    [
      "an address without its chain",
      ACCOUNTS.treasury,
      ACCOUNTS.treasury.slice("eip155:1:".length),
      `policy.yaml:11:23 expected a CAIP-10 account such as \`eip155:1:0x742d35Cc…\`, found \`${ACCOUNTS.treasury.slice("eip155:1:".length)}\``,
    ],
    [
      "a sum that no limit counts",
      /limits:\n.*\n/,
      "",
      "policy.yaml:18:14 expected a sum limit that counts all `ETH` that rule `payouts` can move, found none",
    ],
    [
      "a limit that counts a part only",
      "max: 600,",
      "max: 600, to: [own],",
      "policy.yaml:18:14 expected a sum limit that counts all `ETH` that rule `payouts` can move, found none",
    ],
    [
      "a chain without a fee cap",
      'fee: {ETH: {max: "0.02"}}\n',
      "",
      "policy.yaml:13:5 expected a `fee` cap for `ETH`, which rule `payouts` can spend on `eip155:1`, found none",
    ],
    [
      "a chain without a fee cap, on which the log is anchored",
      /^fee: .*\n((?:.*\n)*?)rules:\n/m,
      "$1rules:\n  - {id: anchor, allow: [message], format: [text, anchor]}\n",
      "policy.yaml:13:5 expected a `fee` cap for `ETH`, which rule `anchor` can spend on `eip155:1`, found none",
    ],
    [
      "a file that is not there",
      "[assets.yaml]",
      "[asset.yaml]",
      "policy.yaml:5:7 expected a file, found nothing at `asset.yaml`",
    ],
    [
      "a path outside",
      "[assets.yaml]",
      "[../assets.yaml]",
      "policy.yaml:5:7 expected a path below the policies folder such as `shared/assets.yaml`, found `../assets.yaml`",
    ],
    [
      "a window that is not known",
      "{rolling: 24h}",
      "{sliding: 24h}",
      "policy.yaml:20:44 expected a field of the format, found `sliding`",
    ],
    [
      "a duration without unit",
      "{rolling: 24h}",
      "{rolling: 24}",
      "policy.yaml:20:53 expected a duration such as `30m`, `24h` or `7d`, found `24`",
    ],
    [
      "a time zone that does not exist",
      "{rolling: 24h}",
      "{calendar: day, tz: Mars/Olympus}",
      "policy.yaml:20:63 expected a time zone that exists, found `Mars/Olympus`",
    ],
    [
      "hours that end before they begin",
      "    by: [payouts]\n",
      '    by: [payouts]\n    when: {hours: "22:00-06:00", tz: UTC}\n',
      "policy.yaml:17:19 expected hours that end after they begin, found `22:00-06:00`",
    ],
    [
      "two rules of one id",
      "limits:\n",
      "  - {id: payouts, deny: [call]}\nlimits:\n",
      "policy.yaml:19:10 expected each rule id once, found `payouts` again",
    ],
    [
      "allow and deny in one",
      "allow: [transfer]",
      "allow: [transfer]\n    deny: [transfer]",
      "policy.yaml:16:5 expected a field of the format, found `deny`",
    ],
  ];
  for (const [name, from, to, expected] of cases) {
    it(`is refused with ${name}`, () => {
      const found = findingsOf(() => parse(change(from, to))).map(place);
      assert.ok(found.includes(expected), `expected ${expected}\nfound    ${found.join("\n         ")}`);
    });
  }

  it("shows all mistakes at once, in the order of the file", () => {
    const found = findingsOf(() =>
      parse(change('"10"', "ten").replace("by: [payouts]", "by: payouts").replace("24h", "1 day")),
    );
    assert.deepEqual(
      found.map(({ line }) => line),
      [16, 18, 20],
    );
  });

  it("names a file's own mistakes by that file", () => {
    const found = findingsOf(() =>
      parse(DOCUMENT.replace("[assets.yaml]", "[assets.yaml, book.yaml]"), {
        "book.yaml":
          'apiVersion: portcullis/v1\nkind: AddressBook\nentries:\n  treasury: {address: "' + ACCOUNTS.kraken + '"}\n',
      }),
    );
    assert.deepEqual(found.map(place), [
      "book.yaml:4:3 expected each name once, found an address book entry `treasury` also in `policy.yaml`",
    ]);
  });

  it("refuses registries in which one contract has two names", () => {
    const twice = { ...ASSETS, assets: { ...ASSETS.assets, USDX: ASSETS.assets.USDC } };
    assert.match(
      place(findingsOf(() => parsePolicy("policy.yaml", filesOf(CLIENT, { "assets.yaml": twice }), checkAccount))[0]!),
      /expected each asset once, found `USDX` to be `USDC` again/,
    );
  });

  it("refuses a house without a policy officer, or with a quorum that it cannot reach", () => {
    const operator = { ...HOUSE, callers: { ops: { ...HOUSE.callers.chief, role: "operator" } } };
    assert.match(
      place(findingsOf(() => parsePolicy("policy.yaml", filesOf(operator), checkAccount))[0]!),
      /at least one `policy-officer`/,
    );
    const two = { ...HOUSE, policyQuorum: "2" };
    assert.match(
      place(findingsOf(() => parsePolicy("policy.yaml", filesOf(two), checkAccount))[0]!),
      /expected at most 1, the number of policy officers, found `2`/,
    );
  });
});

/** Letters that look like others, and digits that are none of ours. */
const LOOK_ALIKES = [
  ["a Cyrillic letter in a client's name", "client: acme", "client: \u0430cme", "3:9"],
  ["a Cyrillic letter in a caller's name", "  payouts:", "  p\u0430youts:", "7:3"],
  ["a Greek letter in a destination", "to: [treasury]", "to: [treasur\u03b3]", "17:10"],
  ["a full-width digit in an amount", 'max: "10"', 'max: "1\uff10"', "18:25"],
  ["an Arabic digit in an amount", 'max: "10"', 'max: "1\u0660"', "18:25"],
  ["a composed letter in an asset", '{ETH: {max: "10"}}', '{\u00c9TH: {max: "10"}}', "18:14"],
  ["a letter with a loose accent in a group", "groups: {officers", "groups: {o\u0301fficers", "9:10"],
] as const;

/** What other readers of YAML would make a number of. */
const NO_DECIMALS = ["1e1", "1.5e3", ".5", "5.", "0x10", "0o10", "1_000", "+1", "-1", ".inf", ".nan", "1:30", "01"];

/** Each line doubles the one before: a reader that follows aliases runs out of memory. */
const LAUGHS = `a0: &a0 [x]\n${Array.from({ length: 30 }, (_, n) => `a${n + 1}: &a${n + 1} [*a${n}, *a${n}]`).join("\n")}\n`;

describe("hostile YAML", () => {
  const cases: [string, string, RegExp][] = [
    [
      "an anchor",
      DOCUMENT.replace("[alice]}", "&x [alice]}"),
      /^policy.yaml:9:\d+ expected a value, found the anchor `&x`/,
    ],
    ["an alias", DOCUMENT.replace("[alice]}", "*x}"), /^policy.yaml:9:20 expected/],
    ["a merge key", DOCUMENT.replace("fee:", "<<: {a: b}\nfee:"), /^policy.yaml:12:1 expected another key than `<<`/],
    ["a tag", DOCUMENT.replace("client: acme-fund", "client: !!str acme-fund"), /^policy.yaml:3:\d+ expected/],
    ["a local tag", DOCUMENT.replace("client: acme-fund", "client: !secret acme-fund"), /^policy.yaml:3:\d+ expected/],
    [
      "a key given twice",
      DOCUMENT.replace("client: acme-fund", "client: acme-fund\nclient: other"),
      /^policy.yaml:4:1 expected each key once, found `client` again/,
    ],
    [
      "`__proto__`",
      DOCUMENT.replace("groups:", "__proto__: {a: b}\ngroups:"),
      /^policy.yaml:9:1 expected another key than `__proto__`/,
    ],
    ["two documents", `${DOCUMENT}---\n${DOCUMENT}`, /^policy.yaml:21:1 expected one document/],
    ["an unclosed bracket", DOCUMENT.replace("[treasury]", "[treasury"), /^policy.yaml:\d+:\d+ expected YAML/],
    ["an empty file", "", /^policy.yaml:1:1 expected a document/],
    ["a bare text", "hello", /^policy.yaml:1:1 expected `kind`/],
    [
      "a key without a value",
      DOCUMENT.replace("client: acme-fund", "client:"),
      /^policy.yaml:3:1 expected a value after the key/,
    ],
    [
      "a list as a key",
      DOCUMENT.replace("groups:", "? [a]\n: b\ngroups:"),
      /^policy.yaml:9:\d+ expected a text as key/,
    ],
    [
      "a direction override",
      DOCUMENT.replace("acme-fund", "acme-\u202efund"),
      /^policy.yaml:3:14 expected visible characters, found `\\u202e`/,
    ],
    ...(
      [
        ["a carriage return alone, after which an editor shows another line", "\r", "000d"],
        ["an Arabic letter mark, which turns what follows", "\u061c", "061c"],
        ["a soft hyphen", "\u00ad", "00ad"],
        ["a tag character beyond the basic plane", "\u{e0041}", "e0041"],
        ["a letter that is blank", "\u3164", "3164"],
        ["half a surrogate pair, which no hash tells from another half", "\ud800", "d800"],
      ] as const
    ).map(([what, character, code]): [string, string, RegExp] => [
      what,
      `# a${character}b\n${DOCUMENT}`,
      new RegExp(`^policy.yaml:1:4 expected visible characters, found \`\\\\u${code}\``),
    ]),
    ["a zero-width space in a comment", `# a\u200bb\n${DOCUMENT}`, /^policy.yaml:1:4 expected visible characters/],
    ["deep nesting", `${"[".repeat(50)}${"]".repeat(50)}`, /expected at most 16 levels/],
    ["very deep nesting", "[".repeat(500_000), /expected at most 16 levels/],
    ["a directive that is not known", `%FOO bar\n---\n${DOCUMENT}`, /expected YAML/],
    ...LOOK_ALIKES.map(([what, from, to, at]): [string, string, RegExp] => [
      what,
      change(from, to),
      new RegExp(`^policy.yaml:${at} expected`),
    ]),
    ...NO_DECIMALS.flatMap((text): [string, string, RegExp][] => [
      [`the amount ${text}`, change('max: "10"', `max: ${text}`), /^policy.yaml:18:25 expected/],
      [`the amount "${text}"`, change('max: "10"', `max: "${text}"`), /^policy.yaml:18:25 expected/],
    ]),
    ["the version 7.0", change("version: 7", "version: 7.0"), /^policy.yaml:4:10 expected/],
    ["the version 1e3", change("version: 7", "version: 1e3"), /^policy.yaml:4:10 expected/],
    ["the version 007", change("version: 7", "version: 007"), /^policy.yaml:4:10 expected/],
    ["a thousand million aliases", LAUGHS, /^policy.yaml:\d+:\d+ expected/],
    [
      "a megabyte of fields that nobody knows",
      `${DOCUMENT}${Array.from({ length: 30_000 }, (_, n) => `x${n}: {a: b, c: d}`).join("\n")}\n`,
      /^policy.yaml:21:1 expected a field of the format, found `x0`/,
    ],
    [
      "a megabyte of one field",
      `${DOCUMENT}${"client: other-fund\n".repeat(50_000)}`,
      /^policy.yaml:21:1 expected each key once, found `client` again/,
    ],
    [
      "a megabyte of rules that are wrong",
      change("limits:", `${"  - {id: UPPER, allow: [transfer]}\n".repeat(25_000)}limits:`),
      /^policy.yaml:\d+:\d+ expected at most 1000/,
    ],
    ["a megabyte in one text", change("id: payouts", `id: ${"a".repeat(1_000_000)}`), /^policy.yaml:14:9 expected/],
    [
      "more than a megabyte",
      `# ${"x".repeat(10 * 1024 * 1024)}`,
      /^policy.yaml:1:1 expected at most 1048576 characters/,
    ],
  ];
  const BOUND_US = 2_000_000;
  for (const [name, text, expected] of cases) {
    it(`${name} is refused, in time`, () => {
      // Processor time: others on the machine are not the document's doing. The least of three: nor is what other tests
      // have left to the garbage collector.
      const tookUs: number[] = [];
      let found: string[] = [];
      while (tookUs.length < 3 && !(Math.min(...tookUs) < BOUND_US)) {
        const before = process.cpuUsage();
        found = findingsOf(() => parse(text)).map(place);
        tookUs.push(process.cpuUsage(before).user);
      }
      assert.ok(
        found.some((finding) => expected.test(finding)),
        found.join("\n"),
      );
      assert.ok(Math.min(...tookUs) < BOUND_US, `${tookUs.join(", ")} µs`);
    });
  }
});
