import pkcs11, { type Handle } from "pkcs11js";
import { GatewayError } from "../../domain/errors.ts";
import { ckrOf, Retired } from "./errors.ts";
import type { LaneUser, Lanes } from "./lanes.ts";

type Waiter = { readonly resolve: (session: Handle) => void; readonly reject: (error: unknown) => void };

export type PoolLoad = {
  readonly leased: number;
  readonly waiting: number;
  /** Age of the oldest operation under way: what a watchdog goes by. */
  readonly oldestMs: number;
};

/**
 * Sessions of one token, leased one operation at a time: PKCS#11 allows one active operation per session (2.40, 5.11),
 * and a second C_SignInit on it gets CKR_OPERATION_ACTIVE.
 */
export class SessionPool implements LaneUser {
  readonly #open: () => Handle;
  readonly #close: (session: Handle) => void;
  readonly #lanes: Lanes;
  readonly #queueLimit: number;
  #sessionsMax: number;
  readonly #idle: Handle[] = [];
  readonly #waiting: Waiter[] = [];
  /** Since when each leased session is in use. */
  readonly #leased = new Map<Handle, number>();
  #state: "open" | "draining" | "retired" = "open";
  #quiet: (() => void) | undefined;

  constructor(options: {
    open: () => Handle;
    close: (session: Handle) => void;
    lanes: Lanes;
    sessionsMax: number;
    queueLimit: number;
  }) {
    this.#open = options.open;
    this.#close = options.close;
    this.#lanes = options.lanes;
    this.#sessionsMax = options.sessionsMax;
    this.#queueLimit = options.queueLimit;
    this.#lanes.join(this);
  }

  get running(): number {
    return this.#leased.size;
  }

  /**
   * Runs one operation on a session that nobody else uses meanwhile. First come, first served.
   * A session whose operation failed may still have it active: it is closed, and another is opened when needed.
   * @param operation says by its second argument that its time is watched by somebody else
   * @throws {GatewayError} `hsm-busy` if the queue is full; the operation was not begun
   */
  async lease<T>(operation: (session: Handle, watchedElsewhere: () => void) => Promise<T>): Promise<T> {
    const session = await this.#acquire();
    let result: T;
    try {
      result = await operation(session, () => void this.#leased.set(session, Infinity));
    } catch (error) {
      this.#release(session, "discard");
      throw error;
    }
    this.#release(session, "keep");
    return result;
  }

  load(): PoolLoad {
    const oldest = Math.min(...this.#leased.values());
    const oldestMs = oldest === Infinity ? 0 : performance.now() - oldest;
    return { leased: this.#leased.size, waiting: this.#waiting.length, oldestMs };
  }

  /** Refuses new leases, lets those under way and in the queue finish, then closes every session. */
  async drain(): Promise<void> {
    if (this.#state === "open") this.#state = "draining";
    await this.#closeWhenQuiet();
  }

  /** Sends those in the queue away with `Retired`, lets those under way finish, then closes every session. */
  async retire(): Promise<void> {
    this.#state = "retired";
    for (const waiter of this.#waiting.splice(0)) waiter.reject(new Retired());
    await this.#closeWhenQuiet();
  }

  begin(): boolean {
    const waiter = this.#waiting.shift();
    if (!waiter) return false;
    let session: Handle;
    try {
      session = this.#idle.pop() ?? this.#open();
    } catch (error) {
      this.#openFailed(error, waiter);
      return false;
    }
    this.#leased.set(session, performance.now());
    waiter.resolve(session);
    this.#wantMore();
    return true;
  }

  #acquire(): Promise<Handle> {
    if (this.#state === "retired") throw new Retired();
    if (this.#state === "draining") throw new GatewayError("hsm-unavailable", "the HSM connection is closing");
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#wantMore();
      if (this.#waiting.length <= this.#queueLimit) return;
      // Nobody else came in meanwhile: the last one is the one just added.
      this.#waiting.pop();
      reject(this.#busy());
    });
  }

  #wantMore(): void {
    if (this.#waiting.length > 0 && this.#leased.size < this.#sessionsMax) this.#lanes.want(this);
  }

  #release(session: Handle, then: "keep" | "discard"): void {
    this.#leased.delete(session);
    if (then === "keep") this.#idle.push(session);
    else this.#closeQuietly(session);
    this.#lanes.leave();
    this.#wantMore();
    this.#tellIfQuiet();
  }

  /** An HSM that gives out fewer sessions than configured is used with those it gave. */
  #openFailed(error: unknown, waiter: Waiter): void {
    if (ckrOf(error)?.code === pkcs11.CKR_SESSION_COUNT && this.#leased.size > 0) {
      this.#sessionsMax = this.#leased.size;
      this.#waiting.unshift(waiter);
      return;
    }
    waiter.reject(error);
    this.#wantMore();
    this.#tellIfQuiet();
  }

  #tellIfQuiet(): void {
    if (this.#leased.size + this.#waiting.length === 0) this.#quiet?.();
  }

  async #closeWhenQuiet(): Promise<void> {
    if (this.#leased.size + this.#waiting.length > 0) await new Promise<void>((resolve) => (this.#quiet = resolve));
    for (const session of this.#idle.splice(0)) this.#closeQuietly(session);
    this.#lanes.quit(this);
  }

  #closeQuietly(session: Handle): void {
    try {
      this.#close(session);
    } catch {
      // It is gone already: that is often why an operation failed.
    }
  }

  #busy(): GatewayError {
    return new GatewayError("hsm-busy", `expected at most ${this.#queueLimit} operations waiting for a session`, {
      facts: { waiting: this.#waiting.length, sessions: this.#sessionsMax },
      hint: "try again later; nothing was signed",
    });
  }
}
