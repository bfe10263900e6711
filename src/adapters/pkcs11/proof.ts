import { createHash, createPublicKey, randomBytes, verify } from "node:crypto";
import { createRequire } from "node:module";
import type { Curve } from "../../vault/ports.ts";

// `bindings` is libsecp256k1's native addon alone; the package's main file falls back to elliptic, in JavaScript, without a word.
const secp256k1 = createRequire(import.meta.url)("secp256k1/bindings") as typeof import("secp256k1");

const CHALLENGE_TYPE = "portcullis/key-challenge/v1";

/**
 * What a key signs to prove its public key: a hash of a text of our own and fresh randomness, so never the digest of a
 * transaction, whoever may choose the transaction.
 */
export function freshChallenge(): Buffer {
  return createHash("sha256").update(CHALLENGE_TYPE).update(randomBytes(32)).digest();
}

/**
 * Verifies with libsecp256k1 or Node's OpenSSL: never with the HSM, which would be asked about itself.
 * @param message secp256k1: a digest of 32 bytes; ed25519: the message itself
 * @param signature 64 bytes as the HSM returns them; for secp256k1 either half of the order
 */
export function verifies(curve: Curve, publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    switch (curve) {
      case "secp256k1":
        // libsecp256k1 verifies low-s only (BIP-146), and modules return either half.
        return secp256k1.ecdsaVerify(secp256k1.signatureNormalize(Uint8Array.from(signature)), message, publicKey);
      case "ed25519":
        return verify(null, message, ed25519PublicKey(publicKey), signature);
      default:
        return curve satisfies never;
    }
  } catch {
    // A point off the curve or a number out of range: whatever cannot be parsed does not verify.
    return false;
  }
}

/** SubjectPublicKeyInfo of RFC 8410, section 4: 12 fixed bytes, then the key. */
const ED25519_SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

function ed25519PublicKey(publicKey: Uint8Array) {
  return createPublicKey({ key: Buffer.concat([ED25519_SPKI_PREFIX, publicKey]), format: "der", type: "spki" });
}
