import assert from "node:assert/strict";
import { join } from "node:path";
import { JsonRpcProvider, parseEther as ethersEther, Transaction, verifyMessage } from "ethers";
import {
  createPublicClient,
  createTestClient,
  createWalletClient,
  http,
  parseEther,
  recoverTypedDataAddress,
  type Hex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { FIRST_ACCOUNT_KEY, startAnvil, type Anvil } from "../support/anvil.ts";
import { run } from "../support/program.ts";
import { smallPolicy, TREASURY } from "../support/small-policy.ts";

// Goal: what signs today with a node's `eth_*` methods is pointed at Portcullis, unchanged, and its transfers are mined.
// Method: the libraries themselves, through the signing proxy, on a real node.

const STRANGER = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";
const MINUTE_MS = 60_000;

const POLICY = smallPolicy({ rules: ["large", "words", "orders"], daily: 150 });

type Reply = {
  readonly id: unknown;
  readonly result?: unknown;
  readonly error?: { readonly code: number; readonly message: string; readonly data?: Record<string, unknown> };
};

describe("Ethereum JSON-RPC", function () {
  let anvil: Anvil;
  let gateway: TestGateway;
  let from: Hex;
  const chain = () => createPublicClient({ chain: foundry, transport: http(anvil.url), pollingInterval: 50 });

  before(async () => {
    anvil = await startAnvil();
    gateway = await startGateway({ policy: POLICY, node: anvil.url });
    from = gateway.addresses["acme-fund"]!["hot-1"] as Hex;
    const rich = createWalletClient({
      account: privateKeyToAccount(FIRST_ACCOUNT_KEY),
      chain: foundry,
      transport: http(anvil.url),
    });
    const hash = await rich.sendTransaction({ to: from, value: parseEther("500") });
    await chain().waitForTransactionReceipt({ hash });
  });
  after(async () => {
    await gateway?.stop();
    await anvil?.stop();
  });

  async function ask(body: unknown, headers: Record<string, string> = {}, path = "/rpc/acme-fund"): Promise<unknown> {
    const response = await fetch(`${gateway.proxyUrl}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
    return response.json();
  }
  const call = async (method: string, params: unknown[] = [], headers = {}): Promise<Reply> =>
    (await ask({ jsonrpc: "2.0", id: 7, method, params }, headers)) as Reply;
  const send = (value: bigint, more: object = {}) => [
    { from, to: TREASURY, value: `0x${value.toString(16)}`, ...more },
  ];

  describe("libraries, unchanged", () => {
    it("a viem wallet client sends, and it is mined", async () => {
      const wallet = createWalletClient({
        account: from,
        chain: foundry,
        transport: http(`${gateway.proxyUrl}/rpc/acme-fund`),
      });
      assert.deepEqual(await wallet.getAddresses(), [from]);
      assert.equal(await wallet.getChainId(), 31337);
      const before = await chain().getBalance({ address: TREASURY });
      const hash = await wallet.sendTransaction({ to: TREASURY, value: parseEther("1") });
      const receipt = await chain().waitForTransactionReceipt({ hash });
      assert.equal(receipt.status, "success");
      assert.equal(await chain().getBalance({ address: TREASURY }), before + parseEther("1"));
    });

    it("a viem wallet client signs messages and typed data", async () => {
      const wallet = createWalletClient({
        account: from,
        chain: foundry,
        transport: http(`${gateway.proxyUrl}/rpc/acme-fund`),
      });
      assert.equal(verifyMessage("hello", await wallet.signMessage({ message: "hello" })), from);
      const typed = {
        domain: { name: "Exchange", version: "1", chainId: 31337, verifyingContract: TREASURY },
        types: { Order: [{ name: "amount", type: "uint256" }] },
        primaryType: "Order",
        message: { amount: 2n ** 100n },
      } as const;
      const signature = await wallet.signTypedData(typed);
      assert.equal(await recoverTypedDataAddress({ ...typed, signature }), from);
    });

    it("an ethers JSON-RPC signer sends, and it is mined; messages are signed", async () => {
      const provider = new JsonRpcProvider(gateway.proxyUrl, undefined, { pollingInterval: 50, cacheTimeout: -1 });
      try {
        const signer = await provider.getSigner();
        assert.equal(await signer.getAddress(), from);
        const sent = await signer.sendTransaction({ to: TREASURY, value: ethersEther("1.25") });
        assert.equal((await sent.wait())?.status, 1);
        assert.equal(verifyMessage("0x12", await signer.signMessage("0x12")), from);
      } finally {
        provider.destroy();
      }
    });
  });

  it("answers accounts and chain from its keys, reads from the node, and a batch of both in its order", async () => {
    const [accounts, block, id] = (await ask([
      { jsonrpc: "2.0", id: "a", method: "eth_accounts" },
      { jsonrpc: "2.0", id: "b", method: "eth_blockNumber", params: [] },
      { jsonrpc: "2.0", id: "c", method: "eth_chainId", params: [] },
    ])) as [Reply, Reply, Reply];
    assert.deepEqual([accounts.id, accounts.result], ["a", [from]]);
    assert.deepEqual([block.id, BigInt(block.result as string) > 0n], ["b", true]);
    assert.deepEqual([id.id, id.result], ["c", "0x7a69"]);
  });

  it("passes on what reads, and no other method", async () => {
    for (const method of [
      "anvil_setBalance",
      "evm_mine",
      "eth_sendUnsignedTransaction",
      "debug_traceCall",
      "personal_unlockAccount",
    ])
      assert.equal((await call(method)).error?.code, -32601, method);
  });

  it("fills nonce, gas and fees; the nonce is counted, and what is named stands", async () => {
    const first = (await call("eth_signTransaction", send(1n))).result as string;
    const named = (
      await call("eth_signTransaction", send(2n, { nonce: "0x63", gas: "0x5300", gasPrice: "0x77359400" }))
    ).result as string;
    const [filled, whole] = [Transaction.from(first), Transaction.from(named)];
    assert.deepEqual([filled.type, filled.chainId, filled.gasLimit >= 21_000n], [2, 31337n, true]);
    assert.deepEqual([whole.type, whole.nonce, whole.gasLimit, whole.gasPrice], [0, 99, 0x5300n, 2_000_000_000n]);
    // It is not sent, so the chain waits for it: whoever signs without sending has to.
    await chain().sendRawTransaction({ serializedTransaction: first as Hex });
  });

  it("the same call has the first one's answer; then it is a duplicate; an idempotency key makes another", async () => {
    const first = await call("eth_sendTransaction", send(31n));
    assert.match(first.result as string, /^0x[0-9a-f]{64}$/);
    assert.equal((await call("eth_sendTransaction", send(31n))).result, first.result);
    gateway.advance(11 * MINUTE_MS);
    const duplicate = (await call("eth_sendTransaction", send(31n))).error;
    assert.deepEqual([duplicate?.code, duplicate?.message], [-32003, `duplicate of ${first.result as string}`]);
    const keyed = await call("eth_sendTransaction", send(31n), { "idempotency-key": "another-one" });
    assert.match(keyed.result as string, /^0x[0-9a-f]{64}$/);
    assert.notEqual(keyed.result, first.result);
    gateway.advance(24 * 60 * MINUTE_MS);
    const nextDay = await call("eth_sendTransaction", send(31n));
    assert.match(nextDay.result as string, /^0x[0-9a-f]{64}$/);
    assert.notEqual(nextDay.result, first.result);
  });

  it("a denial is -32003 with the decision, and not retried by viem; an unknown account is -32602", async () => {
    const denied = (await call("eth_sendTransaction", [{ from, to: STRANGER, value: "0x1" }])).error!;
    assert.deepEqual(
      [denied.code, denied.data?.["code"], denied.data?.["reason"]],
      [-32003, "denied-by-policy", "no-rule-allows"],
    );
    assert.equal(
      (await call("eth_sendTransaction", [{ from: STRANGER, to: TREASURY, value: "0x1" }])).error?.code,
      -32602,
    );
    assert.equal((await call("eth_sendTransaction", send(1n, { surprise: "0x1" }))).error?.code, -32602);
    assert.equal((await call("eth_sign", [from, `0x${"ab".repeat(32)}`])).error?.code, -32003);
  });

  it("what needs people is -32002 with the request's id; the same call finds the same request", async () => {
    const waits = (await call("eth_sendTransaction", send(20n * 10n ** 18n))).error!;
    assert.equal(waits.code, -32002);
    const again = (await call("eth_sendTransaction", send(20n * 10n ** 18n))).error!;
    assert.equal(again.data?.["requestId"], waits.data?.["requestId"]);
    const resumed = (await call("portcullis_resume", [waits.data?.["requestId"]])).error!;
    assert.equal(resumed.code, -32002, JSON.stringify(resumed));
    assert.equal((await call("portcullis_resume", ["0".repeat(32)])).error?.code, -32602);
  });

  it("what was approved is resumed with fees of today and mined, or by the same call; also a legacy transaction", async () => {
    const asked = [send(21n * 10n ** 18n), send(11n * 10n ** 18n, { type: "0x0" }), send(12n * 10n ** 18n)];
    const ids: string[] = [];
    for (const params of asked) {
      const { error } = await call("eth_sendTransaction", params);
      assert.equal(error?.code, -32002, JSON.stringify(error));
      ids.push(error.data!["requestId"] as string);
    }
    const alice = join(gateway.folder, "callers/acme-fund/alice.json");
    for (const id of ids) {
      const approved = await run(["approval", "approve", id, "--yes", "--as", alice]);
      assert.equal(approved.code, 0, approved.stderr);
    }
    // Ten times dearer than anything before: what was filled in at first would never be mined.
    const node = createTestClient({ chain: foundry, mode: "anvil", transport: http(anvil.url) });
    await node.setNextBlockBaseFeePerGas({ baseFeePerGas: 20_000_000_000n });
    await node.mine({ blocks: 1 });
    const results = [
      await call("portcullis_resume", [ids[0]]),
      await call("portcullis_resume", [ids[1]]),
      await call("eth_sendTransaction", asked[2]),
    ];
    for (const { result, error } of results) {
      assert.equal(error, undefined, JSON.stringify(error));
      assert.equal((await chain().waitForTransactionReceipt({ hash: result as Hex })).status, "success");
    }
    const transactions = await Promise.all(
      results.map(({ result }) => chain().getTransaction({ hash: result as Hex })),
    );
    assert.deepEqual(
      transactions.map(({ type }) => type),
      ["eip1559", "legacy", "eip1559"],
    );
    assert.equal((await call("portcullis_resume", [ids[0]])).result, results[0]!.result, "again: the same one");
    assert.equal((await call("eth_sendTransaction", asked[0])).result, results[0]!.result);
  });

  it("a call that a crash interrupted is one transaction, also through the restarted gateway", async () => {
    const before = await chain().getBalance({ address: TREASURY });
    const sent = Promise.allSettled([call("eth_sendTransaction", send(77n))]);
    await gateway.crash();
    await sent;
    const { result } = await call("eth_sendTransaction", send(77n));
    await chain().waitForTransactionReceipt({ hash: result as Hex });
    assert.equal((await call("eth_sendTransaction", send(77n))).result, result);
    assert.equal(await chain().getBalance({ address: TREASURY }), before + 77n);
  });

  describe("over REST, the same help", () => {
    type View = { id: string; state: string; result?: { signedTransaction: Hex; transactionHash: Hex } };
    const wallet = () => gateway.as("acme-fund", "payouts");
    const asked = (value: bigint, fields: object = {}) => ({
      key: "hot-1",
      payload: { type: "evm-transaction", transaction: { to: TREASURY, value: value.toString(), ...fields } },
    });
    const keyed = (name: string) => ({ idempotencyKey: `rest-${name}` });
    const mined = async ({ result }: View) => {
      await chain().sendRawTransaction({ serializedTransaction: result!.signedTransaction });
      return chain().waitForTransactionReceipt({ hash: result!.transactionHash });
    };

    it("a body that leaves out nonce, gas and fees is filled, signed and mined, and the same again is the same", async () => {
      const view = (await wallet().sign("acme-fund", asked(501n), keyed("a"))) as View;
      assert.equal((await mined(view)).status, "success");
      const again = (await wallet().sign("acme-fund", asked(501n), keyed("a"))) as View;
      assert.deepEqual(again.result, view.result);
      const legacy = (await wallet().sign("acme-fund", asked(502n, { type: "0x0" }), keyed("b"))) as View;
      assert.equal((await mined(legacy)).type, "legacy");
    });

    it("what the body names stands", async () => {
      const named = { gas: "30000", maxFeePerGas: "90000000000", maxPriorityFeePerGas: "1000000007" };
      const { gas: _, ...fees } = named;
      const view = (await wallet().sign("acme-fund", asked(503n, fees), keyed("c"))) as View;
      const found = Transaction.from(view.result!.signedTransaction);
      assert.deepEqual(
        [found.maxFeePerGas, found.maxPriorityFeePerGas, found.gasLimit >= 21_000n && found.gasLimit < 30_000n],
        [90_000_000_000n, 1_000_000_007n, true],
      );
      const whole = (await wallet().sign("acme-fund", asked(504n, named), keyed("d"))) as View;
      assert.equal(Transaction.from(whole.result!.signedTransaction).gasLimit, 30_000n);
      for (const each of [view, whole]) assert.equal((await mined(each)).status, "success");
    });

    it("a batch is filled in its order, and an evaluation too; nothing is asked that could not be mined", async () => {
      const requests = [asked(505n), asked(506n, { gas: "21000" }), asked(507n)];
      const { answers } = await wallet().call<{ answers: { status: number; body: View }[] }>(
        "POST",
        "/v1/clients/acme-fund/signing-requests/batch",
        { body: { requests }, ...keyed("batch") },
      );
      const nonces = answers.map(({ body }) => Transaction.from(body.result!.signedTransaction).nonce);
      assert.deepEqual(nonces, [nonces[0], nonces[0]! + 1, nonces[0]! + 2]);
      for (const { body } of answers) assert.equal((await mined(body)).status, "success");
      const { decision } = await wallet().call<{ decision: { outcome: string } }>(
        "POST",
        "/v1/clients/acme-fund/evaluations",
        { body: asked(508n) },
      );
      assert.equal(decision.outcome, "allow");
    });

    it("what people approved is signed with fees of the day on which it is signed", async () => {
      const body = asked(13n * 10n ** 18n);
      const waits = (await wallet().sign("acme-fund", body, keyed("people"))) as View;
      assert.equal(waits.state, "pending");
      const alice = join(gateway.folder, "callers/acme-fund/alice.json");
      const approved = await run(["approval", "approve", waits.id, "--yes", "--as", alice]);
      assert.equal(approved.code, 0, approved.stderr);
      const node = createTestClient({ chain: foundry, mode: "anvil", transport: http(anvil.url) });
      await node.setNextBlockBaseFeePerGas({ baseFeePerGas: 30_000_000_000n });
      await node.mine({ blocks: 1 });
      const view = (await wallet().sign("acme-fund", body, keyed("people"))) as View;
      assert.ok(Transaction.from(view.result!.signedTransaction).maxFeePerGas! > 30_000_000_000n);
      assert.equal((await mined(view)).status, "success");
    });

    it("a transaction that the node expects to fail is not recorded: 503, and the same key is free", async () => {
      const body = asked(1n, { data: "0x12345678", to: "0x0000000000000000000000000000000000000009" });
      const transfer = asked(1n);
      const bare = async (each: object) => {
        const bytes = Buffer.from(JSON.stringify(each));
        const path = "/v1/clients/acme-fund/signing-requests";
        const answer = await wallet().send("POST", path, bytes, "rest-fails");
        return [answer.status, (JSON.parse(answer.body.toString()) as { code?: string }).code];
      };
      assert.deepEqual(await bare(body), [503, "node-unavailable"]);
      assert.deepEqual(await bare(transfer), [201, undefined]);
    });
  });

  it("an unknown path is said to be one", async () => {
    const response = await fetch(`${gateway.proxyUrl}/eth/v1/node`);
    assert.deepEqual([response.status, ((await response.json()) as { code: string }).code], [404, "not-found"]);
  });
});
