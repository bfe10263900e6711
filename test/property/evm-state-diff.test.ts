import assert from "node:assert/strict";
import fc from "fast-check";
import {
  concatHex,
  createTestClient,
  encodeFunctionData,
  getAddress,
  http,
  maxUint256,
  numberToHex,
  parseAbi,
  publicActions,
  size,
  walletActions,
  zeroAddress,
  zeroHash,
  type Abi,
  type Address,
  type Hex,
} from "viem";
import { foundry } from "viem/chains";
import { evmAccount } from "../../src/chains/evm/address.ts";
import { intentOf } from "../../src/chains/evm/intent.ts";
import type { Asset, AssetRegistry, ContractKind, PinnedContract } from "../../src/domain/assets.ts";
import { addressOf, evmChain, type Account, type AssetSymbol } from "../../src/domain/chain.ts";
import type { Operation } from "../../src/domain/intent.ts";
import { bytesOf } from "../unit/chains/evm/arbitraries.ts";
import { RUNS_TIMEOUT_MS, soakRuns } from "../unit/chains/evm/runs.ts";
import { compileWorld, type ContractName } from "../unit/chains/evm/world.ts";
import { startAnvil, type Anvil } from "../support/anvil.ts";

// Goal: what an intent says is what happens.
// Method: random payloads run on a real node; nobody's balance falls by more than the operations say, every balance
// changes exactly as they say where nothing is wrapped or refunded, and no allowance is greater than they say.

const CHAIN_ID = BigInt(foundry.id);
const OWN = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const OTHER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const THIRD = "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC";
const IDS = [1n, 2n, 3n];
const account = (address: string): Account => evmAccount(CHAIN_ID, address);

const abi: Abi = parseAbi([
  "struct Call3Value { address target; bool allowFailure; uint256 value; bytes callData; }",
  "function transfer(address,uint256)",
  "function transferFrom(address,address,uint256)",
  "function transferFrom(address,address,uint160,address)",
  "function approve(address,uint256)",
  "function approve(address,address,uint160,uint48)",
  "function increaseAllowance(address,uint256)",
  "function decreaseAllowance(address,uint256)",
  "function permit(address,address,uint256,uint256,uint8,bytes32,bytes32)",
  "function permit(address,address,uint256,uint256,bool,uint8,bytes32,bytes32)",
  "struct PermitDetails { address token; uint160 amount; uint48 expiration; uint48 nonce; }",
  "struct PermitSingle { PermitDetails details; address spender; uint256 sigDeadline; }",
  "struct PermitBatch { PermitDetails[] details; address spender; uint256 sigDeadline; }",
  "function permit(address,PermitSingle,bytes)",
  "function permit(address,PermitBatch,bytes)",
  "struct Move { address from; address to; uint160 amount; address token; }",
  "function transferFrom(Move[])",
  "struct Pair { address token; address spender; }",
  "function lockdown(Pair[])",
  "struct Transfers { Permitted[] permitted; uint256 nonce; uint256 deadline; }",
  "function permitTransferFrom(Transfers,Details[],address,bytes)",
  "function permitWitnessTransferFrom(Transfers,Details[],address,bytes32,string,bytes)",
  "function multicall(bytes[])",
  "function transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)",
  "struct Permitted { address token; uint256 amount; }",
  "struct Transfer { Permitted permitted; uint256 nonce; uint256 deadline; }",
  "struct Details { address to; uint256 requestedAmount; }",
  "function permitTransferFrom(Transfer,Details,address,bytes)",
  "function deposit()",
  "function withdraw(uint256)",
  "function safeTransferFrom(address,address,uint256)",
  "function safeTransferFrom(address,address,uint256,uint256,bytes)",
  "function safeBatchTransferFrom(address,address,uint256[],uint256[],bytes)",
  "function setApprovalForAll(address,bool)",
  "function aggregate3Value(Call3Value[])",
  "function multiSend(bytes)",
  "function execTransaction(address,uint256,bytes,uint8,uint256,uint256,uint256,address,address,bytes)",
]);
const encode = (functionName: string, ...args: unknown[]): Hex => encodeFunctionData({ abi, functionName, args });

type Sample = { to: Address; value: bigint; data: Hex };
type World = Readonly<Record<ContractName, Address>>;

