import { randomBytes } from "node:crypto";
import pkcs11, { type Handle, type KeyPair, type PKCS11, type Template } from "pkcs11js";
import { GatewayError, quoted } from "../../domain/errors.ts";
import type { Curve, KeyAttributes, KeyRef } from "../../vault/ports.ts";
import { CURVES, SIGNATURE_BYTES, checkAttributes, keyPairTemplates, readAttributes } from "./attributes.ts";
import { ckrOf, NotRepeatable } from "./errors.ts";
import { excludesSignature } from "./faults.ts";
import { assertLoggedIn } from "./login.ts";
import { freshChallenge, proves } from "./proof.ts";

/** A private key object as a scan of the token found it. */
export type FoundKey = { readonly handle: Handle; readonly id: string; readonly label: string };

/** Objects that C_FindObjects returns in one call. */
const FIND_BATCH = 256;

export function findObjects(lib: PKCS11, session: Handle, template: Template): Handle[] {
  lib.C_FindObjectsInit(session, template);
  try {
    const found: Handle[] = [];
    for (;;) {
      const batch = lib.C_FindObjects(session, FIND_BATCH);
      if (batch.length === 0) return found;
      found.push(...batch);
    }
  } finally {
    lib.C_FindObjectsFinal(session);
  }
}

/**
 * All private keys of the token in one pass: searching for each would cost a pass for every key.
 * @throws CKR_USER_NOT_LOGGED_IN where none was found for that reason: without a login private objects are not found, and
 * no error says so (PKCS#11 2.40, 5.7)
 */
export function scanPrivateKeys(lib: PKCS11, session: Handle): FoundKey[] {
  const keys = findObjects(lib, session, [{ type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PRIVATE_KEY }]).map((handle) => {
    const [id, label] = lib.C_GetAttributeValue(session, handle, [{ type: pkcs11.CKA_ID }, { type: pkcs11.CKA_LABEL }]);
    return {
      handle,
      id: id?.value?.toString("hex") ?? "",
      label: label?.value?.toString("utf8") ?? "",
    };
  });
  if (keys.length === 0) assertLoggedIn(lib, session);
  return keys;
}

/**
 * The one private key with this id and this label. Neither is unique in PKCS#11, so a second object with the same id
 * or the same label is refused: it could have been put there to be signed with instead.
 */
export function exactlyOne(keys: readonly FoundKey[], wanted: { id: string; label: string }): FoundKey {
  const alike = keys.filter(({ id, label }) => id === wanted.id || label === wanted.label);
  const facts = { label: wanted.label, id: wanted.id, found: alike.length };
  if (alike.length > 1) {
    throw new GatewayError("key-ambiguous", `expected one private key ${quoted(wanted.label)}, found ${alike.length}`, {
      facts,
      hint: "two keys of one token share a label or an id",
    });
  }
  const [key] = alike;
  if (key?.id !== wanted.id || key.label !== wanted.label) {
    throw new GatewayError("key-not-found", `expected a private key ${quoted(wanted.label)} with id ${wanted.id}`, {
      facts,
    });
  }
  return key;
}

/**
 * One signature on one session. The buffer is a copy of our own and is wiped only after the answer: C_SignAsync does not
 * keep its input alive, and without this reference the module could sign whatever the memory holds by then.
 * @param leftOpen told before the error is thrown, where it does not exclude that a signature was made
 */
export async function signOn(
  lib: PKCS11,
  session: Handle,
  key: { readonly handle: Handle; readonly curve: Curve },
  message: Uint8Array,
  leftOpen: () => void = () => undefined,
): Promise<Uint8Array> {
  const input = Buffer.from(message);
  try {
    lib.C_SignInit(session, { mechanism: CURVES[key.curve].sign }, key.handle);
    const signature = await cSign(lib, session, input).catch((error: unknown) => {
      if (!excludesSignature(error)) leftOpen();
      throw error;
    });
    return wholeSignature(signature, leftOpen);
  } finally {
    input.fill(0);
  }
}

/** @throws {GatewayError} for any length but 64: whatever it is, it was made */
export function wholeSignature(signature: Uint8Array, leftOpen: () => void): Uint8Array {
  if (signature.length === SIGNATURE_BYTES)
    return new Uint8Array(signature.buffer, signature.byteOffset, SIGNATURE_BYTES);
  leftOpen();
  throw new GatewayError("hsm-unavailable", `expected a signature of 64 bytes, found ${signature.length}`);
}

