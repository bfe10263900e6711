import { randomBytes } from "node:crypto";
import pkcs11, { type AesGCM, type Handle, type Mechanism, type PKCS11, type Template } from "pkcs11js";
import { GatewayError, quoted } from "../../domain/errors.ts";
import { ckrOf } from "./errors.ts";
import { remedyFor } from "./faults.ts";
import { findObjects } from "./keys.ts";

/*
 * AES-256-GCM (NIST SP 800-38D) under a key that lives in the gateway's token. Sealed: a version byte, the IV, the
 * ciphertext with its tag.
 */

const VERSION = 1;
const IV_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const LABEL = "pins";

const FLAGS = {
  CKA_TOKEN: true,
  CKA_PRIVATE: true,
  CKA_SENSITIVE: true,
  CKA_ENCRYPT: true,
  CKA_DECRYPT: true,
  CKA_EXTRACTABLE: false,
  CKA_MODIFIABLE: false,
  CKA_SIGN: false,
  CKA_VERIFY: false,
  CKA_WRAP: false,
  CKA_UNWRAP: false,
  CKA_DERIVE: false,
} as const;

/** Set by the token alone: a key that came from outside shows it here. */
const SHOWN = { ...FLAGS, CKA_LOCAL: true, CKA_ALWAYS_SENSITIVE: true, CKA_NEVER_EXTRACTABLE: true } as const;

const typeOf = (name: string): number => (pkcs11 as unknown as Record<string, number>)[name]!;

const named: Template = [
  { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
  { type: pkcs11.CKA_LABEL, value: LABEL },
];

/** @throws {GatewayError} `key-ambiguous`, `key-refused` */
export function findSealingKey(lib: PKCS11, session: Handle): Handle | undefined {
  const found = findObjects(lib, session, named);
  if (found.length > 1) {
    throw new GatewayError("key-ambiguous", `expected one secret key ${quoted(LABEL)}, found ${found.length}`);
  }
  const [key] = found;
  if (key !== undefined) checkSealingKey(lib, session, key);
  return key;
}

/** @param session read-write, logged in */
export function makeSealingKey(lib: PKCS11, session: Handle): void {
  const flags = Object.entries(FLAGS).map(([name, value]) => ({ type: typeOf(name), value }));
  lib.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [
    ...named,
    { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_AES },
    { type: pkcs11.CKA_VALUE_LEN, value: KEY_BYTES },
    { type: pkcs11.CKA_ID, value: randomBytes(16) },
    ...flags,
  ]);
}

function checkSealingKey(lib: PKCS11, session: Handle, key: Handle): void {
  for (const [name, expected] of Object.entries(SHOWN)) {
    const [attribute] = lib.C_GetAttributeValue(session, key, [{ type: typeOf(name) }]);
    const shown = attribute!.value;
    if (shown.length === 1 && shown[0] === Number(expected)) continue;
    throw new GatewayError("key-refused", `expected the sealing key ${quoted(LABEL)} with ${name} ${expected}`, {
      facts: { attribute: name, label: LABEL },
    });
  }
}

/** CK_GCM_PARAMS as PKCS#11 2.40 corrected it, with `ulIvBits`. */
function gcm(iv: Buffer, aad: Buffer): Mechanism {
  const type = pkcs11.CK_PARAMS_AES_GCM_v240;
  const parameter: AesGCM = { type, iv, ivBits: IV_BYTES * 8, aad, tagBits: TAG_BYTES * 8 };
  return { mechanism: pkcs11.CKM_AES_GCM, parameter };
}

export async function sealOn(lib: PKCS11, session: Handle, key: Handle, secret: Uint8Array, aad: Buffer) {
  const iv = randomBytes(IV_BYTES);
  // Held by name until the answer: asynchronous calls do not keep their input alive.
  const input = Buffer.from(secret);
  try {
    lib.C_EncryptInit(session, gcm(iv, aad), key);
    const output = await lib.C_EncryptAsync(session, input, Buffer.alloc(input.length + TAG_BYTES));
    return Buffer.concat([Buffer.of(VERSION), iv, output]);
  } finally {
    input.fill(0);
  }
}

/** @throws {GatewayError} `seal-broken` */
export async function unsealOn(lib: PKCS11, session: Handle, key: Handle, sealed: Uint8Array, aad: Buffer) {
  const bytes = Buffer.from(sealed);
  if (bytes[0] !== VERSION || bytes.length < 1 + IV_BYTES + TAG_BYTES) throw broken("none");
  const iv = bytes.subarray(1, 1 + IV_BYTES);
  const input = bytes.subarray(1 + IV_BYTES);
  lib.C_DecryptInit(session, gcm(iv, aad), key);
  try {
    return await lib.C_DecryptAsync(session, input, Buffer.alloc(input.length));
  } catch (error) {
    // A wrong tag has many names (SoftHSM: CKR_GENERAL_ERROR). What speaks of session or module is left to healing.
    const remedy = remedyFor(error);
    if (remedy === "another-session" || remedy === "restart") throw error;
    throw broken(ckrOf(error)?.name ?? "none", error);
  }
}

const broken = (ckr: string, cause?: unknown) =>
  new GatewayError("seal-broken", "the sealed PIN does not open for this client, token and version", {
    facts: { ckr },
    hint: "the store's row was changed, or it was sealed under another gateway token's key; no login was tried",
    cause,
  });