/** Payloads that mostly succeed: small amounts, and accounts that exist. */
function samples(world: World): fc.Arbitrary<Sample> {
  const someone = fc.constantFrom<Address>(OWN, OTHER, THIRD, world.Safe, world.Multicall3);
  const amount = fc.bigInt(0n, 1000n);
  const id = fc.constantFrom(...IDS);
  const token = fc.constantFrom(world.Token, world.Wrapped, world.Bundled);
  const sample = (to: Address, data: Hex, value = 0n): Sample => ({ to, value, data });
  const details = (value: bigint) => ({ token: world.Token, amount: value, expiration: 2 ** 40, nonce: 0 });
  const leaf = fc.oneof(
    fc.tuple(fc.constantFrom(OTHER, THIRD), amount).map(([to, value]) => sample(to, "0x", value)),
    fc.tuple(token, someone, amount).map(([at, to, value]) => sample(at, encode("transfer", to, value))),
    fc
      .tuple(token, someone, someone, amount)
      .map(([at, from, to, value]) => sample(at, encode("transferFrom", from, to, value))),
    fc
      .tuple(token, someone, fc.oneof(amount, fc.constant(maxUint256)))
      .map(([at, to, value]) => sample(at, encode("approve", to, value))),
    fc.tuple(token, someone, amount).map(([at, to, value]) => sample(at, encode("increaseAllowance", to, value))),
    fc.tuple(token, someone, amount).map(([at, to, value]) => sample(at, encode("decreaseAllowance", to, value))),
    amount.map((value) => sample(world.Wrapped, encode("deposit"), value)),
    amount.map((value) => sample(world.Wrapped, encode("withdraw", value))),
    fc
      .tuple(someone, someone, id)
      .map(([from, to, item]) => sample(world.Collection, encode("safeTransferFrom", from, to, item))),
    fc
      .tuple(someone, fc.boolean())
      .map(([to, approved]) => sample(world.Collection, encode("setApprovalForAll", to, approved))),
    fc.tuple(someone, id).map(([to, item]) => sample(world.Collection, encode("approve", to, item))),
    fc
      .tuple(someone, someone, id, amount)
      .map(([from, to, item, value]) => sample(world.Items, encode("safeTransferFrom", from, to, item, value, "0x"))),
    fc
      .tuple(someone, someone, amount, amount)
      .map(([from, to, one, two]) =>
        sample(world.Items, encode("safeBatchTransferFrom", from, to, [1n, 2n], [one, two], "0x")),
      ),
    fc
      .tuple(someone, fc.boolean())
      .map(([to, approved]) => sample(world.Items, encode("setApprovalForAll", to, approved))),
    fc
      .tuple(token, someone, someone, amount)
      .map(([at, owner, to, value]) =>
        sample(at, encode("permit", owner, to, value, 2n ** 40n, 27, zeroHash, zeroHash)),
      ),
    fc.tuple(someone, someone, amount, amount).map(([owner, to, most, requestedAmount]) => {
      const permitted = { token: world.Token, amount: most };
      const transfer = { permitted, nonce: 0n, deadline: 2n ** 40n };
      return sample(world.Permit2, encode("permitTransferFrom", transfer, { to, requestedAmount }, owner, "0x"));
    }),
    fc
      .tuple(someone, amount)
      .map(([to, value]) => sample(world.Permit2, encode("approve", world.Token, to, value, 2 ** 40))),
    fc
      .tuple(someone, someone, amount)
      .map(([from, to, value]) => sample(world.Permit2, encode("transferFrom", from, to, value, world.Token))),
    fc
      .tuple(token, someone, someone, fc.boolean())
      .map(([at, holder, to, allowed]) =>
        sample(at, encode("permit", holder, to, 0n, 2n ** 40n, allowed, 27, zeroHash, zeroHash)),
      ),
    fc
      .tuple(token, someone, someone, amount)
      .map(([at, from, to, value]) =>
        sample(
          at,
          encode("transferWithAuthorization", from, to, value, 0n, 2n ** 40n, zeroHash, 27, zeroHash, zeroHash),
        ),
      ),
    fc
      .tuple(someone, someone, amount)
      .map(([owner, spender, value]) =>
        sample(
          world.Permit2,
          encode("permit", owner, { details: details(value), spender, sigDeadline: 2n ** 40n }, "0x"),
        ),
      ),
    fc
      .tuple(someone, someone, fc.array(amount, { minLength: 1, maxLength: 3 }))
      .map(([owner, spender, values]) =>
        sample(
          world.Permit2,
          encode("permit", owner, { details: values.map(details), spender, sigDeadline: 2n ** 40n }, "0x"),
        ),
      ),
    fc.array(fc.tuple(someone, someone, amount), { minLength: 1, maxLength: 3 }).map((moves) =>
      sample(
        world.Permit2,
        encode(
          "transferFrom",
          moves.map(([from, to, value]) => ({ from, to, amount: value, token: world.Token })),
        ),
      ),
    ),
    fc.array(someone, { minLength: 1, maxLength: 3 }).map((spenders) =>
      sample(
        world.Permit2,
        encode(
          "lockdown",
          spenders.map((spender) => ({ token: world.Token, spender })),
        ),
      ),
    ),
    fc
      .tuple(someone, fc.boolean(), fc.array(fc.tuple(someone, amount, amount), { minLength: 1, maxLength: 3 }))
      .map(([owner, witness, parts]) => {
        const permitted = parts.map(([, most]) => ({ token: world.Token, amount: most }));
        const wanted = parts.map(([to, most, requested]) => ({ to, requestedAmount: requested % (most + 1n) }));
        const transfers = { permitted, nonce: 0n, deadline: 2n ** 40n };
        return sample(
          world.Permit2,
          witness
            ? encode(
                "permitWitnessTransferFrom",
                transfers,
                wanted,
                owner,
                zeroHash,
                "Order order)Order(uint256 a)",
                "0x",
              )
            : encode("permitTransferFrom", transfers, wanted, owner, "0x"),
        );
      }),
    fc
      .array(
        fc.oneof(
          fc.tuple(someone, amount).map(([to, value]) => encode("transfer", to, value)),
          fc.tuple(someone, someone, amount).map(([from, to, value]) => encode("transferFrom", from, to, value)),
          fc.tuple(someone, amount).map(([to, value]) => encode("approve", to, value)),
        ),
        { minLength: 1, maxLength: 4 },
      )
      .map((calls) => sample(world.Bundled, encode("multicall", calls))),
  );
  const part = ({ to, value, data }: Sample): Hex =>
    concatHex(["0x00", to, numberToHex(value, { size: 32 }), numberToHex(size(data), { size: 32 }), data]);
  const exec = (one: Sample, operation: number, gasPrice: bigint, gasToken: Address) =>
    sample(
      world.Safe,
      encode(
        "execTransaction",
        one.to,
        one.value,
        one.data,
        operation,
        // With gas set apart for it, the inner call may fail and the refund is paid all the same.
        gasPrice === 0n ? 0n : 2_000_000n,
        20_000n,
        gasPrice,
        gasToken,
        THIRD,
        "0x",
      ),
    );
  const refund = fc.constantFrom<[bigint, Address]>(
    [0n, zeroAddress],
    [0n, zeroAddress],
    [1n, world.Token],
    [1n, zeroAddress],
  );
  return fc.oneof(
    leaf,
    fc.tuple(leaf, refund).map(([one, [price, gasToken]]) => exec(one, 0, price, gasToken)),
    fc
      .tuple(fc.array(leaf, { minLength: 1, maxLength: 4 }), refund)
      .map(([many, [price, gasToken]]) =>
        exec(sample(world.MultiSend, encode("multiSend", concatHex(many.map(part)))), 1, price, gasToken),
      ),
    fc.array(leaf, { minLength: 1, maxLength: 4 }).map((many) =>
      sample(
        world.Multicall3,
        encode(
          "aggregate3Value",
          many.map(({ to, value, data }) => ({ target: to, allowFailure: false, value, callData: data })),
        ),
      ),
    ),
  );
}

