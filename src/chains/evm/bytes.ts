import { bytesToHex } from "@noble/hashes/utils.js";

/**
 * The big-endian integer in these bytes. Six at a time: a number holds 53 bits exactly, and arithmetic on numbers is
 * what is fast.
 */
export function uintOf(bytes: Uint8Array, start: number, end: number): bigint {
  let value = 0n;
  for (let at = start; at < end;) {
    const stop = Math.min(at + 6, end);
    const bits = BigInt((stop - at) * 8);
    let chunk = 0;
    for (; at < stop; at++) chunk = chunk * 256 + bytes[at]!;
    value = value === 0n ? BigInt(chunk) : (value << bits) | BigInt(chunk);
  }
  return value;
}

export const toHex = (bytes: Uint8Array): string => `0x${bytesToHex(bytes)}`;

/** A copy that is a plain Uint8Array, whatever was given: `slice` of a Node Buffer would be a window on it. */
export const copyOf = (bytes: Uint8Array, start: number, end: number): Uint8Array =>
  new Uint8Array(bytes.subarray(start, end));
