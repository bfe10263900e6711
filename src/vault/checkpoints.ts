import { randomUUID } from "node:crypto";
import { GatewayError } from "../domain/errors.ts";
import { formatCheckpoint, openCheckpoint, type TreeHead } from "../tlog/checkpoint.ts";
import { formatNote, formatVkey, noteKey, type NoteKey } from "../tlog/note.ts";
import type { Anchor, LogToken, Store, StoreReader } from "./ports.ts";
import { appendPadding } from "./log.ts";
import { isGivenUp, passedSize } from "./recoveries.ts";
import { extendsHead, growTree, headOf } from "./tree.ts";

export type CheckpointDependencies = {
  /** The store itself: what it holds is found out here, also while nothing else may be written to it. */
  readonly store: Store;
  readonly logToken: LogToken;
  readonly origin: string;
  readonly anchor: Anchor;
  /** Told of each new reason why no checkpoint is made, once. */
  readonly fault: (error: unknown) => void;
};

/** How long a vault that fell silent keeps the others from signing checkpoints. */
export const TURN_MS = 5000;
const TASK = "checkpoint";
/** Leaves in one transaction. */
const PADDING_STEP = 500;

/**
 * Grows the tree beside the leaves and signs its head: by one vault at a time, never one that does not extend what this
 * vault has seen, and never before the anchor holds it. Every vault follows what the others sign.
 */
export class Checkpoints {
  readonly #parts: CheckpointDependencies;
  readonly #key: NoteKey;
  readonly #holder = randomUUID();
  /** The largest tree that this vault knows to be promised: its memory, as I19 asks for one. */
  #seen: TreeHead | undefined;
  #refusal: GatewayError | undefined;
  #reported = "";
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #stopped = false;

  private constructor(parts: CheckpointDependencies, key: NoteKey) {
    this.#parts = parts;
    this.#key = key;
  }

  /**
   * Reads the anchor and holds the store against it. Starts nothing: `run` does.
   * @throws {GatewayError} `anchor-invalid`, `anchor-unavailable`
   */
  static async open(parts: CheckpointDependencies): Promise<Checkpoints> {
    const key = noteKey(parts.origin, "ed25519", await parts.logToken.publicKey("checkpoint"));
    const checkpoints = new Checkpoints(parts, key);
    const note = await parts.anchor.read();
    // A vault that has no anchor yet believes its store once: whoever can delete the file could replace it as well.
    if (note !== undefined) checkpoints.#seen = readAnchor(note, key);
    await checkpoints.#growAndCheck();
    return checkpoints;
  }

