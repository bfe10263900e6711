import { GatewayError } from "../domain/errors.ts";
import { openCheckpoint, parseCount, parseHash, type OpenedCheckpoint } from "./checkpoint.ts";
import { sameHash, type Hash } from "./hashes.ts";
import { decodeBase64, type NoteKey } from "./note.ts";
import { rootFromInclusion } from "./tree.ts";

/* C2SP tlog-proof: that an entry stands in a log, in one text that is verified offline. Here: a receipt. */

export type TlogProof = {
  readonly index: number;
  /** From the leaf's sibling upwards. */
  readonly path: readonly Hash[];
  /** The signed checkpoint, as it was issued. */
  readonly checkpoint: string;
  /** Not authenticated by the format: believed only as far as it hashes to the entry. */
  readonly extra?: Uint8Array;
};

const HEADER = "c2sp.org/tlog-proof@v1";

/** A tree has less than 2^53 entries here, so no path is longer. */
const PATH_MAX = 53;

export function formatProof({ index, path, checkpoint, extra }: TlogProof): string {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  const lines = [HEADER, ...(extra ? [`extra ${base64(extra)}`] : []), `index ${index}`, ...path.map(base64)];
  return `${lines.join("\n")}\n\n${checkpoint}`;
}

/** @throws {GatewayError} `malformed-proof` */
export function parseProof(text: string): TlogProof {
  const split = text.indexOf("\n\n");
  const [header, ...lines] = text.slice(0, split).split("\n");
  const extra = lines[0]?.startsWith("extra ") ? decodeBase64(lines.shift()!.slice(6)) : null;
  const index = parseCount(/^index (.+)$/.exec(lines.shift() ?? "")?.[1] ?? "");
  const path = lines.map(parseHash);
  const wellFormed = split > 0 && header === HEADER && extra !== undefined && path.length <= PATH_MAX;
  if (!wellFormed || index === undefined || path.includes(undefined)) {
    throw new GatewayError("malformed-proof", `expected a proof as \`${HEADER}\` describes it`);
  }
  return { index, path: path as Hash[], checkpoint: text.slice(split + 2), ...(extra ? { extra } : {}) };
}

/**
 * @param leaf RFC 6962 leaf hash of the entry
 * @returns the checkpoint that the entry stands under
 * @throws {GatewayError} as `openCheckpoint` does; `not-in-tree` if the path does not lead from this leaf to its root
 */
export function verifyProof(
  { index, path, checkpoint }: TlogProof,
  leaf: Hash,
  log: NoteKey,
  witnesses: readonly NoteKey[] = [],
): OpenedCheckpoint {
  const opened = openCheckpoint(Buffer.from(checkpoint), log, witnesses);
  const root = rootFromInclusion(index, opened.size, leaf, path);
  if (root && sameHash(root, opened.root)) return opened;
  throw new GatewayError(
    "not-in-tree",
    `expected entry ${index} in the tree of size ${opened.size}, found another one`,
  );
}
