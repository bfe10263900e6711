import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { connect, GatewayError, type GatewayClient, type SigningRequestView } from "../../src/sdk/client.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";
import { leavesOf } from "../support/ledger.ts";
import { start, type Started } from "../support/program.ts";
import { contentDigest, send, type WireAnswer, type WireRequest } from "../support/wire.ts";

// Goal: whoever stands between caller and vault (the edge, a load balancer) cannot make a caller believe another answer
// than the vault's: neither another address, nor a denial of what was signed, nor a success of what was denied.
// Method: a server in between that lies in each way we can think of; SDK and signing proxy must refuse every one.

const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"; // `treasury` in the demo's address book
const STRANGER = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";
const TARGET = "/v1/clients/acme-fund/signing-requests";

type Lie = (answer: WireAnswer, request: WireRequest) => WireAnswer;
const honest: Lie = (answer) => answer;

const payment = (to = TREASURY) => ({
  key: "hot-1",
  payload: {
    type: "evm-transaction",
    transaction: { to, value: "1", gas: "21000", maxFeePerGas: "30000000000", maxPriorityFeePerGas: "1000000000" },
  },
});

const change = (answer: WireAnswer, headers: Record<string, string | undefined>): WireAnswer => ({
  ...answer,
  headers: Object.fromEntries(
    Object.entries({ ...answer.headers, ...headers }).filter(([, value]) => value !== undefined),
  ) as Record<string, string>,
});

/** The same answer with another body, whose digest fits. */
const withBody = (answer: WireAnswer, body: Buffer): WireAnswer =>
  change({ ...answer, body }, { "content-digest": contentDigest(body) });

const rewritten = (answer: WireAnswer): Buffer =>
  Buffer.from(answer.body.toString().replaceAll(TREASURY, STRANGER).replace('"signed"', '"denied"'));

/** An edge that signs by itself, with a key that it certifies by itself. */
function forged(answer: WireAnswer, request: WireRequest, certificate?: string): WireAnswer {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const real = Buffer.from(answer.headers["portcullis-answer-key"]!.split(".")[0]!, "base64").toString();
  const text = real.replace(/^public-key: .*$/m, `public-key: ed25519:${raw.toString("base64")}`);
  const own = [Buffer.from(text), sign(null, Buffer.from(text), privateKey)].map((part) => part.toString("base64"));
  const input = answer.headers["signature-input"]!.replace(/^answer=/, "").replace(
    /keyid="[^"]*"/,
    `keyid="${createHash("sha256").update(raw).digest("hex").slice(0, 16)}"`,
  );
  const body = rewritten(answer);
  const value = String(request.headers["signature"]).replace(/^[a-z0-9]+=/, "");
  const base = [
    `"@status": ${answer.status}`,
    `"content-digest": ${contentDigest(body)}`,
    `"signature";req;key="sig1": ${value}`,
    `"@signature-params": ${input}`,
  ].join("\n");
  return change(withBody(answer, body), {
    "signature-input": `answer=${input}`,
    signature: `answer=:${sign(null, Buffer.from(base), privateKey).toString("base64")}:`,
    "portcullis-answer-key": certificate ?? own.join("."),
  });
}

