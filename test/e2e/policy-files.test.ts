import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../support/program.ts";

// Goal: a security team writes, checks, tests and compares policies on a laptop without a gateway, and scripts can rely on it.
// Method: the program as a process, on the policies that ship with it, changed in a folder of its own.

const POLICIES = fileURLToPath(new URL("../../policies/", import.meta.url));
const HOT_WALLET = "examples/hot-wallet/acme-fund.yaml";
const key = (n: number) => `ed25519:${Buffer.alloc(32, n).toString("base64")}`;

describe("portcullis policy, on files", function () {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-policies-"));
    for (const kept of ["shared", "house.yaml", HOT_WALLET, "examples/treasury"]) {
      for (const side of ["old", "new"]) cpSync(join(POLICIES, kept), join(folder, side, kept), { recursive: true });
    }
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const policy = (...args: string[]) => run(["policy", ...args], { cwd: folder });
  const edit = (path: string, from: string | RegExp, to: string) => {
    const text = readFileSync(join(folder, path), "utf8");
    const changed = text.replace(from, to);
    assert.notEqual(changed, text);
    writeFileSync(join(folder, path), changed);
  };
  const json = <T>(stdout: string): T => JSON.parse(stdout) as T;

  describe("check", () => {
    it("a document without findings: what it is, exit 0", async () => {
      const { code, stdout } = await policy("check", `new/${HOT_WALLET}`, "new/house.yaml");
      assert.match(stdout, /acme-fund\.yaml: no findings\n {2}acme-fund, version 1, sha256:[0-9a-f]{64}\n/);
      assert.equal(code, 0);
    });
    it("a warning: place, sentence, hint, exit 1; as JSON and as SARIF too", async () => {
      edit(`new/${HOT_WALLET}`, "  hourly:", '  second: { sum: USDC, max: "1", window: lifetime }\n  hourly:');
      const { code, stdout } = await policy("check", `new/${HOT_WALLET}`, "--sarif", "out.sarif");
      assert.match(
        stdout,
        /^new\/examples\/hot-wallet\/acme-fund\.yaml:\d+:3: warning unused-limit: limit `second` counts nothing/m,
      );
      assert.match(stdout, /^ {2}hint: /m);
      assert.equal(code, 1);
      const sarif = json<{ runs: { results: { ruleId: string }[] }[] }>(
        readFileSync(join(folder, "out.sarif"), "utf8"),
      );
      assert.deepEqual(
        sarif.runs[0]!.results.map(({ ruleId }) => ruleId),
        ["unused-limit"],
      );
      const asJson = await policy("check", `new/${HOT_WALLET}`, "--json");
      type Checked = { documents: { client: string; findings: { code: string; line: number }[] }[] };
      const [document] = json<Checked>(asJson.stdout).documents;
      assert.deepEqual(
        [document?.client, document?.findings.map((finding) => finding.code)],
        ["acme-fund", ["unused-limit"]],
      );
      assert.equal(asJson.code, 1);
    });
    it("a mistake in a shared file: named by that file", async () => {
      edit("new/shared/assets.yaml", "decimals: 18", "decimals: 18.0");
      const { code, stdout } = await policy("check", `new/${HOT_WALLET}`);
      assert.match(stdout, /^new\/shared\/assets\.yaml:11:\d+: error invalid: expected decimals/m);
      assert.equal(code, 1);
    });
    it("a hostile file is refused in time before anything else reads it", async () => {
      const before = performance.now();
      for (const text of ["[".repeat(900_000), `# ${"x".repeat(10 * 1024 * 1024)}`, `use: [&a x, *a]\n`]) {
        writeFileSync(join(folder, "hostile.yaml"), text);
        const { code, stdout } = await policy("check", "hostile.yaml");
        assert.match(stdout, /^hostile\.yaml:1:\d+: error invalid: expected /);
        assert.equal(code, 1);
      }
      assert.ok(performance.now() - before < 90_000);
    });
    it("no file: exit 1; no argument: exit 2", async () => {
      assert.equal((await policy("check", "nothing.yaml")).code, 1);
      assert.equal((await policy("check")).code, 2);
    });
  });

  describe("test", () => {
    it("each test by its name, and what no test matches; exit 0", async () => {
      const { code, stdout } = await policy("test", `new/${HOT_WALLET}`, "--house", "new/house.yaml");
      assert.match(stdout, /9 passed, 0 failed\n {2}✓ a small payout to the treasury is signed at once\n/);
      assert.match(stdout, /rules: 4 of 4 matched\n {2}limits: 3 of 4 matched, without a test: tusd-daily\n/);
      assert.equal(code, 0);
    });
    it("one that fails: expected and found, exit 1; JUnit says the same", async () => {
      edit(`new/${HOT_WALLET}`, "expect: { decision: allow, rule: payouts }", "expect: { decision: deny }");
      const { code, stdout } = await policy("test", `new/${HOT_WALLET}`, "--junit", "out.xml");
      assert.match(stdout, /✗ a small payout.*\n {6}expected the decision `deny`, found `allow`/);
      assert.equal(code, 1);
      const xml = readFileSync(join(folder, "out.xml"), "utf8");
      assert.match(xml, /<testsuites tests="9" failures="1">/);
      const asJson = await policy("test", `new/${HOT_WALLET}`, "--json");
      const [one] = json<{ passed: boolean; coverage: { rules: Record<string, number> } }[]>(asJson.stdout);
      assert.deepEqual([one?.passed, one?.coverage.rules["sweep"], asJson.code], [false, 1, 1]);
    });
    it("a house policy has no tests of its own: exit 2", async () =>
      assert.equal((await policy("test", "new/house.yaml")).code, 2));
  });

  describe("diff", () => {
    const both = [`old/${HOT_WALLET}`, `new/${HOT_WALLET}`];
    it("nothing but comments: exit 0", async () => {
      edit(both[1]!, "# A hot wallet", "# This hot wallet");
      const { code, stdout } = await policy("diff", ...both);
      assert.match(stdout, /nothing changes/);
      assert.equal(code, 0);
    });
    it("a lower cap under a new version is tightening: exit 0", async () => {
      edit(both[1]!, "version: 1", "version: 2");
      edit(both[1]!, 'max: "600"', 'max: "500"');
      const { code, stdout } = await policy("diff", ...both);
      assert.match(stdout, /^acme-fund, version 1 to 2: tightening/);
      assert.equal(code, 0);
    });
    it("a higher amount without people is loosening, with an example; exit 1, and --json and --markdown say so", async () => {
      edit(both[1]!, "version: 1", "version: 2");
      edit(
        both[1]!,
        'ETH-LOCAL: { max: "10" }, TUSD-LOCAL: { max: "20000" }',
        'ETH-LOCAL: { max: "10" }, TUSD-LOCAL: { max: "20001" }',
      );
      const { code, stdout } = await policy("diff", ...both);
      assert.match(
        stdout,
        /loosening\n {2}\+ is permitted now and was not: transfer of 20000\.000001 TUSD-LOCAL in total to /,
      );
      assert.equal(code, 1);
      const asJson = await policy("diff", ...both, "--json");
      type Diff = { documents: { verdict: string; changes: { kind: string }[] }[] };
      const [document] = json<Diff>(asJson.stdout).documents;
      assert.deepEqual(
        [document?.verdict, document?.changes.map(({ kind }) => kind)],
        ["loosening", ["newly-permitted"]],
      );
      assert.match(
        (await policy("diff", ...both, "--markdown")).stdout,
        /^### acme-fund, version 1 to 2\n\n\*\*loosening\*\*\n\n\|/,
      );
    });
    it("a change under the same version needs a new one: exit 1", async () => {
      edit(both[1]!, 'max: "600"', 'max: "500"');
      const { code, stdout } = await policy("diff", ...both);
      assert.match(stdout, /! it changed, and needs a new version/);
      assert.equal(code, 1);
    });
    it("two folders: a shared file that changed names the documents that need a new version", async () => {
      edit("new/shared/assets.yaml", "decimals: 8,", "decimals: 9,");
      const { code, stdout } = await policy("diff", "old", "new");
      assert.match(
        stdout,
        /shared\/assets\.yaml changed; these 3 documents need a new version: examples\/hot-wallet\/acme-fund\.yaml, examples\/treasury\/blue-harbor\.yaml, house\.yaml/,
      );
      assert.equal(code, 1);
    });
    it("two folders: a new client is new authority", async () => {
      const text = readFileSync(join(folder, "new", HOT_WALLET), "utf8").replace(
        "client: acme-fund",
        "client: newcomer",
      );
      writeFileSync(join(folder, "new/newcomer.yaml"), text);
      const { code, stdout } = await policy("diff", "old", "new");
      assert.match(stdout, /^newcomer, version none to 1: new: all that it permits was not/m);
      assert.equal(code, 1);
    });
    it("a file and a folder: exit 2", async () => assert.equal((await policy("diff", "old", both[0]!)).code, 2));
    it("two clients: refused", async () => {
      const { code, stderr } = await policy("diff", both[0]!, "new/examples/treasury/blue-harbor.yaml");
      assert.match(stderr, /expected two documents of `acme-fund`, found one of `blue-harbor`/);
      assert.equal(code, 1);
    });
    it("dependents: which documents use a file", async () => {
      const { stdout } = await policy("dependents", "examples/treasury/counterparties.yaml", "new", "--json");
      assert.deepEqual(json<{ documents: string[] }>(stdout).documents, ["examples/treasury/blue-harbor.yaml"]);
    });
  });

  it("dependents of a path that is not in the folder: refused, not nobody", async () => {
    const { code, stderr } = await policy("dependents", "new/shared/assets.yaml", "new");
    assert.match(stderr, /expected a file of `new`, found no `new\/shared\/assets.yaml` in it/);
    assert.equal(code, 1);
  });

  describe("explain --test", () => {
    it("rule by rule, limit by limit, what next", async () => {
      const name = "a large payout waits for two officers";
      const { code, stdout } = await policy("explain", `new/${HOT_WALLET}`, "--test", name);
      assert.match(stdout, /^NEEDS APPROVAL\n {2}approvals are missing: 2 more of `officers`/);
      assert.match(
        stdout,
        /· allow payouts, operation 1: the transaction's total of 50 ETH-LOCAL is not at most 10 ETH-LOCAL/,
      );
      assert.match(stdout, /✓ eth-daily \(rolling 24h\): 50 on top of 0, cap 600 ETH-LOCAL, 600 left/);
      assert.match(stdout, /ask 2 more of officers to approve/);
      assert.equal(code, 0);
    });
    it("no such test: exit 2, and their names", async () => {
      const { code, stderr } = await policy("explain", `new/${HOT_WALLET}`, "--test", "nothing");
      assert.match(stderr, /hint: its tests: `a small payout/);
      assert.equal(code, 2);
    });
  });

  describe("init", () => {
    const answers = [
      ...["--service", `payouts=${key(1)}`],
      ...["--approver", `ann=${key(2)}`, `ben=${key(3)}`, `cleo=${key(4)}`],
      ...["--destination", "treasury=eip155:31337:0x70997970C51812dc3A010C7d01b50e0d17dc79C8"],
      ...["--amounts", "TUSD-LOCAL=100/1000"],
      ...["--fee", "0.02"],
    ];
    it("five answers make a commented document without findings, whose tests pass", async () => {
      const { code, stdout } = await policy("init", "newcomer", ...answers, "--out", "new/newcomer.yaml", "--json");
      assert.equal(code, 0, stdout);
      assert.match(
        readFileSync(join(folder, "new/newcomer.yaml"), "utf8"),
        /fee: \{ ETH-LOCAL: \{ max: "0.02" \} \} #/,
      );
      const checked = await policy("check", "new/newcomer.yaml", "--json");
      assert.deepEqual(json<{ documents: { findings: unknown[] }[] }>(checked.stdout).documents[0]!.findings, []);
      assert.equal((await policy("test", "new/newcomer.yaml")).code, 0);
    });
    it("never writes over a document", async () => {
      const { code } = await policy("init", "acme-fund", ...answers, "--out", `new/${HOT_WALLET}`);
      assert.equal(code, 1);
    });
    it("without a terminal a missing answer is named: exit 2", async () => {
      mkdirSync(dirname(join(folder, "policies/x")), { recursive: true });
      cpSync(join(folder, "new/shared"), join(folder, "policies/shared"), { recursive: true });
      const { code, stderr } = await policy("init", "newcomer", ...answers.slice(0, -2));
      assert.match(stderr, /expected answers to five questions, found none for --fee/);
      assert.equal(code, 2);
    });
    it("a wrong answer: the mistake, and nothing is written", async () => {
      const wrong = answers.map((answer) => answer.replace("0x7099", "0x7a99"));
      const { code, stderr } = await policy("init", "newcomer", ...wrong, "--out", "new/newcomer.yaml");
      assert.match(stderr, /policy-invalid: /);
      assert.equal(code, 1);
      assert.throws(() => readFileSync(join(folder, "new/newcomer.yaml")));
    });
  });

  it("schema: what ships as policies/schema.json", async () =>
    assert.equal((await policy("schema")).stdout, readFileSync(join(POLICIES, "schema.json"), "utf8")));
});
