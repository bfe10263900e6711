import { randomBytes } from "node:crypto";
import { closeSync, fstatSync, fsyncSync, mkdirSync, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { GatewayError } from "../../domain/errors.ts";

/*
 * The one secret that a vault needs to start: the gateway token's PIN. It comes by a file, a descriptor or systemd's
 * credentials, never by an argument or the environment, which other processes can see.
 */

export type BootSecretSource =
  | { readonly file: string }
  /** Inherited from whoever starts the vault. */
  | { readonly descriptor: number }
  /** A name in $CREDENTIALS_DIRECTORY: `LoadCredential=` or `LoadCredentialEncrypted=` of the unit. */
  | { readonly credential: string };

/** 192 random bits. */
export const newBootSecret = (): string => randomBytes(24).toString("base64url");

const BYTES_MAX = 1024;

/** @throws {GatewayError} `boot-secret` */
export function readBootSecret(source: BootSecretSource): string {
  const secret = readSource(source).trim();
  if (secret.length > 0) return secret;
  throw bootSecretError("expected the gateway token's PIN, found nothing");
}

function readSource(source: BootSecretSource): string {
  if ("descriptor" in source) return guarded(() => readDescriptor(source.descriptor));
  if ("file" in source) return readPrivateFile(source.file);
  const folder = process.env["CREDENTIALS_DIRECTORY"];
  if (folder === undefined) {
    throw bootSecretError("expected systemd's $CREDENTIALS_DIRECTORY, found none", {
      hint: `LoadCredential=${source.credential}:FILE in the unit`,
    });
  }
  return guarded(() => readFileSync(join(folder, source.credential), "utf8"));
}

/** Whoever else may read it can log in to every token that the gateway can. */
function readPrivateFile(path: string): string {
  return guarded(() => {
    const file = openSync(path, "r");
    try {
      if ((fstatSync(file).mode & 0o077) === 0) return readDescriptor(file);
    } finally {
      closeSync(file);
    }
    throw bootSecretError(`expected \`${path}\` to be readable by its owner alone`, { hint: `chmod 0600 ${path}` });
  });
}

/** From its beginning where it is a file, since a vault that is started again inherits the same one. */
function readDescriptor(descriptor: number): string {
  const bytes = Buffer.alloc(BYTES_MAX);
  let length = 0;
  const fromStart = fstatSync(descriptor).isFile();
  for (;;) {
    const read = readSync(descriptor, bytes, length, BYTES_MAX - length, fromStart ? length : null);
    length += read;
    if (read === 0 || length === BYTES_MAX) return bytes.subarray(0, length).toString("utf8");
  }
}

function guarded(read: () => string): string {
  try {
    return read();
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw bootSecretError(`cannot read the boot secret: ${(error as Error).message}`);
  }
}

const bootSecretError = (message: string, options: { hint?: string } = {}) =>
  new GatewayError("boot-secret", message, options);

/** Never over one that is there: it may be a living token's. */
export function writeSecretFile(path: string, secret: string): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const file = openSync(path, "wx", 0o600);
  try {
    writeSync(file, `${secret}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
