import assert from "node:assert/strict";
import { AbiCoder, ParamType, Transaction } from "ethers";
import fc from "fast-check";
import {
  decodeArguments,
  parseFunction,
  type AbiMember,
  type AbiType,
  type AbiValue,
} from "../../src/chains/evm/abi.ts";
import { MULTICALL, MULTICALL3 } from "../../src/chains/evm/calls/batches.ts";
import { GOVERN } from "../../src/chains/evm/calls/govern.ts";
import type { Meaning, Meanings } from "../../src/chains/evm/calls/meaning.ts";
import { PERMIT2 } from "../../src/chains/evm/calls/permit2.ts";
import { SAFE } from "../../src/chains/evm/calls/safe.ts";
import { ERC1155, ERC20, ERC721, WETH } from "../../src/chains/evm/calls/tokens.ts";
import { intentOf } from "../../src/chains/evm/intent.ts";
import {
  decodeSigned,
  decodeUnsigned,
  encodeSigned,
  encodeUnsigned,
  type EvmTransaction,
} from "../../src/chains/evm/transaction.ts";
import { GatewayError } from "../../src/domain/errors.ts";
import { asHex } from "../unit/chains/evm/abi-arbitraries.ts";
import { address, bytesOf, fixedBytes, hexOf, signature, transaction } from "../unit/chains/evm/arbitraries.ts";
import * as at from "../unit/chains/evm/registry.ts";
import { RUNS_TIMEOUT_MS, soakRuns } from "../unit/chains/evm/runs.ts";

// Goal: no encoding but the canonical one is read: a change of any single bit or byte is refused, or is the one encoding
// of something else.
// Method: every bit flip, and at every place a byte removed, doubled or put in, of transactions of every type and of
// calldata of every function that has a meaning; what is read is written again by ethers.

/** The soak tries every mutation; otherwise every fifth, which comes to all kinds of them at all kinds of places. */
const EVERY = soakRuns(5, 1);
function* mutationsOf(bytes: Uint8Array): Generator<Uint8Array> {
  let number = 0;
  for (const mutated of allMutationsOf(bytes)) if (number++ % EVERY === 0) yield mutated;
}

function* allMutationsOf(bytes: Uint8Array): Generator<Uint8Array> {
  const spliced = (position: number, removed: number, ...put: number[]) =>
    Uint8Array.from([...bytes.subarray(0, position), ...put, ...bytes.subarray(position + removed)]);
  for (let position = 0; position <= bytes.length; position++) {
    for (const byte of [0x00, 0x80, 0xff]) yield spliced(position, 0, byte);
    if (position === bytes.length) return;
    for (let bit = 0; bit < 8; bit++) yield spliced(position, 1, bytes[position]! ^ (1 << bit));
    yield spliced(position, 1);
    yield spliced(position, 0, bytes[position]!);
  }
}

/** @returns what `read` gives, or undefined where it refuses; whatever else happens fails the test */
function unlessRefused<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    assert.ok(error instanceof GatewayError && error.code !== "non-canonical-transaction", String(error));
    return undefined;
  }
}

const TYPES = ["legacy", "eip2930", "eip1559", "eip4844", "eip7702"] as const;

/** What ethers refuses although it is well-formed: nonces beyond 2^53, a priority fee above the maximum. */
const ethersTakes = (tx: EvmTransaction) =>
  tx.nonce <= BigInt(Number.MAX_SAFE_INTEGER) &&
  (!("maxFeePerGas" in tx) || tx.maxPriorityFeePerGas <= tx.maxFeePerGas) &&
  (!("authorizationList" in tx) || tx.authorizationList.every((one) => one.nonce <= BigInt(Number.MAX_SAFE_INTEGER)));

