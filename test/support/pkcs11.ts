import { execFileSync, spawnSync } from "node:child_process";
import { createPublicKey, randomBytes, verify } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SigningKey } from "ethers";
import pkcs11, { type Handle, type PKCS11, type Template } from "pkcs11js";
import { ckrOf } from "../../src/adapters/pkcs11/errors.ts";
import type { ClientId } from "../../src/domain/names.ts";
import { mintPermit } from "../../src/vault/permit.ts";
import type { KeyRef, SigningPermit } from "../../src/vault/ports.ts";
import { SCRATCH_PIN, type ScratchFolder } from "./softhsm.ts";

/*
 * What tests of the HSM adapter share: oracles that are neither the HSM nor the library under test, and the hands of
 * somebody else on the same token.
 */

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

const hex = (bytes: Uint8Array) => `0x${Buffer.from(bytes).toString("hex")}`;

/** ethers recovers the public key from signature and digest; it takes low-s only, the HSM returns either. */
export function isSecp256k1SignedBy(publicKey: Uint8Array, digest: Uint8Array, signature: Uint8Array): boolean {
  const s = BigInt(hex(signature.subarray(32)));
  const low = s > ORDER / 2n ? ORDER - s : s;
  const parts = { r: hex(signature.subarray(0, 32)), s: `0x${low.toString(16).padStart(64, "0")}` };
  return ([0, 1] as const).some(
    (yParity) => SigningKey.recoverPublicKey(digest, { ...parts, yParity }) === hex(publicKey),
  );
}

export function isEd25519SignedBy(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const x = Buffer.from(publicKey).toString("base64url");
  return verify(null, message, createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" }), signature);
}

/** OpenSSL, asked by its own command: Node verifies no bare digests. */
export function isP256SignedBy(publicKey: Uint8Array, digest: Uint8Array, signature: Uint8Array): boolean {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-p256-"));
  const file = (name: string, bytes: Uint8Array) => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  try {
    const [x, y] = [publicKey.subarray(1, 33), publicKey.subarray(33)].map((half) =>
      Buffer.from(half).toString("base64url"),
    );
    const key = createPublicKey({ key: { kty: "EC", crv: "P-256", x: x!, y: y! }, format: "jwk" });
    const pem = file("key.pem", Buffer.from(key.export({ format: "pem", type: "spki" })));
    const arguments_ = [
      "-verify",
      "-pubin",
      "-inkey",
      pem,
      "-in",
      file("digest", digest),
      "-sigfile",
      file("sig", der(signature)),
    ];
    return spawnSync("openssl", ["pkeyutl", ...arguments_]).status === 0;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** ECDSA-Sig-Value of RFC 3279, section 2.2.3. */
function der(signature: Uint8Array): Buffer {
  const integers = [signature.subarray(0, 32), signature.subarray(32)].map((half) => {
    const digits = BigInt(hex(half)).toString(16);
    const even = Buffer.from(digits.padStart(digits.length + (digits.length % 2), "0"), "hex");
    const bytes = even[0]! & 0x80 ? Buffer.concat([Buffer.from([0]), even]) : even;
    return Buffer.concat([Buffer.from([0x02, bytes.length]), bytes]);
  });
  const body = Buffer.concat(integers);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

export const isSignedBy = {
  secp256k1: isSecp256k1SignedBy,
  p256: isP256SignedBy,
  ed25519: isEd25519SignedBy,
} as const;

/** What step 4 would mint for this key and digest. */
export function permitFor(key: KeyRef, digest32: Uint8Array = randomBytes(32)): SigningPermit {
  return mintPermit({ client: "acme" as ClientId, keyId: key.id, digest32 });
}

/** pkcs11-tool on the tokens of this folder, as somebody with or without the PIN would use it. */
export function pkcs11Tool(folder: ScratchFolder, token: string, ...args: string[]): void {
  const command = ["--module", folder.modulePath, "--token-label", token, ...args];
  execFileSync("pkcs11-tool", command, { env: { ...process.env, ...folder.environment }, stdio: "pipe" });
}

/**
 * Bare PKCS#11 on a token of this folder, for what no tool does. The HSM must be closed meanwhile.
 * @param login with the PIN, or as anybody who can load the module
 */
export function inRawSession<T>(
  folder: ScratchFolder,
  token: string,
  login: boolean,
  act: (lib: PKCS11, session: Handle) => T,
): T {
  const lib = new pkcs11.PKCS11();
  lib.load(folder.modulePath);
  lib.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
  try {
    const slot = lib.C_GetSlotList(true).find((each) => lib.C_GetTokenInfo(each).label.trim() === token);
    const session = lib.C_OpenSession(slot!, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
    if (login) lib.C_Login(session, pkcs11.CKU_USER, SCRATCH_PIN);
    return act(lib, session);
  } finally {
    lib.C_Finalize();
  }
}

/** CKR_OK, or the name of what the module answered. */
export function answerTo(call: () => unknown): string {
  try {
    call();
    return "CKR_OK";
  } catch (error) {
    return ckrOf(error)?.name ?? String(error);
  }
}

/** A private key object as it looks at best when its bytes come from outside; the module sets the rest. */
export const importedKey = (label: string, id: string): Template => [
  { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PRIVATE_KEY },
  { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_EC },
  { type: pkcs11.CKA_EC_PARAMS, value: Buffer.from("06052b8104000a", "hex") },
  { type: pkcs11.CKA_VALUE, value: Buffer.alloc(32, 7) },
  { type: pkcs11.CKA_ID, value: Buffer.from(id, "hex") },
  { type: pkcs11.CKA_LABEL, value: label },
  ...["TOKEN", "PRIVATE", "SENSITIVE", "SIGN"].map((name) => flag(name, true)),
  ...["EXTRACTABLE", "MODIFIABLE", "COPYABLE", "DERIVE", "UNWRAP", "DECRYPT", "SIGN_RECOVER"].map((name) =>
    flag(name, false),
  ),
];

/** A public key object that anybody can put into a token without its PIN. */
export const plantedPublicKey = (label: string, id: Buffer, parameters: Buffer, point: Buffer): Template => [
  { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PUBLIC_KEY },
  { type: pkcs11.CKA_KEY_TYPE, value: point.length === 34 ? 0x40 : pkcs11.CKK_EC },
  { type: pkcs11.CKA_EC_PARAMS, value: parameters },
  { type: pkcs11.CKA_EC_POINT, value: point },
  { type: pkcs11.CKA_ID, value: id },
  { type: pkcs11.CKA_LABEL, value: label },
  flag("TOKEN", true),
  flag("PRIVATE", false),
];

function flag(name: string, value: boolean) {
  return { type: (pkcs11 as unknown as Record<string, number>)[`CKA_${name}`]!, value };
}
