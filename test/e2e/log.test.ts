import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SigningRequestView } from "../../src/sdk/client.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";
import { buildGoAuditor, type GoAuditor } from "../support/go-auditor.ts";
import { eventually } from "../support/processes.ts";
import { run as runProgram } from "../support/program.ts";

// Goal: what an auditor does with the program works on a running gateway, and others agree: OpenSSL about the
// checkpoint's signature; Go's golang.org/x/mod/sumdb, which verifies Go's own log, about checkpoint, receipt and tiles.
// Method: edge, vault and SoftHSM as `portcullis dev` runs them; the commands as a person types them.

const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

describe("the log, end to end", function () {
  let gateway: DevGateway;
  let folder: string;
  let vkey: string;
  let signed: SigningRequestView;
  let go: GoAuditor;
  const at = (name: string) => join(folder, name);
  const callerFile = (of: string, name: string) => `${gateway.folder}/callers/${of}/${name}.json`;

  type Said = Readonly<Record<string, unknown>> & { readonly error?: { readonly code: string } };
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await runProgram(["log", ...args, "--json"]);
    assert.notEqual(stdout, "", stderr);
    return { status: code, value: JSON.parse(stdout) as Said };
  };

  before(async () => {
    gateway = await startDevGateway();
    go = buildGoAuditor();
    folder = mkdtempSync(join(tmpdir(), "portcullis-log-"));
    const wallet = gateway.as("acme-fund", "payouts");
    const body = {
      key: gateway.clients[0]!.keys[0]!.name,
      payload: {
        type: "evm-transaction",
        transaction: {
          chainId: "31337",
          to: TREASURY,
          value: "1000",
          gas: "21000",
          maxFeePerGas: "1000000000",
          maxPriorityFeePerGas: "1",
        },
      },
    };
    signed = await wallet.sign("acme-fund", body, { idempotencyKey: randomUUID() });
    assert.equal(signed.state, "signed");
    vkey = (await gateway.as("house", "auditor").get<{ key: string }>("/v1/log/openings?limit=1")).key;
    await coveredBy(signed);
  });
  after(async () => {
    await gateway.stop();
    go.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const checkpoint = async (): Promise<string> => (await fetch(`${gateway.url}/v1/log/checkpoint`)).text();
  const sizeOf = (note: string) => Number(note.split("\n")[1]);

  async function coveredBy({ leaves }: SigningRequestView): Promise<void> {
    const index = (leaves as { outcome: { index: number } }).outcome.index;
    await eventually("a checkpoint covers it", async () => sizeOf(await checkpoint()) > index);
  }

  it("within seconds everything is under a checkpoint, whose signature OpenSSL verifies", async () => {
    const note = await checkpoint();
    const index = (signed.leaves as { outcome: { index: number } }).outcome.index;
    assert.ok(sizeOf(note) > index);
    const [text, line] = note.split("\n\n") as [string, string];
    const [, name, id, key] = /^([^+]+)\+([0-9a-f]{8})\+(.+)$/.exec(vkey)!;
    const raw = Buffer.from(key!, "base64");
    const keyId = createHash("sha256").update(`${name}\n`).update(raw).digest().subarray(0, 4);
    assert.equal(keyId.toString("hex"), id);
    const signature = Buffer.from(line.trim().split(" ")[2]!, "base64");
    assert.deepEqual(signature.subarray(0, 4), keyId);
    writeFileSync(at("text"), `${text}\n`);
    writeFileSync(at("signature"), signature.subarray(4));
    const spki = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), raw.subarray(1)]);
    writeFileSync(at("key.der"), spki);
    const said = execFileSync("openssl", [
      ...["pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", at("key.der")],
      ...["-in", at("text"), "-sigfile", at("signature")],
    ]);
    assert.match(said.toString(), /Verified Successfully/);
  });

  it("the auditor exports and verifies everything", async () => {
    const exported = await run("export", at("log.jsonl"), "--as", callerFile("house", "auditor"));
    assert.equal(exported.status, 0);
    const promise = at("promise.json");
    writeFileSync(promise, JSON.stringify(signed));
    const { status, value } = await run("verify", at("log.jsonl"), "--key", vkey, "--promise", promise);
    assert.deepEqual([status, value["ok"], value["findings"]], [0, true, []]);
    assert.ok(Number(value["limitsHeld"]) > 0 && Number(value["signatures"]) > 0);
  });

  it("one byte of the export changed, the command fails and names it", async () => {
    const text = readFileSync(at("log.jsonl"), "utf8");
    writeFileSync(at("changed.jsonl"), text.replace('\\"payouts\\"', '\\"payoutz\\"'));
    const { status, value } = await run("verify", at("changed.jsonl"), "--key", vkey);
    assert.deepEqual([status, value["ok"]], [1, false]);
    assert.ok((value["findings"] as { code: string }[]).some(({ code }) => code === "previous-differs"));
  });

  it("a client's person verifies the client's own part", async () => {
    assert.equal((await run("export", at("own.jsonl"), "--as", callerFile("acme-fund", "alice"))).status, 0);
    const { status, value } = await run("verify", at("own.jsonl"), "--key", vkey);
    assert.deepEqual([status, value["of"], value["findings"]], [0, "acme-fund", []]);
  });

  it("a receipt is fetched, and verifies offline with the key alone", async () => {
    const caller = callerFile("acme-fund", "payouts");
    assert.equal((await run("prove", signed.id, "--out", at("one.tlog-proof"), "--as", caller)).status, 0);
    const { status, value } = await run("verify", "--receipt", at("one.tlog-proof"), "--key", vkey);
    assert.equal(status, 0);
    const [{ opening }] = value["receipts"] as [{ opening: { type: string; request: string } }];
    assert.deepEqual([opening.type, opening.request], ["signed", signed.id]);
    const forged = readFileSync(at("one.tlog-proof"), "utf8").replace(/index [0-9]+/, "index 1");
    writeFileSync(at("forged.tlog-proof"), forged);
    const refused = await run("verify", "--receipt", at("forged.tlog-proof"), "--key", vkey);
    assert.deepEqual([refused.status, refused.value.error!.code], [1, "not-in-tree"]);
  });

  it("anybody follows the checkpoints: the newest one is proven to extend the last", async () => {
    const flags = ["--url", gateway.url, "--key", vkey];
    assert.equal((await run("checkpoint", ...flags, "--out", at("first"))).status, 0);
    copyFileSync(at("first"), at("before"));
    const before = sizeOf(readFileSync(at("before"), "utf8"));
    await gateway.as("house", "operator").call("POST", "/v1/clients", {
      body: { client: "later" },
      idempotencyKey: randomUUID(),
    });
    await eventually("a newer checkpoint", async () => sizeOf(await checkpoint()) > before);
    const { status, value } = await run("checkpoint", ...flags, "--after", at("before"));
    assert.deepEqual([status, (value["size"] as number) > before], [0, true]);
  });

  const changed = (name: string, from: string | RegExp, to: string): string => {
    const text = readFileSync(at(name), "utf8");
    assert.match(text, typeof from === "string" ? new RegExp(from) : from);
    writeFileSync(at(`changed ${name}`), text.replace(from, to));
    return at(`changed ${name}`);
  };

  it("Go accepts the checkpoint, and none with another size", async () => {
    const size = readFileSync(at("before"), "utf8").split("\n")[1]!;
    assert.deepEqual(await go.run("checkpoint", vkey, at("before")), { ok: true, said: size });
    const refused = await go.run("checkpoint", vkey, changed("before", `\n${size}\n`, `\n${size}0\n`));
    assert.deepEqual([refused.ok, refused.said], [false, `invalid signature for key ${vkey.split("+", 2).join("+")}`]);
  });

  it("Go accepts the receipt, and none of another leaf, or at another place", async () => {
    const { ok, said } = await go.run("receipt", vkey, at("one.tlog-proof"));
    assert.deepEqual([ok, (JSON.parse(said) as { request: string }).request], [true, signed.id]);
    const extra = readFileSync(at("one.tlog-proof"), "utf8").split("\n")[1]!;
    const leaf = JSON.parse(Buffer.from(extra.slice(6), "base64").toString()) as { at: number };
    const other = Buffer.from(JSON.stringify({ ...leaf, at: leaf.at + 1 })).toString("base64");
    for (const forged of [at("forged.tlog-proof"), changed("one.tlog-proof", /^extra .+$/m, `extra ${other}`)]) {
      const refused = await go.run("receipt", vkey, forged);
      assert.deepEqual([refused.ok, refused.said.split("\n").at(-1)], [false, "invalid transparency proof"]);
    }
  });

  it("Go follows the log over its tiles: the newest checkpoint extends the one that was kept", async () => {
    const { ok, said } = await go.run("follow", vkey, `${gateway.url}/v1/log`, at("before"));
    assert.equal(ok, true, said);
    assert.ok(Number(said) > sizeOf(readFileSync(at("before"), "utf8")));
  });

  it("the anchor stands outside the store's folder, and holds the newest checkpoint", async () => {
    const { gateway: name } = JSON.parse(readFileSync(`${gateway.folder}/gateway.json`, "utf8")) as { gateway: string };
    assert.ok(existsSync(`${gateway.folder}/${name}.anchor`));
    const anchored = () => readFileSync(`${gateway.folder}/${name}.anchor`, "utf8");
    // A newer one may come between the two, and stands in the anchor before it is shown.
    await eventually("the anchor is the newest checkpoint", async () => anchored() === (await checkpoint()));
  });
});
