import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { recoverAddress } from "ethers";
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
import type { Asset, AssetRegistry } from "../../src/domain/assets.ts";
import { addressOf, evmChain, type AssetSymbol } from "../../src/domain/chain.ts";
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
          // EIP-155 and the types need a chain; some of these cases name chain zero.
          if (!unsigned || !raw || unsigned === "0x") continue;
          if (unsignedName !== "unsignedLegacy" && BigInt(item.transaction.chainId ?? 0) === 0n) continue;
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
          assert.equal(recoverAddress(digest, { r: hex(r32), s: hex(s32), yParity }).toLowerCase(), item.from);
        });
      }
    });
  }
}
