import assert from "node:assert/strict";
import { randomInt, randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmodSync, cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent } from "node:http";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Transaction } from "ethers";
import { connect, type SigningRequestView } from "../../src/sdk/client.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";
import { leavesOf, requestsOf } from "../support/ledger.ts";
import { eventually, findEdge, isRunning, processesOf } from "../support/processes.ts";
import { run, start, type Started } from "../support/program.ts";
import { send, signed, type WireRequest } from "../support/wire.ts";

// Goal: the gateway starts, stops, dies and comes back without losing a withdrawal, making one twice or leaving anything
// behind; and a real one can be begun and used by the command line alone.
// Method: the programs as people run them; the operating system says which processes are there, the store what they did.

const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"; // `treasury` in the demo's address book
const TARGET = "/v1/clients/acme-fund/signing-requests";

/** How long Node keeps a connection open for a next request. */
const KEEP_ALIVE_MS = 5000;

const payment = (value = "1") => ({
  key: "hot-1",
  payload: {
    type: "evm-transaction",
    transaction: { to: TREASURY, value, gas: "21000", maxFeePerGas: "30000000000", maxPriorityFeePerGas: "1000000000" },
  },
});

const requestAs = (gateway: DevGateway, idempotencyKey: string): WireRequest =>
  signed(gateway.as("acme-fund", "payouts").caller, {
    method: "POST",
    target: TARGET,
    body: Buffer.from(JSON.stringify(payment())),
    idempotencyKey,
  });

const sign = (gateway: DevGateway) =>
  gateway.as("acme-fund", "payouts").sign("acme-fund", payment(), { idempotencyKey: randomUUID() });

const accountsOf = (gateway: DevGateway) => gateway.clients.map(({ keys }) => keys.map(({ accounts }) => accounts));

/** Pids of everything that belongs to a gateway. */
const allOf = (gateway: DevGateway): number[] => [
  gateway.process.pid!,
  ...Object.values(processesOf(gateway.process.pid!)),
];
const gone = (pids: readonly number[]) => eventually("no process left", () => !pids.some(isRunning));

