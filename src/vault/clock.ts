import { randomUUID } from "node:crypto";
import { GatewayError } from "../domain/errors.ts";
import type { CallerName } from "../domain/names.ts";
import { appendLeaf } from "./log.ts";
import type { ClientRow, Store, StoreTransaction } from "./ports.ts";

/** How much more than the monotonic clock the store's may gain before a person has to look. */
export const GAIN_MAX_MS = 60_000;
/** As often as the log says that time goes on. */
export const HEARTBEAT_MS = 5 * 60_000;

export type ClockOptions = {
  /** Never set, never set back; ms. */
  readonly monotonic: () => number;
  /** How long the log may have been silent when a vault starts. */
  readonly gapMs: number;
};

/**
 * Windows forget by the store's clock, so whoever can move it forward could empty them. What it gains on the monotonic
 * clock, or has gained while nobody watched, is believed only when an officer says so; until then nothing is written. A
 * clock that falls back needs no guard: the store's time is never less than the last leaf's, and windows forget later.
 */
export class ClockGuard {
  readonly #options: ClockOptions;
  /** A moment that was believed, by both clocks. */
  #believed: { readonly store: number; readonly monotonic: number } | undefined;

  constructor(options: ClockOptions) {
    this.#options = options;
  }

  /** @throws {GatewayError} `clock-unconfirmed` */
  async require(transaction: StoreTransaction): Promise<void> {
    const now = await transaction.now();
    if (this.#believes(now, (await transaction.lastLeaf())?.at)) return;
    const confirmed = await transaction.confirmedTime();
    if (confirmed !== undefined && Math.abs(now - confirmed) <= GAIN_MAX_MS) return this.#believe(now);
    throw new GatewayError(
      "clock-unconfirmed",
      "the store's clock is further ahead than time has gone by: nothing is decided before an officer confirms it",
      {
        facts: { now: new Date(now).toISOString() },
        hint: "hold `now` against a clock that you trust; `portcullis clock confirm` says that it is right, else set it right",
      },
    );
  }

  #believes(now: number, lastLeafAt: number | undefined): boolean {
    if (!this.#believed) {
      // The first look of this vault: it knows nothing of the time before but how far the log had come.
      if (now - (lastLeafAt ?? now) > this.#options.gapMs) return false;
      this.#believe(now);
      return true;
    }
    const expected = this.#believed.store + (this.#options.monotonic() - this.#believed.monotonic);
    return now - expected <= GAIN_MAX_MS;
  }

  #believe(now: number): void {
    this.#believed = { store: now, monotonic: this.#options.monotonic() };
  }
}

/** A store that takes nothing while its clock is not believed. What it holds can be read all the same. */
export const guarded = (store: Store, guard: ClockGuard): Store => ({
  write: (work, expected) =>
    store.write(async (transaction) => {
      await guard.require(transaction);
      return work(transaction);
    }, expected),
  read: (work) => store.read(work),
  close: () => store.close(),
});

/**
 * An officer has looked: from now on every vault believes the store's clock again.
 * @param store the one that is not guarded
 * @param seen what the officer's own clock shows, ms
 * @throws {GatewayError} `clock-differs` if that is not what the store's shows
 */
export function confirmClock(store: Store, house: ClientRow, seen: number, by: CallerName): Promise<number> {
  return store.write(async (transaction) => {
    const now = await requireSeen(transaction, seen);
    await appendLeaf(transaction, house, "clock-confirmed", { by, seen: new Date(seen).toISOString() });
    return now;
  });
}

/**
 * @param seen what an officer's own clock shows, ms
 * @returns the store's time
 * @throws {GatewayError} `clock-differs`
 */
export async function requireSeen(transaction: StoreTransaction, seen: number): Promise<number> {
  const now = await transaction.now();
  if (Math.abs(now - seen) <= GAIN_MAX_MS) return now;
  throw new GatewayError(
    "clock-differs",
    `expected the store's clock within ${GAIN_MAX_MS / 1000} s of \`${new Date(seen).toISOString()}\`, found it at \`${new Date(now).toISOString()}\``,
    { hint: "one of the two clocks is wrong: set it right, and ask again" },
  );
}

/** Says in the log that time goes on: once every five minutes, whichever vault comes first. */
export function beat(store: Store, house: ClientRow): Promise<boolean> {
  return store.write(async (transaction) => {
    if (!(await transaction.takeTurn("heartbeat", randomUUID(), HEARTBEAT_MS))) return false;
    await appendLeaf(transaction, house, "heartbeat", {});
    return true;
  });
}
