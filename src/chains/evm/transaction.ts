import { keccak_256 } from "@noble/hashes/sha3.js";
import { GatewayError } from "../../domain/errors.ts";
import { toHex } from "./bytes.ts";
import { encodeRlp, integerBytes, RlpReader, type RlpItem } from "./rlp.ts";
import { readSidecar, sidecarItems } from "./sidecar.ts";
import { checkScalars, parityOf, scalarBytes, scalarOf, type EvmSignature } from "./signature.ts";
import {
  checkChainId,
  EMPTY,
  ENVELOPE_BY_TYPE,
  ENVELOPES,
  u256,
  u64,
  type AnyFields,
  type Envelope,
  type EvmTransaction,
} from "./transaction-fields.ts";

export type { AccessList, EvmTransaction, EvmTransactionType, SignedAuthorization } from "./transaction-fields.ts";
export type { EvmSignature } from "./signature.ts";

export type SignedTransaction = EvmSignature & { readonly transaction: EvmTransaction };

/** go-ethereum's pools take no larger ones (txMaxSize): a larger one could be signed and never sent. */
const MAX_BYTES = 131_072;
const MAX_BYTES_WITH_BLOBS = 1_048_576;

/**
 * Reads the exact bytes that a key would sign: `encodeUnsigned` of what comes back gives these bytes again.
 * A legacy transaction is the list of nine that ends in (chainId, 0, 0) (EIP-155), or the list of six before it.
 * A type 3 transaction may bring its sidecar, which is not signed.
 * @throws {GatewayError} if the bytes are anything but the one canonical encoding; the code says what is wrong
 */
export function decodeUnsigned(unsigned: Uint8Array): EvmTransaction {
  const { entry, reader, outer } = open(unsigned);
  const fields = readFields(entry.fields, reader);
  if (entry.type === "legacy") fields["chainId"] = reader.hasMore ? readEip155(reader) : undefined;
  reader.end("transaction");
  const transaction = withSidecar({ type: entry.type, ...fields } as EvmTransaction, outer);
  requireSameBytes(encodeUnsigned(transaction), unsigned);
  return transaction;
}

/** The bytes to sign; of a transaction with a sidecar, those and the sidecar. */
export function encodeUnsigned(transaction: EvmTransaction): Uint8Array {
  const items = writeFields(transaction);
  if (transaction.type === "legacy" && transaction.chainId !== undefined) {
    items.push(integerBytes(transaction.chainId), EMPTY, EMPTY);
  }
  return encode(transaction, items);
}

/** What the key signs: the Keccak of the unsigned bytes without a sidecar, 32 bytes. */
export const signingDigest = (unsigned: Uint8Array): Uint8Array => keccak_256(withoutSidecar(unsigned));

/** The transaction's name on its chain: the Keccak of the signed bytes without a sidecar, as `0x` and 64 digits. */
export const transactionHash = (raw: Uint8Array): string => toHex(keccak_256(withoutSidecar(raw)));

/**
 * @returns what a node takes as `eth_sendRawTransaction`
 * @throws {GatewayError} `invalid-signature` if r or s is out of range, or s in the upper half (EIP-2)
 */
export function encodeSigned(transaction: EvmTransaction, signature: EvmSignature): Uint8Array {
  const r = scalarOf(signature.r32, "r");
  const s = scalarOf(signature.s32, "s");
  checkScalars(r, s);
  const items = writeFields(transaction);
  items.push(integerBytes(vOf(transaction, signature.yParity)), integerBytes(r), integerBytes(s));
  return encode(transaction, items);
}

/** The opposite of `encodeSigned`, as strict as `decodeUnsigned`. */
export function decodeSigned(raw: Uint8Array): SignedTransaction {
  const { entry, reader, outer } = open(raw);
  const fields = readFields(entry.fields, reader);
  const v = reader.integer("v", 9);
  const [r, s] = [reader.integer("r", 32), reader.integer("s", 32)];
  reader.end("transaction");
  const { yParity, ...chain } = entry.type === "legacy" ? legacyParity(v) : { yParity: parityOf(v) };
  const transaction = withSidecar({ type: entry.type, ...chain, ...fields } as EvmTransaction, outer);
  const signed = { transaction, r32: scalarBytes(r), s32: scalarBytes(s), yParity };
  requireSameBytes(encodeSigned(transaction, signed), raw);
  return signed;
}

