import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { startDevGateway } from "../support/gateway.ts";
import { eventually } from "../support/processes.ts";
import { run, type Ran } from "../support/program.ts";
import { assertTranscript, type Typed } from "../support/transcript.ts";

// Goal: officers change what holds together, with time to see it, whenever the power goes, and anybody reads who decides.
// Method: a real gateway whose house asks for two officers and a delay of an hour, and whose clock the test moves; every
// command as its own process.

const HOUR_MS = 3_600_000;

describe("governance, with a gateway", function () {
  let gateway: TestGateway;
  let work: string;

  before(async () => {
    gateway = await startGateway();
    work = mkdtempSync(join(tmpdir(), "portcullis-governance-"));
  });
  after(async () => {
    await gateway?.stop();
    if (work) rmSync(work, { recursive: true, force: true });
  });

  const caller = (name: string) =>
    name === "deputy" ? join(work, "deputy.json") : `${gateway.folder}/callers/house/${name}.json`;
  const as = (name: string, ...args: string[]): Promise<Ran> => run([...args, "--as", caller(name)]);
  const done = async (ran: Promise<Ran>): Promise<Ran> => {
    const ended = await ran;
    assert.equal(ended.code, 0, ended.stderr);
    return ended;
  };
  const stored = async (client: string) =>
    JSON.parse((await done(as("officer", "policy", "show", "--client", client, "--json"))).stdout) as {
      entry: string;
      files: Record<string, string>;
      version: number;
    };
  /** The active document with another text in it, as a file beside those that it uses. */
  const changed = async (client: string, change: (text: string) => string): Promise<string> => {
    const { entry, files, version } = await stored(client);
    const folder = client === "house" ? work : `${gateway.folder}/policies`;
    const path = join(folder, client === "house" ? "house.yaml" : `examples/hot-wallet/acme-changed-${version}.yaml`);
    const text = change(files[entry]!).replace(/version: (\d+)/, (_, old: string) => `version: ${Number(old) + 1}`);
    writeFileSync(path, text);
    return path;
  };
  const signatureOf = ({ stdout }: Ran): string => stdout.trimEnd().split("\n").at(-1)!;
  const versionOf = async () => (await stored("acme-fund")).version;

  it("two officers change a policy: it waits, one of them ends it, and the next one becomes active by itself", async () => {
    const keygen = [
      "caller",
      "keygen",
      "deputy",
      "--gateway",
      `${gateway.folder}/gateway.json`,
      "--out",
      caller("deputy"),
    ];
    await done(run(keygen));
    const { publicKey } = JSON.parse(readFileSync(caller("deputy"), "utf8")) as { publicKey: string };
    const house = await changed("house", (text) =>
      text
        .replace("policyQuorum: 1", "policyQuorum: 2\npolicyDelay: 1h")
        .replace(/^callers:\n/m, `callers:\n  deputy: { role: policy-officer, keys: ["${publicKey}"] }\n`),
    );
    await done(as("officer", "policy", "apply", house, "--yes"));
    const shown = await done(as("auditor", "governance", "show"));
    assert.match(
      shown.stdout,
      /2 of 2 policy officers sign a change; what is not only tightening waits: 1h\nno officer to spare/,
    );
    assertTranscript("docs/governance.md", "show", [{ line: "governance show --as auditor.json", ran: shown }]);

    const looser = await changed("acme-fund", (text) => text.replace('max: "600"', 'max: "700"'));
    const file = "acme-fund.yaml";
    const typed: Typed[] = [];
    const type = async (line: string, ran: Promise<Ran>): Promise<Ran> => {
      typed.push({ line, ran: await ran });
      return typed.at(-1)!.ran;
    };
    const alone = await type(
      `policy apply ${file} --as officer.json`,
      as("officer", "policy", "apply", looser, "--yes"),
    );
    assert.match(alone.stderr, /policy-signatures: expected signatures of 2 policy officers, found 1/);
    const signature = signatureOf(await done(as("deputy", "policy", "sign", looser, "--yes")));
    const apply = () => as("officer", "policy", "apply", looser, "--yes", "--signature", signature);
    const waits = await done(type(`policy apply ${file} --as officer.json --signature deputy:…`, apply()));
    assert.match(waits.stdout, /^acme-fund: version 2 waits until /);
    await gateway.crash();
    await done(
      type(
        "policy cancel --client acme-fund --as deputy.json",
        as("deputy", "policy", "cancel", "--client", "acme-fund"),
      ),
    );
    await gateway.crash();
    gateway.advance(2 * HOUR_MS);
    await sleep(5_000); // the vault looks every two seconds for what is due
    assert.equal(await versionOf(), 1);

    await done(apply());
    await gateway.crash();
    gateway.advance(2 * HOUR_MS);
    await eventually("the change is active", async () => (await versionOf()) === 2);
    const history = await done(
      type(
        "policy show --history --client acme-fund --as auditor.json",
        as("auditor", "policy", "show", "--history", "--client", "acme-fund"),
      ),
    );
    assert.match(history.stdout, /active +2 /);
    assertTranscript("docs/governance.md", "change", typed);
  });

  it("what is only tighter is active at once", async () => {
    const tighter = await changed("acme-fund", (text) => text.replace('max: "700"', 'max: "650"'));
    const signature = signatureOf(await done(as("deputy", "policy", "sign", tighter, "--yes")));
    const applied = await done(as("officer", "policy", "apply", tighter, "--yes", "--signature", signature));
    assert.match(applied.stdout, /^acme-fund: version 3 is active/);
  });

  it("an auditor's check of the exported log agrees", async () => {
    const file = join(work, "log.jsonl");
    await done(as("auditor", "log", "export", file));
    const { code, stdout, stderr } = await run(["log", "verify", file]);
    assert.equal(code, 0, `${stdout}${stderr}`);
  });
});

describe("a rehearsal, as docs/governance.md says", () => {
  it("a change is applied, tested and simulated on a gateway that is thrown away", async () => {
    const policy = fileURLToPath(new URL("../../policies/examples/hot-wallet/acme-fund.yaml", import.meta.url));
    const gateway = await startDevGateway(["--policy", policy]);
    try {
      const own = join(gateway.folder, "policies/examples/hot-wallet/acme-fund.yaml");
      const changed = own.replace("acme-fund", "changed");
      const text = readFileSync(own, "utf8");
      writeFileSync(changed, text.replace('max: "600"', 'max: "700"').replace("version: 1 ", "version: 2 "));
      const officer = ["--as", `${gateway.folder}/callers/house/officer.json`];
      for (const [args, says] of [
        [["apply", changed, "--yes", ...officer], /^acme-fund: version 2 is active/],
        [["test", changed], /pass/],
        [["simulate", changed, "--since", "30d", ...officer], /./],
      ] as const) {
        const { code, stdout, stderr } = await run(["policy", ...args]);
        assert.equal(code, 0, `${args[0]}: ${stdout}${stderr}`);
        assert.match(stdout, says);
      }
    } finally {
      await gateway.stop();
    }
  });
});