describe("rewritten answers", function () {
  let gateway: DevGateway;
  let liar: Server;
  let lie: Lie = honest;
  let earlier: WireAnswer;
  let toNobody: WireAnswer;
  let sdk: GatewayClient;
  let proxy: Started<{ url: string }>;
  let folder: string;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-liar-"));
    gateway = await startDevGateway();
    liar = createServer((request, response) => {
      void (async () => {
        const {
          method,
          url: target,
          headers,
        } = request as { method: string; url: string; headers: Record<string, string> };
        const forwarded: WireRequest = { method, target, headers, body: await buffer(request) };
        const told = lie(await send(gateway.url, forwarded), forwarded);
        response.writeHead(told.status, { ...told.headers, "content-length": told.body.length }).end(told.body);
      })();
    }).listen(0, "127.0.0.1");
    await once(liar, "listening");
    const url = `http://127.0.0.1:${(liar.address() as AddressInfo).port}`;
    const caller = { ...gateway.as("acme-fund", "payouts").caller, url };
    writeFileSync(join(folder, "payouts.json"), JSON.stringify(caller), { mode: 0o600 });
    sdk = connect(caller);
    proxy = await start(["proxy", "--as", join(folder, "payouts.json"), "--port", "0", "--json"]);
    toNobody = await send(gateway.url, { method: "GET", target: "/readyz", headers: {}, body: Buffer.alloc(0) });
    lie = (answer) => (earlier = answer);
    await sdk.send("POST", TARGET, Buffer.from(JSON.stringify(payment())), "earlier");
  });
  after(async () => {
    await proxy?.stop();
    liar?.close().closeAllConnections();
    await gateway?.stop();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => void (lie = honest));

  const LIES: readonly (readonly [string, Lie])[] = [
    ["a success that is told as a denial", (answer) => ({ ...answer, status: 403 })],
    ["a success that is told as a fault that passes", (answer) => ({ ...answer, status: 503 })],
    ["another body", (answer) => ({ ...answer, body: rewritten(answer) })],
    ["another body with its own digest", (answer) => withBody(answer, rewritten(answer))],
    ["a body with a byte more", (answer) => withBody(answer, Buffer.concat([answer.body, Buffer.from(" ")]))],
    ["no body", (answer) => withBody(answer, Buffer.alloc(0))],
    ["no signature", (answer) => change(answer, { signature: undefined })],
    [
      "nothing that the vault adds",
      (answer) =>
        change(answer, {
          signature: undefined,
          "signature-input": undefined,
          "content-digest": undefined,
          "portcullis-answer-key": undefined,
        }),
    ],
    ["no certificate", (answer) => change(answer, { "portcullis-answer-key": undefined })],
    ["the whole answer to another request", () => earlier],
    ["what the vault answered to a request that nobody signed", () => toNobody],
    [
      "the signature of another answer",
      (answer) =>
        change(answer, {
          signature: earlier.headers["signature"],
          "signature-input": earlier.headers["signature-input"],
        }),
    ],
    [
      "a signature that leaves out the request",
      (answer) =>
        change(answer, {
          "signature-input": answer.headers["signature-input"]!.replace(/ "signature";req;key="sig1"/, ""),
        }),
    ],
    [
      "a signature that leaves out the status",
      (answer) => change(answer, { "signature-input": answer.headers["signature-input"]!.replace('"@status" ', "") }),
    ],
    [
      "a signature with the tag of another gateway",
      (answer) =>
        change(answer, {
          "signature-input": answer.headers["signature-input"]!.replace(/tag="[^"]*"/, 'tag="portcullis:staging"'),
        }),
    ],
    ["a signature by a key that certifies itself", (answer, request) => forged(answer, request)],
    [
      "a signature by another key under the vault's certificate",
      (answer, request) => forged(answer, request, answer.headers["portcullis-answer-key"]),
    ],
    [
      "a certificate for a longer time",
      (answer) => {
        const [text, signature] = answer.headers["portcullis-answer-key"]!.split(".");
        const longer = Buffer.from(text!, "base64")
          .toString()
          .replace(/not-after: (.)/, "not-after: 9$1");
        return change(answer, { "portcullis-answer-key": `${Buffer.from(longer).toString("base64")}.${signature}` });
      },
    ],
    [
      "a page of somebody's load balancer",
      () => ({ status: 200, headers: { "content-type": "text/html" }, body: Buffer.from("<h1>It works!</h1>") }),
    ],
  ];

  const isUntrusted = (error: unknown) => error instanceof GatewayError && error.code === "answer-untrusted";
  const curl = (key: string, body: unknown) =>
    fetch(proxy.ready.url + TARGET, {
      method: "POST",
      headers: { "idempotency-key": key },
      body: JSON.stringify(body),
    });

  for (const [name, told] of LIES) {
    it(`${name}: the SDK refuses it as untrusted, the proxy answers 502`, async () => {
      const key = randomUUID();
      lie = told;
      await assert.rejects(sdk.send("POST", TARGET, Buffer.from(JSON.stringify(payment())), key), isUntrusted);
      const answer = await curl(key, payment());
      assert.equal(answer.status, 502);
      assert.equal(((await answer.json()) as { code: string }).code, "answer-untrusted");
      lie = honest;
      const truth = await curl(key, payment());
      assert.equal(truth.status, 201, "asked again, the gateway tells what it did");
      assert.equal(signaturesFor(((await truth.json()) as SigningRequestView).id), 1);
    });
  }

  it("a denial that is told as a success is refused too", async () => {
    lie = (answer) => ({ ...answer, status: 201 });
    await assert.rejects(
      sdk.send("POST", TARGET, Buffer.from(JSON.stringify(payment(STRANGER))), randomUUID()),
      isUntrusted,
    );
  });

  it("another address among a client's keys is refused", async () => {
    lie = (answer) => withBody(answer, Buffer.from(answer.body.toString().replace(/0x[0-9a-fA-F]{40}/g, STRANGER)));
    await assert.rejects(sdk.send("GET", "/v1/clients/acme-fund/keys", Buffer.alloc(0), undefined), isUntrusted);
    lie = honest;
    const { keys } = await sdk.get<{ keys: { accounts: string[] }[] }>("/v1/clients/acme-fund/keys");
    assert.deepEqual(keys[0]!.accounts, gateway.clients[0]!.keys[0]!.accounts);
  });

  it("a wallet that was lied to once asks again by itself, gets the truth, and has paid once", async () => {
    let lies = 0;
    lie = (answer) => (lies++ === 0 ? { ...answer, status: 403 } : answer);
    const view = await sdk.sign("acme-fund", payment(), { idempotencyKey: randomUUID() });
    assert.equal(view.state, "signed");
    assert.equal(signaturesFor(view.id), 1);
  });

  it("a redirect is not followed: the request would sign for another place", async () => {
    lie = (answer) => change({ ...answer, status: 307 }, { location: "http://127.0.0.1:1/" });
    await assert.rejects(
      sdk.send("POST", TARGET, Buffer.from(JSON.stringify(payment())), randomUUID()),
      (error) =>
        error instanceof GatewayError && ["gateway-unreachable", "answer-untrusted"].includes(String(error.code)),
    );
  });

  const signaturesFor = (id: string) =>
    leavesOf(gateway.folder).filter(({ type, request }) => type === "signed" && request === id).length;
});
