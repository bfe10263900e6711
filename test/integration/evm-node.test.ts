import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import {
  createPublicClient,
  createTestClient,
  createWalletClient,
  encodeDeployData,
  encodeFunctionData,
  getAddress,
  http,
  type Hex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { evmChainReader } from "../../src/adapters/evm-node/reader.ts";
import { readBalances, readSent } from "../../src/cli/reconcile/chains.ts";
import { reconcile } from "../../src/custody/reconcile.ts";
import type { Opening } from "../../src/custody/register.ts";
import type { Asset } from "../../src/domain/assets.ts";
import type { Account, AssetSymbol, ChainId } from "../../src/domain/chain.ts";
import { FIRST_ACCOUNT_KEY, startAnvil, type Anvil } from "../support/anvil.ts";
import { compileErc20 } from "../support/erc20.ts";

// Goal: what a node says is read exactly, and a node that lies, lags, forgets or leaves out is told: it never looks like zero.
// Method: a real node; before it a server that passes everything on, changed in one way.

const CHAIN = "eip155:31337" as ChainId;
const HOUR_MS = 3_600_000;
const rich = privateKeyToAccount(FIRST_ACCOUNT_KEY);
const accountOf = (address: string) => `${CHAIN}:${getAddress(address)}` as Account;
const RICH = accountOf(rich.address);
const ETH: Asset = { symbol: "ETH" as AssetSymbol, chain: CHAIN, decimals: 18, standard: "native" };

type Call = { readonly id: number; readonly method: string; readonly params: readonly unknown[] };
type Reply = { id?: unknown; result?: unknown; error?: unknown };
/** Changes the node's answers to a batch; a text is sent as it is. */
type Change = (replies: Reply[], calls: readonly Call[]) => unknown;

describe("adapters/evm-node", function () {
  this.timeout(process.env["SOAK"] === undefined ? 60_000 : 300_000);
  let anvil: Anvil;
  let server: Server;
  let change: Change | undefined;
  const tokens: Asset[] = [];
  const hashes: Hex[] = [];
  const node = () => createTestClient({ chain: foundry, mode: "anvil", transport: http(anvil.url) });
  const wallet = () => createWalletClient({ account: rich, chain: foundry, transport: http(anvil.url) });
  const { abi, bytecode } = compileErc20();
  async function mined(hash: Hex) {
    hashes.push(hash);
    const chain = createPublicClient({ chain: foundry, transport: http(anvil.url), pollingInterval: 20 });
    return chain.waitForTransactionReceipt({ hash });
  }

  before(async () => {
    anvil = await startAnvil();
    for (let index = 0; index < 4; index++) {
      const receipt = await mined(await wallet().sendTransaction({ data: encodeDeployData({ abi, bytecode }) }));
      const contract = accountOf(receipt.contractAddress!);
      tokens.push({ symbol: `T${index}` as AssetSymbol, chain: CHAIN, decimals: 6, standard: "erc20", contract });
    }
    server = createServer((request, response) => {
      void (async () => {
        const body = Buffer.concat(await request.toArray()).toString();
        const passed = await fetch(anvil.url, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body,
        });
        const replies = (await passed.json()) as Reply[];
        const answer = change ? change(replies, JSON.parse(body) as Call[]) : replies;
        response.end(typeof answer === "string" ? answer : JSON.stringify(answer));
      })();
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterEach(() => (change = undefined));
  after(async () => {
    server?.closeAllConnections();
    server?.close();
    await anvil?.stop();
  });

  const reader = () => evmChainReader(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, HOUR_MS);
  const settled = async (confirmations = 1) => (await (await reader()).settled(confirmations)).block;
  const on =
    (method: string, by: (reply: Reply, call: Call) => void): Change =>
    (replies, calls) => {
      for (const call of calls)
        if (call.method === method)
          by(
            replies.find(({ id }) => id === call.id)!,
            call,
          );
      return replies;
    };
  const openings = (...sent: Hex[]): Opening[] => [
    { type: "key-created", index: 0, at: 0, accounts: [RICH] },
    ...sent.flatMap((transactionHash, nonce): Opening[] => [
      {
        ...{ type: "authorized", index: 0, at: 0, request: String(nonce) },
        intent: { claims: [{ kind: "evm-nonce", account: RICH, nonce: String(nonce) }] },
      },
      { type: "signed", index: 0, at: 0, request: String(nonce), transactionHash },
    ]),
  ];
  const sentAt = async (...sent: Hex[]) => {
    const read = await reader();
    const { block, head } = await read.settled(1);
    return readSent({ reader: read, settled: block, head }, openings(...sent));
  };

  it("reads native and token balances and supplies at one block, whatever has happened since", async () => {
    const block = await settled();
    const stranger = accountOf("0x00000000000000000000000000000000000000ff");
    const holdings = [ETH, ...tokens].flatMap((asset) => [RICH, stranger].map((account) => ({ account, asset })));
    const before = await (await reader()).balances(holdings, block);
    const data = encodeFunctionData({
      abi,
      functionName: "transfer",
      args: ["0x00000000000000000000000000000000000000ff", 5n],
    });
    await mined(await wallet().sendTransaction({ to: tokens[1]!.contract!.split(":")[2] as Hex, data }));
    assert.deepEqual(await (await reader()).balances(holdings, block), before);
    const now = await (await reader()).balances(holdings, await settled());
    assert.deepEqual([now[4], now[5]], [before[4]! - 5n, 5n]);
    assert.deepEqual(
      await (await reader()).supplies(tokens, block),
      tokens.map(() => 10n ** 15n),
    );
    assert.equal(before[2], 10n ** 15n);
  });

  it("what is no contract, is refused or is no number is not read, and never zero", async () => {
    const nothing = { ...tokens[0]!, contract: RICH };
    const read = async (asset: Asset) =>
      (await (await reader()).balances([{ account: RICH, asset }], await settled()))[0];
    assert.equal(await read(nothing), undefined);
    const changes: ((reply: Reply) => void)[] = [
      (reply) => (delete reply.result, (reply.error = { code: -32000, message: "missing trie node" })),
      (reply) => (reply.result = null),
      (reply) => (reply.result = "0x"),
      (reply) => (reply.result = `0x${"0".repeat(128)}`),
      (reply) => (reply.result = 0),
    ];
    for (const by of changes) {
      change = on("eth_call", by);
      assert.equal(await read(tokens[0]!), undefined);
    }
  });

  it("half an answer is none", async () => {
    const block = await settled();
    const holdings = tokens.map((asset) => ({ account: RICH, asset }));
    const changes: Change[] = [
      (replies) => replies.slice(1),
      (replies) => [...replies.slice(1), replies[1]],
      (replies) => [...replies, { id: 99, result: "0x1" }],
      (replies) => replies.map((reply) => ({ ...reply, id: String(reply.id as number) })),
      (replies) => replies.map(({ id }) => ({ id })),
      (replies) => [...replies.slice(1), { ...replies[0], id: -1 }],
      (replies) => [...replies.slice(1), { ...replies[0], id: 0.5 }],
      (replies) => [null, ...replies.slice(1)],
      () => ({ jsonrpc: "2.0", id: null, error: { code: -32600, message: "batch too large" } }),
      () => null,
    ];
    for (const [index, each] of changes.entries()) {
      const read = await reader();
      change = each;
      await assert.rejects(read.balances(holdings, block), { code: "node-answer" }, String(index));
      change = undefined;
    }
    const read = await reader();
    change = () => "<html>502 Bad Gateway</html>";
    await assert.rejects(read.balances(holdings, block), { code: "node-unreachable" });
  });

  it("a node that lags is refused", async () => {
    change = on("eth_getBlockByNumber", (reply) => {
      const old = Math.floor(Date.now() / 1000) - 2 * 3_600;
      reply.result = { ...(reply.result as object), timestamp: `0x${old.toString(16)}` };
    });
    await assert.rejects(settled(), { code: "node-lags" });
  });

  it("a chain that was reorganized while it was read says nothing", async () => {
    const [read, block] = [await reader(), await settled()];
    await read.requireStill(block);
    const snapshot = await node().snapshot();
    await node().mine({ blocks: 2 });
    const gone = await settled();
    await node().revert({ id: snapshot });
    await assert.rejects(read.requireStill(gone), { code: "chain-reorganized" });
    await assert.rejects(read.sent([RICH], gone), { code: "node-refused" });
    const [amount] = await read.balances([{ account: RICH, asset: ETH }], gone);
    assert.equal(amount, undefined);
    await node().snapshot();
    await node().setNextBlockTimestamp({ timestamp: BigInt(Math.floor(Date.now() / 1000) + 100) });
    await node().mine({ blocks: 2 });
    await assert.rejects(read.requireStill(gone), { code: "chain-reorganized" });
  });

  it("another transaction's receipt, another block and an unknown status are refused", async () => {
    const read = await reader();
    change = on(
      "eth_getTransactionReceipt",
      (reply) => (reply.result = { ...(reply.result as object), transactionHash: hashes[1] }),
    );
    await assert.rejects(read.transactions([hashes[0]!]), { code: "node-answer" });
    change = on(
      "eth_getTransactionReceipt",
      (reply) => (reply.result = { ...(reply.result as object), status: "0x2" }),
    );
    await assert.rejects(read.transactions([hashes[0]!]), { code: "node-answer" });
    change = on("eth_getBlockByNumber", (reply) => (reply.result = { ...(reply.result as object), number: "0x1" }));
    await assert.rejects(read.hashAt(2), { code: "node-answer" });
  });

  it("each number that was used is explained by its transaction; one that is not is found and named", async () => {
    const all = await sentAt(...hashes);
    assert.deepEqual([all.outside, all.confirmations.map(({ state }) => state)], [[], hashes.map(() => "mined")]);
    const without = await sentAt(...hashes.slice(0, 3));
    const strange = hashes.slice(3).map((transaction, index) => ({
      ...{ kind: "transaction", account: RICH, nonce: BigInt(index + 3), transaction },
    }));
    assert.deepEqual(without.outside, strange);
  });

  it("a node that keeps no old state, or hides receipts, hides no number that was used", async () => {
    const count = BigInt(hashes.length);
    change = on("eth_getTransactionCount", (reply, { params }) => {
      if (typeof params[1] !== "string") return;
      delete reply.result;
      reply.error = { code: -32000, message: "missing trie node" };
    });
    const { outside } = await sentAt(...hashes.slice(0, 3));
    assert.deepEqual(outside, [{ kind: "nonces", account: RICH, first: 3n, last: count - 1n }]);
    change = on("eth_getTransactionReceipt", (reply) => (reply.result = null));
    const hidden = await sentAt(...hashes);
    // The blocks still show them as ours; of what became of them nothing is said.
    assert.deepEqual(
      [hidden.outside, new Set(hidden.confirmations.map(({ state }) => state))],
      [[], new Set(["unexplained"])],
    );
    change = on("eth_getTransactionCount", (reply) => (reply.result = "0x0"));
    await assert.rejects(sentAt(...hashes), { code: "chain-contradicts-itself" });
  });

  const addresses = process.env["SOAK"] === undefined ? 60 : 1_000;
  it(`${addresses} addresses × 5 assets are reconciled (1,000 within 30 s under SOAK)`, async () => {
    const accounts = Array.from({ length: addresses }, (_, index) =>
      accountOf(`0x${(index + 1_000).toString(16).padStart(40, "0")}`),
    );
    const begin = Date.now();
    const read = await evmChainReader(anvil.url, HOUR_MS);
    const { block, head } = await read.settled(1);
    const holdings = accounts.flatMap((account) => [ETH, ...tokens].map((asset) => ({ account, asset })));
    const done: number[] = [];
    const amounts = await readBalances(new Map([[CHAIN, { reader: read, settled: block, head }]]), holdings, (count) =>
      done.push(count),
    );
    const keys = accounts.map((account): Opening => ({ type: "key-created", index: 0, at: 0, accounts: [account] }));
    const { outside } = await readSent({ reader: read, settled: block, head }, keys);
    await read.requireStill(block);
    const chain = holdings.map(({ account, asset: { symbol } }, index) => ({
      ...{ client: "a", account, asset: symbol, amount: amounts.get(holdings[index]!) },
    }));
    assert.deepEqual([reconcile({ chain, register: [] }, 0).breaks, outside, done.at(-1)], [[], [], addresses * 5]);
    const ms = Date.now() - begin;
    if (addresses === 1_000) {
      console.log(`      1,000 addresses × 5 assets: ${ms} ms`);
      assert.ok(ms < 30_000, `${ms} ms`);
    }
  });
});
