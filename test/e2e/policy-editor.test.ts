import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LanguageServer } from "../support/language-server.ts";

// Goal: an editor teaches the format while somebody writes: it completes, explains and underlines.
// Method: yaml-language-server, the process that editors run, with policies/schema.json, on every document that ships here.

const POLICIES = fileURLToPath(new URL("../../policies/", import.meta.url));

/** Broken examples that a JSON Schema sees: file, line and what the editor says. */
const SEEN: Readonly<Record<string, readonly [file: string, line: number, message: RegExp]>> = {
  "allow-any-bad": ["policy.yaml", 17, /^Value is not accepted\. Valid values: "transfer", /],
  "anchor-bad": ["policy.yaml", 11, /^Unused anchor/],
  "break-glass-at-once-bad": ["policy.yaml", 27, /^Missing property "delay"/],
  "key-twice-bad": ["policy.yaml", 6, /^Map keys must be unique/],
  "no-chain-bad": ["policy.yaml", 13, /^String does not match the pattern/],
  "no-decimals-bad": ["assets.yaml", 7, /^Missing property "decimals"/],
  "no-destination-bad": ["policy.yaml", 16, /^Missing property "to"/],
  "no-maximum-bad": ["policy.yaml", 25, /^Missing property "max"/],
  "unbounded-unsaid-bad": ["policy.yaml", 27, /^Missing property "unbounded"/],
  "unknown-field-bad": ["policy.yaml", 18, /^Property caller is not allowed/],
};

/** A JSON Schema compares no value with another, nor with another file: these only `policy check` sees. */
const UNSEEN: Readonly<Record<string, string>> = {
  "no-checksum-bad": "EIP-55 is a hash",
  "too-many-decimals-bad": "decimals are in the registry",
  "unknown-asset-bad": "assets are in the registry",
  "name-twice-bad": "a caller and a group",
  "own-client-bad": "the document's own client",
  "no-fee-cap-bad": "a rule and the fees",
  "no-sum-limit-bad": "a rule and the limits",
  "failing-test-bad": "a test is run",
  "amount-gap-bad": "two rules",
  "argument-spelling-bad": "a rule and what decoders write",
  "break-glass-overlaps-bad": "two rules",
  "break-glass-same-people-bad": "two rules and their groups",
  "no-spare-person-bad": "a quorum and a group",
  "no-spare-officer-bad": "a quorum and the callers",
  "fixed-zone-bad": "a name that every time zone list has",
  "cap-below-maximum-bad": "a rule and a limit",
  "omnibus-bad": "it is what is meant, with a price",
  "console-alone-bad": "a rule and its groups",
  "deny-walked-round-bad": "two rules",
  "overlapping-allows-bad": "two rules",
  "quorum-too-large-bad": "a rule and a group",
  "single-approver-bad": "the sum of what a rule asks",
  "sums-only-per-part-bad": "all limits",
  "swallowed-allow-bad": "two rules",
  "unreachable-rule-bad": "the fields of a rule",
  "untested-rule-bad": "the rules and the tests",
  "unused-entry-bad": "the book and the rules",
  "unused-group-bad": "the groups and the rules",
  "unused-limit-bad": "the limits and the rules",
};

describe("policies/schema.json in an editor", function () {
  let server: LanguageServer;
  before(async () => (server = await LanguageServer.start(join(POLICIES, "schema.json"))));
  after(() => server?.stop());

  const files = readdirSync(POLICIES, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(".yaml"));
  const textOf = (path: string) => readFileSync(join(POLICIES, path), "utf8");
  const exampleOf = (path: string) => /^examples\/([^/]+-bad)\//.exec(path)?.[1];
  const underlined = async (path: string) =>
    (await server.open(join(POLICIES, path), textOf(path))).map(
      ({ message, range }) => [range.start.line + 1, message] as const,
    );

  it("each broken example is seen here or there", () => {
    const bad = new Set(files.map(exampleOf).filter((name) => name !== undefined));
    assert.deepEqual([...bad].toSorted(), [...Object.keys(SEEN), ...Object.keys(UNSEEN)].toSorted());
  });
  for (const path of files.filter((file) => exampleOf(file) === undefined)) {
    it(`${path}: nothing is underlined`, async () => assert.deepEqual(await underlined(path), []));
  }
  for (const [example, [file, line, message]] of Object.entries(SEEN)) {
    it(`${example}: the mistake is underlined, and nothing else`, async () => {
      const [found, ...others] = await underlined(`examples/${example}/${file}`);
      assert.equal(found?.[0], line);
      assert.match(found[1], message);
      assert.deepEqual(others, []);
    });
  }
  for (const [example, why] of Object.entries(UNSEEN)) {
    it(`${example}: the schema does not see it (${why})`, async () =>
      assert.deepEqual(await underlined(`examples/${example}/policy.yaml`), []));
  }

  describe("while writing", () => {
    // Nothing of it is on the disk; the schema is found from where it would be.
    const file = join(POLICIES, "examples/hot-wallet/written.yaml");
    const lines = [
      "# yaml-language-server: $schema=../../schema.json",
      "apiVersion: portcullis/v1",
      "kind: ClientPolicy",
      "fee: { ETH-LOCAL: uncapped }",
      "limits:",
      '  daily: { sum: ETH-LOCAL, max: "1", window: { rolling: 24h } }',
      "rules:",
      "  - id: payouts",
      "    allow: [transfer]",
      "    approvals: { officers: 2 }",
      "    ",
      "",
    ];
    before(() => server.open(file, lines.join("\n")));
    const lineOf = (start: string) => lines.findIndex((line) => line.trim().startsWith(start));

    it("the fields of a rule are offered, each with what it means", async () => {
      const offered = await server.complete(file, { line: lines.length - 2, character: 4 });
      const delay = offered.find(({ label }) => label === "delay");
      assert.match(JSON.stringify(delay?.documentation), /Earliest moment of signing, counted from the last approval/);
      for (const field of ["by", "from", "to", "amount", "when", "unbounded"])
        assert.ok(
          offered.some(({ label }) => label === field),
          field,
        );
      assert.ok(!offered.some(({ label }) => label === "approvals"), "a field that is there already");
    });
    it("the operations are offered where one is written", async () => {
      const offered = await server.complete(file, { line: lineOf("allow"), character: 12 });
      assert.ok(["transfer", "allowance", "raw-digest"].every((word) => offered.some(({ label }) => label === word)));
    });
    for (const [field, text] of [
      ["kind", /This document: everything that gives authority over one client's assets/],
      ["fee", /Cap of one transaction's fee at the worst price that its bytes permit, by native asset, such as .*ETH/],
      ["limits", /they stand by themselves/],
      ["approvals", /How many persons of which groups must approve.*one person counts once/],
    ] as const) {
      it(`hovering over \`${field}\` says what it is`, async () => {
        const line = lineOf(field);
        assert.match(await server.hover(file, { line, character: lines[line]!.indexOf(field) + 1 }), text);
      });
    }
  });
});
