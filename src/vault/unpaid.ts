import { GatewayError } from "../domain/errors.ts";

/*
 * What a caller makes the vault write and keep without an authorization: denied and pending requests, each with the
 * whole signed request as evidence. Limits of the policy bound what is authorized; this bounds the rest, so that no
 * caller fills the disk.
 */

export type UnpaidBounds = {
  /** Denied and pending requests of one caller, per minute. */
  readonly requestsPerMinute: number;
  /** Bytes of their bodies, per minute. */
  readonly bytesPerMinute: number;
};

type Spent = { minute: number; requests: number; bytes: number };

const MINUTE_MS = 60_000;

export class UnpaidRequests {
  readonly #bounds: UnpaidBounds;
  readonly #now: () => number;
  /** By caller: as many as policies declare. */
  readonly #spent = new Map<string, Spent>();

  constructor(bounds: UnpaidBounds, now: () => number = Date.now) {
    this.#bounds = bounds;
    this.#now = now;
  }

  /** @throws {GatewayError} `too-many-denied`: nothing was recorded, and the idempotency key is still free */
  requireRoom(caller: string): void {
    const { requests, bytes } = this.#of(caller);
    if (requests < this.#bounds.requestsPerMinute && bytes < this.#bounds.bytesPerMinute) return;
    throw new GatewayError(
      "too-many-denied",
      "this caller had more requests denied or left pending within a minute than the gateway records; nothing was done",
      { hint: "see why they are denied, and repeat the request in the next minute" },
    );
  }

  count(caller: string, bytes: number): void {
    const spent = this.#of(caller);
    spent.requests += 1;
    spent.bytes += bytes;
  }

  #of(caller: string): Spent {
    const minute = Math.floor(this.#now() / MINUTE_MS);
    let spent = this.#spent.get(caller);
    if (spent?.minute !== minute) this.#spent.set(caller, (spent = { minute, requests: 0, bytes: 0 }));
    return spent;
  }
}
