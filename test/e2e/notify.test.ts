import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Notice } from "../../src/cli/notices.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";
import { run, type Ran } from "../support/program.ts";

// Goal: those who have to approve are told, once, by notices that they can verify, and nothing in them is a secret.
// Method: a real gateway, the command as its own process, a receiver that fails first.

const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

describe("portcullis notify", function () {
  let gateway: DevGateway;
  let work: string;
  let server: Server;
  let failures = 0;
  const received: { headers: NodeJS.Dict<string | string[]>; body: string }[] = [];

  before(async () => {
    gateway = await startDevGateway();
    work = mkdtempSync(join(tmpdir(), "portcullis-notify-"));
    server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk: Buffer) => (body += chunk.toString()));
      request.on("end", () => {
        if (failures-- > 0) return void response.writeHead(500).end();
        received.push({ headers: request.headers, body });
        response.writeHead(204).end();
      });
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
  });
  after(async () => {
    server.close();
    await gateway?.stop();
    if (work) rmSync(work, { recursive: true, force: true });
  });

  const ask = (key: string) => {
    const transaction = {
      to: TREASURY,
      value: (50n * 10n ** 18n).toString(),
      gas: "21000",
      maxFeePerGas: "1",
      maxPriorityFeePerGas: "0",
    };
    const body = { key: "hot-1", payload: { type: "evm-transaction", transaction } };
    return gateway.as("acme-fund", "payouts").sign("acme-fund", body, { idempotencyKey: key });
  };
  const as = (caller: string) => ["--as", `${gateway.folder}/callers/${caller}.json`];
  const notify = (...args: string[]): Promise<Ran> =>
    run(["notify", "--once", "--state", join(work, "told.json"), ...args]);
  const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  const hooked = (...args: string[]) =>
    notify(...as("acme-fund/alice"), "--webhook", url(), "--key", join(work, "notices.pem"), ...args);
  const notices = () => received.splice(0).map(({ body }) => JSON.parse(body) as Notice);

  it("says what is missing of whom, signed by a key of its own, after failures too, and once", async () => {
    failures = 2;
    const { id } = await ask("payment-1");
    const ran = await hooked();
    assert.equal(ran.code, 0, ran.stderr);
    const publicKey = /verify notices with (ed25519:\S+)/.exec(ran.stderr)![1]!;
    const [{ headers, body }] = received as [(typeof received)[number]];
    const [version, signature] = (headers["webhook-signature"] as string).split(",");
    const x = Buffer.from(publicKey.slice("ed25519:".length), "base64").toString("base64url");
    const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    const signed = `${headers["webhook-id"] as string}.${headers["webhook-timestamp"] as string}.${body}`;
    assert.ok(version === "v1a" && verify(null, Buffer.from(signed), key, Buffer.from(signature!, "base64")));
    const notice = JSON.parse(body) as Notice;
    assert.deepEqual(
      [notice.type, notice.request, notice.state, notice.missing],
      ["request.waiting", id, "pending", [{ group: "officers", more: 2, from: ["alice", "bob", "carla"] }]],
    );
    assert.equal(headers["webhook-id"], notice.id);
    for (const secret of [TREASURY, "50000000000000000000", "hot-1"]) assert.ok(!body.includes(secret), secret);
    assert.equal(received.splice(0).length, 1);
    await hooked();
    assert.deepEqual(notices(), []);
  });

  it("says who is still missing, then that it is ready, then that it has ended", async () => {
    const { id } = await ask("payment-1");
    const approve = async (person: string) => {
      const { code, stderr } = await run(["approval", "approve", id, "--yes", ...as(`acme-fund/${person}`)]);
      assert.equal(code, 0, stderr);
    };
    await approve("alice");
    await hooked();
    assert.deepEqual(
      notices().map(({ type, missing }) => [type, missing[0]?.from]),
      [["request.waiting", ["bob", "carla"]]],
    );
    await approve("bob");
    await hooked();
    assert.deepEqual(
      notices().map(({ type }) => type),
      ["request.ready"],
    );
    await ask("payment-1");
    await hooked();
    assert.deepEqual(
      notices().map(({ type, state }) => [type, state]),
      [["request.ended", "signed"]],
    );
    await hooked();
    assert.deepEqual(notices(), []);
  });

  it("reminds before it lapses, by a program that gets the notice and none of our environment", async () => {
    await ask("payment-2");
    const [program, out] = [join(work, "hook.sh"), join(work, "hook.out")];
    writeFileSync(program, `#!/bin/sh\ncat >> ${out}\nprintf '\\n%s\\n' "$PORTCULLIS_CALLER" >> ${out}\n`);
    chmodSync(program, 0o700);
    const { code, stderr } = await notify(...as("house/auditor"), "--command", program, "--remind", "25h");
    assert.equal(code, 0, stderr);
    const told = readFileSync(out, "utf8")
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => (JSON.parse(line) as Notice).type);
    assert.deepEqual(told, ["request.waiting", "request.reminder"]);
  });

  it("is refused over a wire that anybody can read", async () => {
    const { code, stderr } = await notify(
      ...as("acme-fund/alice"),
      "--webhook",
      "http://example.com/",
      "--key",
      join(work, "notices.pem"),
    );
    assert.deepEqual(
      [code, stderr.split("\n")[0]],
      [2, "usage: expected an `https:` address as `--webhook`, found `http://example.com/`"],
    );
  });
});
