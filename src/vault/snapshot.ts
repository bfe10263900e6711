import { randomUUID } from "node:crypto";
import { endianness } from "node:os";
import { GatewayError } from "../domain/errors.ts";
import type { ClientId } from "../domain/names.ts";
import type { Following } from "./following.ts";
import { Ledger, LEDGER_VERSION, type LedgerState } from "./ledger.ts";
import type { SnapshotRef, Store, StoreReader } from "./ports.ts";
import type { Seals } from "./seals.ts";

/*
 * What a vault knows of the log, written down in the store, so that the next start does not read every leaf again. It is
 * sealed like a row, part by part. It needs no freshness of its own: the leaves behind it are followed all the same.
 */

/** What so many leaves say. */
export type Knowledge = {
  readonly size: number;
  /** The last leaf of each client. */
  readonly ends: ReadonlyMap<ClientId, { readonly index: number; readonly number: number; readonly hash: string }>;
  readonly saltKeys: ReadonlyMap<ClientId, string>;
  /** The liens that stand. */
  readonly standing: ReadonlyMap<ClientId, ReadonlySet<string>>;
  readonly ledger: LedgerState;
};

/** One statement's worth: while it is written, others wait. */
const PART_BYTES = 512 * 1024;
const TAG_BYTES = 22;
const WORD_BYTES = 4;

/** Of another version, or another machine's order of bytes, nothing is read. */
const { fingerprints: NO_FINGERPRINTS, ...NOTHING } = new Ledger("").state;
const KIND = `${LEDGER_VERSION} ${Object.keys(NOTHING).join(",")} ${NO_FINGERPRINTS.length} ${endianness()}`;
const headOf = ({ size, parts }: SnapshotRef, part: number): string => `${KIND} ${size} ${parts} ${part}`;

/** JSON has neither maps nor sets. Nothing else that is kept has one member of such a name. */
const packed = (_name: string, value: unknown): unknown =>
  value instanceof Map ? { map: [...value] } : value instanceof Set ? { set: [...value] } : value;
const unpacked = (_name: string, value: unknown): unknown => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  const { map, set, ...others } = value as { map?: [unknown, unknown][]; set?: unknown[] };
  if (Object.keys(others).length > 0) return value;
  return map ? new Map(map) : set ? new Set(set) : value;
};

const bytesOf = (words: Uint32Array): Buffer => Buffer.from(words.buffer, words.byteOffset, words.byteLength);
const wordsOf = (bytes: Uint8Array): Uint32Array => new Uint32Array(Uint8Array.from(bytes).buffer);

/** How many blocks there are and the length of each, 32 bits each; then the blocks: the text, then the fingerprints. */
function encode({ ledger: { fingerprints, ...ledger }, ...known }: Knowledge): Buffer {
  const blocks = [Buffer.from(JSON.stringify({ ...known, ledger }, packed)), ...fingerprints.map(bytesOf)];
  const lengths = Uint32Array.from([blocks.length, ...blocks.map(({ length }) => length)]);
  return Buffer.concat([bytesOf(lengths), ...blocks]);
}

/** Of bytes whose seals were right. */
function decode(bytes: Buffer): Knowledge {
  const count = wordsOf(bytes.subarray(0, WORD_BYTES))[0]!;
  let at = (1 + count) * WORD_BYTES;
  const lengths = wordsOf(bytes.subarray(WORD_BYTES, at));
  const [text, ...lists] = [...lengths].map((length) => bytes.subarray(at, (at += length)));
  const known = JSON.parse(text!.toString(), unpacked) as Knowledge;
  return { ...known, ledger: { ...known.ledger, fingerprints: lists.map(wordsOf) } };
}

/**
 * @returns undefined where there is none
 * @throws {GatewayError} `snapshot-unusable` where a part is not what a vault of this gateway and version wrote there
 */
export async function readSnapshot(
  reader: Pick<StoreReader, "snapshot" | "snapshotPart">,
  seals: Seals,
): Promise<Knowledge | undefined> {
  const ref = await reader.snapshot();
  if (!ref) return undefined;
  const parts: Uint8Array[] = [];
  for (let part = 0; part < ref.parts; part++) {
    const row = Buffer.from((await reader.snapshotPart(ref, part)) ?? []);
    const bytes = row.subarray(TAG_BYTES);
    if (seals.snapshot(headOf(ref, part), bytes) !== row.toString("latin1", 0, TAG_BYTES))
      throw new GatewayError(
        "snapshot-unusable",
        `expected part ${part} of the snapshot of ${ref.size} leaves as a vault sealed it`,
        {
          hint: "every leaf is read instead. Where no other version of Portcullis wrote it, somebody has changed the store",
        },
      );
    parts.push(bytes);
  }
  return decode(Buffer.concat(parts));
}

export type SnapshotDependencies = {
  readonly store: Store;
  readonly following: Following;
  /** Leaves behind the last one from which a new one is worth its work. */
  readonly leaves?: number;
  readonly fault: (error: unknown) => void;
};

const TASK = "snapshot";
/** Longer than one takes to be written. */
const TURN_MS = 60_000;
/** Read in a third of a second. */
const LEAVES = 10_000;
/** Its size grows with the log: so does the way to the next one. */
const SHARE = 16;

/** Writes snapshots beside the work: by one vault at a time, whenever the way behind the last one has become long. */
export class Snapshots {
  readonly #parts: SnapshotDependencies;
  readonly #holder = randomUUID();
  #timer: NodeJS.Timeout | undefined;
  #current: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(parts: SnapshotDependencies) {
    this.#parts = parts;
  }

  run(everyMs: number): void {
    const next = async () => {
      await this.writeIfDue();
      if (!this.#stopped) this.#timer = setTimeout(() => void next(), everyMs).unref();
    };
    void next();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#current;
  }

  /** One at a time; never throws. */
  writeIfDue(): Promise<void> {
    return (this.#current = this.#current
      .then(() => this.#writeIfDue())
      .catch((error: unknown) => this.#parts.fault(error)));
  }

  async #writeIfDue(): Promise<void> {
    const { store, following, leaves = LEAVES } = this.#parts;
    const last = await store.read((reader) => reader.snapshot());
    const behind = following.size - (last?.size ?? 0);
    if (behind < Math.max(leaves, following.size / SHARE)) return;
    if (await store.write((transaction) => transaction.takeTurn(TASK, this.#holder, TURN_MS))) await this.#write();
  }

  async #write(): Promise<void> {
    const { store, following } = this.#parts;
    const known = following.knowledge;
    if (!known) return;
    const bytes = encode(known); // at one moment; what follows takes many
    const ref = { size: known.size, parts: Math.ceil(bytes.length / PART_BYTES) };
    for (let part = 0; part < ref.parts; part++) {
      const piece = bytes.subarray(part * PART_BYTES, (part + 1) * PART_BYTES);
      const sealed = Buffer.concat([Buffer.from(following.seals.snapshot(headOf(ref, part), piece)), piece]);
      await store.write((transaction) => transaction.putSnapshotPart(ref, part, sealed));
    }
    await store.write((transaction) => transaction.removeSnapshots(ref.size));
  }
}