  /** The log's key, as others configure it (C2SP signed-note). */
  get vkey(): string {
    return formatVkey(this.#key);
  }

  /** Why nothing may be written or signed, as long as that is so (I19). */
  get refusal(): GatewayError | undefined {
    return this.#refusal;
  }

  /** The largest tree that this vault knows to be promised. */
  get promised(): TreeHead | undefined {
    return this.#seen;
  }

  /** Holds the store against what was promised, at once. */
  look(): Promise<void> {
    return (this.#round = this.#round.then(() => this.#growAndCheck()).catch((error: unknown) => this.#report(error)));
  }

  /** The tiles may be behind the leaves of which they are made. */
  async #growAndCheck(): Promise<void> {
    if (!(await movedFrom(this.#parts.store))) await growTree(this.#parts.store);
    await this.#check();
  }

  /** Looks for something new every so often. */
  run(everyMs: number): void {
    const next = async () => {
      await this.round();
      if (!this.#stopped) this.#timer = setTimeout(() => void next(), everyMs).unref();
    };
    void next();
  }

  /** Makes a last checkpoint of what is there; the timer has ended then. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.round();
  }

  /** One at a time; never throws. */
  round(): Promise<void> {
    return (this.#round = this.#round.then(() => this.#tryRound()));
  }

  async #tryRound(): Promise<void> {
    try {
      await this.#check();
      if (this.#refusal) return this.#report(this.#refusal);
      await this.#sign();
      await this.#follow();
      this.#reported = "";
    } catch (error) {
      this.#report(error);
    }
  }

  #report(error: unknown): void {
    const text = String(error);
    if (text !== this.#reported) this.#parts.fault(error);
    this.#reported = text;
  }

  /** I19: the store contains what was promised, or nothing happens until it does again. */
  async #check(): Promise<void> {
    const moved = await movedFrom(this.#parts.store);
    if (moved) return void (this.#refusal = moved);
    const seen = this.#seen;
    if (!seen || (await this.#parts.store.read((reader) => this.#keeps(reader, seen)))) {
      this.#refusal = undefined;
      return;
    }
    this.#refusal = new GatewayError(
      "store-rolled-back",
      `expected a store that contains the checkpoint of ${seen.size} leaves, found one that does not`,
      {
        facts: { size: seen.size, root: Buffer.from(seen.root).toString("base64") },
        hint: "a backup was restored, or the log was changed: nothing is written or signed; docs/log.md says what to do",
      },
    );
  }

  /** Or officers have said that it does not, and that the gateway goes on all the same. */
  #keeps = async (reader: StoreReader, head: TreeHead): Promise<boolean> =>
    (await extendsHead(reader, head)) || (await isGivenUp(reader, this.#parts.origin, head));

  async #sign(): Promise<void> {
    const { store, logToken, origin, anchor } = this.#parts;
    if (!(await this.#isNew()) || !(await this.#takeTurn())) return;
    await this.#pass();
    await growTree(store);
    const head = await store.read(headOf);
    const text = formatCheckpoint({ origin, ...head });
    const signature = await logToken.sign("checkpoint", text);
    const note = formatNote({ text, signatures: [{ name: this.#key.name, id: this.#key.id, signature }] });
    // Before anybody can see it: a crash after this line leaves an anchor whose tree the store holds already.
    await anchor.write(note);
    this.#seen = head;
    await store.write(async (transaction) => {
      const last = await transaction.lastCheckpoint();
      if (last && last.size >= head.size) return;
      await transaction.insertCheckpoint({ ...head, at: await transaction.now(), note });
    });
  }

  /**
   * No size is signed twice with two roots: up to the one that was promised before a recovery the log grows by leaves that
   * say nothing, a few hundred at a time.
   */
  async #pass(): Promise<void> {
    const { store, origin } = this.#parts;
    const count = async (reader: StoreReader) => ((await reader.lastLeaf())?.index ?? -1) + 1;
    const passed = await store.read(async (reader) => passedSize(reader, origin, await count(reader)));
    while (passed > 0 && (await store.write((transaction) => appendPadding(transaction, passed + 1, PADDING_STEP))));
  }

  #isNew = (): Promise<boolean> =>
    this.#parts.store.read(async (reader) => {
      const [leaf, checkpoint] = [await reader.lastLeaf(), await reader.lastCheckpoint()];
      return (leaf?.index ?? -1) >= (checkpoint?.size ?? 0);
    });

  #takeTurn = (): Promise<boolean> =>
    this.#parts.store.write((transaction) => transaction.takeTurn(TASK, this.#holder, TURN_MS));

  /** What another vault has signed is promised as well. */
  async #follow(): Promise<void> {
    const { store, anchor } = this.#parts;
    const last = await store.read((reader) => reader.lastCheckpoint());
    if (!last || last.size <= (this.#seen?.size ?? 0)) return;
    const { size, root } = openCheckpoint(Buffer.from(last.note), this.#key);
    await anchor.write(last.note);
    this.#seen = { size, root };
  }
}

/** Why nothing is written in the history that answers now, where it is not the log's own. */
async function movedFrom({ history }: Store): Promise<GatewayError | undefined> {
  const { writtenIn, found } = (await history?.read()) ?? {};
  if (writtenIn === found) return undefined;
  return new GatewayError("store-moved", `expected the history \`${writtenIn}\`, found \`${found}\``, {
    facts: { writtenIn, found },
    hint: "after a failover the last COMMITs may be missing: `portcullis recover --after-failover`; docs/operations.md",
  });
}

function readAnchor(note: string, key: NoteKey): TreeHead {
  try {
    return openCheckpoint(Buffer.from(note), key);
  } catch (error) {
    throw new GatewayError(
      "anchor-invalid",
      `expected a checkpoint of this log as anchor: ${(error as Error).message}`,
      {
        cause: error,
        hint: "the anchor belongs to another gateway, or was changed: docs/log.md says what to do",
      },
    );
  }
}

/** A store that takes nothing while there is a reason against it. What it holds can be read all the same. */
export const refusing = (store: Store, refusal: () => GatewayError | undefined): Store => ({
  write: (work, expected) => {
    const reason = refusal();
    return reason ? Promise.reject(reason) : store.write(work, expected);
  },
  read: (work) => store.read(work),
  close: () => store.close(),
});