function registryOf(world: World): AssetRegistry {
  const chain = evmChain(CHAIN_ID);
  const asset = (symbol: string, standard: Asset["standard"], at?: Address): Asset => ({
    symbol: symbol as AssetSymbol,
    chain,
    decimals: 0,
    standard,
    ...(at ? { contract: account(at) } : {}),
  });
  const assets = [
    asset("ETH", "native"),
    asset("TOKEN", "erc20", world.Token),
    asset("WRAPPED", "erc20", world.Wrapped),
    asset("BUNDLED", "erc20", world.Bundled),
    asset("COLLECTION", "erc721", world.Collection),
    asset("ITEMS", "erc1155", world.Items),
  ];
  const kinds: [ContractName, ContractKind][] = [
    ["Wrapped", "weth"],
    ["Bundled", "multicall"],
    ["Permit2", "permit2"],
    ["Multicall3", "multicall3"],
    ["MultiSend", "multisend"],
    ["Safe", "safe"],
  ];
  const contracts = kinds.map(([name, kind]): PinnedContract => ({ account: account(world[name]), name, kind }));
  return {
    bySymbol: new Map(assets.map((one) => [one.symbol, one])),
    nativeOf: new Map([[chain, assets[0]!]]),
    byContract: new Map(assets.flatMap((one) => (one.contract ? [[one.contract, one] as const] : []))),
    contracts: new Map(contracts.map((one) => [one.account, one])),
  };
}

