/** Somebody with operations to run; asked for one when its turn has come. */
export interface LaneUser {
  /** Operations under way. */
  readonly running: number;
  /** Begins one operation. @returns false if there was none that could begin */
  begin(): boolean;
}

/**
 * The thread pool's threads, handed round between tokens. Its own queue is first come, first served: without turns, one
 * client with hundreds of requests in flight would stand before everybody else's one. And one token that hangs would hold
 * every thread: so where there are several tokens, none gets the last one.
 */
export class Lanes {
  readonly #lanes: number;
  #free: number;
  readonly #users = new Set<LaneUser>();
  /** In the order of their turns; each once, however much it wants. */
  readonly #wanting = new Set<LaneUser>();

  constructor(lanes: number) {
    this.#lanes = lanes;
    this.#free = lanes;
  }

  join(user: LaneUser): void {
    this.#users.add(user);
  }

  quit(user: LaneUser): void {
    this.#users.delete(user);
    this.#wanting.delete(user);
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

  /** A user that wants more calls `want` in its `begin`, and so comes back at the end of the line. */
  #giveTurns(): void {
    const share = this.#users.size > 1 ? Math.max(1, this.#lanes - 1) : this.#lanes;
    for (const user of this.#wanting) {
      if (this.#free === 0) return;
      if (user.running >= share) continue;
      this.#wanting.delete(user);
      this.#free -= 1;
      if (!user.begin()) this.#free += 1;
    }
  }
}
