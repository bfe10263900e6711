import { createHash, createPublicKey, randomBytes, verify } from "node:crypto";
import { createRequire } from "node:module";
import type { Curve } from "../../vault/ports.ts";

// `bindings` is libsecp256k1's native addon alone; the package's main file falls back to elliptic, in JavaScript, without a word.
const secp256k1 = createRequire(import.meta.url)("secp256k1/bindings") as typeof import("secp256k1");

const CHALLENGE_TYPE = "portcullis/key-challenge/v1";

export type Challenge = { readonly preimage: Buffer; readonly digest32: Buffer };

/**
 * What a key signs to prove its public key: a hash of a text of our own and fresh randomness, so never the digest of a
 * transaction, whoever may choose the transaction.
 */
export function freshChallenge(): Challenge {
  const preimage = Buffer.concat([Buffer.from(CHALLENGE_TYPE), randomBytes(32)]);
  return { preimage, digest32: sha256(preimage) };
}

/**
 * Whether this is the key's signature over the challenge's digest. Verified with libsecp256k1 or Node's OpenSSL: never with
 * the HSM, which would be asked about itself.
 * @param signature 64 bytes as the HSM returns them; for ECDSA either half of the order
 */
export function proves(curve: Curve, publicKey: Uint8Array, challenge: Challenge, signature: Uint8Array): boolean {
  switch (curve) {
    case "secp256k1":
      return verifiesSecp256k1(publicKey, challenge.digest32, signature);
    case "p256":
      return verifiesP256(publicKey, challenge.preimage, signature);
    case "ed25519":
      return verifiesEd25519(publicKey, challenge.digest32, signature);
    default:
      return curve satisfies never;
  }
}

/** libsecp256k1 verifies low-s only (BIP-146), and modules return either half. */
export function verifiesSecp256k1(publicKey: Uint8Array, digest32: Uint8Array, signature: Uint8Array): boolean {
  return parsed(() =>
    secp256k1.ecdsaVerify(secp256k1.signatureNormalize(Uint8Array.from(signature)), digest32, publicKey),
  );
}

/** @param message what the signed digest is the SHA-256 of: Node hashes before it verifies */
export function verifiesP256(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return parsed(() => {
    const key = keyFrom(P256_SPKI_PREFIX, publicKey);
    return verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature);
  });
}

export function verifiesEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return parsed(() => verify(null, message, keyFrom(ED25519_SPKI_PREFIX, publicKey), signature));
}

/** A point off the curve or a number out of range: whatever cannot be parsed does not verify. */
function parsed(verification: () => boolean): boolean {
  try {
    return verification();
  } catch {
    return false;
  }
}

/** SubjectPublicKeyInfo up to the key: RFC 5480, section 2 (uncompressed point), and RFC 8410, section 4. */
const P256_SPKI_PREFIX = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");
const ED25519_SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

function keyFrom(prefix: Buffer, publicKey: Uint8Array) {
  return createPublicKey({ key: Buffer.concat([prefix, publicKey]), format: "der", type: "spki" });
}

const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest();
