import assert from "node:assert/strict";
import type { ClientPolicy } from "../../../src/policy/document.ts";
import { compileClient } from "../../../src/policy/compile.ts";
import { parsePolicy } from "../../../src/policy/parse.ts";
import { junitOf } from "../../../src/policy/reports.ts";
import { runTests } from "../../../src/policy/test-runner.ts";
import { CLIENT, checkAccount, filesOf, housePolicy } from "./fixture.ts";

// Goal: a document's own tests say what would be decided, and a wrong expectation never passes.
// Method: small documents with one test each; what the runner says of it.

const NOW = "2026-11-20T12:00:00Z";
const pay = (amount: string, to = "treasury") => ({ transfer: { asset: "ETH", amount, to } });
const asked = (act: object) => ({ by: "payouts", from: "hot-1", ...act });

function run(tests: object[], changes: object = {}, house?: ReturnType<typeof housePolicy>) {
  const named = tests.map((test, index) => ({ name: `test ${index}`, now: NOW, ...test }));
  const resolved = parsePolicy("policy.yaml", filesOf({ ...CLIENT, ...changes, tests: named }), checkAccount);
  return runTests(resolved.document as ClientPolicy, compileClient(resolved), house);
}
const failures = (tests: object[], changes: object = {}) =>
  run(tests, changes).results.map(({ failures: found }) => found);

describe("tests of a document", () => {
  it("pass when the decision is the expected one", () => {
    assert.deepEqual(failures([{ request: asked(pay("10")), expect: { decision: "allow", rule: "payouts" } }]), [[]]);
  });
  it("fail with what was expected and found", () => {
    assert.deepEqual(failures([{ request: asked(pay("11")), expect: { decision: "allow", rule: "payouts" } }]), [
      [
        "expected the decision `allow`, found `deny`, `no-rule-allows`",
        "expected a match of rule `payouts`, found none",
      ],
    ]);
    assert.deepEqual(
      failures([
        {
          request: asked(pay("1")),
          expect: { decision: "allow", limit: "eth-daily", reason: "delayed", missing: { officers: "1" } },
        },
      ]),
      [
        [
          "expected the reason `delayed`, found `rule-allowed`",
          "expected too much for limit `eth-daily`, found none",
          "expected 1 more of `officers`, found 0",
        ],
      ],
    );
  });
  it("count the history that lies in the window", () => {
    const entry = (at: string) => ({ at, from: "hot-1", ...pay("595") });
    const expect = { decision: "deny", limit: "eth-daily" };
    assert.deepEqual(failures([{ history: [entry("2026-11-19T12:00:01Z")], request: asked(pay("6")), expect }]), [[]]);
    assert.equal(
      failures([{ history: [entry("2026-11-19T12:00:00Z")], request: asked(pay("6")), expect }])[0]!.length,
      2,
    );
    assert.equal(
      failures([{ history: [entry("2026-11-20T12:00:01Z")], request: asked(pay("6")), expect }])[0]!.length,
      2,
    );
  });
  it("a request that cannot be made is a failure, not a pass", () => {
    assert.deepEqual(failures([{ request: asked(pay("1", "nowhere")), expect: { decision: "deny" } }]), [
      ["expected an address book name with an address on `eip155:1`, found `nowhere`"],
    ]);
  });
  it("every kind of operation can be asked", () => {
    const chain = "eip155:1";
    const acts = [
      { allowance: { asset: "USDC", amount: "unlimited", to: "treasury" } },
      { call: { to: "treasury", method: "stake(uint256)" } },
      { call: { to: "treasury", method: "0x12345678", decoded: "true", arguments: { a: "1" } } },
      { deploy: { chain } },
      { delegate: { to: "treasury" } },
      { govern: { to: "treasury", method: "x()" } },
      { message: { chain, format: "text" } },
      { typedData: { chain, domain: { name: "x" }, primaryType: "Order" } },
      ...["secp256k1", "p256", "ed25519"].map((curve) => ({ rawDigest: { curve } })),
      { operations: [pay("1"), pay("1", "own"), pay("1", "client:other-fund"), pay("1", "house")] },
    ];
    const results = failures(
      acts.map((act) => ({ request: asked(act), expect: { decision: "deny", reason: "no-rule-allows" } })),
    );
    assert.deepEqual(
      results,
      acts.map(() => []),
    );
  });
  it("a raw digest is on no chain, alone, and allowed for a key that was made for it", () => {
    const rule = { id: "attestations", allow: ["raw-digest"], by: ["payouts"], unbounded: "true" };
    const request = asked({ rawDigest: { curve: "ed25519" } });
    const rules = { rules: [...CLIENT.rules, rule] };
    assert.deepEqual(failures([{ request, keyPurpose: "raw", expect: { decision: "allow" } }], rules), [[]]);
    assert.deepEqual(failures([{ request, expect: { decision: "deny" } }], rules), [[]]);
    const onChain = { rules: [...CLIENT.rules, { ...rule, chain: ["eip155:1"] }] };
    assert.deepEqual(failures([{ request, keyPurpose: "raw", expect: { decision: "deny" } }], onChain), [[]]);
    const two = asked({ operations: [{ rawDigest: { curve: "p256" } }, pay("1")] });
    assert.match(failures([{ request: two, expect: { decision: "deny" } }], rules)[0]!.join(), /a raw digest alone/);
  });
  it("coverage counts the tests in which a rule or limit matched", () => {
    const { coverage } = run([{ request: asked(pay("1")), expect: { decision: "allow" } }], {
      rules: [...CLIENT.rules, { id: "calls", deny: ["call"] }],
    });
    assert.deepEqual(
      [...coverage.rules],
      [
        ["payouts", 1],
        ["calls", 0],
      ],
    );
    assert.deepEqual(
      [...coverage.limits],
      [
        ["eth-daily", 1],
        ["usdc-daily", 0],
      ],
    );
  });
  it("the house's rules hold where they are given", () => {
    const test = { request: asked(pay("1")), expect: { decision: "allow" } };
    assert.equal(run([test]).passed, true);
    assert.equal(run([test], {}, housePolicy({ rules: [{ id: "stop", deny: ["any"] }] })).passed, false);
  });
  it("JUnit XML says the same", () => {
    const two = run([
      { request: asked(pay("1")), expect: { decision: "allow" } },
      { name: 'a "quoted" <name>', request: asked(pay("1")), expect: { decision: "deny" } },
    ]);
    const xml = junitOf([
      { file: "a&b.yaml", run: two },
      { file: "c.yaml", run: two },
    ]);
    assert.match(xml, /<testsuites tests="4" failures="2">/);
    assert.match(xml, /<testsuite name="a&#38;b.yaml" tests="2" failures="1">/);
    assert.match(
      xml,
      /name="a &#34;quoted&#34; &#60;name&#62;">\n {6}<failure message="expected the decision `deny`, found `allow`/,
    );
  });
});
