import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { writeSecretFile } from "./boot-secret.ts";

/*
 * The security officer's PIN of a token can set a new user PIN, so it is worth the keys. It is kept as two shares for two
 * persons, or not at all. One share alone is random bytes.
 */

/** Where the two shares go: a folder for each of the two persons. */
export type ShareFolders = readonly [string, string];

const SO_PIN_BYTES = 24;

/** SO PIN = hex of the XOR of both shares. */
export function splitSecret(secret: Buffer): [Buffer, Buffer] {
  const first = randomBytes(secret.length);
  return [first, joinShares(first, secret)];
}

export const joinShares = (one: Buffer, other: Buffer): Buffer =>
  Buffer.from(one.map((byte, index) => byte ^ other[index]!));

/** A new SO PIN, whose shares are on the disk before any token has it. `undefined`: the adapter's own, which nobody keeps. */
export function newSoPin(label: string, folders: ShareFolders | undefined): string | undefined {
  if (!folders) return undefined;
  const secret = randomBytes(SO_PIN_BYTES);
  splitSecret(secret).forEach((share, index) => {
    writeSecretFile(join(folders[index]!, `so-pin-${label}.share`), share.toString("hex"));
  });
  return secret.toString("hex");
}
