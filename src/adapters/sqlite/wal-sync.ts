import { open, type FileHandle } from "node:fs/promises";

/**
 * Makes COMMITs durable without stopping the vault: SQLite writes them to the write-ahead log, and the log is synced from
 * here on a pool thread (a disk takes milliseconds). What SQLite does itself at `synchronous = FULL`, at the same file and
 * with the same call; only that whoever must wait for it waits, and nobody else.
 */
export class WalSync {
  readonly #path: string;
  #file: Promise<FileHandle> | undefined;
  #current: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  /** @param database path of the database file: its log stands beside it while it is open */
  constructor(database: string) {
    this.#path = `${database}-wal`;
  }

  /**
   * Resolves when all that was committed before the call is durable. One sync serves everybody who came while the one
   * before it ran: that one may have begun before their COMMIT.
   */
  durable(): Promise<void> {
    return (this.#next ??= this.#syncAfter(this.#current));
  }

  /** The same for somebody who has written nothing, but may have read what is not durable yet. */
  settled(): Promise<void> {
    return this.#next ?? this.#current ?? Promise.resolve();
  }

  async close(): Promise<void> {
    await this.settled().catch(() => undefined);
    await (await this.#file)?.close();
  }

  async #syncAfter(current: Promise<void> | undefined): Promise<void> {
    await current;
    this.#current = this.#next;
    this.#next = undefined;
    // Opened late, since SQLite makes the file with its first write; it stays the same file until the database is closed.
    const file = await (this.#file ??= open(this.#path, "r"));
    await file.datasync();
    if (this.#next === undefined) this.#current = undefined;
  }
}
