import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { Transaction } from "ethers";
import { startProxy, type RunningProxy } from "../../src/cli/proxy.ts";
import { createApp, createEdgeServer } from "../../src/edge/app.ts";
import { Nodes } from "../../src/edge/chain-node.ts";
import { edgeLog } from "../../src/edge/log.ts";
import { VaultLink } from "../../src/edge/vault-link.ts";
import { connect } from "../../src/sdk/client.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { send, type WireAnswer } from "../support/wire.ts";
import { smallPolicy, TREASURY } from "../support/small-policy.ts";

// Goal: whoever owns the edge passes nothing off as the vault's answer, and what he fills in decides nothing.
// Method: a liar between the proxy and the gateway, who answers by himself; then the real edge, with a node that lies.

const EVIL = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";
const POLICY = smallPolicy();

type Reply = {
  readonly id: unknown;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string };
};
type Call = { readonly jsonrpc: "2.0"; readonly id: unknown; readonly method: string; readonly params?: unknown };
const urlOf = (server: Server): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

describe("a hostile edge, over JSON-RPC", function () {
  let gateway: TestGateway;
  let liar: Server;
  let edge: Server;
  let link: VaultLink;
  const proxies: RunningProxy[] = [];
  let from: string;
  /** What the liar says himself; undefined: he passes it on. */
  let lie: (body: string) => unknown;
  let assist: unknown;

  before(async () => {
    gateway = await startGateway({ policy: POLICY });
    from = gateway.addresses["acme-fund"]!["hot-1"]!;
    liar = createServer((request, response) => {
      void (async () => {
        const body = await buffer(request);
        const said = lie(body.toString());
        const [method, target] = [request.method!, request.url!];
        const headers = request.headers as Record<string, string>;
        const answer: WireAnswer =
          said === undefined
            ? await send(gateway.url, { method, target, headers, body })
            : { status: 200, headers: {}, body: Buffer.from(JSON.stringify(said)) };
        response.writeHead(answer.status, { ...answer.headers, "content-length": answer.body.length });
        response.end(answer.body);
      })();
    }).listen(0, "127.0.0.1");
    await once(liar, "listening");
    link = new VaultLink(join(gateway.folder, "run/vault.sock"));
    const nodes = new Nodes({ "eip155:31337": "http://127.0.0.1:9" });
    nodes.assist = () => Promise.resolve([assist as null]);
    nodes.assistWith = () => Promise.resolve([assist as null]);
    nodes.broadcast = () => Promise.resolve();
    edge = createEdgeServer(
      createApp(link, { bodyBytes: 262_144, inFlight: 64 }, edgeLog("silent"), nodes),
      undefined,
    ).listen(0, "127.0.0.1");
    await once(edge, "listening");
    for (const server of [liar, edge])
      proxies.push(await startProxy(connect({ ...gateway.callers["acme-fund"]!["payouts"]!, url: urlOf(server) }), 0));
  });
  after(async () => {
    for (const proxy of proxies) await proxy.stop();
    link?.close();
    liar?.close().closeAllConnections();
    edge?.close().closeAllConnections();
    await gateway?.stop();
  });

  async function ask(body: string, proxy = proxies[0]!): Promise<{ status: number; json: unknown }> {
    const answer = await fetch(`${proxy.url}/rpc/acme-fund`, { method: "POST", body });
    return { status: answer.status, json: await answer.json() };
  }
  const call = (id: unknown, method: string, params?: unknown[]): Call => ({
    ...{ jsonrpc: "2.0", id, method },
    ...(params ? { params } : {}),
  });
  const codeOf = ({ json }: { json: unknown }): unknown => (json as { code?: unknown }).code;
  const evilFor = (ids: readonly unknown[]) => ids.map((id) => ({ jsonrpc: "2.0", id, result: [EVIL] }));

  const ACCOUNTS = '{"jsonrpc":"2.0","id":1,"method":"eth_accounts"}';
  const WRITTEN: Record<string, string> = {
    "as it is": ACCOUNTS,
    "in a batch": `[${ACCOUNTS}]`,
    "with escapes": '{"jsonrpc":"2.0","id":1,"m\\u0065thod":"eth\\u005faccounts"}',
    "twice, a read last": '{"jsonrpc":"2.0","id":1,"method":"eth_accounts","method":"eth_blockNumber"}',
    "twice, a read first": '{"jsonrpc":"2.0","id":1,"method":"eth_blockNumber","method":"eth_accounts"}',
    "twice, once with escapes": '{"jsonrpc":"2.0","id":1,"method":"eth_accounts","m\\u0065thod":"eth_blockNumber"}',
    "twice, in a batch": '[{"jsonrpc":"2.0","id":1,"method":"eth_accounts","method":"eth_blockNumber"}]',
    "as a list": '{"jsonrpc":"2.0","id":1,"method":["eth_accounts"]}',
    "as a prototype": '{"jsonrpc":"2.0","id":1,"__proto__":{"method":"eth_accounts"},"method":"eth_blockNumber"}',
    "with a byte order mark": `\uFEFF${ACCOUNTS}`,
  };
  for (const [how, body] of Object.entries(WRITTEN))
    it(`a method of the vault's, written ${how}: the liar's answer is refused`, async () => {
      lie = () => (body.startsWith("[") ? evilFor([1]) : evilFor([1])[0]);
      const answer = await ask(body);
      assert.deepEqual([answer.status, codeOf(answer)], [502, "answer-untrusted"]);
      assert.ok(!JSON.stringify(answer.json).includes(`"result"`));
    });

  it("in a mixed batch he answers the reads alone: each in its place, under its id, and nothing more", async () => {
    const batch = [call(1, "eth_accounts"), call(2, "eth_blockNumber"), call("x", "eth_gasPrice")];
    lie = (body) => (body.includes("eth_accounts") ? undefined : evilFor([1, 1, 1, 2]));
    const { status, json } = await ask(JSON.stringify(batch));
    const [accounts, ...reads] = json as Reply[];
    assert.deepEqual([status, reads.map(({ id }) => id)], [200, [2, "x"]]);
    assert.deepEqual([accounts!.id, accounts!.result], [1, [from]]);
    lie = (body) => (body.includes("eth_accounts") ? evilFor([1]) : undefined);
    assert.equal((await ask(JSON.stringify(batch))).status, 502);
  });

  it("what he answers to reads is no list, or fails: the vault's part is told all the same", async () => {
    const batch = JSON.stringify([call(1, "eth_accounts"), call(2, "eth_blockNumber")]);
    for (const said of [{ id: 1, result: [EVIL] }, null, "x", [], [null], [{ id: 1 }]]) {
      lie = (body) => (body.includes("eth_accounts") ? undefined : said);
      const [accounts, read] = (await ask(batch)).json as [Reply, Reply];
      assert.deepEqual([accounts.result, read.id, read.error?.code], [[from], 2, -32005], JSON.stringify(said));
    }
  });

  it("a mixed batch with one id twice, or with a number that readers round, is refused before it is sent", async () => {
    let sent = 0;
    lie = () => void sent++;
    const amount =
      '{"jsonrpc":"2.0","id":1,"method":"eth_signTypedData_v4","params":["0x",{"a":10000000000000000001}]}';
    for (const body of [
      JSON.stringify([call(1, "eth_accounts"), call(1, "eth_blockNumber")]),
      JSON.stringify([call(1, "eth_accounts"), call("1", "eth_blockNumber")]),
      JSON.stringify([call(null, "eth_accounts"), { jsonrpc: "2.0", method: "eth_blockNumber" }]),
      `[${amount},${JSON.stringify(call(2, "eth_blockNumber"))}]`,
    ]) {
      const answer = await ask(body);
      assert.deepEqual([answer.status, codeOf(answer), sent], [400, "invalid-body", 0], body);
    }
  });

  describe("with a node that lies", () => {
    const GOOD = { gas: "0x5208", maxFeePerGas: "0x77359400", maxPriorityFeePerGas: "0x1", nonce: "0x0" };
    let value = 0;
    /** A payment that nobody has asked for before. */
    async function pay(help: unknown, fields: object = {}): Promise<Reply> {
      assist = help;
      value += 1;
      const params = [{ from, to: TREASURY, value: `0x${value.toString(16)}`, ...fields }];
      const { json } = await ask(JSON.stringify(call(1, "eth_signTransaction", params)), proxies[1]);
      return json as Reply;
    }
    const signed = ({ result, error }: Reply): Transaction => {
      assert.equal(error, undefined, JSON.stringify(error));
      return Transaction.from(result as string);
    };

    it("nonces go on by one, whatever he says of them", async () => {
      const first = signed(await pay(GOOD)).nonce;
      for (const [index, nonce] of ["0x3e8", "0x0", `0x${"f".repeat(64)}`, "-0x1", 7, null].entries())
        assert.equal(signed(await pay({ ...GOOD, nonce })).nonce, first + 1 + index, String(nonce));
    });

    it("what the body says stands, and so do key, chain, receiver and amount", async () => {
      const named = { nonce: "0x64", gas: "0x5300", maxFeePerGas: "0x3b9aca00", maxPriorityFeePerGas: "0x2" };
      const evil = { ...GOOD, chainId: "0x1", to: EVIL, value: "0xff", data: "0x00", from: EVIL, type: "0x0" };
      const transaction = signed(await pay(evil, named));
      assert.deepEqual(
        [transaction.nonce, transaction.gasLimit, transaction.maxFeePerGas, transaction.maxPriorityFeePerGas],
        [100, 0x5300n, 1_000_000_000n, 2n],
      );
      assert.deepEqual(
        [transaction.to, transaction.value, transaction.chainId, transaction.data, transaction.type],
        [TREASURY, BigInt(value), 31337n, "0x", 2],
      );
    });

    it("more than the policy's fee cap is denied, however it is said", async () => {
      for (const dear of [
        { gas: "0xffffffffffff" },
        { maxFeePerGas: "0xffffffffffffff" },
        { gas: `0x${"f".repeat(64)}` },
        { maxFeePerGas: `0x${"f".repeat(64)}`, maxPriorityFeePerGas: `0x${"f".repeat(64)}` },
      ]) {
        const { error } = await pay({ ...GOOD, ...dear });
        assert.equal(error?.code, -32003, JSON.stringify([dear, error]));
      }
    });

    it("over REST he does no more: what stands stands, nonces go on by one, more than the cap is denied", async () => {
      const wallet = connect({ ...gateway.callers["acme-fund"]!["payouts"]!, url: urlOf(edge) });
      type Said = { status: number; body: { code?: string; result?: { signedTransaction: string } } };
      async function ask(help: unknown, fields: object = {}): Promise<Said> {
        assist = help;
        value += 1;
        const transaction = { to: TREASURY, value: String(value), ...fields };
        const body = Buffer.from(JSON.stringify({ key: "hot-1", payload: { type: "evm-transaction", transaction } }));
        const path = "/v1/clients/acme-fund/signing-requests";
        const answer = await wallet.send("POST", path, body, `hostile-${value}`);
        return { status: answer.status, body: JSON.parse(answer.body.toString()) as Said["body"] };
      }
      const read = ({ body }: Said) => Transaction.from(body.result!.signedTransaction);
      const first = read(await ask(GOOD)).nonce;
      const evil = { ...GOOD, nonce: "0x3e8", chainId: "0x1", to: EVIL, value: "0xff", data: "0x00", from: EVIL };
      const next = read(await ask(evil, { gas: "21300" }));
      assert.deepEqual(
        [next.nonce, next.to, next.value, next.chainId, next.data, next.gasLimit],
        [first + 1, TREASURY, BigInt(value), 31337n, "0x", 21_300n],
      );
      for (const dear of [{ gas: "0xffffffffffff" }, { maxFeePerGas: "0xffffffffffffff" }])
        assert.deepEqual((await ask({ ...GOOD, ...dear })).body.code, "denied-by-policy");
      for (const help of [null, [], 7, "0x1", { ...GOOD, gas: 21_000 }, { ...GOOD, gas: "0x05208" }]) {
        const { status, body } = await ask(help);
        assert.deepEqual([status, body.code], [503, "node-unavailable"], JSON.stringify(help));
      }
      assert.equal(read(await ask(GOOD)).nonce, first + 2, "of those nothing was recorded");
    });

    it("what is no quantity is no help: -32005, for now, and nothing was recorded", async () => {
      for (const help of [
        ...[null, [], "0x1", 7, true],
        ...[21_000, "21000", "-0x1", "0x", "0X5208", "0x05208", ["0x5208"], { gas: 1 }, `0x${"f".repeat(65)}`].map(
          (gas) => ({
            ...GOOD,
            gas,
          }),
        ),
      ])
        assert.equal((await pay(help)).error?.code, -32005, JSON.stringify(help));
    });
  });
});
