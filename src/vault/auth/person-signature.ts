import { createHash, verify, type KeyObject } from "node:crypto";
import type { PersonSignature } from "../../domain/approval.ts";
import { GatewayError } from "../../domain/errors.ts";
import { parsePersonKey, type PersonKey } from "../../domain/person-key.ts";
import { parseSshSignature, sshSignedBytes, type SshPublicKey, type SshSignature } from "../../domain/ssh.ts";
import { ed25519PublicKey, p256PublicKey } from "../verify.ts";
import { verifyAssertion } from "./webauthn.ts";

/** A text as a person signed it, and what the signature must have been made for. */
export type SignedText = {
  readonly text: string;
  readonly signature: PersonSignature;
  /** Of `ssh-keygen -Y sign`. */
  readonly namespace: string;
};

/** What proved it: the key as the policy declares it, and by which way. */
export type Proof = { readonly key: string; readonly kind: PersonKey["kind"] };

/**
 * Whether one of the person's keys made the signature over exactly this text. The one place where what people sign is
 * verified: approvals, rejections, policies.
 * @param keys as the policy declares them
 * @throws {GatewayError} `wrong-namespace`: an SSH signature of one of the keys, made for something else;
 * `person-signature-invalid`
 */
export function verifyPerson(keys: readonly string[], signed: SignedText): Proof {
  for (const text of keys) {
    const key = parsePersonKey(text);
    if (key && verifiesWith(key, signed)) return { key: text, kind: key.kind };
  }
  throw new GatewayError("person-signature-invalid", "the signature is not one of this person's over this text", {
    hint: "sign exactly the bytes of `text`, its last line feed among them",
  });
}

function verifiesWith(key: PersonKey, signed: SignedText): boolean {
  const { text, signature } = signed;
  switch (key.kind) {
    case "ed25519":
      return typeof signature === "string" && verifiesRaw(signature, text, ed25519PublicKey(key.raw32), null);
    case "ecdsa-p256":
      return typeof signature === "string" && verifiesRaw(signature, text, p256PublicKey(key.point65), "sha256");
    case "ssh":
      return typeof signature === "string" && verifiesSsh(key.key, signature, signed);
    case "webauthn":
      return typeof signature !== "string" && verifyAssertion(key, signature, text, p256PublicKey(key.point65));
    default:
      return key satisfies never;
  }
}

/** 64 bytes, in the one text that an encoder writes for them. */
const BASE64_OF_64 = /^[A-Za-z0-9+/]{85}[AQgw]==$/;

function verifiesRaw(base64: string, text: string, key: KeyObject, hash: "sha256" | null): boolean {
  if (!BASE64_OF_64.test(base64)) return false;
  return verify(hash, Buffer.from(text), { key, dsaEncoding: "ieee-p1363" }, Buffer.from(base64, "base64"));
}

/** A security key says that somebody touched it (FIDO: user present); one that nobody touches is a file with a longer name. */
const USER_PRESENT = 0x01;

function verifiesSsh(key: SshPublicKey, armored: string, { text, namespace }: SignedText): boolean {
  const made = parseSshSignature(armored);
  if (!made || made.algorithm !== key.algorithm || Buffer.compare(made.publicKey, key.blob) !== 0) return false;
  const hashed = createHash(made.hash).update(text).digest();
  const message = sshMessage(key, made, sshSignedBytes(made.namespace, made.hash, hashed));
  if (message === undefined || !verifiesBySsh(key, message, made.signature64)) return false;
  if (made.namespace === namespace) return true;
  throw new GatewayError(
    "wrong-namespace",
    `expected an SSH signature for \`${namespace}\`, found one for another namespace`,
    { hint: `\`ssh-keygen -Y sign -n ${namespace}\`` },
  );
}

/** Security keys sign the hash of the message beside what they saw (PROTOCOL.u2f, "signature formats"). */
function sshMessage(key: SshPublicKey, { flags, counter }: SshSignature, bytes: Buffer): Buffer | undefined {
  if (key.application === undefined) return bytes;
  if (flags === undefined || counter === undefined || (flags & USER_PRESENT) === 0) return undefined;
  const seen = Buffer.alloc(5);
  seen.writeUInt8(flags);
  seen.writeUInt32BE(counter, 1);
  const sha256 = (data: string | Uint8Array) => createHash("sha256").update(data).digest();
  return Buffer.concat([sha256(key.application), seen, sha256(bytes)]);
}

function verifiesBySsh({ algorithm, raw }: SshPublicKey, message: Buffer, signature64: Uint8Array): boolean {
  if (algorithm.includes("ed25519")) return verify(null, message, ed25519PublicKey(raw), signature64);
  return verify("sha256", message, { key: p256PublicKey(raw), dsaEncoding: "ieee-p1363" }, signature64);
}
