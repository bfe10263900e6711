import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { GatewayClient } from "../../../src/sdk/client.ts";
import { AnswerSigner } from "../../../src/vault/auth/answers.ts";
import { CONNECTION_BOUNDS, type ConnectionBounds } from "../../../src/vault/connections.ts";
import type { Gateway } from "../../../src/vault/gateway.ts";
import { encodeFrame, readFrames, type AnswerHead, type Frame } from "../../../src/vault/protocol.ts";
import { serveVault, type VaultServer } from "../../../src/vault/server.ts";
import { newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../support/vault.ts";

// Goal: whoever holds the other end of the vault's socket can end his own connection and nothing else: not the vault,
// not its memory, not what others are answered.
// Method: a real socket, and frames written by hand.

const READY = { method: "GET", target: "/readyz", headers: {} };

describe("vault/server", () => {
  let vault: TestVault;
  let folder: string;
  let server: VaultServer | undefined;
  const sockets: Socket[] = [];
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-server-"));
    const one = { id: "payouts", allow: ["transfer"], to: ["anyone"], amount: { ETH: "any" } };
    const pending = { ...one, id: "asked", approvals: { people: "1" } };
    vault = await testVault({ policy: { groups: { people: ["alice"] }, rules: [pending] } });
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await server?.stop();
    server = undefined;
  });
  after(async () => {
    await vault.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const serve = async (gateway: Gateway = vault.gateway, bounds: Partial<ConnectionBounds> = {}): Promise<void> => {
    const signer = await AnswerSigner.start(gateway.name, gateway.logToken);
    server = await serveVault(
      gateway,
      signer,
      { path: join(folder, "vault.sock"), mode: 0o600 },
      {
        ...CONNECTION_BOUNDS,
        ...bounds,
      },
    );
  };
  const open = async (): Promise<Socket> => {
    const socket = connect(join(folder, "vault.sock"));
    socket.on("error", () => undefined);
    sockets.push(socket);
    await once(socket, "connect");
    return socket;
  };
  type Asked = { method: string; target: string; headers: Record<string, string> };
  const ask = async (request: Asked = READY, socket?: Socket): Promise<Frame<AnswerHead>> => {
    const connection = socket ?? (await open());
    const answered = new Promise<Frame<AnswerHead>>((resolve, reject) => {
      readFrames<AnswerHead>(connection, resolve);
      connection.once("close", () => reject(new Error("the connection was ended")));
    });
    connection.write(encodeFrame({ id: 1, ...request }, Buffer.alloc(0)));
    return answered;
  };
  const signed = (target: string): Asked => {
    const { headers } = new GatewayClient(vault.callers.get("payouts")!).signRequest(
      "GET",
      target,
      Buffer.alloc(0),
      undefined,
    );
    return { method: "GET", target, headers };
  };
  const codeOf = ({ body }: Frame<AnswerHead>) => (JSON.parse(body.toString()) as { code?: string }).code;

  /** The first bytes of a frame that says it will be 4 MiB long. */
  const halfFrame = (bytes: number): Buffer => {
    const frame = Buffer.alloc(bytes);
    frame.writeUInt32BE(64, 0);
    frame.writeUInt32BE(4 * 1024 * 1024, 4);
    return frame;
  };

  it("a thousand connections with half a frame each: another one is answered", async () => {
    await serve();
    for (let n = 0; n < 1000; n++) (await open()).write(halfFrame(100));
    assert.equal((await ask()).head.status, 200);
    const left = sockets.filter((socket) => !socket.destroyed && !socket.readableEnded);
    await until(() => left.filter((each) => !each.destroyed).length <= CONNECTION_BOUNDS.connections);
  });

  it("half frames that are large together end the one that was begun first", async () => {
    await serve(vault.gateway, { unfinishedBytes: 300_000 });
    const [first, second] = [await open(), await open()];
    first.write(halfFrame(200_000));
    await sleep(50);
    second.write(halfFrame(200_000));
    await until(() => first.destroyed);
    assert.equal(second.destroyed, false);
    assert.equal((await ask()).head.status, 200);
  });

  it("bytes that come one by one are counted as what they cost", async () => {
    await serve(vault.gateway, { unfinishedBytes: 10_000 });
    const socket = await open();
    socket.setNoDelay(true);
    for (const byte of halfFrame(200)) {
      socket.write(Uint8Array.of(byte));
      await sleep(1);
    }
    await until(() => socket.destroyed);
  });

  it("a frame that is not finished in time ends its connection, and no other", async () => {
    await serve(vault.gateway, { unfinishedMs: 100 });
    const [idle, slow] = [await open(), await open()];
    slow.write(halfFrame(8).subarray(0, 3));
    await until(() => slow.destroyed);
    assert.equal((await ask(READY, idle)).head.status, 200);
  });

  it("who does not read answers is not read from, and is answered everything once he reads", async () => {
    await serve();
    const socket = await open();
    socket.pause();
    const count = 10_000;
    for (let id = 0; id < count; id++) socket.write(encodeFrame({ id, ...READY }, Buffer.alloc(0)));
    await sleep(1000);
    assert.ok(socket.writableLength > 0, "the vault has stopped reading");
    assert.equal((await ask()).head.status, 200);
    let answers = 0;
    readFrames(socket, () => void answers++);
    socket.resume();
    await until(() => answers === count);
  });

  it("unread answers that are large together end the connection with the most of them", async () => {
    await serve(vault.gateway, { unreadBytes: 50_000, allUnreadBytes: 100_000 });
    const socket = await open();
    socket.pause();
    const frames = Array.from({ length: 2000 }, (_, id) => encodeFrame({ id, ...READY }, Buffer.alloc(0)));
    socket.write(Buffer.concat(frames));
    const other = await open();
    await sleep(200);
    assert.equal((await ask(READY, other)).head.status, 200);
    socket.resume();
    await until(() => socket.destroyed);
  });

  it("an answer over the bound of a frame becomes a refusal, and the connection stands", async () => {
    const rows = Array.from({ length: 20_000 }, () => vault.key);
    await serve({ ...vault.gateway, store: { ...vault.store, read: async () => rows as never } });
    const socket = await open();
    const answer = await ask(signed("/v1/clients/acme/keys"), socket);
    assert.deepEqual([answer.head.status, codeOf(answer)], [422, "answer-too-large"]);
    assert.equal((await ask(READY, socket)).head.status, 200);
  });

  it("a stop ends those who only wait, with what stands", async () => {
    await serve();
    const made = await vault.call("payouts", "POST", REQUESTS, transferBody(5), newKey());
    assert.equal(made.status, 202);
    const { id } = made.body as { id: string };
    const answer = ask(signed(`${REQUESTS}/${id}?wait=60s`));
    await sleep(100);
    const stopped = performance.now();
    await server!.stop();
    assert.ok(performance.now() - stopped < 900, "sooner than a waiter looks again by itself");
    assert.equal((JSON.parse((await answer).body.toString()) as { state: string }).state, "pending");
  });
});

async function until(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 10) {
    assert.ok(waited < 8000, "it never came to that");
    await sleep(10);
  }
}
