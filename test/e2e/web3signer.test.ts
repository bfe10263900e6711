import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { createRequire } from "node:module";
import {
  getBytes,
  hashMessage,
  keccak256,
  recoverAddress,
  Signature,
  SigningKey,
  Transaction,
  verifyMessage,
} from "ethers";
import { createPublicClient, createTestClient, http, parseEther, type Hex } from "viem";
import { foundry } from "viem/chains";
import { parse } from "yaml";
import { newCaller } from "../../src/sdk/caller-file.ts";
import { connect } from "../../src/sdk/client.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { startProxy, type RunningProxy } from "../../src/cli/proxy.ts";
import { startAnvil, type Anvil } from "../support/anvil.ts";
import { smallPolicy, TREASURY } from "../support/small-policy.ts";

// Goal: a client of Web3Signer's ETH1 API finds every path of it, and no door beside: what cannot be read is not signed.
// Method: its requests, through the signing proxy; the answers held against Web3Signer's own document; ethers reads what
// was signed, and a node mines it.

/** Web3Signer's own OpenAPI document; it lies beside this checkout where there is one. */
const DOCUMENT = fileURLToPath(
  new URL("../../../shared/vectors/signers-replay/web3signer-eth1-openapi.yaml", import.meta.url),
);

const policyOf = (client: string, callers: readonly string[]): string =>
  smallPolicy({
    client,
    callers: callers.map((name) => `${name}: { role: wallet-service, keys: ["${newKey()}"] }`),
    rules: ["words"],
  });

/** The gateway puts others in its place; one key proves one identity already here. */
function newKey(): string {
  const { publicKey } = generateKeyPairSync("ed25519");
  return `ed25519:${publicKey.export({ format: "der", type: "spki" }).subarray(-32).toString("base64")}`;
}

type Media = { readonly schema: object };
type Document = {
  readonly paths: Readonly<
    Record<string, Record<string, { responses: Record<string, { content?: Record<string, Media> }> }>>
  >;
};