describe("processes of a development gateway", function () {
  const started: DevGateway[] = [];
  const folders: string[] = [];
  const dev = async (...flags: string[]): Promise<DevGateway> => {
    const gateway = await startDevGateway(flags);
    started.push(gateway);
    return gateway;
  };
  const folder = (): string => {
    const made = mkdtempSync(join(tmpdir(), "portcullis-processes-"));
    folders.push(made);
    return made;
  };
  afterEach(async () => {
    for (const gateway of started.splice(0)) await gateway.stop();
    for (const each of folders.splice(0)) rmSync(each, { recursive: true, force: true });
  });

  it("told to end with 32 requests under way, it answers each or takes none of it, and a kept one goes on where it was", async () => {
    const kept = folder();
    const first = await dev("--keep", kept);
    const [pids, { edge }] = [allOf(first), processesOf(first.process.pid!)];
    const keys = Array.from({ length: 32 }, (_, index) => `payout-${index}`);
    const requests = keys.map((key) => requestAs(first, key));
    const connections = new Agent({ keepAlive: true });
    let lastAnsweredAt = 0;
    const outcomes = requests.map((request) =>
      send(first.url, request, connections)
        .then(
          ({ status, body }) => ({ status, body }),
          (error: NodeJS.ErrnoException) => ({ status: error.code, body: undefined }),
        )
        .finally(() => (lastAnsweredAt = Date.now())),
    );
    await Promise.race(outcomes); // some are answered, most are under way
    const exited = once(first.process, "exit") as Promise<[number | null]>;
    first.process.kill("SIGTERM");
    await eventually("the edge has ended", () => !isRunning(edge));
    const edgeEndedAt = Date.now();
    const [[code], answers] = [await exited, await Promise.all(outcomes)];
    const idleMs = edgeEndedAt - lastAnsweredAt;
    connections.destroy();

    assert.equal(code, 0);
    assert.ok(idleMs < KEEP_ALIVE_MS, `it waited for connections on which nothing more came: ${idleMs} ms`);
    await gone(pids);
    const taken = [201, 503, "ECONNREFUSED", "ECONNRESET", "EPIPE"]; // the last two: it was still waiting to be accepted
    for (const { status } of answers) assert.ok(taken.includes(status!), `answered ${status}`);
    const ofType = (type: string) =>
      leavesOf(kept)
        .filter((leaf) => leaf.type === type)
        .map(({ request }) => request)
        .sort();
    assert.deepEqual(ofType("signed"), ofType("authorized"), "what was authorized is signed: nothing was cut short");
    assert.equal(ofType("signed").length, answers.filter(({ status }) => status === 201).length);

    const second = await dev("--keep", kept);
    assert.deepEqual(accountsOf(second), accountsOf(first));
    for (const [index, key] of keys.entries()) {
      const { status, body } = await send(second.url, requestAs(second, key));
      assert.equal(status, 201);
      if (answers[index]!.body !== undefined && answers[index]!.status === 201)
        assert.deepEqual(body, answers[index]!.body);
    }
    await second.stop();
    assert.equal(ofType("signed").length, 32);
    assert.equal(new Set(ofType("signed")).size, 32);
    assert.ok(requestsOf(kept, "acme-fund").every(({ state }) => state === "signed"));
  });

  it("thrown away, it leaves no process and no folder, whether it was told by SIGTERM or SIGINT", async () => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      const gateway = await dev();
      const pids = allOf(gateway);
      gateway.process.kill(signal);
      const [code] = (await once(gateway.process, "exit")) as [number | null];
      assert.equal(code, 0);
      await gone(pids);
      assert.ok(!existsSync(gateway.folder));
    }
  });

  it("killed without warning, it leaves no process that goes on signing", async () => {
    const gateway = await dev();
    const pids = allOf(gateway);
    gateway.process.kill("SIGKILL");
    await once(gateway.process, "exit");
    folders.push(gateway.folder);
    await gone(pids);
  });

  it("two run side by side, and neither takes the other's callers", async () => {
    const [one, other] = await Promise.all([dev(), dev()]);
    assert.notEqual(one.url, other.url);
    assert.notDeepEqual(accountsOf(one), accountsOf(other));
    assert.equal((await sign(one)).state, "signed");
    assert.equal((await sign(other)).state, "signed");
    const { status, body } = await send(other.url, requestAs(one, randomUUID()));
    assert.deepEqual([status, (JSON.parse(body.toString()) as { code: string }).code], [401, "wrong-gateway"]);
    await one.stop();
    assert.equal((await sign(other)).state, "signed");
  });

  it("an edge that is killed comes back on the same port, and a request made meanwhile is signed once", async () => {
    const gateway = await dev();
    const { edge } = processesOf(gateway.process.pid!);
    process.kill(edge, "SIGKILL");
    const view = await sign(gateway);
    assert.equal(view.state, "signed");
    const again = await eventually("another edge", () => findEdge(gateway.process.pid!));
    assert.notEqual(again, edge);
    assert.equal((await fetch(`${gateway.url}/readyz`)).status, 200);
    assert.deepEqual(
      leavesOf(gateway.folder)
        .filter(({ type }) => type === "signed")
        .map(({ request }) => request),
      [view.id],
    );
  });

  it("--policy serves that client under that policy, and its wallet service has the proxy", async () => {
    const policies = folder();
    cpSync(POLICIES, policies, { recursive: true });
    const file = join(policies, "solo.yaml");
    writeFileSync(file, SOLO);
    const gateway = await dev("--policy", file);
    assert.deepEqual(
      gateway.clients.map(({ client, keys }) => [client, keys.map(({ name }) => name)]),
      [["solo-fund", ["purse"]]],
    );
    const ask = async (value: string) => {
      const body = JSON.stringify({ ...payment(value), key: "purse" });
      const headers = { "idempotency-key": randomUUID() };
      return (
        await fetch(`${gateway.proxyUrl}/v1/clients/solo-fund/signing-requests`, { method: "POST", headers, body })
      ).status;
    };
    assert.equal(await ask("1000"), 201);
    assert.equal(await ask("1001"), 403);
  });

  it("the tour alone is one JSON document with its four results, ends with 0 and leaves nothing", async () => {
    const { code, stdout } = await run(["dev", "--tour", "--tour-only", "--json", "--port", "0", "--proxy-port", "0"]);
    assert.equal(code, 0);
    const { tour, folder: used } = JSON.parse(stdout) as {
      folder: string;
      tour: Record<string, { state?: string; code?: string; result?: { signedTransaction: string; address: string } }>;
    };
    assert.equal(tour["signed"]!.state, "signed");
    const { signedTransaction, address } = tour["signed"]!.result!;
    assert.equal(Transaction.from(signedTransaction).from, address);
    assert.equal(tour["denied"]!.code, "denied-by-policy");
    assert.equal(tour["pending"]!.state, "pending");
    assert.equal(tour["refused"]!.code, "key-not-found");
    assert.ok(!existsSync(used));
  });

  it("one that cannot have its proxy's port says so and ends, its processes with it", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    const { code, stdout } = await run(["dev", "--json", "--port", "0", "--proxy-port", String(port)]);
    other.close();
    assert.equal(code, 1);
    assert.equal((JSON.parse(stdout) as { error: { code: string } }).error.code, "port-unavailable");
  });
});

