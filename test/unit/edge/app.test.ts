import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer, type Server } from "node:http";
import { connect, createServer, type AddressInfo, type Server as SocketServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createApp, createEdgeServer, type EdgeLimits, type EdgeTimes } from "../../../src/edge/app.ts";
import { VaultLink } from "../../../src/edge/vault-link.ts";
import { encodeFrame, MAX_HEAD_BYTES, readFrames, type RequestHead } from "../../../src/vault/protocol.ts";
import { send, type WireAnswer } from "../../support/wire.ts";

// Goal: the edge bounds what strangers can hold of it, in bytes, places and time, and says so.
// Method: the real edge; at the other end of the socket somebody who answers, keeps silent or hangs up on purpose.

type VaultEnd = (head: RequestHead, body: Buffer, socket: Socket) => void;

const answers: VaultEnd = ({ id }, body, socket) =>
  void socket.write(encodeFrame({ id, status: 200, headers: { "content-type": "text/plain" } }, body));
const keepsSilent: VaultEnd = () => undefined;

describe("edge/app", () => {
  let folder: string;
  let vault: SocketServer;
  let link: VaultLink;
  let edge: Server;
  const sockets = new Set<Socket>();
  before(() => (folder = mkdtempSync(join(tmpdir(), "portcullis-edge-"))));
  after(() => rmSync(folder, { recursive: true, force: true }));
  afterEach(async () => {
    edge.closeAllConnections();
    edge.close();
    link.close();
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    vault.close();
    await once(vault, "close");
  });

  const start = async (end: VaultEnd, limits: Partial<EdgeLimits> = {}, times?: EdgeTimes): Promise<string> => {
    const path = join(folder, "vault.sock");
    vault = createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => undefined);
      readFrames<RequestHead>(socket, ({ head, body }) => end(head, body, socket));
    }).listen(path);
    await once(vault, "listening");
    link = new VaultLink(path);
    edge = createEdgeServer(createApp(link, { bodyBytes: 1024, inFlight: 2, ...limits }), undefined, times);
    edge.listen(0, "127.0.0.1");
    await once(edge, "listening");
    return `http://127.0.0.1:${(edge.address() as AddressInfo).port}`;
  };
  const get = (url: string, target = "/v1/clients", headers = {}): Promise<WireAnswer> =>
    send(url, { method: "GET", target, headers, body: Buffer.alloc(0) });
  const codeOf = ({ body }: WireAnswer) => (JSON.parse(body.toString()) as { code: string }).code;
  /** Sends this and leaves the rest open. */
  const begin = (url: string, text: string): Socket => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1").setEncoding("utf8");
    socket.on("error", () => undefined);
    socket.write(text);
    return socket;
  };
  const post = (further = "") => `POST /v1/clients HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n${further}`;

  it("a head that is over the bound of a frame is refused: 431, is not sent, and the link stands", async () => {
    const seen: number[] = [];
    const url = await start((head, ...rest) => (seen.push(JSON.stringify(head).length), answers(head, ...rest)));
    // Node's own bound is below the frame's: here is one that lets through what a frame cannot hold.
    const lax = createHttpServer(
      { maxHeaderSize: 200_000 },
      createApp(link, { bodyBytes: 1024, inFlight: 2 }) as never,
    );
    await once(lax.listen(0, "127.0.0.1"), "listening");
    const laxUrl = `http://127.0.0.1:${(lax.address() as AddressInfo).port}`;
    const answer = await get(laxUrl, "/x", { signature: "x".repeat(MAX_HEAD_BYTES) });
    assert.deepEqual([answer.status, codeOf(answer)], [431, "headers-too-large"]);
    assert.equal((await get(laxUrl, "/x", { signature: "x".repeat(MAX_HEAD_BYTES - 200) })).status, 200);
    assert.equal((await get(url)).status, 200);
    assert.equal(seen.length, 2);
    lax.close();
  });

  it("the longest head that Node takes fits a frame, whatever it is made of", async () => {
    const url = await start(answers);
    for (const filler of ['"', "\\", "\t.", "\u00ff"]) {
      const answer = await get(url, "/x", { signature: filler.repeat(15_000 / filler.length) });
      assert.equal(answer.status, 200, JSON.stringify(filler));
    }
  });

  it("a request that ends one connection after another is sent three times, and no more", async () => {
    let seen = 0;
    const url = await start(({ target, id }, body, socket) => {
      if (target !== "/poison") return answers({ target, id } as RequestHead, body, socket);
      seen++;
      socket.destroy();
    });
    const answer = await get(url, "/poison");
    assert.deepEqual([answer.status, codeOf(answer), seen], [504, "vault-unreachable", 3]);
    assert.equal((await get(url)).status, 200);
  });

  it("more than its places are answered 503 with Retry-After, and places come free when senders go", async () => {
    const url = await start(keepsSilent);
    const waiting = [begin(url, post("0123456789")), begin(url, post("0"))]; // one under way, one whose body is coming
    await sleep(100);
    const full = await get(url);
    assert.deepEqual([full.status, codeOf(full), full.headers["retry-after"]], [503, "edge-busy", "1"]);
    for (const socket of waiting) socket.destroy();
    await sleep(100);
    for (const n of [1, 2]) begin(url, post(`012345678${n}`));
    await sleep(100);
    assert.equal((await get(url)).status, 503, "both places were free again");
    assert.equal((await get(url, "/livez")).status, 200);
  });

  it("those who wait for a change take no place of a request, and no more than their own", async () => {
    const url = await start(({ target, ...head }, body, socket) => {
      if (!target.includes("wait=")) answers({ target, ...head }, body, socket);
    });
    const poll = "GET /v1/clients/acme/signing-requests/1?wait=60s HTTP/1.1\r\nHost: x\r\n\r\n";
    begin(url, poll);
    begin(url, poll);
    await sleep(100);
    assert.equal((await get(url)).status, 200);
    assert.equal((await get(url, "/v1/clients/acme/signing-requests/2?wait=1s")).status, 503);
  });

  it("a sender who is slow with head or body is told so and cut off", async () => {
    const url = await start(answers, {}, { headMs: 200, requestMs: 400 });
    for (const text of ["GET / HTTP/1.1\r\nHo", post("0123")]) {
      const began = performance.now();
      const socket = begin(url, text);
      const [said] = (await once(socket, "data")) as [string];
      await once(socket, "close");
      assert.match(said, /^HTTP\/1\.1 408 /);
      assert.ok(performance.now() - began < 2000);
    }
  });

  it("a name that is not this gateway's is refused before anything is read: 421", async () => {
    let seen = 0;
    const url = await start((...all) => (seen++, answers(...all)), { hosts: ["custody.example.com"] });
    const said = async (host: string): Promise<number> => (await get(url, "/v1/clients", { host })).status;
    for (const host of [
      "custody.example.com",
      "Custody.Example.Com:443",
      "127.0.0.1:1",
      "[::1]:8420",
      "localhost:8420",
    ])
      assert.equal(await said(host), 200, host);
    for (const host of [
      "evil.example",
      "custody.example.com.evil.example",
      "custody.example.com@evil",

      "a b",
      "[::1",
      "x:y",
    ])
      assert.equal(await said(host), 421, host);
    assert.equal(seen, 5);
    assert.equal((await get(url, "/livez", { host: "evil.example" })).status, 200);
  });

  it("one address sends so many a second, and again once time has gone by", async () => {
    const url = await start(answers, { requestsPerSecond: 2 });
    const said = await Promise.all(Array.from({ length: 9 }, () => get(url)));
    const refused = said.filter(({ status }) => status === 429);
    assert.ok(refused.length >= 3, said.map(({ status }) => status).join(" "));
    for (const each of refused)
      assert.deepEqual([codeOf(each), each.headers["retry-after"]], ["too-many-requests", "1"]);
    await sleep(600);
    assert.equal((await get(url)).status, 200);
  });

  it("one address reads the chain so often a second, each call of a batch counted; what the vault answers counts apart", async () => {
    const url = await start(answers, { readsPerSecond: 4 });
    const rpc = (method: string, calls: number): Promise<WireAnswer> => {
      const body = JSON.stringify(Array.from({ length: calls }, (_, id) => ({ jsonrpc: "2.0", id, method })));
      return send(url, { method: "POST", target: "/rpc/acme", headers: {}, body: Buffer.from(body) });
    };
    const [three, many] = [await rpc("eth_blockNumber", 3), await rpc("eth_blockNumber", 12)];
    assert.deepEqual([three.status, many.status, codeOf(many)], [200, 429, "too-many-requests"]);
    assert.equal((await rpc("eth_accounts", 12)).status, 200);
  });

  it("every answer has an id, which the vault is told, and no two have the same", async () => {
    const told: string[] = [];
    const url = await start((head, ...rest) => (told.push(head.trace!), answers(head, ...rest)));
    const ids = [(await get(url)).headers["request-id"], (await get(url)).headers["request-id"]];
    assert.match(ids[0]!, /^[0-9a-f]{16}$/);
    assert.deepEqual(told, ids);
    assert.notEqual(ids[0], ids[1]);
  });

  it("/docs is a page without a script, made of what the vault prints and nothing that it could run", async () => {
    const document = {
      info: { title: "A <b>title</b>", description: "`code` & more" },
      paths: { "/x": { get: { operationId: "getX", summary: '<img src=x onerror="alert(1)">', responses: {} } } },
    };
    const url = await start(({ id, target }, _body, socket) => {
      assert.equal(target, "/openapi.json");
      const bytes = Buffer.from(JSON.stringify(document));
      socket.write(encodeFrame({ id, status: 200, headers: { "content-type": "application/json" } }, bytes));
    });
    const { status, headers, body } = await get(url, "/docs");
    assert.deepEqual([status, headers["content-type"]], [200, "text/html; charset=utf-8"]);
    const policy = headers["content-security-policy"]!;
    assert.match(policy, /^default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+';/);
    assert.doesNotMatch(policy, /unsafe|https?:|script-src/);
    const html = body.toString();
    const style = /<style>([^<]*)<\/style>/.exec(html)![1]!;
    assert.ok(
      policy.includes(createHash("sha256").update(style).digest("base64")),
      "the style is the one that may be used",
    );
    assert.doesNotMatch(html, /<script|<img|<b>title|@import|url\(/);
    assert.match(html, /&lt;img src=x onerror=&quot;alert\(1\)&quot;&gt;/);
    assert.match(html, /<code>code<\/code> &amp; more/);
  });

  it("a body over the bound: 413; one with an encoding: 415", async () => {
    const url = await start(answers);
    const large = await send(url, { method: "POST", target: "/", headers: {}, body: Buffer.alloc(1025) });
    assert.deepEqual([large.status, codeOf(large)], [413, "body-too-large"]);
    const packed = { "content-encoding": "gzip" };
    const other = await send(url, { method: "POST", target: "/", headers: packed, body: Buffer.alloc(5) });
    assert.deepEqual([other.status, codeOf(other)], [415, "encoding-unsupported"]);
  });
});
