/**
 * What is counted of each caller within a minute. The minute begins with the first that is counted: neither the wall
 * clock's minutes nor its jumps begin a new one.
 */
export class PerMinute<T> {
  readonly #zero: () => T;
  readonly #now: () => number;
  /** By caller: as many as policies declare. */
  readonly #counts = new Map<string, { readonly since: number; readonly count: T }>();

  /** @param now a clock that is never set back, ms */
  constructor(zero: () => T, now: () => number = () => performance.now()) {
    this.#zero = zero;
    this.#now = now;
  }

  /** @returns what stands for this minute: the caller of this adds to it */
  of(caller: string): T {
    const now = this.#now();
    let counted = this.#counts.get(caller);
    if (counted === undefined || now - counted.since >= MINUTE_MS)
      this.#counts.set(caller, (counted = { since: now, count: this.#zero() }));
    return counted.count;
  }
}

const MINUTE_MS = 60_000;
