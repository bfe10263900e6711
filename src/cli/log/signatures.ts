import { createHash, createPublicKey, verify, type KeyObject } from "node:crypto";
import { p256 } from "@noble/curves/nist.js";
import { parseSignature, parseSignatureInput, requestSignatureBase, splitTarget } from "../../domain/http-signature.ts";
import { ecdsaVerify } from "./secp256k1.ts";

/* Signatures that leaves and their evidence carry: officers' and callers' (Ed25519), and those that were released. */

const keyObjects = new Map<string, KeyObject>();

/** @param key as policies declare it: `ed25519:` and base64 */
export function verifiesEd25519(key: string, message: string | Uint8Array, signatureBase64: string): boolean {
  const raw = /^ed25519:([A-Za-z0-9+/]{43}=)$/.exec(key)?.[1];
  if (raw === undefined) return false;
  let object = keyObjects.get(raw);
  if (!object) {
    const x = Buffer.from(raw, "base64").toString("base64url");
    keyObjects.set(raw, (object = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" })));
  }
  return verify(null, Buffer.from(message as string), object, Buffer.from(signatureBase64, "base64"));
}

/** @param key `ecdsa-p256:` and base64 of the uncompressed point @param signatureBase64 of r ‖ s */
function verifiesP256(key: string, message: string, signatureBase64: string): boolean {
  const point = /^ecdsa-p256:([A-Za-z0-9+/]+=*)$/.exec(key)?.[1];
  if (point === undefined) return false;
  const [x, y] = [1, 33].map((at) =>
    Buffer.from(point, "base64")
      .subarray(at, at + 32)
      .toString("base64url"),
  );
  const object = createPublicKey({ key: { kty: "EC", crv: "P-256", x: x!, y: y! }, format: "jwk" });
  return verify(
    "sha256",
    Buffer.from(message),
    { key: object, dsaEncoding: "ieee-p1363" },
    Buffer.from(signatureBase64, "base64"),
  );
}

/**
 * @param signature `0x` and 65 bytes: r, s, recovery
 * @param publicKey SEC 1 uncompressed, hex
 */
function verifiesSecp256k1(publicKey: string, digest: string, signature: string): boolean {
  const bytes = Buffer.from(signature.slice(2), "hex");
  if (bytes.length !== 65) return false;
  try {
    return ecdsaVerify(bytes.subarray(0, 64), Buffer.from(digest, "hex"), Buffer.from(publicKey, "hex"));
  } catch {
    return false; // no point, no scalar: no signature
  }
}

/**
 * A released signature, on the curve that the key's creation names.
 * @param publicKey hex, as in that leaf: SEC 1 uncompressed, or the 32 bytes of Ed25519
 * @param signature `0x` and hex
 */
export function verifiesReleased(
  { curve, publicKey }: { readonly curve: string; readonly publicKey: string },
  digest: string,
  signature: string,
): boolean {
  const [key, signed, made] = [publicKey, digest, signature.slice(2)].map((hex) => Buffer.from(hex, "hex")) as [
    Buffer,
    Buffer,
    Buffer,
  ];
  switch (curve) {
    case "secp256k1":
      return verifiesSecp256k1(publicKey, digest, signature);
    case "p256":
      return made.length === 64 && isTrue(() => p256.verify(made, signed, key, { prehash: false, lowS: true }));
    case "ed25519":
      return (
        made.length === 64 && verifiesEd25519(`ed25519:${key.toString("base64")}`, signed, made.toString("base64"))
      );
    default:
      return false;
  }
}

function isTrue(verification: () => boolean): boolean {
  try {
    return verification();
  } catch {
    return false; // no point, no scalar: no signature
  }
}

export type Evidence = Readonly<Record<string, string>>;

/**
 * Why a request that is said to be a caller's own is not.
 * @param keys that the caller's policies have declared
 * @returns undefined where it is
 */
export function refuteEvidence(
  evidence: Evidence,
  expected: {
    readonly caller: string;
    readonly origin: string;
    readonly bodyHash: string;
    readonly keys: ReadonlySet<string>;
  },
): string | undefined {
  const body = createHash("sha256")
    .update(evidence["body"] ?? "")
    .digest();
  if (body.toString("hex") !== expected.bodyHash) return "its body is another one";
  const contentDigest = `sha-256=:${body.toString("base64")}:`;
  if (evidence["content-digest"] !== contentDigest) return "its digest is not the body's";
  const input = parseSignatureInput(evidence["signature-input"] ?? "");
  const signature = parseSignature(evidence["signature"] ?? "");
  if (!input || !signature) return "it carries no signature";
  const { keyid, tag } = input.parameters;
  if (keyid !== expected.caller) return `it is signed as \`${keyid}\``;
  if (tag !== `portcullis:${expected.origin}`) return `it was made for \`${tag}\``;
  const base = requestSignatureBase(
    {
      method: evidence["method"] ?? "",
      ...splitTarget(evidence["target"] ?? ""),
      contentDigest,
      idempotencyKey: evidence["idempotency-key"],
    },
    input.components,
    input.input,
  );
  const verifies = input.parameters.alg === "ed25519" ? verifiesEd25519 : verifiesP256;
  const holds = [...expected.keys].some((key) => verifies(key, base, signature.base64));
  return holds ? undefined : "its signature does not verify under a key of that caller";
}
