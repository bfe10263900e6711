import { sha256 } from "@noble/hashes/sha2.js";
import { GatewayError } from "../../domain/errors.ts";
import { toHex } from "./bytes.ts";
import { integerBytes, type RlpItem, type RlpReader } from "./rlp.ts";

/**
 * The blobs of a type 3 transaction as they travel to a node, beside the transaction that is signed. The signature
 * covers their versioned hashes only. That blobs fit their commitments is a matter of KZG proofs, which nodes check.
 */
export type BlobSidecar = {
  /** 1: the proofs are those of cells (EIP-7594); undefined: one proof for each blob (EIP-4844). */
  readonly version: 1 | undefined;
  readonly blobs: readonly Uint8Array[];
  readonly commitments: readonly Uint8Array[];
  readonly proofs: readonly Uint8Array[];
};

/** EIP-4844: 4096 field elements of 32 bytes; points of BLS12-381 in 48. */
const BLOB_BYTES = 131_072;
const POINT_BYTES = 48;
/** EIP-7594: CELLS_PER_EXT_BLOB. */
const PROOFS_PER_BLOB = 128;
/** EIP-4844: VERSIONED_HASH_VERSION_KZG. */
export const BLOB_HASH_VERSION = "0x01";

/** Reads what stands behind the transaction: [version,] blobs, commitments, proofs. */
export function readSidecar(reader: RlpReader, hashes: readonly string[]): BlobSidecar {
  const version = reader.nextIsList ? undefined : readVersion(reader);
  const blobs = readItems(reader, "blobs", BLOB_BYTES);
  const commitments = readItems(reader, "commitments", POINT_BYTES);
  const proofs = readItems(reader, "proofs", POINT_BYTES);
  reader.end("sidecar");
  const sidecar = { version, blobs, commitments, proofs };
  checkSidecar(sidecar, hashes);
  return sidecar;
}

export const sidecarItems = ({ version, blobs, commitments, proofs }: BlobSidecar): RlpItem[] => [
  ...(version === undefined ? [] : [integerBytes(BigInt(version))]),
  blobs,
  commitments,
  proofs,
];

function readVersion(reader: RlpReader): 1 {
  const found = reader.integer("sidecar version", 1);
  if (found === 1n) return 1;
  throw new GatewayError("blob-sidecar-mismatch", `expected a sidecar of version 1, found ${found}`);
}

function readItems(reader: RlpReader, name: string, length: number): Uint8Array[] {
  const list = reader.list(name);
  const items: Uint8Array[] = [];
  while (list.hasMore) items.push(list.fixedBytes(name, length));
  return items;
}

function checkSidecar({ version, blobs, commitments, proofs }: BlobSidecar, hashes: readonly string[]): void {
  const proofCount = blobs.length * (version === undefined ? 1 : PROOFS_PER_BLOB);
  if (blobs.length !== hashes.length || commitments.length !== hashes.length || proofs.length !== proofCount) {
    throw new GatewayError(
      "blob-sidecar-mismatch",
      `expected blobs, commitments and proofs for ${hashes.length} hashes`,
    );
  }
  // EIP-4844, kzg_to_versioned_hash.
  const mismatch = commitments.findIndex(
    (point, index) => `${BLOB_HASH_VERSION}${toHex(sha256(point)).slice(4)}` !== hashes[index],
  );
  if (mismatch < 0) return;
  throw new GatewayError(
    "blob-sidecar-mismatch",
    `expected the commitment of blob ${mismatch} to have the hash that is signed`,
  );
}
