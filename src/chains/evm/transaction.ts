import { keccak_256 } from "@noble/hashes/sha3.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { GatewayError } from "../../domain/errors.ts";
import { ADDRESS_BYTES, checksumAddress } from "./address.ts";
import { encodeRlp, integerBytes, RlpReader, type RlpItem } from "./rlp.ts";

type Common = {
  readonly nonce: bigint;
  readonly gasLimit: bigint;
  /** With checksum; undefined where the transaction creates a contract. */
  readonly to: string | undefined;
  /** Wei. */
  readonly value: bigint;
  readonly data: Uint8Array;
};

/** EIP-2930. Addresses with checksum, keys as `0x` and 64 digits. */
export type AccessList = readonly { readonly address: string; readonly storageKeys: readonly string[] }[];

/** Prices are wei for one unit of gas. */
export type LegacyTransaction = Common & {
  readonly type: "legacy";
  /** Undefined before EIP-155: such a transaction is valid on every chain. */
  readonly chainId: bigint | undefined;
  readonly gasPrice: bigint;
};
export type Eip2930Transaction = Common & {
  readonly type: "eip2930";
  readonly chainId: bigint;
  readonly gasPrice: bigint;
  readonly accessList: AccessList;
};
export type Eip1559Transaction = Common & {
  readonly type: "eip1559";
  readonly chainId: bigint;
  readonly maxPriorityFeePerGas: bigint;
  readonly maxFeePerGas: bigint;
  readonly accessList: AccessList;
};

export type EvmTransaction = LegacyTransaction | Eip2930Transaction | Eip1559Transaction;
export type EvmTransactionType = EvmTransaction["type"];

export type EvmSignature = {
  /** 32 bytes each, big-endian. */
  readonly r32: Uint8Array;
  readonly s32: Uint8Array;
  readonly yParity: 0 | 1;
};

export type SignedTransaction = EvmSignature & { readonly transaction: EvmTransaction };

/** One kind of field, read and written. */
type Codec<T> = { readonly read: (reader: RlpReader, name: string) => T; readonly write: (value: T) => RlpItem };

/** One codec for each field of a type, in the order of its EIP: reader and writer cannot disagree on it. */
type FieldsOf<T extends EvmTransaction> = { readonly [K in Exclude<keyof T, "type">]: Codec<T[K]> };

const integer = (maxBytes: number): Codec<bigint> => ({
  read: (reader, name) => reader.integer(name, maxBytes),
  write: integerBytes,
});
const u64 = integer(8);
const u256 = integer(32);

const nonce: Codec<bigint> = {
  read: (reader, name) => checkNonce(u64.read(reader, name)),
  write: integerBytes,
};

const chainId: Codec<bigint> = {
  read: (reader, name) => checkChainId(u64.read(reader, name)),
  write: integerBytes,
};

const bytes: Codec<Uint8Array> = { read: (reader, name) => reader.bytes(name), write: (value) => value };

const address: Codec<string> = {
  read: (reader, name) => checksumAddress(reader.fixedBytes(name, ADDRESS_BYTES)),
  write: (value) => hexToBytes(value.slice(2)),
};

const EMPTY = new Uint8Array(0);

/** Yellow Paper, equation 15: `to` is an address, or empty for a contract creation. */
const recipient: Codec<string | undefined> = {
  read: (reader, name) => {
    const found = reader.bytes(name);
    if (found.length === 0) return undefined;
    if (found.length === ADDRESS_BYTES) return checksumAddress(found);
    throw new GatewayError("wrong-length", `expected ${name} to have 20 bytes or none, found ${found.length}`, {
      facts: { field: name, length: found.length },
    });
  },
  write: (value) => (value === undefined ? EMPTY : address.write(value)),
};

const bytes32: Codec<string> = {
  read: (reader, name) => `0x${bytesToHex(reader.fixedBytes(name, 32))}`,
  write: (value) => hexToBytes(value.slice(2)),
};

const listOf = <T>(item: Codec<T>): Codec<readonly T[]> => ({
  read: (reader, name) => {
    const list = reader.list(name);
    const items: T[] = [];
    while (list.hasMore) items.push(item.read(list, name));
    return items;
  },
  write: (items) => items.map((value) => item.write(value)),
});

const storageKeys = listOf(bytes32);

/** EIP-2930: [[{20 bytes}, [{32 bytes}...]]...]. */
const accessList: Codec<AccessList> = listOf({
  read: (reader, name) => {
    const tuple = reader.list(name);
    const entry = { address: address.read(tuple, name), storageKeys: storageKeys.read(tuple, name) };
    tuple.end(name);
    return entry;
  },
  write: (entry) => [address.write(entry.address), storageKeys.write(entry.storageKeys)],
});