/** `asset#item address` → balance, and `asset#item owner spender` → what may be taken. */
type State = { readonly balances: ReadonlyMap<string, bigint>; readonly allowances: ReadonlyMap<string, bigint> };

describe("property: EVM intents come true", function () {
  this.timeout(2 * RUNS_TIMEOUT_MS);
  let anvil: Anvil;
  let chain: ReturnType<typeof clientOf>;
  let world: World;
  let compiled: ReturnType<typeof compileWorld>;
  const clientOf = (url: string) =>
    createTestClient({
      chain: foundry,
      mode: "anvil",
      transport: http(url, { batch: { batchSize: 500 } }),
      pollingInterval: 5,
    })
      .extend(publicActions)
      .extend(walletActions);

  const send = async (from: Address, { to, value, data }: { to: Address | null; value: bigint; data: Hex }) => {
    const hash = await chain.sendTransaction({ account: from, to, value, data, gas: 8_000_000n, gasPrice: 2n });
    return chain.waitForTransactionReceipt({ hash });
  };
  const read = (name: ContractName, functionName: string, ...args: unknown[]) =>
    chain.readContract({ address: world[name], abi: compiled[name].abi, functionName, args });

  before(async () => {
    compiled = compileWorld();
    anvil = await startAnvil();
    chain = clientOf(anvil.url);
    const deployed: Partial<Record<ContractName, Address>> = {};
    await chain.setNextBlockBaseFeePerGas({ baseFeePerGas: 0n });
    for (const [name, { bytecode }] of Object.entries(compiled)) {
      const { contractAddress } = await send(OWN, { to: null, value: 0n, data: bytecode });
      deployed[name as ContractName] = getAddress(contractAddress!);
    }
    world = deployed as World;
    await furnish();
  });
  after(() => anvil.stop());

  /** Everybody has something of everything, and lends some of it to those who call. */
  async function furnish() {
    const everyone: Address[] = [OWN, OTHER, THIRD, world.Safe, world.Multicall3];
    const run = (from: Address, name: ContractName, functionName: string, args: unknown[], value = 0n) =>
      send(from, { to: world[name], value, data: encodeFunctionData({ abi: compiled[name].abi, functionName, args }) });
    for (const [index, one] of everyone.entries()) {
      await chain.impersonateAccount({ address: one });
      await chain.setBalance({ address: one, value: 10n ** 20n });
      await run(OWN, "Token", "mint", [one, 10n ** 12n]);
      await run(OWN, "Bundled", "mint", [one, 10n ** 12n]);
      await run(one, "Wrapped", "deposit", [], 10n ** 12n);
      if (IDS[index] !== undefined) await run(OWN, "Collection", "mint", [one, IDS[index]]);
      for (const item of IDS) await run(OWN, "Items", "mint", [one, item, 10n ** 12n]);
      for (const spender of [OWN, world.Safe, world.Multicall3, world.Permit2]) {
        await run(one, "Token", "approve", [spender, 10n ** 9n]);
        await run(one, "Wrapped", "approve", [spender, 10n ** 9n]);
        await run(one, "Bundled", "approve", [spender, 10n ** 9n]);
        await run(one, "Items", "setApprovalForAll", [spender, true]);
        await run(one, "Permit2", "approve", [world.Token, spender, 10n ** 9n, 2 ** 40]);
      }
    }
  }

  async function stateOf(): Promise<State> {
    const everyone: Address[] = [OWN, OTHER, THIRD, world.Safe, world.Multicall3];
    const balances = new Map<string, bigint>();
    const allowances = new Map<string, bigint>();
    const put = async (map: Map<string, bigint>, key: string, value: Promise<unknown>) =>
      map.set(key, BigInt((await value) as bigint | boolean));
    const pairs = everyone.flatMap((owner) => everyone.map((spender) => [owner, spender] as const));
    await Promise.all([
      ...everyone.flatMap((one) => [
        put(balances, `ETH ${one}`, chain.getBalance({ address: one })),
        put(balances, `TOKEN ${one}`, read("Token", "balanceOf", one)),
        put(balances, `WRAPPED ${one}`, read("Wrapped", "balanceOf", one)),
        put(balances, `BUNDLED ${one}`, read("Bundled", "balanceOf", one)),
        ...IDS.map((item) => put(balances, `ITEMS#${item} ${one}`, read("Items", "balanceOf", one, item))),
        ...IDS.map((item) =>
          put(
            balances,
            `COLLECTION#${item} ${one}`,
            read("Collection", "ownerOf", item).then((owner) => owner === one),
          ),
        ),
      ]),
      ...pairs.flatMap(([owner, spender]) => [
        put(allowances, `TOKEN ${owner} ${spender}`, read("Token", "allowance", owner, spender)),
        put(allowances, `WRAPPED ${owner} ${spender}`, read("Wrapped", "allowance", owner, spender)),
        put(allowances, `BUNDLED ${owner} ${spender}`, read("Bundled", "allowance", owner, spender)),
        put(allowances, `COLLECTION ${owner} ${spender}`, read("Collection", "isApprovedForAll", owner, spender)),
        put(allowances, `ITEMS ${owner} ${spender}`, read("Items", "isApprovedForAll", owner, spender)),
        put(
          allowances,
          `permit2 ${owner} ${spender}`,
          read("Permit2", "allowance", owner, world.Token, spender).then((entry) => (entry as [bigint])[0]),
        ),
      ]),
    ]);
    return { balances, allowances };
  }

  /** What the operations say that the balances will be; without what comes in: the least that they may be. */
  function promised(
    before: ReadonlyMap<string, bigint>,
    operations: readonly Operation[],
    incoming: boolean,
  ): ReadonlyMap<string, bigint> {
    const after = new Map(before);
    const add = (key: string, amount: bigint) => after.has(key) && after.set(key, after.get(key)! + amount);
    for (const operation of operations) {
      if (operation.kind !== "transfer") continue;
      const item = operation.tokenId === undefined ? operation.asset : `${operation.asset}#${operation.tokenId}`;
      add(`${item} ${addressOf(operation.from)}`, -operation.amount);
      if (incoming) add(`${item} ${addressOf(operation.to)}`, operation.amount);
    }
    return after;
  }

  /** Wrapping gives back, and of a refund only the greatest amount is known: there, nobody may lose more than told. */
  const isExact = (operations: readonly Operation[], data: Hex) =>
    !operations.some((one) => one.kind === "transfer" && addressOf(one.to) === world.Wrapped) &&
    !(
      data.startsWith("0x6a761202") && operations.some((one) => one.kind === "transfer" && addressOf(one.to) === THIRD)
    );

  function checkAllowances(before: State, after: State, operations: readonly Operation[], to: Address) {
    const granted = new Map<string, bigint>();
    for (const one of operations) {
      if (one.kind !== "allowance") continue;
      const pair = `${addressOf(one.from)} ${addressOf(one.to)}`;
      for (const book of [one.asset, "permit2"]) {
        // Less than before, of an unknown sum, grants nothing: what was there may stay.
        const kept = one.change?.startsWith("-") ? (before.allowances.get(`${book} ${pair}`) ?? 0n) : 0n;
        const known = granted.get(`${book} ${pair}`) ?? 0n;
        granted.set(
          `${book} ${pair}`,
          [one.amount, kept, known].reduce((a, b) => (a > b ? a : b)),
        );
      }
    }
    for (const [key, amount] of after.allowances) {
      const most = [before.allowances.get(key)!, granted.get(key) ?? 0n].reduce((a, b) => (a > b ? a : b));
      assert.ok(amount <= most, `${key} may take ${amount}, told ${most} (call of ${to})`);
    }
  }

  it("balances and allowances change as the operations say", async () => {
    const registry = registryOf(world);
    const base = {
      type: "eip1559",
      chainId: CHAIN_ID,
      nonce: 0n,
      gasLimit: 1n,
      maxFeePerGas: 1n,
      maxPriorityFeePerGas: 1n,
      accessList: [],
    } as const;
    let mined = 0;
    let before = await stateOf();
    const cases = fc.sample(samples(world), soakRuns(150, 1_500));
    for (const { to, value, data } of cases) {
      const { operations } = intentOf({ ...base, to, value, data: bytesOf(data) }, account(OWN), registry);
      const { status, gasUsed, effectiveGasPrice } = await send(OWN, { to, value, data });
      const after = await stateOf();
      const paid = new Map(after.balances).set(
        `ETH ${OWN}`,
        after.balances.get(`ETH ${OWN}`)! + gasUsed * effectiveGasPrice,
      );
      const done = status === "success" ? operations : [];
      const told = promised(before.balances, done, true);
      const least = promised(before.balances, done, false);
      for (const [key, balance] of paid) {
        if (isExact(done, data)) assert.equal(balance, told.get(key), `${key} (${data})`);
        else assert.ok(balance >= least.get(key)!, `${key}: told ${least.get(key)}, found ${balance} (${data})`);
      }
      checkAllowances(before, after, done, to);
      if (status === "success") mined++;
      before = after;
    }
    assert.ok(mined > cases.length / 2, `only ${mined} of ${cases.length} payloads were carried out`);
  });
});
