import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { GatewayError, quoted } from "../../domain/errors.ts";
import { ADDRESS_BYTES, checksumAddress } from "./address.ts";
import { integerBytes, type RlpItem, type RlpReader } from "./rlp.ts";
import { BLOB_HASH_VERSION, type BlobSidecar } from "./sidecar.ts";
import { checkScalars, parityOf, scalarBytes, scalarOf, type EvmSignature } from "./signature.ts";

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
type DynamicFee = {
  readonly chainId: bigint;
  readonly maxPriorityFeePerGas: bigint;
  readonly maxFeePerGas: bigint;
  readonly accessList: AccessList;
};
export type Eip1559Transaction = Common & DynamicFee & { readonly type: "eip1559" };
export type Eip4844Transaction = Common &
  DynamicFee & {
    readonly type: "eip4844";
    readonly to: string;
    readonly maxFeePerBlobGas: bigint;
    /** `0x01` and 62 digits each. */
    readonly blobVersionedHashes: readonly string[];
    /** Travels with the transaction and is not signed. */
    readonly sidecar?: BlobSidecar;
  };
export type Eip7702Transaction = Common &
  DynamicFee & {
    readonly type: "eip7702";
    readonly to: string;
    readonly authorizationList: readonly SignedAuthorization[];
  };

/** EIP-7702: its signer's account takes the code of `address`. Chain id 0 means every chain. */
export type Authorization = { readonly chainId: bigint; readonly address: string; readonly nonce: bigint };
export type SignedAuthorization = Authorization & EvmSignature;

export type EvmTransaction =
  LegacyTransaction | Eip2930Transaction | Eip1559Transaction | Eip4844Transaction | Eip7702Transaction;
export type EvmTransactionType = EvmTransaction["type"];

/** One kind of field, read and written. */
type Codec<T> = { readonly read: (reader: RlpReader, name: string) => T; readonly write: (value: T) => RlpItem };

/** One codec for each field of a type, in the order of its EIP: reader and writer cannot disagree on it. */
type FieldsOf<T extends EvmTransaction> = { readonly [K in Exclude<keyof T, "type" | "sidecar">]: Codec<T[K]> };

const integer = (maxBytes: number): Codec<bigint> => ({
  read: (reader, name) => reader.integer(name, maxBytes),
  write: integerBytes,
});
export const u64 = integer(8);
export const u256 = integer(32);

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

export const EMPTY = new Uint8Array(0);

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

const hashes = listOf(bytes32);
const blobVersionedHashes: Codec<readonly string[]> = {
  read: (reader, name) => checkBlobHashes(hashes.read(reader, name)),
  write: hashes.write,
};

/** EIP-7702: [chain_id, address, nonce]; of a transaction, with [y_parity, r, s] behind. */
const authorization: Codec<SignedAuthorization> = {
  read: (reader, name) => {
    const tuple = reader.list(name);
    const unsigned = readAuthorization(tuple, name);
    const yParity = parityOf(tuple.integer(name, 1));
    const [r, s] = [tuple.integer(name, 32), tuple.integer(name, 32)];
    tuple.end(name);
    checkScalars(r, s);
    return { ...unsigned, yParity, r32: scalarBytes(r), s32: scalarBytes(s) };
  },
  write: (value) => [
    ...authorizationItems(value),
    integerBytes(BigInt(value.yParity)),
    integerBytes(scalarOf(value.r32, "r")),
    integerBytes(scalarOf(value.s32, "s")),
  ],
};

export function readAuthorization(tuple: RlpReader, name: string): Authorization {
  return { chainId: u256.read(tuple, name), address: address.read(tuple, name), nonce: nonce.read(tuple, name) };
}

export const authorizationItems = (value: Authorization): RlpItem[] => [
  integerBytes(value.chainId),
  address.write(value.address),
  integerBytes(value.nonce),
];

const authorizations = listOf(authorization);
const authorizationList: Codec<readonly SignedAuthorization[]> = {
  read: (reader, name) => checkAuthorizations(authorizations.read(reader, name)),
  write: authorizations.write,
};

/** EIP-4844: without blobs, or with hashes of another version, no node takes the transaction. */
export function checkBlobHashes(found: readonly string[]): readonly string[] {
  if (found.length === 0)
    throw new GatewayError("no-blobs", "expected at least one blob hash in a transaction of type 3");
  const other = found.find((hash) => !hash.startsWith(BLOB_HASH_VERSION));
  if (other === undefined) return found;
  throw new GatewayError("unknown-blob-version", `expected a blob hash of version 1, found ${quoted(other)}`);
}

/** EIP-7702: the transaction is invalid if the list is empty. */
export function checkAuthorizations(found: readonly SignedAuthorization[]): readonly SignedAuthorization[] {
  if (found.length > 0) return found;
  throw new GatewayError("no-authorizations", "expected at least one authorization in a transaction of type 4");
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

/** EIP-4844: 0x03 ‖ rlp([… as EIP-1559, to never empty …, maxFeePerBlobGas, blobVersionedHashes]). */
const EIP4844: FieldsOf<Eip4844Transaction> = {
  ...EIP1559,
  to: address,
  maxFeePerBlobGas: u256,
  blobVersionedHashes,
};

/** EIP-7702: 0x04 ‖ rlp([… as EIP-1559, to never empty …, authorizationList]). */
const EIP7702: FieldsOf<Eip7702Transaction> = { ...EIP1559, to: address, authorizationList };

export type AnyFields = Readonly<Record<string, Codec<unknown>>>;
export type Envelope = {
  readonly type: EvmTransactionType;
  readonly prefix: readonly number[];
  readonly fields: AnyFields;
};

/** A codec of `T` as one of unknown: `read` and `write` of one entry are only ever used on each other's values. */
const envelope = (type: EvmTransactionType, prefix: readonly number[], fields: object): Envelope => ({
  type,
  prefix,
  fields: fields as AnyFields,
});

export const ENVELOPES: Readonly<Record<EvmTransactionType, Envelope>> = {
  legacy: envelope("legacy", [], LEGACY),
  eip2930: envelope("eip2930", [1], EIP2930),
  eip1559: envelope("eip1559", [2], EIP1559),
  eip4844: envelope("eip4844", [3], EIP4844),
  eip7702: envelope("eip7702", [4], EIP7702),
};
/** EIP-2718. */
export const ENVELOPE_BY_TYPE = new Map(Object.values(ENVELOPES).map((entry) => [entry.prefix[0], entry]));