/** Yellow Paper, section 4.2. The chain id stands behind these, by EIP-155. */
const LEGACY: Omit<FieldsOf<LegacyTransaction>, "chainId"> = {
  nonce,
  gasPrice: u256,
  gasLimit: u64,
  to: recipient,
  value: u256,
  data: bytes,
};

/** EIP-2930: 0x01 ‖ rlp([chainId, nonce, gasPrice, gasLimit, to, value, data, accessList]). */
const EIP2930: FieldsOf<Eip2930Transaction> = {
  chainId,
  nonce,
  gasPrice: u256,
  gasLimit: u64,
  to: recipient,
  value: u256,
  data: bytes,
  accessList,
};

/** EIP-1559: 0x02 ‖ rlp([chainId, nonce, maxPriorityFee, maxFee, gasLimit, to, value, data, accessList]). */
const EIP1559: FieldsOf<Eip1559Transaction> = {
  chainId,
  nonce,
  maxPriorityFeePerGas: u256,
  maxFeePerGas: u256,
  gasLimit: u64,
  to: recipient,
  value: u256,
  data: bytes,
  accessList,
};

type AnyFields = Readonly<Record<string, Codec<unknown>>>;
type Envelope = { readonly type: EvmTransactionType; readonly prefix: readonly number[]; readonly fields: AnyFields };

/** A codec of `T` as one of unknown: `read` and `write` of one entry are only ever used on each other's values. */
const envelope = (type: EvmTransactionType, prefix: readonly number[], fields: object): Envelope => ({
  type,
  prefix,
  fields: fields as AnyFields,
});

const ENVELOPES: Readonly<Record<EvmTransactionType, Envelope>> = {
  legacy: envelope("legacy", [], LEGACY),
  eip2930: envelope("eip2930", [1], EIP2930),
  eip1559: envelope("eip1559", [2], EIP1559),
};
const BY_PREFIX = new Map(Object.values(ENVELOPES).map((entry) => [entry.prefix[0], entry]));

/** go-ethereum's pool takes no larger transaction (txMaxSize): a larger one could be signed and never sent. */
const MAX_TRANSACTION_BYTES = 131_072;

/**
 * Reads the exact bytes that a key would sign: `encodeUnsigned` of what comes back gives these bytes again.
 * A legacy transaction is the list of nine that ends in (chainId, 0, 0) (EIP-155), or the list of six before it.
 * @throws {GatewayError} if the bytes are anything but the one canonical encoding; the code says what is wrong
 */
export function decodeUnsigned(unsigned: Uint8Array): EvmTransaction {
  const { entry, reader } = open(unsigned);
  const fields = readFields(entry.fields, reader);
  if (entry.type === "legacy") fields["chainId"] = reader.hasMore ? readEip155(reader) : undefined;
  reader.end("transaction");
  const transaction = { type: entry.type, ...fields } as EvmTransaction;
  requireSameBytes(encodeUnsigned(transaction), unsigned);
  return transaction;
}

/** The bytes to sign. */
export function encodeUnsigned(transaction: EvmTransaction): Uint8Array {
  const items = writeFields(transaction);
  if (transaction.type === "legacy" && transaction.chainId !== undefined) {
    items.push(integerBytes(transaction.chainId), EMPTY, EMPTY);
  }
  return encodeRlp(items, ENVELOPES[transaction.type].prefix);
}

/** What the key signs: the Keccak of the unsigned bytes, 32 bytes. */
export const signingDigest = (unsigned: Uint8Array): Uint8Array => keccak_256(unsigned);

/** The transaction's name on its chain: the Keccak of the signed bytes, as `0x` and 64 digits. */
export const transactionHash = (raw: Uint8Array): string => `0x${bytesToHex(keccak_256(raw))}`;

/**
 * @returns what a node takes as `eth_sendRawTransaction`
 * @throws {GatewayError} `invalid-signature` if r or s is out of range, or s in the upper half (EIP-2)
 */
export function encodeSigned(transaction: EvmTransaction, signature: EvmSignature): Uint8Array {
  const r = scalarOf(signature.r32, "r");
  const s = scalarOf(signature.s32, "s");
  checkSignature(r, s);
  const items = writeFields(transaction);
  items.push(integerBytes(vOf(transaction, signature.yParity)), integerBytes(r), integerBytes(s));
  return encodeRlp(items, ENVELOPES[transaction.type].prefix);
}

/** The opposite of `encodeSigned`, as strict as `decodeUnsigned`. */
export function decodeSigned(raw: Uint8Array): SignedTransaction {
  const { entry, reader } = open(raw);
  const fields = readFields(entry.fields, reader);
  const v = reader.integer("v", 9);
  const r = reader.integer("r", 32);
  const s = reader.integer("s", 32);
  reader.end("transaction");
  const { yParity, ...chain } = entry.type === "legacy" ? legacyParity(v) : { yParity: parity(v) };
  const transaction = { type: entry.type, ...chain, ...fields } as EvmTransaction;
  const signed = { transaction, r32: scalarBytes(r), s32: scalarBytes(s), yParity };
  requireSameBytes(encodeSigned(transaction, signed), raw);
  return signed;
}

