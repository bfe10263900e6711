import { GatewayError } from "../domain/errors.ts";
import { openCheckpoint, parseCount } from "../tlog/checkpoint.ts";
import { formatNote, parseNote, type NoteKey } from "../tlog/note.ts";
import { consistencyProof } from "../tlog/tree.ts";
import type { Witnesses } from "../tlog/witnesses.ts";
import type { CheckpointRow, Store, StoreReader } from "./ports.ts";
import { nodesIn } from "./tree.ts";

/*
 * Cosignatures of C2SP witnesses (tlog-witness, tlog-cosignature). The edge carries requests out and cosignatures back;
 * what counts is verified here, under the keys of `witnesses.txt`, over a checkpoint that this gateway has signed.
 */

/** Leaves by which a checkpoint may be behind the newest and still be cosigned: a slower witness is asked about the next one. */
const YOUNG = 100_000;

export type WitnessState = {
  /** The largest checkpoint that has the quorum's cosignatures, and when that was seen. */
  readonly witnessed?: { readonly size: number; readonly at: string };
  readonly witnesses: number;
};

export class Witnessing {
  readonly #witnesses: Witnesses | undefined;
  readonly #log: () => NoteKey;
  #last: WitnessState["witnessed"];

  /** @param witnesses without a file, nobody is asked */
  constructor(witnesses: Witnesses | undefined, log: () => NoteKey) {
    this.#witnesses = witnesses;
    this.#log = log;
  }

  /** Undefined where nobody is asked. */
  get state(): WitnessState | undefined {
    if (!this.#witnesses) return undefined;
    const { length: witnesses } = this.#witnesses.witnesses;
    return this.#last ? { witnessed: this.#last, witnesses } : { witnesses };
  }

  /**
   * The body of `add-checkpoint`: the size that the witness knows, how the newest checkpoint follows from it, that
   * checkpoint.
   * @throws {GatewayError} `not-found` if there is no checkpoint, or none that is larger
   */
  async request(reader: StoreReader, old: number): Promise<string> {
    const checkpoint = await reader.lastCheckpoint();
    if (!checkpoint || checkpoint.size < old)
      throw new GatewayError("not-found", `expected a checkpoint of more than ${old} leaves, found none`);
    const proof = old === 0 ? [] : await consistencyProof(old, checkpoint.size, nodesIn(reader));
    const hashes = proof.map((hash) => `${Buffer.from(hash).toString("base64")}\n`);
    return `old ${old}\n${hashes.join("")}\n${checkpoint.note}`;
  }

  /**
   * @param text the size of the checkpoint, then signature lines as a witness gave them
   * @returns how many of them are new and count
   * @throws {GatewayError} `cosignature-invalid`
   */
  async cosign(store: Store, text: string): Promise<number> {
    const { size, lines } = readCosignatures(text);
    return store.write(async (transaction) => {
      const newest = await transaction.lastCheckpoint();
      const [row] = await transaction.checkpoints(size, 1);
      if (!newest || row?.size !== size || newest.size - size > YOUNG)
        throw invalid(`no young checkpoint of ${size} leaves`);
      const { note, added } = this.#cosigned(row, lines);
      if (added > 0) await transaction.cosignCheckpoint(size, note);
      this.#note(size, note, await transaction.now());
      return added;
    });
  }

  /** A line of a key that nobody here asks is left out, and so is one that does not verify: a checkpoint never gets worse. */
  #cosigned({ note }: CheckpointRow, lines: readonly string[]): { readonly note: string; readonly added: number } {
    let current = note;
    let added = 0;
    const known = (text: string): number =>
      openCheckpoint(Buffer.from(text), this.#log(), this.#keys()).cosignatures.length;
    for (const line of lines) {
      try {
        const { text, signatures } = parseNote(Buffer.from(current));
        const [signature] = parseNote(Buffer.from(`${text}\n${line}\n`)).signatures;
        const next = formatNote({ text, signatures: [...signatures, signature!] });
        if (known(next) <= known(current)) continue;
        current = next;
        added += 1;
      } catch (error) {
        if (!(error instanceof GatewayError)) throw error;
      }
    }
    return { note: current, added };
  }

  #note(size: number, note: string, at: number): void {
    const { cosignatures } = openCheckpoint(Buffer.from(note), this.#log(), this.#keys());
    const quorum = this.#witnesses?.isQuorum(new Set(cosignatures.map(({ key }) => key))) ?? false;
    if (quorum && size >= (this.#last?.size ?? 0)) this.#last = { size, at: new Date(at).toISOString() };
  }

  #keys = (): NoteKey[] => (this.#witnesses?.witnesses ?? []).map(({ key }) => key);
}

const LINES_MAX = 16;

function readCosignatures(text: string): { readonly size: number; readonly lines: readonly string[] } {
  const [first, ...lines] = text.split("\n").filter((line) => line !== "");
  const size = parseCount(first ?? "");
  if (size !== undefined && lines.length > 0 && lines.length <= LINES_MAX) return { size, lines };
  throw invalid(`expected a size and up to ${LINES_MAX} signature lines`);
}

const invalid = (message: string): GatewayError => new GatewayError("cosignature-invalid", message);
