import { EventEmitter } from "node:events";
import type { RequestRow } from "./ports.ts";

/** How long a waiter sleeps at the most before it looks again: another vault may have changed the request. */
const LOOK_AGAIN_MS = 1_000;

/** Of one caller at once; who asks for more is answered with what stands now. */
const WAITERS_PER_CALLER = 16;

export type RequestChanges = {
  readonly notify: (row: RequestRow) => void;
  /** @returns false without having waited: the vault is stopping, or this caller has too many waiting already */
  readonly wait: (caller: string, id: string, timeoutMs: number) => Promise<boolean>;
  /** Wakes everybody, for good. */
  readonly close: () => void;
};

/** Wakes those who long-poll for a request. */
export function requestChanges(): RequestChanges {
  const events = new EventEmitter().setMaxListeners(0);
  const waiters = new Map<string, number>();
  let closed = false;

  const sleep = (id: string, timeoutMs: number): Promise<void> =>
    new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        events.off(id, done).off(CLOSED, done);
        resolve();
      };
      const timer = setTimeout(done, Math.min(timeoutMs, LOOK_AGAIN_MS));
      events.once(id, done).once(CLOSED, done);
    });

  return {
    notify: (row) => void events.emit(row.id),
    wait: async (caller, id, timeoutMs) => {
      const already = waiters.get(caller) ?? 0;
      if (closed || already >= WAITERS_PER_CALLER) return false;
      waiters.set(caller, already + 1);
      await sleep(id, timeoutMs);
      const left = waiters.get(caller)! - 1;
      if (left === 0) waiters.delete(caller);
      else waiters.set(caller, left);
      return !closed;
    },
    close: () => {
      closed = true;
      events.emit(CLOSED);
    },
  };
}

/** No request has this id. */
const CLOSED = "closed";
