import { EventEmitter } from "node:events";
import type { Gateway } from "./gateway.ts";

/** How long a waiter sleeps at the most before it looks again: another vault may have changed the request. */
const LOOK_AGAIN_MS = 1_000;

/** Wakes those who long-poll for a request. */
export function requestChanges(): Gateway["changed"] {
  const events = new EventEmitter().setMaxListeners(0);
  return {
    notify: (row) => void events.emit(row.id),
    wait: (id, timeoutMs) =>
      new Promise((resolve) => {
        const done = (): void => {
          clearTimeout(timer);
          events.off(id, done);
          resolve();
        };
        const timer = setTimeout(done, Math.min(timeoutMs, LOOK_AGAIN_MS));
        events.once(id, done);
      }),
  };
}
