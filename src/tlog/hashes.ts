import { hash } from "node:crypto";

/*
 * RFC 6962, section 2.1, with SHA-256. Leaves and inner nodes are hashed apart by their first byte, or an inner node
 * could be shown as a leaf.
 */

/** SHA-256, 32 bytes. */
export type Hash = Uint8Array;

export const HASH_BYTES = 32;

const LEAF_PREFIX = Uint8Array.of(0x00);

/** MTH({}): the hash of nothing. */
export const EMPTY_ROOT: Hash = hash("sha256", "", "buffer");

/** MTH({d}) = SHA-256(0x00 ‖ d) */
export const leafHash = (entry: Uint8Array): Hash => hash("sha256", Buffer.concat([LEAF_PREFIX, entry]), "buffer");

const NODE_PREFIX = Uint8Array.of(0x01);

/** SHA-256(0x01 ‖ left ‖ right) */
export const nodeHash = (left: Hash, right: Hash): Hash =>
  hash("sha256", Buffer.concat([NODE_PREFIX, left, right]), "buffer");

export const sameHash = (a: Hash, b: Hash): boolean => Buffer.compare(a, b) === 0;
