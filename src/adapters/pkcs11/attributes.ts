import pkcs11, { type Handle, type PKCS11, type Template } from "pkcs11js";
import { GatewayError } from "../../domain/errors.ts";
import type { Curve, KeyAttributes } from "../../vault/ports.ts";
import { ckrOf } from "./errors.ts";

/*
 * I1 as tables: what a client's private key is made with, and what it must show at every start.
 */

/** Asked for in the template of C_GenerateKeyPair, and read back. */
const GENERATED_WITH = {
  CKA_TOKEN: true,
  CKA_PRIVATE: true,
  CKA_SENSITIVE: true,
  CKA_SIGN: true,
  CKA_EXTRACTABLE: false,
  CKA_MODIFIABLE: false,
  CKA_COPYABLE: false,
  CKA_DERIVE: false,
  CKA_UNWRAP: false,
  CKA_DECRYPT: false,
  CKA_SIGN_RECOVER: false,
} as const;

/**
 * Set by the token alone (PKCS#11 2.40, 4.9): an imported key has LOCAL false, one that was ever readable or extractable
 * has the others false, whatever its attributes say today.
 */
const SET_BY_TOKEN = { CKA_ALWAYS_SENSITIVE: true, CKA_NEVER_EXTRACTABLE: true, CKA_LOCAL: true } as const;

const REQUIRED = { ...GENERATED_WITH, ...SET_BY_TOKEN };

type AttributeName = keyof typeof REQUIRED;
const REQUIRED_NAMES = Object.keys(REQUIRED) as AttributeName[];

/** The public object can be replaced or destroyed without any PIN unless the module keeps it private and in place. */
const PUBLIC_GUARD = { CKA_PRIVATE: true, CKA_MODIFIABLE: false, CKA_COPYABLE: false, CKA_DESTROYABLE: false } as const;

type Flags = Readonly<Record<string, boolean>>;

const template = (flags: Flags): Template =>
  Object.entries(flags).map(([name, value]) => ({ type: attributeType(name), value }));

const attributeType = (name: string): number => (pkcs11 as unknown as Record<string, number>)[name]!;

/** Curve parameters as DER (RFC 5480, RFC 8410), and the mechanisms of PKCS#11 2.40 and 3.0. */
export const CURVES = {
  secp256k1: {
    parameters: Buffer.from("06052b8104000a", "hex"),
    generate: pkcs11.CKM_EC_KEY_PAIR_GEN,
    sign: pkcs11.CKM_ECDSA,
    pointBytes: 65,
  },
  p256: {
    parameters: Buffer.from("06082a8648ce3d030107", "hex"),
    generate: pkcs11.CKM_EC_KEY_PAIR_GEN,
    sign: pkcs11.CKM_ECDSA,
    pointBytes: 65,
  },
  ed25519: {
    parameters: Buffer.from("06032b6570", "hex"),
    generate: 0x1055, // CKM_EC_EDWARDS_KEY_PAIR_GEN, PKCS#11 3.0
    sign: 0x1057, // CKM_EDDSA, PKCS#11 3.0; without parameters it is Ed25519 of RFC 8032
    pointBytes: 32,
  },
} as const satisfies Record<Curve, { parameters: Buffer; generate: number; sign: number; pointBytes: number }>;

/** Every signature of the supported curves is two numbers of 32 bytes. */
export const SIGNATURE_BYTES = 64;

/**
 * Templates for C_GenerateKeyPair, the strictest first. CKA_DESTROYABLE came with PKCS#11 2.40, and some HSMs know public
 * keys as public objects only: a guard that a module refuses is left out, what I1 asks of the private key never is.
 */
export function keyPairTemplates(
  curve: Curve,
  label: string,
  id: Buffer,
): { publicKey: Template; privateKey: Template }[] {
  const named: Template = [
    { type: pkcs11.CKA_ID, value: id },
    { type: pkcs11.CKA_LABEL, value: label },
  ];
  const publicKey = (guard: Flags): Template => [
    ...named,
    { type: pkcs11.CKA_EC_PARAMS, value: CURVES[curve].parameters },
    ...template({ CKA_TOKEN: true, CKA_VERIFY: true, ...guard }),
  ];
  const privateKey = (guard: Flags): Template => [...named, ...template({ ...GENERATED_WITH, ...guard })];
  return [
    { publicKey: publicKey(PUBLIC_GUARD), privateKey: privateKey({ CKA_DESTROYABLE: false }) },
    { publicKey: publicKey({ CKA_PRIVATE: true }), privateKey: privateKey({}) },
    { publicKey: publicKey({}), privateKey: privateKey({}) },
  ];
}

/** Reads what I1 speaks of. An attribute that the module does not know is absent from the result. */
export function readAttributes(lib: PKCS11, session: Handle, key: Handle): KeyAttributes {
  return Object.fromEntries(
    readValues(lib, session, key).flatMap(([name, value]) => {
      // CK_BBOOL is one byte, 0 or 1; anything else is neither, and so never what is required.
      if (value?.length !== 1 || value[0]! > 1) return [];
      return [[name, value[0] === 1]];
    }),
  );
}

function readValues(lib: PKCS11, session: Handle, key: Handle): [AttributeName, Buffer | undefined][] {
  const read = (names: AttributeName[]) =>
    lib
      .C_GetAttributeValue(
        session,
        key,
        names.map((name) => ({ type: attributeType(name) })),
      )
      .map(({ value }) => value);
  try {
    const values = read(REQUIRED_NAMES);
    return REQUIRED_NAMES.map((name, index) => [name, values[index]]);
  } catch (error) {
    // One unknown attribute fails the whole call (PKCS#11 2.40, 5.7): ask for each, to be able to name it.
    if (!isUnknownAttribute(error)) throw error;
    return REQUIRED_NAMES.map((name) => [name, valueIfKnown(() => read([name])[0])]);
  }
}

function valueIfKnown(read: () => Buffer | undefined): Buffer | undefined {
  try {
    return read();
  } catch (error) {
    if (isUnknownAttribute(error)) return undefined;
    throw error;
  }
}

const isUnknownAttribute = (error: unknown) => ckrOf(error)?.code === pkcs11.CKR_ATTRIBUTE_TYPE_INVALID;

/**
 * Holds a key against I1.
 * @throws {GatewayError} `key-refused` naming the first attribute that is not as it must be
 */
export function checkAttributes(label: string, attributes: KeyAttributes): void {
  for (const name of REQUIRED_NAMES) {
    const found = attributes[name];
    if (found === REQUIRED[name]) continue;
    throw new GatewayError(
      "key-refused",
      `expected key \`${label}\` with ${name} ${REQUIRED[name]}, found ${found ?? "no such attribute"}`,
      {
        facts: { attribute: name, expected: REQUIRED[name], found: found ?? null, label },
        hint: "only a key generated in the token and never readable outside it is used",
      },
    );
  }
}
