import { GatewayError, quoted } from "../domain/errors.ts";
import { HASH_BYTES, type Hash } from "./hashes.ts";
import { decodeBase64, parseNote, verifyNote, type NoteKey, type VerifiedSignature } from "./note.ts";

/* C2SP tlog-checkpoint: origin, tree size, root hash, a line each. Extension lines, which C2SP discourages, are refused. */

export type TreeHead = { readonly size: number; readonly root: Hash };
export type Checkpoint = TreeHead & { readonly origin: string };

/** @returns the text that is signed, which ends with a line end */
export const formatCheckpoint = ({ origin, size, root }: Checkpoint): string =>
  `${origin}\n${size}\n${Buffer.from(root).toString("base64")}\n`;

/** Decimal without leading zeros. */
export function parseCount(text: string): number | undefined {
  const count = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(count) ? count : undefined;
}

export function parseHash(text: string): Hash | undefined {
  const bytes = decodeBase64(text);
  return bytes?.length === HASH_BYTES ? bytes : undefined;
}

/** @throws {GatewayError} `malformed-checkpoint` */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin, size, root, end, ...rest] = text.split("\n");
  const [count, hash] = [parseCount(size ?? ""), parseHash(root ?? "")];
  if (origin && count !== undefined && hash && end === "" && rest.length === 0)
    return { origin, size: count, root: hash };
  throw new GatewayError("malformed-checkpoint", "expected a checkpoint: origin, tree size and root hash, a line each");
}

export type OpenedCheckpoint = Checkpoint & { readonly cosignatures: readonly VerifiedSignature[] };

/**
 * @param note the checkpoint with its signatures
 * @param log whose signature it must carry; its name is the origin
 * @param witnesses whose cosignatures are looked for
 * @throws {GatewayError} `malformed-note`, `malformed-checkpoint`, `signature-invalid`, `unsigned-note`, `wrong-origin`
 */
export function openCheckpoint(note: Uint8Array, log: NoteKey, witnesses: readonly NoteKey[] = []): OpenedCheckpoint {
  const parsed = parseNote(note);
  const verified = verifyNote(parsed, [log, ...witnesses]);
  // A witness vouches for consistency, not for what a log says: without the log's own signature there is no checkpoint.
  if (!verified.some(({ key }) => key === log)) verifyNote(parsed, [log]);
  const checkpoint = parseCheckpoint(parsed.text);
  if (checkpoint.origin !== log.name) {
    throw new GatewayError(
      "wrong-origin",
      `expected a checkpoint of \`${log.name}\`, found one of ${quoted(checkpoint.origin)}`,
    );
  }
  return { ...checkpoint, cosignatures: verified.filter(({ key }) => key !== log) };
}