describe("Web3Signer's paths", function () {
  let anvil: Anvil;
  let gateway: TestGateway;
  let ambiguous: RunningProxy;
  let otherProxy: RunningProxy;
  let otherKey: string;
  let address: Hex;
  let publicKey: string;
  const chain = () => createPublicClient({ chain: foundry, transport: http(anvil.url), pollingInterval: 50 });

  before(async () => {
    anvil = await startAnvil();
    gateway = await startGateway({
      policy: [policyOf("acme-fund", ["signer", "shared"]), policyOf("beta-fund", ["shared"])],
    });
    ambiguous = await startProxy(gateway.as("acme-fund", "shared"), 0);
    const other = gateway.as("beta-fund", "shared");
    otherProxy = await startProxy(other, 0);
    const { keys } = await other.get<{ keys: { publicKey: string }[] }>("/v1/clients/beta-fund/keys");
    otherKey = `0x${keys[0]!.publicKey.slice(4)}`;
    address = gateway.addresses["acme-fund"]!["hot-1"] as Hex;
    const node = createTestClient({ chain: foundry, mode: "anvil", transport: http(anvil.url) });
    await node.setBalance({ address, value: parseEther("100") });
    [publicKey] = (await (await ask("GET", "/api/v1/eth1/publicKeys")).json()) as [string];
  });
  after(async () => {
    await ambiguous?.stop();
    await otherProxy?.stop();
    await gateway?.stop();
    await anvil?.stop();
  });

  const ask = (method: string, path: string, body?: unknown, url = gateway.proxyUrl): Promise<Response> =>
    fetch(`${url}${path}`, {
      method,
      ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
    });
  const sign = (data: string, identifier = publicKey) => ask("POST", `/api/v1/eth1/sign/${identifier}`, { data });
  const codeOf = async (answer: Response): Promise<string> => ((await answer.json()) as { code: string }).code;

  const unsigned = (value: bigint, nonce: number, type = 2) =>
    Transaction.from({
      ...{ type, chainId: 31337, nonce, to: TREASURY, value, gasLimit: 21_000 },
      ...(type === 2
        ? { maxFeePerGas: 10_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n }
        : { gasPrice: 10_000_000_000n }),
    });

  it("says that it is up, and healthy", async () => {
    const up = await ask("GET", "/upcheck");
    assert.deepEqual(
      [up.status, up.headers.get("content-type"), await up.text()],
      [200, "text/plain; charset=utf-8", "OK"],
    );
    const health = await ask("GET", "/healthcheck");
    const { status, outcome } = (await health.json()) as Record<string, unknown>;
    assert.deepEqual([health.status, status, outcome], [200, "UP", "UP"]);
  });

  it("lists the client's public keys, from which the address follows", () => {
    assert.match(publicKey, /^0x[0-9a-f]{128}$/);
    assert.equal(recoverAddressOf(publicKey), address);
  });

  for (const type of [2, 0])
    it(`signs an unsigned transaction of type ${type}; with its signature it is mined`, async () => {
      const nonce = await chain().getTransactionCount({ address });
      const transaction = unsigned(parseEther("1") + BigInt(type), nonce, type);
      const answer = await sign(transaction.unsignedSerialized);
      const signature = await answer.text();
      assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, "text/plain; charset=utf-8"]);
      assert.equal(recoverAddress(keccak256(transaction.unsignedSerialized), signature), address);
      transaction.signature = Signature.from(signature);
      const hash = await chain().sendRawTransaction({ serializedTransaction: transaction.serialized as Hex });
      assert.equal((await chain().waitForTransactionReceipt({ hash })).status, "success");
      assert.equal(await (await sign(transaction.unsignedSerialized)).text(), signature, "the first is the only one");
    });

  it("knows a key by its address and by its whole encoding too", async () => {
    const data = messageData("known by any name");
    const answers = await Promise.all(
      [address, address.toLowerCase(), `0x04${publicKey.slice(2)}`, publicKey.slice(2)].map(
        async (identifier) => (await sign(data, identifier)).status,
      ),
    );
    assert.ok(
      answers.every((status) => [200, 409].includes(status)),
      answers.join(),
    );
  });

  it("signs the whole of one EIP-191 message, whatever digits it begins with", async () => {
    for (const message of ["hello", "12 monkeys", ""]) {
      const answer = await sign(messageData(message));
      assert.equal(answer.status, 200, message);
      assert.equal(verifyMessage(message, await answer.text()), address);
    }
  });

  it("refuses what cannot be read as a whole, each with its code", async () => {
    const whole = unsigned(1n, 900).unsignedSerialized;
    const refused: Record<string, string> = {
      "a digest": hashMessage("hello"),
      nothing: "0x",
      "a trailing byte": `${whole}00`,
      "a byte less": whole.slice(0, -2),
      "a signed transaction": signedBySomebody(),
      "two transactions": `${whole}${whole.slice(2)}`,
      "a message that says to be longer": hexOf("\x19Ethereum Signed Message:\n6hello"),
      "a message with a byte after it": hexOf("\x19Ethereum Signed Message:\n5hello!"),
      "a length with a zero in front": hexOf("\x19Ethereum Signed Message:\n05hello"),
      "an EIP-712 preimage": `0x1901${"00".repeat(64)}`,
    };
    for (const [name, data] of Object.entries(refused)) {
      const answer = await sign(data);
      assert.deepEqual([answer.status, await codeOf(answer)], [422, "raw-digest-refused"], name);
    }
    for (const body of [{}, { data: 1 }, { data: "0x1" }, { data: "hello" }, []])
      assert.equal((await ask("POST", `/api/v1/eth1/sign/${publicKey}`, body)).status, 400, JSON.stringify(body));
  });

  it("an identifier of nobody's key, or of another client's, is not found", async () => {
    const other = gateway.addresses["beta-fund"]!["hot-1"]!;
    for (const identifier of ["0x00", TREASURY, other, `0x${"ab".repeat(64)}`]) {
      const answer = await sign(messageData("hello"), identifier);
      assert.deepEqual([answer.status, await codeOf(answer)], [404, "key-not-found"], identifier);
    }
  });

  it("a denial has its status and its reason, and is the policy's", async () => {
    const answer = await sign(unsigned(parseEther("11"), 901).unsignedSerialized);
    assert.deepEqual([answer.status, await codeOf(answer)], [403, "denied-by-policy"]);
  });

  it("of a name that two clients declare, the key that signed says whose it is; nobody else learns of the other", async () => {
    for (const [client, key] of [
      ["acme-fund", publicKey],
      ["beta-fund", otherKey],
    ] as const) {
      const proxy = client === "acme-fund" ? ambiguous : otherProxy;
      assert.deepEqual(await (await ask("GET", "/api/v1/eth1/publicKeys", undefined, proxy.url)).json(), [key]);
      const body = { data: messageData("hello") };
      const signature = await (await ask("POST", `/api/v1/eth1/sign/${key}`, body, proxy.url)).text();
      assert.equal(verifyMessage("hello", signature), recoverAddressOf(key), client);
    }
    // Whoever has neither key is told the same of a name that one declares, and of one that two do.
    const told = [];
    for (const caller of ["signer", "shared"]) {
      const { privateKey } = newCaller({ gateway: "any", url: gateway.url, answersKey: "" }, caller);
      const stranger = connect({ ...gateway.callers["acme-fund"]![caller]!, privateKey });
      const answer = await stranger
        .send("GET", "/api/v1/eth1/publicKeys", Buffer.alloc(0), undefined)
        .catch((error: unknown) => String((error as Error).message).replaceAll(caller, "NAME"));
      told.push(answer);
    }
    assert.equal(typeof told[0], "string");
    assert.match(told[0] as string, /signature-invalid/);
    assert.equal(told[1], told[0]);
  });

  it("each answer is one that Web3Signer's own document knows", async function () {
    if (!existsSync(DOCUMENT)) return void assert.ok(true, "the document is not beside this checkout");
    const { paths } = parse(readFileSync(DOCUMENT, "utf8")) as Document;
    assert.deepEqual(Object.keys(paths).sort(), [
      "/api/v1/eth1/publicKeys",
      "/api/v1/eth1/sign/{identifier}",
      "/healthcheck",
      "/reload",
      "/upcheck",
    ]);
    const { default: Ajv } = createRequire(import.meta.url)("ajv") as typeof import("ajv");
    const fits = (schema: object, value: unknown) => new Ajv({ strict: false }).validate(withComponents(schema), value);
    const answers: [string, string, Response][] = [
      ["/upcheck", "get", await ask("GET", "/upcheck")],
      ["/healthcheck", "get", await ask("GET", "/healthcheck")],
      ["/api/v1/eth1/publicKeys", "get", await ask("GET", "/api/v1/eth1/publicKeys")],
      ["/api/v1/eth1/sign/{identifier}", "post", await sign(messageData("hello"))],
      ["/api/v1/eth1/sign/{identifier}", "post", await sign(messageData("hello"), "0x00")],
      ["/api/v1/eth1/sign/{identifier}", "post", await sign("hello")],
    ];
    for (const [path, method, answer] of answers) {
      const said = paths[path]![method]!.responses[answer.status];
      assert.ok(said, `${path} ${answer.status}`);
      const [type, media] = Object.entries(said.content ?? {})[0] ?? [];
      const text = await answer.text();
      if (media === undefined) continue;
      assert.equal(answer.headers.get("content-type")?.split(";")[0], type!.split(";")[0], path);
      assert.ok(fits(media.schema, type!.startsWith("text/") ? text : JSON.parse(text)), `${path}: ${text}`);
    }
  });
});

const hexOf = (text: string): string => `0x${Buffer.from(text, "latin1").toString("hex")}`;
const messageData = (text: string): string => hexOf(`\x19Ethereum Signed Message:\n${text.length}${text}`);

/** Of a public key as Web3Signer writes it: the last twenty bytes of its Keccak. */
const recoverAddressOf = (xy: string): string =>
  Transaction.from({ to: `0x${keccak256(getBytes(xy)).slice(-40)}` }).to!;

function signedBySomebody(): string {
  const transaction = Transaction.from({ type: 2, chainId: 31337, to: TREASURY, gasLimit: 21_000 });
  transaction.signature = new SigningKey(`0x${"11".repeat(32)}`).sign(transaction.unsignedHash);
  return transaction.serialized;
}

/** The document's own names stand for what they say. */
function withComponents(schema: object): object {
  const { components } = parse(readFileSync(DOCUMENT, "utf8")) as { components: object };
  return { ...schema, components };
}
