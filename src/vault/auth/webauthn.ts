import { createHash, verify, type KeyObject } from "node:crypto";
import { z } from "zod";
import type { PersonSignature } from "../../domain/approval.ts";
import type { PersonKey } from "../../domain/person-key.ts";

type Assertion = Exclude<PersonSignature, string>;

/** WebAuthn, section 5.8.1; browsers may add members, which say nothing here. */
const ClientData = z.looseObject({
  type: z.literal("webauthn.get"),
  challenge: z.string(),
  origin: z.string(),
  crossOrigin: z.literal(false).optional(),
});

/** WebAuthn, section 6.1: RP id hash, flags, counter; an assertion carries nothing else unless extensions were asked for. */
const HASH_BYTES = 32;
const PLAIN_BYTES = HASH_BYTES + 1 + 4;
/** User present and user verified: a touch, and a PIN or a finger. */
const PRESENT_AND_VERIFIED = 0x05;
const EXTENSIONS = 0xc0;

const sha256 = (data: string | Uint8Array): Buffer => createHash("sha256").update(data).digest();

/**
 * WebAuthn, section 7.2, as far as it concerns one known credential: this challenge, this origin, this relying party, a
 * person who was there and proved it. The challenge is the SHA-256 of the text.
 */
export function verifyAssertion(
  { origin, rpId }: Extract<PersonKey, { kind: "webauthn" }>,
  { authenticatorData, clientDataJSON, signature }: Assertion,
  text: string,
  key: KeyObject,
): boolean {
  const [seen, said] = [authenticatorData, clientDataJSON].map((part) => Buffer.from(part, "base64url")) as [
    Buffer,
    Buffer,
  ];
  const client = readClientData(said);
  if (client?.challenge !== sha256(text).toString("base64url") || client.origin !== origin) return false;
  if (seen.length !== PLAIN_BYTES || Buffer.compare(seen.subarray(0, HASH_BYTES), sha256(rpId)) !== 0) return false;
  const flags = seen[HASH_BYTES]!;
  if ((flags & PRESENT_AND_VERIFIED) !== PRESENT_AND_VERIFIED || (flags & EXTENSIONS) !== 0) return false;
  return verify("sha256", Buffer.concat([seen, sha256(said)]), key, Buffer.from(signature, "base64url"));
}

function readClientData(bytes: Buffer): z.infer<typeof ClientData> | undefined {
  try {
    return ClientData.safeParse(JSON.parse(bytes.toString("utf8"))).data;
  } catch {
    return undefined;
  }
}