/** EIP-2681: the account's next nonce must still fit into 64 bits. */
export function checkNonce(value: bigint): bigint {
  if (value < 0xffff_ffff_ffff_ffffn) return value;
  throw new GatewayError("nonce-too-large", "expected a nonce below 2^64 − 1 (EIP-2681)");
}

/** Zero means `any chain` to EIP-155's and EIP-7702's readers, and no chain has it. */
export function checkChainId(value: bigint): bigint {
  if (value !== 0n) return value;
  throw new GatewayError("chain-id-zero", "expected the id of one chain, found 0");
}

function open(input: Uint8Array): { entry: Envelope; reader: RlpReader } {
  if (input.length > MAX_TRANSACTION_BYTES) {
    throw new GatewayError(
      "transaction-too-large",
      `expected at most ${MAX_TRANSACTION_BYTES} bytes, found ${input.length}`,
    );
  }
  const first = input[0];
  if (first === undefined) throw new GatewayError("empty-transaction", "expected a transaction, found no bytes");
  // EIP-2718: a first byte of 0xc0 or more is a list and so a legacy transaction, one below 0x80 is a type.
  const entry = first >= 0xc0 ? ENVELOPES.legacy : BY_PREFIX.get(first);
  if (!entry) {
    throw new GatewayError("unknown-transaction-type", `expected a transaction of a known type, found type ${first}`, {
      facts: { type: first },
    });
  }
  return { entry, reader: RlpReader.listIn(input, entry.prefix.length, "transaction") };
}

function readFields(codecs: AnyFields, reader: RlpReader): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const name in codecs) fields[name] = codecs[name]!.read(reader, name);
  return fields;
}

function writeFields(transaction: EvmTransaction): RlpItem[] {
  const { fields } = ENVELOPES[transaction.type];
  const values: Readonly<Record<string, unknown>> = transaction;
  return Object.keys(fields).map((name) => fields[name]!.write(values[name]));
}

/** EIP-155: (chain id, 0, 0) in the place of (v, r, s). */
function readEip155(reader: RlpReader): bigint {
  const id = u64.read(reader, "chainId");
  const r = u256.read(reader, "r");
  const s = u256.read(reader, "s");
  if (r !== 0n || s !== 0n) {
    throw new GatewayError("already-signed", "expected an unsigned transaction, found r and s", {
      hint: "send the bytes to sign: a legacy transaction ends in chain id, 0, 0",
    });
  }
  return checkChainId(id);
}

// The strict reader leaves one encoding for each value. If it ever did not, what was decided on and what is signed
// could differ: so the bytes are made again and compared (I3).
function requireSameBytes(made: Uint8Array, given: Uint8Array): void {
  const same = made.length === given.length && made.every((byte, index) => byte === given[index]);
  if (!same) throw new GatewayError("non-canonical-transaction", "expected the canonical encoding of this transaction");
}

/** EIP-155: v = 35 + 2 · chain id + parity; 27 + parity without a chain id. Typed transactions have the parity alone. */
function vOf(transaction: EvmTransaction, yParity: 0 | 1): bigint {
  if (transaction.type !== "legacy") return BigInt(yParity);
  return BigInt(yParity) + (transaction.chainId === undefined ? 27n : 35n + 2n * transaction.chainId);
}

function legacyParity(v: bigint): { chainId: bigint | undefined; yParity: 0 | 1 } {
  if (v === 27n || v === 28n) return { chainId: undefined, yParity: parity(v - 27n) };
  if (v < 35n) throw invalidV();
  return { chainId: checkChainId((v - 35n) / 2n), yParity: parity((v - 35n) % 2n) };
}

function parity(value: bigint): 0 | 1 {
  if (value > 1n) throw invalidV();
  return value === 1n ? 1 : 0;
}

const invalidV = () => new GatewayError("invalid-signature", "expected the parity of the signature's point in v");

/** SEC 2, section 2.4.1: the order of secp256k1. */
const CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

function checkSignature(r: bigint, s: bigint): void {
  if (r === 0n || r >= CURVE_ORDER || s === 0n) {
    throw new GatewayError("invalid-signature", "expected r and s between 1 and the order of the curve");
  }
  // EIP-2: both halves verify, the network takes the lower one.
  if (s > CURVE_ORDER / 2n) throw new GatewayError("invalid-signature", "expected s in the lower half of the order");
}

function scalarOf(scalar: Uint8Array, name: string): bigint {
  if (scalar.length !== 32) throw new GatewayError("invalid-signature", `expected 32 bytes of ${name}`);
  return BigInt(`0x${bytesToHex(scalar)}`);
}

const scalarBytes = (value: bigint): Uint8Array => hexToBytes(value.toString(16).padStart(64, "0"));
