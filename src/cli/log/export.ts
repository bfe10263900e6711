import { appendFileSync, existsSync, truncateSync, writeFileSync } from "node:fs";
import { GatewayError } from "../../domain/errors.ts";
import { parseCheckpoint } from "../../tlog/checkpoint.ts";
import { parseNote } from "../../tlog/note.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import type { StoredPolicy } from "../policy-apply.ts";
import { FORMAT, linesOf, parseLine, type HeaderLine, type LeafLine, type Line, type PolicyLine } from "./format.ts";

/** All that an export needs of the gateway. */
type Reader = Pick<GatewayClient, "get">;

type Page = {
  readonly origin: string;
  readonly key: string;
  readonly leaves: readonly LeafLine[];
  readonly checkpoints: readonly { readonly size: number; readonly note: string }[];
  readonly next: number;
};

/** How far an export is: what the next page follows on. */
type Place = { header: HeaderLine | undefined; leaves: number; checkpoint: number };

export type Exported = { readonly leaves: number; readonly added: number; readonly checkpoint: number };

/**
 * Writes the log, with the openings that this caller may read, to a file; into one that exists it writes what has come
 * since. Whole pages only: an export that was interrupted goes on where it stopped.
 * @param client whose openings; undefined: everybody's, for auditors of the house
 */
export async function exportLog(
  gateway: Reader,
  client: string | undefined,
  file: string,
  onProgress: (leaves: number) => void,
): Promise<Exported> {
  const path = client === undefined ? "/v1/log/openings" : `/v1/clients/${client}/openings`;
  const place = readPlace(file);
  const before = place.leaves;
  for (;;) {
    const page = await gateway.get<Page>(`${path}?from=${place.leaves}`);
    const header: HeaderLine = { format: FORMAT, origin: page.origin, key: page.key, of: client ?? "house" };
    requireSame(place, header, file);
    const lines = await linesFor(gateway, page, place);
    if (!place.header) writeFileSync(file, `${JSON.stringify({ header })}\n`, { mode: 0o600 });
    place.header = header;
    appendFileSync(file, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    place.leaves = page.next;
    onProgress(place.leaves);
    if (page.leaves.length === 0)
      return { leaves: place.leaves, added: place.leaves - before, checkpoint: place.checkpoint };
  }
}

function readPlace(file: string): Place {
  const place: Place = { header: undefined, leaves: 0, checkpoint: 0 };
  if (!existsSync(file)) return place;
  let [number, bytes] = [0, 0];
  for (const text of linesOf(file)) {
    number += 1;
    bytes += Buffer.byteLength(text) + 1;
    const line = parseLine(text, number);
    if ("header" in line) place.header = line.header;
    else if ("leaf" in line) place.leaves = line.leaf.index + 1;
    else if ("checkpoint" in line)
      place.checkpoint = parseCheckpoint(parseNote(Buffer.from(line.checkpoint)).text).size;
  }
  truncateSync(file, bytes); // half a line at the end is what an interruption leaves
  return place;
}

function requireSame({ header: found }: Place, expected: HeaderLine, file: string): void {
  if (!found || JSON.stringify(found) === JSON.stringify(expected)) return;
  throw new GatewayError("usage", `expected \`${file}\` to be an export of this log and these openings`, {
    facts: { expected, found },
    hint: "name a new file",
  });
}

async function linesFor(gateway: Reader, page: Page, place: Place): Promise<Line[]> {
  const notes = new Map(page.checkpoints.map(({ size, note }) => [size, note]));
  const lines: Line[] = [];
  const close = (size: number) => {
    const note = notes.get(size);
    if (note === undefined || size <= place.checkpoint) return;
    lines.push({ checkpoint: note });
    place.checkpoint = size;
  };
  close(place.leaves);
  for (const leaf of page.leaves) {
    const policy = await documentOf(gateway, leaf);
    if (policy) lines.push({ policy });
    lines.push({ leaf });
    close(leaf.index + 1);
  }
  return lines;
}

/** The documents that a leaf makes active stand before it: without them its decisions cannot be made again. */
async function documentOf(gateway: Reader, leaf: LeafLine): Promise<PolicyLine | undefined> {
  if ("commitment" in leaf) return undefined;
  const { type, version } = JSON.parse(leaf.opening) as { type: string; version: number };
  if (type !== "policy-applied" && type !== "genesis") return undefined;
  const stored = await gateway.get<StoredPolicy>(`/v1/clients/${leaf.client}/policy?version=${version}`);
  const { client, hash, entry, files } = stored;
  return { client, version, hash, entry, files };
}
