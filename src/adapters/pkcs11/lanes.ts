/** Somebody with operations to run; asked for one when its turn has come. */
export interface LaneUser {
  /** Begins one operation. @returns false if there was none that could begin */
  begin(): boolean;
}

/**
 * The module's threads, handed round. All tokens share one thread pool, whose queue is first come, first served: without
 * turns, one client with hundreds of requests in flight would stand before everybody else's one.
 */
export class Lanes {
  #free: number;
  /** In the order of their turns; each once, however much it wants. */
  readonly #wanting = new Set<LaneUser>();

  constructor(lanes: number) {
    this.#free = lanes;
  }

  want(user: LaneUser): void {
    this.#wanting.add(user);
    this.#giveTurns();
  }

  /** An operation has ended. */
  leave(): void {
    this.#free += 1;
    this.#giveTurns();
  }

  /** A user that wants more comes back at the end of the line: it calls `want` in `begin`, after it was taken out here. */
  #giveTurns(): void {
    for (const user of this.#wanting) {
      if (this.#free === 0) return;
      this.#wanting.delete(user);
      this.#free -= 1;
      if (!user.begin()) this.#free += 1;
    }
  }
}
