import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync, cpSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  verifyMessage as ethersVerifyMessage,
  verifyTypedData as ethersVerifyTypedData,
  TypedDataEncoder,
} from "ethers";
import {
  createPublicClient,
  createWalletClient,
  getAddress,
  hashMessage,
  hashTypedData,
  http,
  parseSignature,
  parseUnits,
  publicActions,
  recoverMessageAddress,
  recoverTypedDataAddress,
  type Address,
  type Hex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { hashAuthorization } from "viem/utils";
import type { GatewayClient, SigningRequestView } from "../../src/sdk/client.ts";
import { FIRST_ACCOUNT_KEY, startAnvil, type Anvil } from "../support/anvil.ts";
import { compileErc20 } from "../support/erc20.ts";
import { startDevGateway, type DevGateway } from "../support/gateway.ts";

// Goal: what is signed off chain goes the same seven steps, is counted like what it means, and is what others accept.
// Method: the whole gateway; ethers and viem find the signer; a token with ERC-2612 takes the Permit on a real node.

const TUSD = getAddress("0x5FbDB2315678afecb367f032d93F642f64180aa3"); // TUSD-LOCAL in policies/shared/assets.yaml
const SPENDER = privateKeyToAccount(`0x${"59".repeat(32)}`);
const STRANGER = getAddress("0x90F79bf6EB2c4f870365E785982E1f101E93b906");
const CODE = getAddress("0x00000000000000000000000000000000000000C0");
const AUTHORITY = privateKeyToAccount(`0x${"61".repeat(32)}`);
const chain = "eip155:31337";

const POLICY = `apiVersion: portcullis/v1
kind: ClientPolicy
client: acme-fund
version: 1
use: [shared/assets.yaml]
callers:
  payouts: { role: wallet-service, keys: ["ed25519:M6VqVUrtA/kadQU9EtD0ORaImZtOy1kR/HPbKRYegRM="] }
addressBook:
  router: { address: "${chain}:${SPENDER.address}" }
  authority: { address: "${chain}:${AUTHORITY.address}" }
  code: { address: "${chain}:${CODE}" }
fee: { ETH-LOCAL: { max: "0.02" } }
rules:
  - { id: permits, allow: [allowance], from: [hot-1], to: [router], amount: { TUSD-LOCAL: { max: "1000" } } }
  - { id: words, allow: [message], from: [hot-1], to: [anyone], format: [text, siwe] }
  - { id: orders, allow: [typed-data], from: [hot-1], to: [anyone], domain: { name: Exchange, chainId: "31337" }, primaryType: [Order], unbounded: true }
  - { id: delegations, allow: [delegate], from: ["account:authority"], to: [code], unbounded: true }
  - { id: handover, allow: [delegate], from: [hot-1], to: [code], unbounded: true }
  - { id: own, allow: [transfer], to: [own], amount: { ETH-LOCAL: any } }
limits:
  tusd-daily: { sum: TUSD-LOCAL, max: "1500", window: { rolling: 24h } }
`;

describe("signatures off the chain, end to end", function () {
  let anvil: Anvil;
  let gateway: DevGateway;
  let wallet: GatewayClient;
  let key: Address;
  let folder: string;
  const token = compileErc20();
  const node = () => createPublicClient({ chain: foundry, transport: http(anvil.url), pollingInterval: 20 });
  const as = (account: typeof SPENDER) =>
    createWalletClient({ account, chain: foundry, transport: http(anvil.url), pollingInterval: 20 }).extend(
      publicActions,
    );

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "off-chain-"));
    cpSync(fileURLToPath(new URL("../../policies/shared", import.meta.url)), join(folder, "shared"), {
      recursive: true,
    });
    writeFileSync(join(folder, "acme-fund.yaml"), POLICY);
    [anvil, gateway] = await Promise.all([startAnvil(), startDevGateway(["--policy", join(folder, "acme-fund.yaml")])]);
    wallet = gateway.as("acme-fund", "payouts");
    key = getAddress(gateway.clients[0]!.keys[0]!.accounts[0]!.replace(`${chain}:`, ""));
    const first = as(privateKeyToAccount(FIRST_ACCOUNT_KEY));
    const { contractAddress } = await first.waitForTransactionReceipt({ hash: await first.deployContract(token) });
    assert.equal(getAddress(contractAddress!), TUSD);
    for (const to of [key, SPENDER.address]) {
      const hash = await first.sendTransaction({ to, value: 10n ** 18n });
      await first.waitForTransactionReceipt({ hash });
    }
  });
  after(async () => {
    await gateway?.stop();
    await anvil?.stop();
    rmSync(folder, { recursive: true });
  });

  const sign = (payload: object): Promise<SigningRequestView> =>
    wallet.sign("acme-fund", { key: "hot-1", payload }, { idempotencyKey: randomUUID() });

  const domain = { name: "Test Dollar", version: "1", chainId: 31337, verifyingContract: TUSD } as const;
  const EIP712Domain = [
    { name: "name", type: "string" },
    { name: "version", type: "string" },
    { name: "chainId", type: "uint256" },
    { name: "verifyingContract", type: "address" },
  ];
  const Permit = ["address owner", "address spender", "uint256 value", "uint256 nonce", "uint256 deadline"].map(
    (member) => ({ type: member.split(" ")[0]!, name: member.split(" ")[1]! }),
  );
  const permit = (value: bigint, nonce: bigint, spender: Address = SPENDER.address) => ({
    types: { EIP712Domain, Permit },
    domain,
    primaryType: "Permit" as const,
    message: { owner: key, spender, value: String(value), nonce: String(nonce), deadline: "4000000000" },
  });

  it("a Permit is an allowance, its signature is recovered by others, and the token takes it", async () => {
    const value = parseUnits("1000", 6);
    const typedData = permit(value, 0n);
    const view = await sign({ type: "evm-typed-data", typedData });
    assert.equal(view.state, "signed");
    const { signature, digest, address, ...rest } = view.result!;
    assert.deepEqual([address, rest], [key, {}]);
    assert.match(signature, /^0x[0-9a-f]{128}(1b|1c)$/);
    assert.deepEqual((view.intent as { operations: unknown }).operations, [
      {
        kind: "allowance",
        asset: "TUSD-LOCAL",
        from: `${chain}:${key}`,
        to: `${chain}:${SPENDER.address}`,
        amount: String(value),
      },
    ]);
    assert.equal(digest, hashTypedData(typedData as never));
    assert.equal(digest, TypedDataEncoder.hash(domain, { Permit }, typedData.message));
    assert.equal(ethersVerifyTypedData(domain, { Permit }, typedData.message, signature), key);
    assert.equal(
      await recoverTypedDataAddress({ ...(typedData as never as object), signature: signature as Hex } as never),
      key,
    );

    const { r, s, v } = parseSignature(signature as Hex);
    const spender = as(SPENDER);
    const hash = await spender.writeContract({
      address: TUSD,
      abi: token.abi,
      functionName: "permit",
      args: [key, SPENDER.address, value, 4_000_000_000n, Number(v), r, s],
    });
    assert.equal((await spender.waitForTransactionReceipt({ hash })).status, "success");
    const allowed = node().readContract({
      address: TUSD,
      abi: token.abi,
      functionName: "allowance",
      args: [key, SPENDER.address],
    });
    assert.equal(await allowed, value);
  });

  it("a Permit counts in the limit of what it allows, and is denied to others and without bound", async () => {
    for (const [document, reason] of [
      [permit(parseUnits("501", 6), 1n), "over-limit"],
      [permit(1n, 1n, STRANGER), "no-rule"],
      [permit(2n ** 256n - 1n, 1n), "no-rule"],
    ] as const) {
      await assert.rejects(
        sign({ type: "evm-typed-data", typedData: document }),
        (error: { code?: string; facts?: object }) => {
          assert.equal(error.code, "denied-by-policy", reason);
          return true;
        },
      );
    }
    const view = await sign({ type: "evm-typed-data", typedData: permit(parseUnits("500", 6), 1n) });
    assert.equal(view.state, "signed");
  });

  it("typed data of unknown effect needs a rule that names its domain and type", async () => {
    const order = (name: string) => ({
      types: {
        EIP712Domain: EIP712Domain.filter((one) => ["name", "chainId"].includes(one.name)),
        Order: [{ name: "price", type: "uint256" }],
      },
      domain: { name, chainId: 31337 },
      primaryType: "Order",
      message: { price: "7" },
    });
    const view = await sign({ type: "evm-typed-data", typedData: order("Exchange") });
    assert.equal(
      ethersVerifyTypedData(
        { name: "Exchange", chainId: 31337 },
        { Order: [{ name: "price", type: "uint256" }] },
        { price: 7 },
        view.result!.signature,
      ),
      key,
    );
    await assert.rejects(sign({ type: "evm-typed-data", typedData: order("Other") }), { code: "denied-by-policy" });
  });

  it("messages, as text and as bytes, are recovered by others; what cannot be read or hides a digest is denied", async () => {
    const text = "I control this address.\n2026-11-22 ✓";
    for (const message of [text, `0x${Buffer.from(text).toString("hex")}`]) {
      const { result } = await sign({ type: "evm-message", message });
      assert.equal(result!.digest, hashMessage(text));
      assert.equal(ethersVerifyMessage(text, result!.signature), key);
      assert.equal(await recoverMessageAddress({ message: text, signature: result!.signature as Hex }), key);
    }
    for (const message of [`0x${"ab".repeat(32)}`, "ab".repeat(32), "0xff00ff"])
      await assert.rejects(sign({ type: "evm-message", message }), { code: "denied-by-policy" });
  });

  it("the same request again has the same signature", async () => {
    const body = { key: "hot-1", payload: { type: "evm-message", message: "once" } } as never;
    const idempotencyKey = randomUUID();
    const first = await wallet.sign("acme-fund", body, { idempotencyKey });
    assert.deepEqual(await wallet.sign("acme-fund", body, { idempotencyKey }), first);
  });

  it("what is malformed, for another chain or nested too deeply is refused by its code", async () => {
    const other = { ...permit(1n, 2n), domain: { ...domain, chainId: 1 } };
    await assert.rejects(sign({ type: "evm-typed-data", typedData: other }), { code: "wrong-chain" });
    const extra = { ...permit(1n, 2n), message: { ...permit(1n, 2n).message, memo: "x" } };
    await assert.rejects(sign({ type: "evm-typed-data", typedData: extra }), { code: "typed-data-fields" });
    const deep = JSON.parse(`${"[".repeat(1_000)}${"]".repeat(1_000)}`) as unknown;
    await assert.rejects(sign({ type: "evm-typed-data", typedData: { ...permit(1n, 2n), message: deep } }), {
      code: "typed-data-value",
    });
    await assert.rejects(sign({ type: "evm-message", message: "x", chain: "eip155:1" }), { code: "wrong-chain" });
  });

  it("a type 4 transaction tells whose account it delegates and which nonce it uses up; a stranger's is denied (I13)", async () => {
    const { r, s, yParity } = await AUTHORITY.signAuthorization({ address: CODE, chainId: 31337, nonce: 7 });
    const authorization = { chainId: "31337", address: CODE, nonce: "7", yParity: String(yParity), r, s };
    const fees = { gas: "100000", maxFeePerGas: "3000000000", maxPriorityFeePerGas: "1" };
    // The same one twice: the chain skips the second, and its nonce is claimed once.
    const transaction = { to: key, value: "0", nonce: "0", ...fees, authorizationList: [authorization, authorization] };
    const payload = { type: "evm-transaction", transaction };
    const evaluated = await wallet.call<{
      intent: { operations: unknown[]; claims: { account: string; nonce: string }[] };
    }>("POST", "/v1/clients/acme-fund/evaluations", { body: { key: "hot-1", payload } });
    const delegate = { kind: "delegate", from: `${chain}:${AUTHORITY.address}`, to: `${chain}:${CODE}` };
    assert.deepEqual(evaluated.intent.operations.slice(1), [delegate, delegate]);
    assert.deepEqual(evaluated.intent.claims.slice(1), [
      {
        kind: "evm-nonce",
        account: delegate.from,
        nonce: "7",
        authorization: hashAuthorization({ chainId: 31337, address: CODE, nonce: 7 }),
      },
    ]);
    await assert.rejects(sign(payload), /two owners/);
  });

  it("an authorization signed here, carried by a transaction signed here, is mined and delegates; its nonce is used once (I12)", async () => {
    const authorization = { chainId: "31337", address: CODE, nonce: "1" };
    const payload = { type: "evm-authorization", ...authorization };
    const { result, intent } = await sign(payload);
    assert.deepEqual((intent as { operations: unknown }).operations, [
      { kind: "delegate", from: `${chain}:${key}`, to: `${chain}:${CODE}` },
    ]);
    assert.equal(result!.digest, hashAuthorization({ chainId: 31337, address: CODE, nonce: 1 }));
    for (const [refused, code] of [
      [payload, "denied-by-policy"],
      [{ ...payload, nonce: "2", address: STRANGER }, "denied-by-policy"],
      [{ ...payload, nonce: "2", chainId: "0" }, "authorization-for-every-chain"],
      [{ ...payload, nonce: "2", chainId: "1" }, "wrong-chain"],
    ] as const)
      await assert.rejects(sign(refused), { code });

    const { r, s, yParity } = parseSignature(result!.signature as Hex);
    const carrying = (nonce: string) => ({
      type: "evm-transaction",
      transaction: {
        to: key,
        value: "0",
        nonce,
        gas: "100000",
        maxFeePerGas: "3000000000",
        maxPriorityFeePerGas: "1",
        authorizationList: [{ ...authorization, yParity: String(yParity), r, s }],
      },
    });
    // The nonce that the authorization uses up is no transaction's, not even of the one that carries it.
    await assert.rejects(sign(carrying("1")), { code: "denied-by-policy" });
    const view = await sign(carrying("0"));
    const hash = await node().sendRawTransaction({ serializedTransaction: view.result!.signedTransaction as Hex });
    assert.equal((await node().waitForTransactionReceipt({ hash })).status, "success");
    assert.equal(await node().getCode({ address: key }), `0xef0100${CODE.slice(2).toLowerCase()}`);
    assert.equal(await node().getTransactionCount({ address: key }), 2);
  });
});
