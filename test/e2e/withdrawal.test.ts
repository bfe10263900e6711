import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { keccak256 as ethersKeccak, Transaction } from "ethers";
import {
  createPublicClient,
  createWalletClient,
  encodeFunctionData,
  getAddress,
  http,
  parseEther,
  parseUnits,
  recoverTransactionAddress,
  type Address,
  type Hex,
  type TransactionReceipt,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import type { GatewayClient, SigningRequestView } from "../../src/sdk/client.ts";
import { FIRST_ACCOUNT_KEY, startAnvil, type Anvil } from "../support/anvil.ts";
import { compileErc20 } from "../support/erc20.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";

// Goal: what the gateway signs, a real node executes, and it does exactly what the intent said.
// Method: every transaction type, as bytes and as fields, ether and a token; ethers and viem recover the signer from the
// raw bytes, the node says what moved.

const TREASURY = getAddress("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"); // `treasury` in the demo's address book
const TUSD = getAddress("0x5FbDB2315678afecb367f032d93F642f64180aa3"); // TUSD-LOCAL in policies/shared/assets.yaml
const GWEI = 10n ** 9n;

type Kind = "ether" | "token";
const KINDS: readonly Kind[] = ["ether", "token"];
const TYPES = [0, 1, 2] as const;
const AMOUNT = { ether: parseEther("0.25"), token: parseUnits("1234.56", 6) } as const;
const SYMBOL = { ether: "ETH-LOCAL", token: "TUSD-LOCAL" } as const;

describe("a withdrawal, end to end", function () {
  let anvil: Anvil;
  let gateway: DevGateway;
  let wallet: GatewayClient;
  let key: Address;
  const token = compileErc20();

  const chain = () => createPublicClient({ chain: foundry, transport: http(anvil.url), pollingInterval: 20 });
  const tokensOf = async (owner: Address) =>
    (await chain().readContract({ address: TUSD, abi: token.abi, functionName: "balanceOf", args: [owner] })) as bigint;
  const balancesOf = async (owner: Address) => ({
    ether: await chain().getBalance({ address: owner }),
    token: await tokensOf(owner),
  });

  before(async () => {
    [anvil, gateway] = await Promise.all([startAnvil(), startDevGateway()]);
    wallet = gateway.as("acme-fund", "payouts");
    key = getAddress(gateway.clients[0]!.keys[0]!.accounts[0]!.replace("eip155:31337:", ""));
    await fund();
  });
  after(async () => {
    await gateway?.stop();
    await anvil?.stop();
  });

  /** The first account deploys the token, so that it gets the address that the registry pins, and pays in. */
  async function fund(): Promise<void> {
    const account = privateKeyToAccount(FIRST_ACCOUNT_KEY);
    const first = createWalletClient({ account, chain: foundry, transport: http(anvil.url) });
    const transfer = { abi: token.abi, functionName: "transfer", args: [key, parseUnits("1000000", 6)] } as const;
    const deployed = await mined(await first.deployContract(token));
    assert.equal(getAddress(deployed.contractAddress!), TUSD);
    await mined(await first.writeContract({ address: TUSD, ...transfer }));
    await mined(await first.sendTransaction({ to: key, value: parseEther("50") }));
  }

  async function mined(hash: Hex): Promise<TransactionReceipt> {
    const receipt = await chain().waitForTransactionReceipt({ hash });
    assert.equal(receipt.status, "success");
    return receipt;
  }

  const ask = (payload: Record<string, unknown>): Promise<SigningRequestView> =>
    wallet.sign(
      "acme-fund",
      { key: "hot-1", payload: { type: "evm-transaction", ...payload } },
      { idempotencyKey: randomUUID() },
    );

  const prices = (type: 0 | 1 | 2) =>
    type === 2 ? { maxFeePerGas: 20n * GWEI, maxPriorityFeePerGas: 1n * GWEI } : { gasPrice: 20n * GWEI };

  /** What is to be paid, as the caller's own library would have it. */
  const transactionOf = (kind: Kind, type: 0 | 1 | 2, nonce: number) => ({
    type,
    chainId: 31337n,
    nonce,
    gasLimit: kind === "ether" ? 21_000n : 100_000n,
    ...prices(type),
    ...(kind === "ether"
      ? { to: TREASURY, value: AMOUNT.ether }
      : {
          to: TUSD,
          value: 0n,
          data: encodeFunctionData({ abi: token.abi, functionName: "transfer", args: [TREASURY, AMOUNT.token] }),
        }),
  });
  type Asked = ReturnType<typeof transactionOf>;

  const asBytes = (transaction: Asked) => ({ unsigned: Transaction.from(transaction).unsignedSerialized });
  const asFields = ({ type, chainId, gasLimit, ...rest }: Asked) => ({
    transaction: {
      ...Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, String(value)])),
      type: `0x${type}`,
      chainId: String(chainId),
      gas: String(gasLimit),
    },
  });

  const nonceOf = () => chain().getTransactionCount({ address: key });

  for (const kind of KINDS) {
    for (const type of TYPES) {
      for (const [form, encode] of [
        ["unsigned bytes", asBytes],
        ["fields", asFields],
      ] as const) {
        it(`${kind} in a type ${type} transaction given as ${form} is signed, mined, and moves what the intent said`, async () => {
          const asked = transactionOf(kind, type, await nonceOf());
          const before = { sender: await balancesOf(key), receiver: await balancesOf(TREASURY) };

          const view = await ask(encode(asked));

          await assertSignedAsAsked(view, asked);
          assert.deepEqual(view.intent, intentOf(kind, asked));
          const receipt = await mined(await chain().sendRawTransaction({ serializedTransaction: rawOf(view) }));
          assert.equal(receipt.transactionHash, view.result!.transactionHash);
          assert.equal(getAddress(receipt.from), key);
          const fee = receipt.gasUsed * receipt.effectiveGasPrice;
          assert.ok(fee <= BigInt((view.intent as { fee: { max: string } }).fee.max));
          const moved = { ether: 0n, token: 0n, [kind]: AMOUNT[kind] };
          assert.deepEqual(await balancesOf(TREASURY), {
            ether: before.receiver.ether + moved.ether,
            token: before.receiver.token + moved.token,
          });
          assert.deepEqual(await balancesOf(key), {
            ether: before.sender.ether - moved.ether - fee,
            token: before.sender.token - moved.token,
          });
        });
      }
    }
  }

  const rawOf = (view: SigningRequestView) => view.result!.signedTransaction as Hex;

  /** Two other libraries read the raw bytes: what was asked, and the key's address as the signer. */
  async function assertSignedAsAsked(view: SigningRequestView, asked: Asked): Promise<void> {
    assert.equal(view.state, "signed");
    const raw = rawOf(view);
    const byEthers = Transaction.from(raw);
    assert.equal(byEthers.from, key);
    assert.equal(byEthers.unsignedSerialized, Transaction.from(asked).unsignedSerialized);
    assert.equal(byEthers.hash, view.result!.transactionHash);
    assert.equal(ethersKeccak(byEthers.unsignedSerialized), view.result!.digest);
    assert.equal(await recoverTransactionAddress({ serializedTransaction: raw as never }), key);
    assert.equal(view.result!.address, key);
  }

  const intentOf = (kind: Kind, { nonce, gasLimit, ...prices }: Asked) => {
    const account = `eip155:31337:${key}`;
    const price = "maxFeePerGas" in prices ? prices.maxFeePerGas : prices.gasPrice;
    const moves = { asset: SYMBOL[kind], from: account, to: `eip155:31337:${TREASURY}`, amount: String(AMOUNT[kind]) };
    return {
      chain: "eip155:31337",
      account,
      operations: [{ kind: "transfer", ...moves }],
      fee: { asset: "ETH-LOCAL", max: String(gasLimit * price) },
      claims: [{ kind: "evm-nonce", account, nonce: String(nonce) }],
    };
  };

  const withoutNonce = () => ({
    transaction: { to: TREASURY, value: "1", gas: "21000", ...asStrings(prices(2)) },
  });
  const asStrings = (prices: Record<string, bigint>) =>
    Object.fromEntries(Object.entries(prices).map(([name, value]) => [name, String(value)]));
  const signedNonce = (view: SigningRequestView) => Transaction.from(rawOf(view)).nonce;

  it("a nonce left out twice in a row gives the next two of the account, and both are mined", async () => {
    const next = await nonceOf();
    const views = [await ask(withoutNonce()), await ask(withoutNonce())];
    assert.deepEqual(views.map(signedNonce), [next, next + 1]);
    for (const view of views) await mined(await chain().sendRawTransaction({ serializedTransaction: rawOf(view) }));
  });

  it("a nonce named far ahead moves nothing: those left out close the gap, step over it, and all are mined", async () => {
    const next = await nonceOf();
    const ahead = await ask({ transaction: { ...withoutNonce().transaction, nonce: String(next + 2) } });
    const views = [];
    for (let n = 0; n < 3; n++) views.push(await ask(withoutNonce()));
    assert.deepEqual(views.map(signedNonce), [next, next + 1, next + 3]);
    const inOrder = [ahead, ...views].toSorted((a, b) => signedNonce(a) - signedNonce(b));
    for (const view of inOrder) await mined(await chain().sendRawTransaction({ serializedTransaction: rawOf(view) }));
  });

  it("eight requests at once that leave out the nonce get eight consecutive ones, none twice, none skipped", async () => {
    const next = await nonceOf();
    const views = await Promise.all(Array.from({ length: 8 }, () => ask(withoutNonce())));
    views.sort((a, b) => signedNonce(a) - signedNonce(b));
    assert.deepEqual(
      views.map(signedNonce),
      views.map((_, index) => next + index),
    );
    for (const view of views) await mined(await chain().sendRawTransaction({ serializedTransaction: rawOf(view) }));
    assert.equal(await nonceOf(), next + 8);
  });
});
