import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { z } from "zod";
import { GatewayError } from "../domain/errors.ts";

/**
 * Everything that a caller needs, in one file (mode 0600): where the gateway is, by which key its answers are known, who
 * the caller is, and the caller's own private key.
 */
export const CallerFile = z.strictObject({
  kind: z.literal("portcullis/caller/v1"),
  caller: z.string(),
  /** The client that the caller belongs to; absent for the custodian's own people. */
  client: z.string().optional(),
  gateway: z.string(),
  url: z.url(),
  /** Of the gateway's log token: `ed25519:` and 32 bytes in base64. */
  answersKey: z.string().regex(/^ed25519:[A-Za-z0-9+/]{43}=$/),
  /** Under which the gateway's statements and attest reports verify; likewise. */
  statementKey: z
    .string()
    .regex(/^ed25519:[A-Za-z0-9+/]{43}=$/)
    .optional(),
  publicKey: z.string(),
  /** PKCS#8, DER, base64. */
  privateKey: z.string(),
});
export type CallerFile = z.infer<typeof CallerFile>;

/** What all callers of one gateway share: `gateway.json`, written by `portcullis init`. */
export const GatewayFile = CallerFile.pick({ gateway: true, url: true, answersKey: true, statementKey: true });
export type GatewayFile = z.infer<typeof GatewayFile>;

/** SubjectPublicKeyInfo is a head of fixed length, then the key as policies declare it. */
const KINDS = { ed25519: { prefix: "ed25519:", head: 12 }, ec: { prefix: "ecdsa-p256:", head: 26 } } as const;

export function publicKeyText(key: KeyObject): string {
  const { prefix, head } = KINDS[key.asymmetricKeyType as keyof typeof KINDS];
  return `${prefix}${createPublicKey(key).export({ format: "der", type: "spki" }).subarray(head).toString("base64")}`;
}

export type CallerAlgorithm = "ed25519" | "ecdsa-p256";

const newPrivateKey = (algorithm: CallerAlgorithm): KeyObject =>
  algorithm === "ed25519"
    ? generateKeyPairSync("ed25519").privateKey
    : generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;

/** A new key pair in a file's shape; the private half never goes anywhere else. */
export function newCaller(
  gateway: GatewayFile,
  caller: string,
  client?: string,
  algorithm: CallerAlgorithm = "ed25519",
): CallerFile {
  const privateKey = newPrivateKey(algorithm);
  return {
    kind: "portcullis/caller/v1",
    caller,
    ...(client === undefined ? {} : { client }),
    ...gateway,
    publicKey: publicKeyText(privateKey),
    privateKey: privateKey.export({ format: "der", type: "pkcs8" }).toString("base64"),
  };
}

export const privateKeyOf = (file: CallerFile): KeyObject =>
  createPrivateKey({ key: Buffer.from(file.privateKey, "base64"), format: "der", type: "pkcs8" });

/** @throws {GatewayError} `caller-file-invalid` */
export const readCallerFile = (path: string): CallerFile => readFile(path, CallerFile);
export const readGatewayFile = (path: string): GatewayFile => readFile(path, GatewayFile);

function readFile<T>(path: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    const why = error instanceof z.ZodError ? (error.issues[0]?.message ?? "invalid") : (error as Error).message;
    throw new GatewayError("caller-file-invalid", `cannot read \`${path}\`: ${why}`, {
      hint: "`portcullis caller keygen` writes such a file",
    });
  }
}

/** Refuses to replace a file: a private key that is overwritten is gone. */
export function writeCallerFile(path: string, file: CallerFile): void {
  writeFileSync(path, `${JSON.stringify(file, undefined, 2)}\n`, { mode: 0o600, flag: "wx" });
}
