import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { computeAddress, recoverAddress, Transaction } from "ethers";
import { decodeFunctionData, erc20Abi } from "viem";
import { evmAccount } from "../../src/chains/evm/address.ts";
import { intentOf } from "../../src/chains/evm/intent.ts";
import {
  decodeSigned,
  decodeUnsigned,
  encodeSigned,
  encodeUnsigned,
  signingDigest,
  transactionHash,
  type EvmTransaction,
} from "../../src/chains/evm/transaction.ts";
import { CONTRACT_KINDS, type Asset, type AssetRegistry } from "../../src/domain/assets.ts";
import { addressOf, evmChain, type AssetSymbol } from "../../src/domain/chain.ts";
import { GatewayError } from "../../src/domain/errors.ts";
import { encodeRlp, RlpReader, type RlpItem } from "../../src/chains/evm/rlp.ts";

// Goal: what other implementations published as right is read as they say; real transactions of real blocks are read.
// The vectors are not part of this repository: without them there are no cases here.

const VECTORS = new URL("../../../shared/vectors/", import.meta.url);
const read = (path: string): unknown => JSON.parse(readFileSync(new URL(path, VECTORS), "utf8"));
const hex = (bytes: Uint8Array) => `0x${Buffer.from(bytes).toString("hex")}`;
const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text.slice(2), "hex"));

if (existsSync(new URL("evm-tx/", VECTORS))) {
  describe("vectors: RLP by ethers", () => {
    type Nested = string | Nested[];
    const toItem = (value: Nested): RlpItem => (typeof value === "string" ? bytesOf(value) : value.map(toItem));
    const readAny = (reader: RlpReader): Nested =>
      reader.nextIsList ? readRest(reader.list("item")) : hex(reader.bytes("item"));
    const readRest = (list: RlpReader): Nested[] => {
      const items: Nested[] = [];
      while (list.hasMore) items.push(readAny(list));
      return items;
    };
    for (const { name, decoded, encoded } of read("evm-tx/ethers6-rlp.json") as {
      name: string;
      decoded: Nested;
      encoded: string;
    }[]) {
      it(name, () => {
        assert.equal(hex(encodeRlp(toItem(decoded))), encoded);
        // The reader opens lists only: a single string is read as the one item of a list.
        const list = encodeRlp([toItem(decoded)]);
        assert.deepEqual(readRest(RlpReader.listIn(list, 0, "list")), [decoded]);
      });
    }
  });

  describe("vectors: transactions by ethers", () => {
    const FORMS = [
      ["unsignedLegacy", "signedLegacy"],
      ["unsignedEip155", "signedEip155"],
      ["unsignedBerlin", "signedBerlin"],
      ["unsignedLondon", "signedLondon"],
      ["unsignedCancun", "signedCancun"],
    ] as const;
    type Case = { name: string; transaction: { chainId?: string } } & Record<
      (typeof FORMS)[number][number],
      string | undefined
    >;
    for (const item of read("evm-tx/ethers6-transactions-sample.json") as Case[]) {
      it(item.name, () => {
        for (const [unsignedName, signedName] of FORMS) {
          const [unsigned, raw] = [item[unsignedName], item[signedName]];
          if (!unsigned || !raw || unsigned === "0x") continue;
          // EIP-155 and the types need a chain; some of these cases name chain zero, which ethers writes as no EIP-155.
          if (unsignedName !== "unsignedLegacy" && BigInt(item.transaction.chainId ?? 0) === 0n) {
            if (unsignedName !== "unsignedEip155")
              assert.throws(() => decodeUnsigned(bytesOf(unsigned)), { code: "chain-id-zero" });
            continue;
          }
          const { transaction, ...signature } = decodeSigned(bytesOf(raw));
          assert.equal(hex(encodeUnsigned(transaction)), unsigned);
          assert.deepEqual(decodeUnsigned(bytesOf(unsigned)), transaction);
          assert.equal(hex(encodeSigned(transaction, signature)), raw);
        }
      });
    }
  });

  describe("vectors: signed transactions by ethereumjs", () => {
    it("a blob transaction with its sidecar", () => {
      const raw = bytesOf((read("evm-tx/ethereumjs/serialized4844tx.json") as { tx: string }).tx);
      const { transaction, ...signature } = decodeSigned(raw);
      assert.ok(transaction.type === "eip4844" && transaction.sidecar?.blobs.length === 1);
      assert.deepEqual(encodeSigned(transaction, signature), raw);
    });
    const checkSigned = (raw: Uint8Array, sender: string | null) => {
      const { transaction, ...signature } = decodeSigned(raw);
      assert.deepEqual(encodeSigned(transaction, signature), raw);
      const digest = hex(signingDigest(encodeUnsigned(transaction)));
      const { r32, s32, yParity } = signature;
      assert.equal(recoverAddress(digest, { r: hex(r32), s: hex(s32), yParity }), sender);
    };
    type Raw = string | Raw[];
    const item = (value: Raw): RlpItem => (typeof value === "string" ? bytesOf(value) : value.map(item));
    for (const [file, prefix] of [
      ["eip2930txs", [1]],
      ["eip1559txs", [2]],
    ] as const) {
      (read(`evm-tx/ethereumjs/${file}.json`) as { raw: Raw[] }[]).forEach(({ raw }, index) => {
        // The address in these files is not the signer's: ethers says who that is.
        const bytes = encodeRlp(raw.map(item), prefix);
        it(`${file}: number ${index}`, () => checkSigned(bytes, Transaction.from(hex(bytes)).from));
      });
    }
    for (const { privateKey, signedTransactionRLP } of read("evm-tx/ethereumjs/eip1559.json") as {
      privateKey: string;
      signedTransactionRLP: string;
    }[]) {
      it(`type 2 inside a block's RLP: ${signedTransactionRLP.slice(-16)}`, () => {
        // In a block a typed transaction is a string, here of 56 to 255 bytes.
        const wrapped = bytesOf(signedTransactionRLP);
        assert.deepEqual([wrapped[0], wrapped[1]], [0xb8, wrapped.length - 2]);
        checkSigned(wrapped.subarray(2), computeAddress(privateKey));
      });
    }
    it("a transaction as a node's RPC tells it has the hash that the node tells", () => {
      const rpc = read("evm-tx/ethereumjs/rpcTx.json") as Record<string, string>;
      const transaction: EvmTransaction = {
        type: "eip1559",
        chainId: BigInt(rpc["chainId"]!),
        nonce: BigInt(rpc["nonce"]!),
        maxPriorityFeePerGas: BigInt(rpc["maxPriorityFeePerGas"]!),
        maxFeePerGas: BigInt(rpc["maxFeePerGas"]!),
        gasLimit: BigInt(rpc["gas"]!),
        to: rpc["to"]!,
        value: BigInt(rpc["value"]!),
        data: bytesOf(rpc["input"]!),
        accessList: [],
      };
      const raw = encodeSigned(transaction, { r32: bytesOf(rpc["r"]!), s32: bytesOf(rpc["s"]!), yParity: 1 });
      assert.equal(transactionHash(raw), rpc["hash"]);
    });
    for (const { sender, rlp } of read("evm-tx/ethereumjs/transactionTestEip155VitalikTests.json") as {
      sender: string;
      rlp: string;
    }[]) {
      it(`EIP-155 example of ${sender}`, () => {
        const { transaction, r32, s32, yParity } = decodeSigned(bytesOf(rlp));
        const from = recoverAddress(hex(signingDigest(encodeUnsigned(transaction))), {
          r: hex(r32),
          s: hex(s32),
          yParity,
        });
        assert.equal(from.toLowerCase(), `0x${sender}`);
      });
    }
  });
}

