import { GatewayError } from "../../domain/errors.ts";
import { Session } from "./session.ts";

/** Connections for reads: opened when they are needed, kept, and never more than so many. */
export class Readers {
  readonly #connect: () => Promise<Session>;
  readonly #patienceMs: number;
  readonly #size: number;
  readonly #idle: Session[] = [];
  readonly #waiting: (() => void)[] = [];
  #open = 0;

  /** @param patienceMs how long a read waits for a connection */
  constructor(connect: () => Promise<Session>, patienceMs: number, size: number) {
    this.#connect = connect;
    this.#patienceMs = patienceMs;
    this.#size = size;
  }

  /**
   * A connection that was lost while it lay idle is found out by its first statement, so a read is begun again once.
   * @throws {GatewayError} `store-unavailable`
   */
  async use<T>(work: (session: Session) => Promise<T>): Promise<T> {
    await this.#enter();
    try {
      const kept = this.#idle.pop();
      if (kept) {
        try {
          return await this.#keep(kept, work);
        } catch (error) {
          if (!kept.isLost) throw error;
        }
      }
      return await this.#keep(await this.#connect(), work);
    } finally {
      this.#open -= 1;
      this.#waiting.shift()?.();
    }
  }

  async close(): Promise<void> {
    while (this.#open > 0) await new Promise<void>((done) => this.#waiting.push(done));
    await Promise.all(this.#idle.splice(0).map((session) => session.close()));
  }

  async #keep<T>(session: Session, work: (session: Session) => Promise<T>): Promise<T> {
    try {
      return await work(session);
    } finally {
      if (!session.isLost) this.#idle.push(session);
    }
  }

  async #enter(): Promise<void> {
    const deadline = performance.now() + this.#patienceMs;
    while (this.#open >= this.#size) {
      const left = deadline - performance.now();
      if (left <= 0)
        throw new GatewayError("store-unavailable", `all ${this.#size} connections for reads are busy`, {
          hint: "`store.postgres.readers` in portcullis.yaml allows more",
        });
      await this.#turn(left);
    }
    this.#open += 1;
  }

  #turn(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(), withinMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}