/** `reader` stands before the fields; `outer` behind the list of them, where that list is the first item of another. */
type Opened = { readonly entry: Envelope; readonly reader: RlpReader; readonly outer: RlpReader | undefined };

function open(input: Uint8Array): Opened {
  const entry = envelopeOf(input);
  const maxBytes = entry.type === "eip4844" ? MAX_BYTES_WITH_BLOBS : MAX_BYTES;
  if (input.length > maxBytes) {
    throw new GatewayError("transaction-too-large", `expected at most ${maxBytes} bytes, found ${input.length}`);
  }
  const reader = RlpReader.listIn(input, entry.prefix.length, "transaction");
  // EIP-4844, "Networking": 0x03 ‖ rlp([fields, blobs, commitments, proofs]); no field of a type 3 comes first as a list.
  if (entry.type !== "eip4844" || !reader.nextIsList) return { entry, reader, outer: undefined };
  return { entry, reader: reader.list("transaction"), outer: reader };
}

/** EIP-2718: a first byte of 0xc0 or more is a list and so a legacy transaction, one below 0x80 is a type. */
function envelopeOf(input: Uint8Array): Envelope {
  const first = input[0];
  if (first === undefined) throw new GatewayError("empty-transaction", "expected a transaction, found no bytes");
  const entry = first >= 0xc0 ? ENVELOPES.legacy : ENVELOPE_BY_TYPE.get(first);
  if (entry) return entry;
  throw new GatewayError("unknown-transaction-type", `expected a transaction of a known type, found type ${first}`, {
    facts: { type: first },
  });
}

function encode(transaction: EvmTransaction, items: RlpItem[]): Uint8Array {
  const sidecar = transaction.type === "eip4844" ? transaction.sidecar : undefined;
  return encodeRlp(sidecar ? [items, ...sidecarItems(sidecar)] : items, ENVELOPES[transaction.type].prefix);
}

function withSidecar(transaction: EvmTransaction, outer: RlpReader | undefined): EvmTransaction {
  if (!outer || transaction.type !== "eip4844") return transaction;
  return { ...transaction, sidecar: readSidecar(outer, transaction.blobVersionedHashes) };
}

/** EIP-4844: digest and hash are those of the transaction alone. */
function withoutSidecar(encoded: Uint8Array): Uint8Array {
  if (encoded[0] !== ENVELOPES.eip4844.prefix[0]) return encoded;
  const list = RlpReader.listIn(encoded, 1, "transaction");
  if (!list.nextIsList) return encoded;
  const alone = list.encoded("transaction");
  const bytes = new Uint8Array(1 + alone.length);
  bytes.set(ENVELOPES.eip4844.prefix);
  bytes.set(alone, 1);
  return bytes;
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
  let same = made.length === given.length;
  for (let at = 0; same && at < made.length; at++) same = made[at] === given[at];
  if (!same) throw new GatewayError("non-canonical-transaction", "expected the canonical encoding of this transaction");
}

/** EIP-155: v = 35 + 2 · chain id + parity; 27 + parity without a chain id. Typed transactions have the parity alone. */
function vOf(transaction: EvmTransaction, yParity: 0 | 1): bigint {
  if (transaction.type !== "legacy") return BigInt(yParity);
  return BigInt(yParity) + (transaction.chainId === undefined ? 27n : 35n + 2n * transaction.chainId);
}

function legacyParity(v: bigint): { chainId: bigint | undefined; yParity: 0 | 1 } {
  if (v < 35n) return { chainId: undefined, yParity: parityOf(v - 27n) };
  return { chainId: checkChainId((v - 35n) / 2n), yParity: parityOf((v - 35n) % 2n) };
}
