import type { SignatureCounts } from "../../vault/ports.ts";

/** Upper ends of the histogram's buckets, in seconds: SoftHSM signs in less than the first, a network HSM in some. */
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5] as const;

/** How one token has signed since it was opened: how often, how long callers waited, and why it did not. */
export class SignatureCounter {
  readonly #within = BUCKETS_S.map(() => 0);
  readonly #failed = new Map<string, number>();
  readonly #faults = new Map<string, number>();
  #made = 0;
  #seconds = 0;

  /** @param ms from the call to the signature, with the wait for a turn and for healing */
  made(ms: number): void {
    this.#made += 1;
    this.#seconds += ms / 1000;
    const bucket = BUCKETS_S.findIndex((end) => ms / 1000 <= end);
    if (bucket >= 0) this.#within[bucket]! += 1;
  }

  failed(reason: string): void {
    count(this.#failed, reason);
  }

  /** Of the module, where another session or connection may help. */
  fault(reason: string): void {
    count(this.#faults, reason);
  }

  read(): SignatureCounts {
    let upTo = 0;
    const within = BUCKETS_S.map((seconds, index) => ({ seconds, count: (upTo += this.#within[index]!) }));
    return {
      made: this.#made,
      seconds: this.#seconds,
      within,
      failed: new Map(this.#failed),
      faults: new Map(this.#faults),
    };
  }
}

const count = (counts: Map<string, number>, reason: string): void =>
  void counts.set(reason, (counts.get(reason) ?? 0) + 1);
