import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SigningRequestView } from "../../src/domain/api.ts";
import { run, type Ran } from "../support/program.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";

// Goal: an officer sees before a policy takes effect what would change, and anybody who may read sees why and since when.
// Method: a real gateway with a demo client; requests of its wallet service; every command as its own process.

const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const ETHER = 10n ** 18n;

describe("portcullis policy, with a gateway", function () {
  let gateway: DevGateway;
  let work: string;
  let document: string;
  const signed: SigningRequestView[] = [];

  before(async () => {
    gateway = await startDevGateway();
    work = mkdtempSync(join(tmpdir(), "portcullis-officer-"));
    document = join(gateway.folder, "policies/examples/hot-wallet/acme-fund.yaml");
    for (const ether of [2n, 3n, 4n]) signed.push(await pay(ether));
  });
  after(async () => {
    await gateway?.stop();
    if (work) rmSync(work, { recursive: true, force: true });
  });

  const body = (ether: bigint) => ({
    key: "hot-1",
    payload: {
      type: "evm-transaction",
      transaction: {
        to: TREASURY,
        value: (ether * ETHER).toString(),
        gas: "21000",
        maxFeePerGas: "1000000000",
        maxPriorityFeePerGas: "0",
      },
    },
  });
  const pay = (ether: bigint) =>
    gateway.as("acme-fund", "payouts").sign("acme-fund", body(ether), { idempotencyKey: `pay-${ether}` });
  const policy = (caller: string, ...args: string[]): Promise<Ran> =>
    run(["policy", ...args, "--as", `${gateway.folder}/callers/${caller}.json`]);
  const officer = (...args: string[]) => policy("house/officer", ...args);
  const written = (name: string, text: string): string => {
    const path = join(work, name);
    writeFileSync(path, text);
    return path;
  };
  /** The active document, changed, beside the files that it uses. */
  const changed = (version: number, from: string, to: string): string => {
    const text = readFileSync(document, "utf8").replace(/version: \d+/, `version: ${version}`);
    assert.ok(text.includes(from), from);
    const path = join(gateway.folder, "policies/examples/hot-wallet", `changed-${version}.yaml`);
    writeFileSync(path, text.replace(from, to));
    return path;
  };
  const json = <T>({ stdout }: Ran): T => JSON.parse(stdout) as T;

  describe("explain", () => {
    it("a request: rule by rule, limit by limit, as it was decided", async () => {
      const { code, stdout } = await policy("acme-fund/payouts", "explain", signed[0]!.id);
      assert.match(stdout, /^ALLOWED\n {2}rule payouts allows operation 1\n/);
      assert.match(stdout, /✓ small-daily \(rolling 24h\): 2 on top of 0, cap 15 ETH-LOCAL, 15 left/);
      assert.equal(code, 0);
    });
    it("a body as it would be decided now, with what is missing", async () => {
      const file = written("large.json", JSON.stringify(body(50n)));
      const args = ["explain", file, "--client", "acme-fund", "--caller", "payouts"];
      const { code, stdout } = await officer(...args);
      assert.match(stdout, /^NEEDS APPROVAL\n/);
      assert.match(stdout, /· allow sweep, operation 1: its destinations do not have/);
      assert.match(stdout, /ask 2 more of officers to approve\n {2}then send the same request again\n/);
      assert.equal(code, 0);
      const asJson = json<{ outcome: string; missing: { approvals: unknown[] } }>(await officer(...args, "--json"));
      assert.deepEqual(
        [asJson.outcome, asJson.missing.approvals],
        ["needs-approval", [{ group: "officers", have: 0, need: 2 }]],
      );
    });
    it("an allowed body shows every rule, not only what matched", async () => {
      const file = written("small.json", JSON.stringify(body(1n)));
      const { stdout } = await policy("acme-fund/payouts", "explain", file);
      assert.match(stdout, /^ALLOWED/);
      assert.match(stdout, /· allow large-payouts, operation 1: the transaction's total of 1 ETH-LOCAL is not over 10/);
    });
    it("no such request: exit 1", async () =>
      assert.equal((await policy("acme-fund/payouts", "explain", "0".repeat(32))).code, 1));
  });

  describe("simulate", () => {
    it("lists the requests that would turn, each with its reason", async () => {
      const file = changed(2, 'max: "15"', 'max: "6"');
      const { code, stdout } = await officer("simulate", file, "--since", "1h");
      assert.equal(code, 0);
      const lines = stdout.trim().split("\n");
      assert.equal(lines[0], "acme-fund: 3 requests decided again, 1 would turn");
      assert.match(
        lines[1]!,
        new RegExp(`^ {2}${signed[2]!.id}: was allow, would be deny: limit small-daily: 4 ETH-LOCAL on top of 5`),
      );
    });
    it("what was authorized before `--since` fills the windows", async () => {
      const file = changed(2, 'max: "15"', 'max: "6"');
      const since = signed[2]!.submittedAt;
      const found = json<{ decided: number; turned: { id: string }[] }>(
        await officer("simulate", file, "--since", since, "--json"),
      );
      assert.deepEqual([found.decided, found.turned.map(({ id }) => id)], [1, [signed[2]!.id]]);
    });
    it("the active document turns nothing", async () => {
      const found = json<{ decided: number; turned: unknown[] }>(
        await officer("simulate", document, "--since", "1h", "--json"),
      );
      assert.deepEqual([found.decided, found.turned], [3, []]);
    });
    it("no time at all: exit 2; a wallet service may not: exit 1", async () => {
      assert.equal((await officer("simulate", document, "--since", "yesterday")).code, 2);
      assert.equal((await policy("acme-fund/payouts", "simulate", document, "--since", "1h")).code, 1);
    });
  });

  describe("sign, apply, show", () => {
    it("what is active, since when, by whose signature", async () => {
      const { code, stdout } = await officer("show", "--client", "acme-fund");
      assert.match(stdout, /^# version 1, sha256:[0-9a-f]{64}\n# applied \d{4}-.*Z, leaf \d+, signed by officer\n/);
      assert.match(stdout, /\nkind: ClientPolicy\n/);
      assert.equal(code, 0);
    });
    it("sign shows the change, and prints what was signed with the signature", async () => {
      const { code, stdout, stderr } = await officer("sign", changed(2, 'max: "600"', 'max: "500"'));
      assert.match(stderr, /acme-fund, version 1 to 2: tightening.*\n {2}- limit `eth-daily` holds what nothing held/);
      assert.match(stdout, /^portcullis\/policy\/v1\norigin: dev-.*\nclient: acme-fund\nversion: 2\n/);
      assert.match(stdout, /\nofficer:[A-Za-z0-9+/]{86}==\n$/);
      assert.equal(code, 0);
    });
    it("apply shows the change and makes it active; a signature that is not over this document is refused", async () => {
      const file = changed(2, 'max: "600"', 'max: "500"');
      const other = json<{ signature: string }>(
        await officer("sign", changed(3, 'max: "600"', 'max: "400"'), "--json"),
      );
      const refused = await officer("apply", file, "--signature", `officer:${other.signature}`, "--json");
      assert.deepEqual([refused.code, json<{ error: { code: string } }>(refused).error.code], [1, "policy-signatures"]);
      const { code, stdout, stderr } = await officer("apply", file);
      assert.match(stderr, /version 1 to 2: tightening/);
      assert.match(stdout, /^acme-fund: version 2 is active\n {2}sha256:/);
      assert.equal(code, 0);
    });
    it("the history, and an older version", async () => {
      const history = await officer("show", "--client", "acme-fund", "--history");
      assert.match(history.stdout, /^active +2 .* leaf \d+ +sha256:[0-9a-f]+ +officer\n +1 /);
      const { versions } = json<{ versions: { version: number; active: boolean }[] }>(
        await officer("show", "--client", "acme-fund", "--history", "--json"),
      );
      assert.deepEqual(
        versions.map(({ version, active }) => [version, active]),
        [
          [2, true],
          [1, false],
        ],
      );
      const old = json<{ version: number; files: Record<string, string> }>(
        await officer("show", "--client", "acme-fund", "--version", "1", "--json"),
      );
      assert.deepEqual([old.version, Object.values(old.files).some((text) => text.includes('max: "600"'))], [1, true]);
      assert.match(
        (await officer("show", "--client", "house")).stdout,
        /signed by nobody: the gateway was founded with it/,
      );
    });
    it("an old document never comes back: exit 1", async () => {
      const { code, stderr } = await officer("apply", document);
      assert.match(
        stderr,
        /policy-conflict: expected a version above 2, which is active, found 1\n {2}hint: raise `version`/,
      );
      assert.equal(code, 1);
    });
    it("a document whose own test fails is not signed and not applied", async () => {
      const file = changed(4, "expect: { decision: allow, rule: payouts }", "expect: { decision: deny }");
      for (const command of ["sign", "apply"]) {
        const { code, stderr } = await officer(command, file);
        assert.match(stderr, /policy-check-failed: .*test `a small payout to the treasury is signed at once` fails/);
        assert.equal(code, 1);
      }
    });
    it("somebody who is no officer cannot apply", async () => {
      const { code, stderr } = await policy("house/operator", "apply", changed(5, 'max: "600"', 'max: "700"'));
      assert.match(stderr, /not-permitted: /);
      assert.equal(code, 1);
    });
  });
});
