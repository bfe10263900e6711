import { createHash, createPublicKey, verify, type KeyObject } from "node:crypto";
import type { PersonSignature } from "../../domain/approval.ts";
import { parsePersonKey, type PersonKey } from "../../domain/person-key.ts";
import { parseSshSignature, sshSignedBytes } from "../../domain/ssh.ts";

/*
 * What people signed, verified again with public keys alone: formats are read by the same readers as in the gateway (the
 * specifications'), what must hold of them is written here a second time.
 */

/** @param keys as policies declare them @param namespace of SSH signatures */
export const verifiesPerson = (
  keys: Iterable<string>,
  text: string,
  signature: PersonSignature,
  namespace: string,
): boolean => [...keys].some((key) => isMadeWith(parsePersonKey(key), text, signature, namespace));

function isMadeWith(key: PersonKey | undefined, text: string, signature: PersonSignature, namespace: string): boolean {
  if (key === undefined) return false;
  if (typeof signature !== "string") return key.kind === "webauthn" && isAssertion(key, text, signature);
  switch (key.kind) {
    case "ed25519":
      return holds(edKey(key.raw32), Buffer.from(text), Buffer.from(signature, "base64"));
    case "ecdsa-p256":
      return holds(p256Key(key.point65), Buffer.from(text), Buffer.from(signature, "base64"));
    case "ssh":
      return isSshSignature(key, text, signature, namespace);
    case "webauthn":
      return false;
    default:
      return key satisfies never;
  }
}

const url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url");
const edKey = (raw32: Uint8Array): KeyObject =>
  createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: url(raw32) }, format: "jwk" });
const p256Key = (point65: Uint8Array): KeyObject =>
  createPublicKey({
    key: { kty: "EC", crv: "P-256", x: url(point65.subarray(1, 33)), y: url(point65.subarray(33)) },
    format: "jwk",
  });

function holds(key: KeyObject, message: Uint8Array, signature64: Uint8Array): boolean {
  if (signature64.length !== 64) return false;
  const hash = key.asymmetricKeyType === "ed25519" ? null : "sha256";
  return verify(hash, message, { key, dsaEncoding: "ieee-p1363" }, signature64);
}

const sha256 = (data: string | Uint8Array): Buffer => createHash("sha256").update(data).digest();

function isSshSignature(
  { key }: Extract<PersonKey, { kind: "ssh" }>,
  text: string,
  armored: string,
  namespace: string,
): boolean {
  const made = parseSshSignature(armored);
  if (!made || made.namespace !== namespace || Buffer.compare(made.publicKey, key.blob) !== 0) return false;
  if (made.algorithm !== key.algorithm) return false;
  const bytes = sshSignedBytes(namespace, made.hash, createHash(made.hash).update(text).digest());
  const publicKey = key.raw.length === 32 ? edKey(key.raw) : p256Key(key.raw);
  if (key.application === undefined) return holds(publicKey, bytes, made.signature64);
  const { flags = 0, counter = 0 } = made;
  const seen = Buffer.from([flags, ...[24, 16, 8, 0].map((shift) => (counter >>> shift) & 0xff)]);
  const isTouched = flags % 2 === 1;
  return isTouched && holds(publicKey, Buffer.concat([sha256(key.application), seen, sha256(bytes)]), made.signature64);
}

/** An assertion says whose page asked, for which text, and that a person was there and was verified. */
function isAssertion(
  { origin, rpId, point65 }: Extract<PersonKey, { kind: "webauthn" }>,
  text: string,
  made: Exclude<PersonSignature, string>,
): boolean {
  const [seen, said, signature] = [made.authenticatorData, made.clientDataJSON, made.signature].map((part) =>
    Buffer.from(part, "base64url"),
  ) as [Buffer, Buffer, Buffer];
  const client = JSON.parse(said.toString("utf8")) as Record<string, unknown>;
  const isAsked =
    client["type"] === "webauthn.get" &&
    client["origin"] === origin &&
    client["challenge"] === url(sha256(text)) &&
    client["crossOrigin"] !== true;
  const isSeen =
    seen.length === 37 && seen.subarray(0, 32).equals(sha256(rpId)) && [0x05, 0x0d, 0x15, 0x1d].includes(seen[32]!);
  return isAsked && isSeen && verify("sha256", Buffer.concat([seen, sha256(said)]), p256Key(point65), signature);
}