/** Whatever it throws, it throws as a promise. */
const cSign = async (lib: PKCS11, session: Handle, input: Buffer): Promise<Buffer> =>
  lib.C_SignAsync(session, input, Buffer.alloc(SIGNATURE_BYTES));

/** Attributes and challenge of I1 for a key at hand. */
export async function prove(lib: PKCS11, session: Handle, key: KeyRef, handle: Handle): Promise<KeyAttributes> {
  const attributes = readAttributes(lib, session, handle);
  checkAttributes(key.label, attributes);
  const challenge = freshChallenge();
  const signature = await signOn(lib, session, { handle, curve: key.curve }, challenge.digest32);
  if (proves(key.curve, key.publicKey, challenge, signature)) return attributes;
  throw new GatewayError("key-refused", `expected key ${quoted(key.label)} to sign under its recorded public key`, {
    facts: { attribute: "publicKey", label: key.label, id: key.id },
    hint: "the private key in the token is another one than at its creation",
  });
}

export type GeneratedKey = { readonly key: KeyRef; readonly handle: Handle; readonly attributes: KeyAttributes };

/**
 * Makes a key pair and lets it prove itself. A key that fails the proof stays in the token, unused: nothing here ever
 * destroys a private key.
 * @param session read-write, logged in
 */
export async function generate(lib: PKCS11, session: Handle, label: string, curve: Curve): Promise<GeneratedKey> {
  refuseUsedLabel(lib, session, label);
  const id = randomBytes(16);
  const pair = await generatePair(lib, session, label, curve, id);
  try {
    return await introduce(lib, session, pair, { id: id.toString("hex"), label, curve });
  } catch (error) {
    throw new NotRepeatable(error);
  }
}

async function introduce(
  lib: PKCS11,
  session: Handle,
  pair: KeyPair,
  named: Omit<KeyRef, "publicKey">,
): Promise<GeneratedKey> {
  // Read through the handle of this very generation; a search could find an object that somebody planted.
  const [point] = lib.C_GetAttributeValue(session, pair.publicKey, [{ type: pkcs11.CKA_EC_POINT }]);
  const key: KeyRef = { ...named, publicKey: rawPoint(point!.value, named.curve) };
  return { key, handle: pair.privateKey, attributes: await prove(lib, session, key, pair.privateKey) };
}

function refuseUsedLabel(lib: PKCS11, session: Handle, label: string): void {
  const taken = findObjects(lib, session, [
    { type: pkcs11.CKA_TOKEN, value: true },
    { type: pkcs11.CKA_LABEL, value: label },
  ]);
  if (taken.length === 0) return;
  throw new GatewayError("key-exists", `expected no object ${quoted(label)} in the token, found ${taken.length}`, {
    facts: { label, found: taken.length },
    hint: "choose another name; keys are never overwritten",
  });
}

async function generatePair(lib: PKCS11, session: Handle, label: string, curve: Curve, id: Buffer) {
  const mechanism = { mechanism: CURVES[curve].generate };
  const templates = keyPairTemplates(curve, label, id);
  for (const [index, { publicKey, privateKey }] of templates.entries()) {
    try {
      return await lib.C_GenerateKeyPairAsync(session, mechanism, publicKey, privateKey);
    } catch (error) {
      if (!isTemplateRefusal(error) || index === templates.length - 1) throw new NotRepeatable(error);
    }
  }
  throw new Error("unreachable: the last template returns or throws");
}

function isTemplateRefusal(error: unknown): boolean {
  const code = ckrOf(error)?.code;
  return (
    code === pkcs11.CKR_ATTRIBUTE_TYPE_INVALID ||
    code === pkcs11.CKR_ATTRIBUTE_VALUE_INVALID ||
    code === pkcs11.CKR_ATTRIBUTE_READ_ONLY ||
    code === pkcs11.CKR_TEMPLATE_INCONSISTENT
  );
}

/**
 * CKA_EC_POINT comes as a DER OCTET STRING (PKCS#11 2.40) or bare (some modules): 0x04, length, then the point.
 * A bare point of SEC 1 begins with 0x04 as well, so the length decides.
 */
export function rawPoint(value: Buffer, curve: Curve): Uint8Array {
  const { pointBytes } = CURVES[curve];
  const wrapped = value.length === pointBytes + 2 && value[0] === 0x04 && value[1] === pointBytes;
  if (wrapped) return Uint8Array.from(value.subarray(2));
  if (value.length === pointBytes) return Uint8Array.from(value);
  throw new GatewayError("hsm-unavailable", `expected a public key of ${pointBytes} bytes, found ${value.length}`, {
    facts: { curve, bytes: value.length },
  });
}