/** A registry that takes every contract that is called for a token: the boldest reading of real calldata. */
function registryWith(contract: string | undefined): AssetRegistry {
  const chain = evmChain(1n);
  const ether: Asset = { symbol: "ETH" as AssetSymbol, chain, decimals: 18, standard: "native" };
  const token: Asset = { ...ether, symbol: "TOKEN" as AssetSymbol, standard: "erc20" };
  const byContract = new Map(contract === undefined ? [] : [[evmAccount(1n, contract), token] as const]);
  return { bySymbol: new Map([[ether.symbol, ether]]), nativeOf: new Map([[chain, ether]]), byContract };
}

/** Whatever kind a real contract is pinned as, its calldata is told or refused with a code. */
function checkEveryKind(transaction: EvmTransaction, from: string): void {
  if (transaction.chainId === undefined || transaction.to === undefined) return;
  const to = evmAccount(1n, transaction.to);
  const plain = registryWith(undefined);
  const token = registryWith(transaction.to).byContract.get(to)!;
  const registries: AssetRegistry[] = [
    ...CONTRACT_KINDS.map((kind) => ({ ...plain, contracts: new Map([[to, { account: to, name: "pinned", kind }]]) })),
    ...(["erc721", "erc1155"] as const).map((standard) => ({
      ...plain,
      byContract: new Map([[to, { ...token, standard }]]),
    })),
  ];
  for (const registry of registries) {
    try {
      assert.ok(intentOf(transaction, evmAccount(1n, from), registry).operations.length > 0);
    } catch (error) {
      assert.ok(error instanceof GatewayError, String(error));
    }
  }
}

/** Every real transaction is told as something, and a token's transfer as what viem reads of it. */
function checkIntent(transaction: EvmTransaction, from: string): void {
  const intent = () => intentOf(transaction, evmAccount(1n, from), registryWith(transaction.to));
  if (transaction.chainId === undefined) return void assert.throws(intent, { code: "no-replay-protection" });
  const [first, ...others] = intent().operations;
  assert.ok(first);
  const data = hex(transaction.data);
  if (!data.startsWith("0xa9059cbb")) {
    return void assert.equal(
      first.kind,
      transaction.to === undefined ? "deploy" : data === "0x" ? "transfer" : first.kind,
    );
  }
  const { args } = decodeFunctionData({ abi: erc20Abi, data: data as `0x${string}` });
  assert.ok(first.kind === "transfer" && others.length === 0);
  assert.deepEqual([addressOf(first.to), first.amount], args);
}

if (existsSync(new URL("mainnet-corpus/", VECTORS))) {
  type Block = {
    block: string;
    transactions: { hash: string; type: number; from: string; unsigned: string; signed: string }[];
  };
  for (const file of readdirSync(new URL("mainnet-corpus/", VECTORS)).filter((name) => name.endsWith(".json"))) {
    describe(`vectors: ${file}`, () => {
      for (const item of (read(`mainnet-corpus/${file}`) as Block).transactions) {
        it(item.hash, () => {
          const raw = bytesOf(item.signed);
          const { transaction, r32, s32, yParity } = decodeSigned(raw);
          assert.equal(transactionHash(raw), item.hash);
          assert.equal(hex(encodeUnsigned(transaction)), item.unsigned);
          const digest = hex(signingDigest(encodeUnsigned(transaction)));
          assert.deepEqual(decodeUnsigned(bytesOf(item.unsigned)), transaction);
          checkIntent(transaction, item.from);
          checkEveryKind(transaction, item.from);
          assert.equal(recoverAddress(digest, { r: hex(r32), s: hex(s32), yParity }).toLowerCase(), item.from);
        });
      }
    });
  }
}