describe("property: mutations of canonical encodings", function () {
  this.timeout(RUNS_TIMEOUT_MS);
  for (const type of TYPES) {
    const ofType = transaction.filter((tx) => tx.type === type && tx.data.length < 60);

    it(`bytes to sign, ${type}`, () => {
      for (const tx of fc.sample(ofType, soakRuns(1, 25))) {
        for (const mutated of mutationsOf(encodeUnsigned(tx))) {
          const read = unlessRefused(() => decodeUnsigned(mutated));
          if (!read) continue;
          assert.deepEqual(encodeUnsigned(read), mutated);
          if (ethersTakes(read)) assert.equal(Transaction.from(hexOf(mutated)).unsignedSerialized, hexOf(mutated));
        }
      }
    });

    it(`signed bytes, ${type}`, () => {
      for (const [tx, made] of fc.sample(fc.tuple(ofType, signature), soakRuns(1, 25))) {
        for (const mutated of mutationsOf(encodeSigned(tx, made))) {
          const read = unlessRefused(() => decodeSigned(mutated));
          if (read) assert.deepEqual(encodeSigned(read.transaction, read), mutated);
        }
      }
    });
  }

  const functions: [string, string, Meanings][] = [
    ["ERC-20", at.USDC, ERC20],
    ["WETH", at.WETH, WETH],
    ["ERC-721", at.APE, ERC721],
    ["ERC-1155", at.ITEMS, ERC1155],
    ["Permit2", at.PERMIT2, PERMIT2],
    ["a multicall", at.ROUTER, MULTICALL],
    ["Multicall3", at.MULTICALL3, MULTICALL3],
    ["a Safe", at.SAFE, SAFE],
    ["any contract's owner", at.SAFE, GOVERN],
  ];
  for (const [name, to, meanings] of functions) {
    it(`calldata of ${name}`, () => {
      for (const meaning of meanings.values())
        for (const values of fc.sample(argumentsOf(meaning), soakRuns(1, 8))) checkCalldata(to, meaning, values);
    });
  }
});

function checkCalldata(to: string, { compiled }: Meaning, values: readonly AbiValue[]): void {
  const types = parseFunction(compiled.signature).inputs.map((input) => ParamType.from(input as never));
  const encode = (read: readonly AbiValue[]) =>
    compiled.selector + AbiCoder.defaultAbiCoder().encode(types, read.map(asHex)).slice(2);
  const original = bytesOf(encode(values));
  assert.deepEqual(decodeArguments(compiled, original), values);
  for (const data of mutationsOf(original)) {
    const intent = unlessRefused(() => intentOf({ ...at.CALL, to, value: 0n, data }, at.account(at.OWN), at.registry));
    if (intent) assert.ok(intent.operations.length > 0 || /^(multicall|.*[aA]ggregate)/.test(compiled.signature));
    if (hexOf(data.subarray(0, 4)) !== compiled.selector) continue;
    const read = unlessRefused(() => decodeArguments(compiled, data));
    if (read) assert.equal(encode(read), hexOf(data), compiled.signature);
    else assert.equal(intent, undefined, `${compiled.signature} was told of arguments that cannot be read`);
  }
}

/** Every bit of a word can be wrong, so few values are enough. */
const argumentsOf = ({ compiled }: Meaning) => membersOf(compiled.inputs);
const membersOf = (members: readonly AbiMember[]): fc.Arbitrary<readonly AbiValue[]> =>
  fc.tuple(...members.map(({ type }) => valueOf(type)));

function valueOf(type: AbiType): fc.Arbitrary<AbiValue> {
  switch (type.kind) {
    case "uint":
      return fc.bigInt(0n, (1n << BigInt(type.bits)) - 1n);
    case "int":
      return fc.bigInt(-(1n << BigInt(type.bits - 1)), (1n << BigInt(type.bits - 1)) - 1n);
    case "address":
      return address;
    case "bool":
      return fc.boolean();
    case "bytes":
      return fc.uint8Array({ maxLength: 40 });
    case "string":
      return fc.string({ maxLength: 10 });
    case "fixed-bytes":
      return fixedBytes(type.size);
    case "array":
      return fc.array(valueOf(type.item), { minLength: type.length ?? 1, maxLength: type.length ?? 2 });
    case "tuple":
      return membersOf(type.members);
    default:
      return type satisfies never;
  }
}
