import { createRequire } from "node:module";
import { createPublicKey, verify, type KeyObject } from "node:crypto";
import { p256 } from "@noble/curves/nist.js";
import { GatewayError } from "../domain/errors.ts";
import type { KeyRow } from "./ports.ts";

/** libsecp256k1's native addon alone: the package's JavaScript fallback is never loaded (and never silently used). */
const secp256k1 = createRequire(import.meta.url)("secp256k1/bindings") as typeof import("secp256k1");

export type RecoverableSignature = { readonly r32: Uint8Array; readonly s32: Uint8Array; readonly yParity: 0 | 1 };

/** What a chain accepts: with a parity where the key can be recovered from it. */
export type VerifiedSignature = Omit<RecoverableSignature, "yParity"> & { readonly yParity?: 0 | 1 };

/**
 * Step 6, on the key's own curve.
 * @throws {GatewayError} `signature-invalid`
 */
export function verifySignature(
  { curve, publicKey }: Pick<KeyRow, "curve" | "publicKey">,
  signature64: Uint8Array,
  digest32: Uint8Array,
): VerifiedSignature {
  switch (curve) {
    case "secp256k1":
      return verifySecp256k1(signature64, digest32, publicKey);
    case "p256":
      return verifyP256(signature64, digest32, publicKey);
    case "ed25519":
      // RFC 8032 signs messages: these 32 bytes are one.
      if (signature64.length !== 64 || !verifyEd25519(signature64, digest32, publicKey)) throw notThisKeys();
      return halves(signature64);
    default:
      return curve satisfies never;
  }
}

const halves = (signature64: Uint8Array) => ({ r32: signature64.slice(0, 32), s32: signature64.slice(32) });

const notThisKeys = (cause?: unknown): GatewayError =>
  new GatewayError(
    "signature-invalid",
    "the HSM returned a signature that this key did not make over this digest",
    cause === undefined ? {} : { cause },
  );

/**
 * Brings a signature into the form that chains accept, and proves it: recovery over the exact digest must give exactly
 * this key (I7).
 * @param signature64 r ‖ s as the HSM gave it, either half of the order
 * @param publicKey65 SEC 1 uncompressed
 * @throws {GatewayError} `signature-invalid` if it is malformed or made by another key or over another digest
 */
export function verifySecp256k1(
  signature64: Uint8Array,
  digest32: Uint8Array,
  publicKey65: Uint8Array,
): RecoverableSignature {
  try {
    // Low-s: an HSM may return either half of the order; both verify, the network accepts one (EIP-2, BIP-146).
    const normal = secp256k1.signatureNormalize(Uint8Array.from(signature64));
    for (const yParity of [0, 1] as const) {
      // r ≥ n (parities 2 and 3) has odds of 2^-127 and no encoding on Ethereum: it falls through to the refusal.
      if (recoversTo(publicKey65, normal, yParity, digest32)) {
        return { r32: normal.slice(0, 32), s32: normal.slice(32), yParity };
      }
    }
  } catch (error) {
    throw new GatewayError("signature-invalid", "the HSM returned 64 bytes that are no signature", { cause: error });
  }
  throw notThisKeys();
}

/** Who made a signature over that digest: SEC 1 uncompressed; undefined where no key did. */
export function recoverSecp256k1(
  digest32: Uint8Array,
  { r32, s32, yParity }: RecoverableSignature,
): Uint8Array | undefined {
  try {
    return secp256k1.ecdsaRecover(Buffer.concat([r32, s32]), yParity, digest32, false);
  } catch {
    return undefined;
  }
}

function recoversTo(publicKey65: Uint8Array, signature: Uint8Array, yParity: 0 | 1, digest32: Uint8Array): boolean {
  try {
    return Buffer.compare(secp256k1.ecdsaRecover(signature, yParity, digest32, false), publicKey65) === 0;
  } catch {
    return false; // no point of the curve has this r with this parity
  }
}

const ED25519_SPKI = Buffer.from("302a300506032b6570032100", "hex"); // RFC 8410, section 4

/** A raw Ed25519 public key, 32 bytes, as node:crypto wants it. */
export const ed25519PublicKey = (raw32: Uint8Array) =>
  createPublicKey({ key: Buffer.concat([ED25519_SPKI, raw32]), format: "der", type: "spki" });

export const verifyEd25519 = (signature64: Uint8Array, message: string | Uint8Array, raw32: Uint8Array): boolean =>
  verify(null, typeof message === "string" ? Buffer.from(message) : message, ed25519PublicKey(raw32), signature64);

/** SubjectPublicKeyInfo up to an uncompressed point of P-256: RFC 5480, section 2. */
const P256_SPKI = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");

/**
 * By noble, since OpenSSL as Node offers it verifies over messages only.
 * @param signature64 r ‖ s as the HSM gave it, either half of the order
 * @returns s in the lower half, so that a signature has one form
 * @throws {GatewayError} `signature-invalid`
 */
export function verifyP256(signature64: Uint8Array, digest32: Uint8Array, publicKey65: Uint8Array): VerifiedSignature {
  try {
    if (p256.verify(signature64, digest32, publicKey65, { prehash: false, lowS: false })) return lowS(signature64);
  } catch (error) {
    throw notThisKeys(error);
  }
  throw notThisKeys();
}

/** Both halves verify, everywhere: nobody's network asks for the lower one, and one form is easier to compare. */
function lowS(signature64: Uint8Array): VerifiedSignature {
  const { r32, s32 } = halves(signature64);
  const order = p256.Point.Fn.ORDER;
  const s = BigInt(`0x${Buffer.from(s32).toString("hex")}`);
  if (s <= order / 2n) return { r32, s32 };
  return { r32, s32: Uint8Array.from(Buffer.from((order - s).toString(16).padStart(64, "0"), "hex")) };
}

/** @param point65 SEC 1 uncompressed @throws {Error} where the bytes are no point of P-256 */
export const p256PublicKey = (point65: Uint8Array): KeyObject =>
  createPublicKey({ key: Buffer.concat([P256_SPKI, point65]), format: "der", type: "spki" });
