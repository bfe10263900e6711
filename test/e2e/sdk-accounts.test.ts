import assert from "node:assert/strict";
import { JsonRpcProvider, Transaction, parseEther, verifyMessage, verifyTypedData } from "ethers";
import {
  createPublicClient,
  createWalletClient,
  http,
  recoverMessageAddress,
  recoverTypedDataAddress,
  TransactionExecutionError,
} from "viem";
import { foundry } from "viem/chains";
import { privateKeyToAccount } from "viem/accounts";
import { RefusedError } from "../../src/sdk/client.ts";
import { ApprovalNeededError, ethersSigner, type GatewaySigner } from "../../src/sdk/ethers.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { viemAccount } from "../../src/sdk/viem.ts";
import { FIRST_ACCOUNT_KEY, startAnvil, type Anvil } from "../support/anvil.ts";
import { smallPolicy, TREASURY } from "../support/small-policy.ts";

// Goal: a viem wallet client and an ethers wallet work with a key of the gateway as they do with a key of their own.
// Method: the libraries themselves on a real node; each library checks what the other's account has signed.

const STRANGER = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";
const EXCHANGE = { name: "Exchange", version: "1", chainId: 31337, verifyingContract: TREASURY } as const;
const ORDER = {
  Order: [
    { name: "to", type: "address" },
    { name: "amount", type: "uint256" },
    { name: "data", type: "bytes" },
  ],
} as const;
const order = { to: STRANGER, amount: 2n ** 70n, data: "0x0102" } as const;

const POLICY = smallPolicy({ rules: ["large", "words", "orders"], daily: 30 });

describe("accounts of the SDK", function () {
  let anvil: Anvil;
  let gateway: TestGateway;
  let address: `0x${string}`;
  const options = { client: "acme-fund", key: "hot-1" };
  const payouts = () => gateway.as("acme-fund", "payouts");
  const chain = () => createPublicClient({ chain: foundry, transport: http(anvil.url) });

  before(async () => {
    [anvil, gateway] = await Promise.all([startAnvil(), startGateway({ policy: POLICY })]);
    address = gateway.addresses["acme-fund"]!["hot-1"] as `0x${string}`;
    const rich = createWalletClient({
      account: privateKeyToAccount(FIRST_ACCOUNT_KEY),
      chain: foundry,
      transport: http(anvil.url),
    });
    const hash = await rich.sendTransaction({ to: address, value: parseEther("100") });
    await chain().waitForTransactionReceipt({ hash });
  });
  after(() => Promise.all([anvil?.stop(), gateway?.stop()]));

  describe("viem", () => {
    const wallet = async () =>
      createWalletClient({
        account: await viemAccount(payouts(), options),
        chain: foundry,
        transport: http(anvil.url),
      });

    it("sends what the policy allows, and it is mined", async () => {
      const before = await chain().getBalance({ address: TREASURY });
      const hash = await (await wallet()).sendTransaction({ to: TREASURY, value: parseEther("1.5") });
      const receipt = await chain().waitForTransactionReceipt({ hash });
      assert.deepEqual([receipt.status, receipt.from], ["success", address.toLowerCase()]);
      assert.equal(await chain().getBalance({ address: TREASURY }), before + parseEther("1.5"));
    });

    it("a denial is the error that viem wraps, with the whole decision", async () => {
      const sent = (await wallet()).sendTransaction({ to: STRANGER, value: 1n });
      const error = await sent.catch((error: unknown) => error);
      assert.ok(error instanceof TransactionExecutionError, String(error));
      const refused = error.walk((each) => each instanceof RefusedError) as RefusedError;
      assert.deepEqual([refused.code, refused.problem["reason"]], ["denied-by-policy", "no-rule-allows"]);
    });

    it("signs messages and typed data as ethers reads them", async () => {
      const { account } = await wallet();
      for (const message of ["hello", "0x1234"]) {
        assert.equal(verifyMessage(message, await account.signMessage({ message })), address);
      }
      const signature = await account.signTypedData({
        domain: EXCHANGE,
        types: ORDER,
        primaryType: "Order",
        message: order,
      });
      assert.equal(verifyTypedData(EXCHANGE, { Order: [...ORDER.Order] }, order, signature), address);
    });
  });

  describe("ethers", () => {
    let signer: GatewaySigner;
    let provider: JsonRpcProvider;
    before(async () => {
      provider = new JsonRpcProvider(anvil.url, undefined, { pollingInterval: 50, cacheTimeout: -1 });
      signer = await ethersSigner(payouts(), options, provider);
    });
    after(() => provider?.destroy());

    it("sends what the policy allows, and it is mined", async () => {
      const sent = await signer.sendTransaction({ to: TREASURY, value: parseEther("1") });
      const receipt = await sent.wait();
      assert.deepEqual([receipt?.status, receipt?.from], [1, address]);
    });

    it("signs messages and typed data as viem reads them", async () => {
      const message = "hello";
      const signed = (await signer.signMessage(message)) as `0x${string}`;
      assert.equal(await recoverMessageAddress({ message, signature: signed }), address);
      const signature = (await signer.signTypedData(EXCHANGE, { Order: [...ORDER.Order] }, order)) as `0x${string}`;
      const recovered = await recoverTypedDataAddress({
        domain: EXCHANGE,
        types: ORDER,
        primaryType: "Order",
        message: order,
        signature,
      });
      assert.equal(recovered, address);
    });

    it("the same transaction twice is one request; after a denial the next one is a request of its own", async () => {
      const large = await signer.populateTransaction({ to: TREASURY, value: parseEther("20"), nonce: 900 });
      const waits = await signer.signTransaction(large).catch((error: unknown) => error);
      assert.ok(waits instanceof ApprovalNeededError);
      const again = await signer.signTransaction(large).catch((error: unknown) => error);
      assert.equal((again as ApprovalNeededError).request.id, waits.request.id);

      const small = await signer.populateTransaction({ to: TREASURY, value: 1n, nonce: 901 });
      const [first, second] = [await signer.signTransaction(small), await signer.signTransaction(small)];
      assert.deepEqual([first, Transaction.from(first).from], [second, address]);

      const refusals: unknown[] = [];
      for (let turn = 0; turn < 2; turn++) {
        const denied = signer.signTransaction({ ...small, to: STRANGER, nonce: 902 });
        refusals.push(await denied.catch((error: unknown) => (error as RefusedError).problem.requestId));
      }
      assert.equal(typeof refusals[0], "string");
      assert.notEqual(refusals[0], refusals[1]);
    });

    it("signs for nobody else", async () => {
      await assert.rejects(
        signer.signTransaction({ from: STRANGER, to: TREASURY, value: 1n }),
        /expected a transaction/,
      );
    });
  });
});
