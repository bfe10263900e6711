import assert from "node:assert/strict";
import { createPublicClient, createTestClient, http, parseEther, type Hex } from "viem";
import { foundry } from "viem/chains";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { startAnvil, type Anvil } from "../support/anvil.ts";
import { cast } from "../support/cast.ts";
import { smallPolicy, TREASURY } from "../support/small-policy.ts";

// Goal: `cast` is pointed at the proxy and works: it sends, bumps a transaction that is stuck, and cancels another.
// Method: the program itself, unchanged, `--unlocked`; a node that mines only when it is told.

const POLICY = smallPolicy({ rules: ["sweep"] });

describe("cast, unchanged", function () {
  let anvil: Anvil;
  let gateway: TestGateway;
  let from: Hex;
  const chain = () => createPublicClient({ chain: foundry, transport: http(anvil.url), pollingInterval: 50 });
  const node = () => createTestClient({ chain: foundry, mode: "anvil", transport: http(anvil.url) });

  before(async () => {
    anvil = await startAnvil();
    gateway = await startGateway({ policy: POLICY, node: anvil.url });
    from = gateway.addresses["acme-fund"]!["hot-1"] as Hex;
    await node().setBalance({ address: from, value: parseEther("100") });
  });
  after(async () => {
    await gateway?.stop();
    await anvil?.stop();
  });

  const send = (...args: string[]): Promise<string> =>
    cast("send", "--unlocked", "--from", from, "--rpc-url", gateway.proxyUrl, ...args);
  const gwei = (fee: number, tip: number) => ["--gas-price", `${fee}gwei`, "--priority-gas-price", `${tip}gwei`];
  const isMined = async (hash: string): Promise<boolean> =>
    chain()
      .getTransactionReceipt({ hash: hash as Hex })
      .then(
        ({ status }) => status === "success",
        () => false,
      );

  it("sends, and it is mined; also as a legacy transaction", async () => {
    const before = await chain().getBalance({ address: TREASURY });
    const sent = JSON.parse(await send("--json", TREASURY, "--value", "1ether")) as { status: string };
    const legacy = JSON.parse(await send("--json", "--legacy", TREASURY, "--value", "0.5ether")) as typeof sent;
    assert.deepEqual([sent.status, legacy.status], ["0x1", "0x1"]);
    assert.equal(await chain().getBalance({ address: TREASURY }), before + parseEther("1.5"));
  });

  it("bumps one that is stuck: the dearer one is mined, and is the only one", async () => {
    const nonce = String(await chain().getTransactionCount({ address: from }));
    const payment = ["--async", "--nonce", nonce, TREASURY, "--value", "0.25ether"];
    await node().setAutomine(false);
    try {
      const stuck = await send(...gwei(3, 1), ...payment);
      const bumped = await send(...gwei(9, 3), ...payment);
      assert.notEqual(bumped, stuck);
      assert.equal(await send(...gwei(9, 3), ...payment), bumped, "the same call is the same transaction");
      await assert.rejects(send(...gwei(2, 1), ...payment), /conflict|already authorized/);
      const other = ["--async", "--nonce", nonce, TREASURY, "--value", "0.26ether"];
      await assert.rejects(send(...gwei(20, 5), ...other), /not-replaceable/);
      await node().mine({ blocks: 1 });
      assert.deepEqual([await isMined(stuck), await isMined(bumped)], [false, true]);
    } finally {
      await node().setAutomine(true);
    }
  });

  it("cancels another: nothing moves, and its nonce is used up", async () => {
    const before = await chain().getBalance({ address: TREASURY });
    const nonce = await chain().getTransactionCount({ address: from });
    await node().setAutomine(false);
    try {
      const stuck = await send(...gwei(3, 1), "--async", "--nonce", String(nonce), TREASURY, "--value", "0.75ether");
      const cancelled = await send(...gwei(9, 3), "--async", "--nonce", String(nonce), from, "--value", "0");
      await node().mine({ blocks: 1 });
      assert.deepEqual([await isMined(stuck), await isMined(cancelled)], [false, true]);
      assert.equal(await chain().getTransactionCount({ address: from }), nonce + 1);
      assert.equal(await chain().getBalance({ address: TREASURY }), before);
    } finally {
      await node().setAutomine(true);
    }
  });

  it("reads through the same URL, and passes no transaction on that was signed elsewhere", async () => {
    assert.equal(await cast("chain-id", "--rpc-url", gateway.proxyUrl), "31337");
    const balance = await cast("balance", TREASURY, "--rpc-url", gateway.proxyUrl);
    assert.equal(BigInt(balance), await chain().getBalance({ address: TREASURY }));
    await assert.rejects(cast("publish", "--rpc-url", gateway.proxyUrl, "0x02"), /-32601|not passed on/);
  });
});
