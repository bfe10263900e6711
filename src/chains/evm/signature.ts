import { hexToBytes } from "@noble/hashes/utils.js";
import { GatewayError } from "../../domain/errors.ts";
import { uintOf } from "./bytes.ts";

export type EvmSignature = {
  /** 32 bytes each, big-endian. */
  readonly r32: Uint8Array;
  readonly s32: Uint8Array;
  readonly yParity: 0 | 1;
};

/** SEC 2, section 2.4.1: the order of secp256k1. */
const CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** @throws {GatewayError} `invalid-signature` if r or s is out of range, or s in the upper half */
export function checkScalars(r: bigint, s: bigint): void {
  if (r === 0n || r >= CURVE_ORDER || s === 0n) {
    throw new GatewayError("invalid-signature", "expected r and s between 1 and the order of the curve");
  }
  // EIP-2: both halves verify, the network takes the lower one.
  if (s > CURVE_ORDER / 2n) throw new GatewayError("invalid-signature", "expected s in the lower half of the order");
}

export function scalarOf(scalar: Uint8Array, name: string): bigint {
  if (scalar.length !== 32) throw new GatewayError("invalid-signature", `expected 32 bytes of ${name}`);
  return uintOf(scalar, 0, 32);
}

export const scalarBytes = (value: bigint): Uint8Array => hexToBytes(value.toString(16).padStart(64, "0"));

export function parityOf(value: bigint): 0 | 1 {
  if (value < 0n || value > 1n)
    throw new GatewayError("invalid-signature", "expected the parity of the signature's point, 0 or 1");
  return value === 1n ? 1 : 0;
}
