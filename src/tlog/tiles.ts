import { GatewayError, quoted } from "../domain/errors.ts";
import { HASH_BYTES, nodeHash, type Hash } from "./hashes.ts";
import type { Node, NodeReader } from "./tree.ts";

/*
 * C2SP tlog-tiles: the tree in pieces of 256 hashes. A tile of level 0 holds leaf hashes, one of level l + 1 the roots of
 * full tiles of level l; nodes between are hashed again when they are needed.
 */

export const TILE_WIDTH = 256;
const TILE_HEIGHT = 8;

export type TileId = { readonly level: number; readonly index: number };

/** The hashes side by side, 32 bytes each: 256 of them, or fewer at the right edge of the tree. */
export type Tile = TileId & { readonly hashes: Uint8Array };

/** A resource below the log's prefix. `level` is missing for entry bundles, `width` is 256 for full ones. */
export type TileResource = { readonly level: number | undefined; readonly index: number; readonly width: number };

const RESOURCE = /^(entries|0|[1-9][0-9]?)((?:\/x[0-9]{3}){0,4}\/[0-9]{3})(?:\.p\/([1-9][0-9]{0,2}))?$/;

/**
 * @param path after `tile/`: `0/x001/x234/067`, `entries/000.p/17`
 * @returns undefined for what is no spelling of a resource, and for a second spelling of one
 */
export function parseTilePath(path: string): TileResource | undefined {
  const [, kind, digits, partial] = RESOURCE.exec(path) ?? [];
  if (kind === undefined || digits === undefined) return undefined;
  const resource = {
    level: kind === "entries" ? undefined : Number(kind),
    index: Number(digits.replaceAll(/[/x]/g, "")),
    width: partial === undefined ? TILE_WIDTH : Number(partial),
  };
  return (resource.level ?? 0) < 64 && tilePath(resource) === path ? resource : undefined;
}

/** Index 1234067 is `x001/x234/067`. */
export function tilePath({ level, index, width }: TileResource): string {
  const digits = index.toString();
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, "0").match(/[0-9]{3}/g)!;
  const last = groups.pop()!;
  const suffix = width === TILE_WIDTH ? "" : `.p/${width}`;
  return [level ?? "entries", ...groups.map((group) => `x${group}`), last].join("/") + suffix;
}

/** Hashes of that level in a tree of that size. */
const widthOfLevel = (level: number, size: number): number => Math.floor(size / TILE_WIDTH ** level);

/** Whether a tree of that size has the tile, in that width: empty tiles are none. */
export function isInTree({ level = 0, index, width }: TileResource, size: number): boolean {
  return width >= 1 && index * TILE_WIDTH + width <= widthOfLevel(level, size);
}

const hashAt = (hashes: Uint8Array, position: number): Hash =>
  hashes.subarray(position * HASH_BYTES, (position + 1) * HASH_BYTES);

function subtreeIn(hashes: Uint8Array, start: number, width: number): Hash {
  if (width === 1) return hashAt(hashes, start);
  const half = width / 2;
  return nodeHash(subtreeIn(hashes, start, half), subtreeIn(hashes, start + half, half));
}

/** @param read a tile, in at least the width that the tree has of it; asked once for each tile */
export function nodesFrom(read: (tile: TileId) => Promise<Uint8Array | undefined>): NodeReader {
  const tiles = new Map<string, Uint8Array | undefined>();
  return async (nodes) => {
    const hashes: Hash[] = [];
    for (const node of nodes) {
      const { tile, start, width } = placeOf(node);
      const name = `${tile.level}/${tile.index}`;
      if (!tiles.has(name)) tiles.set(name, await read(tile));
      const found = tiles.get(name);
      if (!found || found.length < (start + width) * HASH_BYTES)
        throw new GatewayError("integrity", `expected tile ${name} with ${start + width} hashes`);
      hashes.push(subtreeIn(found, start, width));
    }
    return hashes;
  };
}

/** In which tile a node's subtree stands, and where. */
function placeOf({ level, index }: Node): { tile: TileId; start: number; width: number } {
  const width = 2 ** (level % TILE_HEIGHT);
  const first = index * width;
  return {
    tile: { level: Math.floor(level / TILE_HEIGHT), index: Math.floor(first / TILE_WIDTH) },
    start: first % TILE_WIDTH,
    width,
  };
}

/**
 * Appends leaves. Reads the tiles at the right edge, one a level, and nothing of what stands left of them.
 * @param size of the tree before
 * @param read a partial tile, exactly as wide as the tree of that size has it
 * @returns the tiles that changed or are new
 */
export async function grow(
  size: number,
  leaves: readonly Hash[],
  read: (tile: TileId) => Promise<Uint8Array | undefined>,
): Promise<Tile[]> {
  const changed: Tile[] = [];
  let arriving: readonly Hash[] = leaves;
  for (let level = 0; arriving.length > 0; level++) {
    const position = widthOfLevel(level, size);
    const filled: Hash[] = [];
    const tiles = cut(arriving, position % TILE_WIDTH).map((hashes, n) => ({ hashes, n }));
    for (const { hashes, n } of tiles) {
      const id = { level, index: Math.floor(position / TILE_WIDTH) + n };
      const before = n === 0 ? await edgeTile(id, position % TILE_WIDTH, read) : Buffer.alloc(0);
      const tile = { ...id, hashes: Buffer.concat([before, ...hashes]) };
      changed.push(tile);
      if (tile.hashes.length === TILE_WIDTH * HASH_BYTES) filled.push(subtreeIn(tile.hashes, 0, TILE_WIDTH));
    }
    arriving = filled;
  }
  return changed;
}

async function edgeTile(
  id: TileId,
  width: number,
  read: (tile: TileId) => Promise<Uint8Array | undefined>,
): Promise<Uint8Array> {
  if (width === 0) return Buffer.alloc(0);
  const found = await read(id);
  if (found?.length === width * HASH_BYTES) return found;
  throw new GatewayError(
    "integrity",
    `expected tile ${id.level}/${id.index} with ${width} hashes, found ${(found?.length ?? 0) / HASH_BYTES}`,
  );
}

/** In pieces of a tile each, the first being what is left of one that holds `taken` already. */
function cut(hashes: readonly Hash[], taken: number): (readonly Hash[])[] {
  const pieces = [];
  for (let from = 0, room = TILE_WIDTH - taken; from < hashes.length; from += room, room = TILE_WIDTH)
    pieces.push(hashes.slice(from, from + room));
  return pieces;
}

const LENGTH_BYTES = 2;

/** Entries one after the other, each behind its length as a big-endian uint16. */
export function encodeEntryBundle(entries: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    entries.flatMap((entry) => {
      const length = Buffer.alloc(LENGTH_BYTES);
      length.writeUInt16BE(entry.length);
      return [length, entry];
    }),
  );
}

/** @throws {GatewayError} `malformed-bundle` */
export function parseEntryBundle(bundle: Uint8Array): Uint8Array[] {
  const bytes = Buffer.from(bundle.buffer, bundle.byteOffset, bundle.byteLength);
  const entries: Uint8Array[] = [];
  for (let at = 0; at < bytes.length;) {
    const start = at + LENGTH_BYTES;
    const end = start <= bytes.length ? start + bytes.readUInt16BE(at) : Infinity;
    if (end > bytes.length || entries.length === TILE_WIDTH) {
      throw new GatewayError("malformed-bundle", `expected up to ${TILE_WIDTH} whole entries, found ${quoted(at)}`);
    }
    entries.push(bytes.subarray(start, end));
    at = end;
  }
  return entries;
}
