import { GatewayError } from "../domain/errors.ts";
import { PerMinute } from "./per-minute.ts";

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

export class UnpaidRequests {
  readonly #bounds: UnpaidBounds;
  readonly #spent: PerMinute<{ requests: number; bytes: number }>;

  constructor(bounds: UnpaidBounds, now?: () => number) {
    this.#bounds = bounds;
    this.#spent = new PerMinute(() => ({ requests: 0, bytes: 0 }), now);
  }

  /** @throws {GatewayError} `too-many-denied`: nothing was recorded, and the idempotency key is still free */
  requireRoom(caller: string): void {
    const { requests, bytes } = this.#spent.of(caller);
    if (requests < this.#bounds.requestsPerMinute && bytes < this.#bounds.bytesPerMinute) return;
    throw new GatewayError(
      "too-many-denied",
      "this caller had more requests denied or left pending within a minute than the gateway records; nothing was done",
      { hint: "see why they are denied, and repeat the request a minute later" },
    );
  }

  count(caller: string, bytes: number): void {
    const spent = this.#spent.of(caller);
    spent.requests += 1;
    spent.bytes += bytes;
  }
}
