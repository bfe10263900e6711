import type { Handle } from "pkcs11js";
import { GatewayError } from "../../domain/errors.ts";

type Waiter = { readonly resolve: (session: Handle) => void; readonly reject: (error: unknown) => void };

/**
 * Sessions of one token, leased one operation at a time: PKCS#11 allows one active operation per session (2.40, 5.11),
 * and a second C_SignInit on it gets CKR_OPERATION_ACTIVE.
 */
export class SessionPool {
  readonly #open: () => Handle;
  readonly #close: (session: Handle) => void;
  readonly #sessionsMax: number;
  readonly #queueLimit: number;
  readonly #idle: Handle[] = [];
  readonly #waiting: Waiter[] = [];
  #leased = 0;
  #drained: (() => void) | undefined;
  #closing = false;

  constructor(options: {
    open: () => Handle;
    close: (session: Handle) => void;
    sessionsMax: number;
    queueLimit: number;
  }) {
    this.#open = options.open;
    this.#close = options.close;
    this.#sessionsMax = options.sessionsMax;
    this.#queueLimit = options.queueLimit;
  }

  /**
   * Runs one operation on a session that nobody else uses meanwhile. First come, first served.
   * A session whose operation failed may still have it active: it is closed, and another is opened when needed.
   * @throws {GatewayError} `hsm-busy` if the queue is full; the operation was not begun
   */
  async lease<T>(operation: (session: Handle) => Promise<T>): Promise<T> {
    const session = await this.#acquire();
    let result: T;
    try {
      result = await operation(session);
    } catch (error) {
      this.#discard(session);
      throw error;
    }
    this.#release(session);
    return result;
  }

  /** Refuses new leases, lets those under way and in the queue finish, then closes every session. */
  async drain(): Promise<void> {
    this.#closing = true;
    if (this.#leased > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    for (const session of this.#idle.splice(0)) this.#close(session);
  }

  async #acquire(): Promise<Handle> {
    if (this.#closing) throw new GatewayError("hsm-unavailable", "the HSM connection is closing");
    if (this.#leased < this.#sessionsMax) return this.#take();
    if (this.#waiting.length >= this.#queueLimit) {
      throw new GatewayError("hsm-busy", `expected at most ${this.#queueLimit} signatures waiting for a session`, {
        facts: { waiting: this.#waiting.length, sessions: this.#sessionsMax },
        hint: "try again later; nothing was signed",
      });
    }
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #take(): Handle {
    const session = this.#idle.pop() ?? this.#open();
    this.#leased += 1;
    return session;
  }

  #release(session: Handle): void {
    this.#leased -= 1;
    this.#idle.push(session);
    this.#serveNext();
  }

  #discard(session: Handle): void {
    this.#leased -= 1;
    try {
      this.#close(session);
    } catch {
      // It is gone already: that is often why the operation failed.
    }
    this.#serveNext();
  }

  #serveNext(): void {
    const waiter = this.#waiting.shift();
    if (!waiter) {
      if (this.#leased === 0) this.#drained?.();
      return;
    }
    try {
      waiter.resolve(this.#take());
    } catch (error) {
      waiter.reject(error);
      this.#serveNext();
    }
  }
}