describe("a gateway begun by the command line alone", function () {
  let folder: string;
  let serving: Started<{ url: string; isolation: string; pids: { vault: number; edge: number } }>;

  const at = (...names: string[]) => join(folder, ...names);
  const officer = () => ["--as", at("callers", "officer.json"), "--json"];
  const operator = () => ["--as", at("callers", "operator.json"), "--json"];
  const payouts = () => ["--as", at("callers", "payouts.json"), "--json"];
  async function ok<T>(...args: string[]): Promise<T> {
    const { code, stdout, stderr } = await run(args, { cwd: folder });
    assert.equal(code, 0, `${args.join(" ")}: ${stderr}${stdout}`);
    return JSON.parse(stdout) as T;
  }

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-init-"));
    chmodSync(folder, 0o711); // as root the edge has a user of its own, who passes through to the socket
  });
  after(async () => {
    await serving?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  it("init makes everything in one folder, and nothing twice", async () => {
    const made = await ok<{ callers: string[]; gateway: { gateway: string } }>(
      "init",
      "--name",
      "trial",
      "--dir",
      folder,
      "--listen",
      `127.0.0.1:${await freePort()}`,
      "--discard-so-pin",
      "--json",
    );
    assert.equal(made.gateway.gateway, "trial");
    assert.deepEqual(
      leavesOf(folder).map(({ type, client }) => [type, client]),
      [["genesis", "house"]],
    );
    const before = readFileSync(at("portcullis.yaml"), "utf8");
    const { code, stdout } = await run(["init", "--name", "other", "--dir", folder, "--discard-so-pin", "--json"]);
    assert.equal(code, 1);
    assert.equal((JSON.parse(stdout) as { error: { code: string } }).error.code, "already-initialised");
    assert.equal(readFileSync(at("portcullis.yaml"), "utf8"), before);
  });

  it("serve starts edge and vault, and status sees them", async () => {
    serving = await start(["serve", "--config", at("portcullis.yaml"), "--json"]);
    assert.deepEqual(processesOf(serving.process.pid!), serving.ready.pids);
    const status = await ok<{ status: string; gateway: string; isolation: string }>(
      "status",
      "--url",
      serving.ready.url,
      "--json",
    );
    assert.deepEqual([status.status, status.gateway, status.isolation], ["ready", "trial", serving.ready.isolation]);
  });

  it("operator and officer bring a client, its key and its policy; a wallet service signs", async () => {
    await ok("client", "add", "solo-fund", ...operator());
    const { accounts } = await ok<{ accounts: string[] }>(
      "key",
      "create",
      "purse",
      "--client",
      "solo-fund",
      "--chain",
      "eip155:31337",
      ...operator(),
    );
    const { publicKey } = await ok<{ publicKey: string }>(
      "caller",
      "keygen",
      "payouts",
      "--gateway",
      at("gateway.json"),
      "--client",
      "solo-fund",
      "--out",
      at("callers", "payouts.json"),
      "--json",
    );
    cpSync(join(POLICIES, "shared"), at("policies", "shared"), { recursive: true });
    writeFileSync(
      at("policies", "solo.yaml"),
      SOLO.replace(
        /payouts: \{ role: wallet-service, keys: \["[^"]*"\]/,
        `payouts: { role: wallet-service, keys: ["${publicKey}"]`,
      ),
    );
    await ok("policy", "check", at("policies", "solo.yaml"), "--json");
    await ok("policy", "apply", at("policies", "solo.yaml"), ...officer());
    writeFileSync(at("request.json"), JSON.stringify({ ...payment("1000"), key: "purse" }));

    const view = await ok<SigningRequestView>(
      "request",
      "sign",
      at("request.json"),
      "--idempotency-key",
      "first",
      ...payouts(),
    );

    assert.equal(view.state, "signed");
    const transaction = Transaction.from(view.result!.signedTransaction);
    assert.deepEqual([`eip155:31337:${transaction.from}`], accounts);
    assert.deepEqual([transaction.to, transaction.value, transaction.nonce], [TREASURY, 1000n, 0]);
    assert.deepEqual(await ok("request", "sign", at("request.json"), "--idempotency-key", "first", ...payouts()), view);
    assert.deepEqual(await ok("request", "get", view.id, ...payouts()), view);
    const { requests } = await ok<{ requests: { id: string }[] }>("request", "list", ...payouts());
    assert.deepEqual(
      requests.map(({ id }) => id),
      [view.id],
    );
  });

  it("what is refused ends with 1 and says why; what is no command ends with 2", async () => {
    writeFileSync(at("too-much.json"), JSON.stringify({ ...payment("1001"), key: "purse" }));
    const denied = await run(["request", "sign", at("too-much.json"), "--idempotency-key", "second", ...payouts()]);
    assert.equal(denied.code, 1);
    assert.equal((JSON.parse(denied.stdout) as { error: { code: string } }).error.code, "denied-by-policy");
    const byOfficer = await run(["client", "add", "more", ...officer()]);
    assert.equal((JSON.parse(byOfficer.stdout) as { error: { code: string } }).error.code, "not-permitted");
    for (const args of [
      ["client", "ad"],
      ["request", "sign", at("request.json")],
      ["key", "list"],
    ])
      assert.equal((await run(args, { env: { PATH: process.env["PATH"] } })).code, 2, args.join(" "));
  });

  it("the SDK says the same in three lines", async () => {
    const gateway = connect(at("callers", "payouts.json"));
    const body = { ...payment("7"), key: "purse" };
    const { result } = await gateway.sign("solo-fund", body, { idempotencyKey: "third" });
    assert.equal(Transaction.from(result!.signedTransaction).value, 7n);
  });

  it("told to end all at once, as a terminal or systemd tells it, serve ends with 0, and the store is one file", async () => {
    const pids = [serving.process.pid!, ...Object.values(serving.ready.pids)];
    for (const pid of pids) process.kill(pid, "SIGTERM");
    assert.equal(await serving.stop(), 0);
    await gone(pids);
    const leaves = leavesOf(folder);
    assert.deepEqual(
      leaves.map(({ index }) => index),
      leaves.map((_, index) => index),
    );
    assert.deepEqual(
      readdirSync(at("vault")).filter((name) => name.startsWith("portcullis.db")),
      ["portcullis.db"],
    );
  });
});

const POLICIES = fileURLToPath(new URL("../../policies", import.meta.url));

/** One client whose service may pay out a thousand wei at a time; an approver stands first among the callers. */
const SOLO = `apiVersion: portcullis/v1
kind: ClientPolicy
client: solo-fund
version: 1
use: [shared/assets.yaml]
callers:
  anna: { role: approver, keys: ["ed25519:rE+HDdsI1jl4pUTVAqZMhR+1ashqyyHECzFcmYkssJU="] }
  payouts: { role: wallet-service, keys: ["ed25519:M6VqVUrtA/kadQU9EtD0ORaImZtOy1kR/HPbKRYegRM="] }
addressBook:
  treasury: { address: "eip155:31337:${TREASURY}" }
fee: { ETH-LOCAL: { max: "0.02" } }
rules:
  - id: small
    allow: [transfer]
    by: [payouts]
    from: [purse]
    to: [treasury]
    amount: { ETH-LOCAL: { max: "0.000000000000001" } }
limits:
  daily: { sum: ETH-LOCAL, max: "1", window: { rolling: 24h } }
`;

/** Below those that the system gives to whoever asks for any: nobody takes it before it is used. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}
