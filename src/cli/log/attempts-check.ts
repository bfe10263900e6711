import type { Findings } from "./findings.ts";

type Attempts = { made: number; isForgotten?: true; readonly unsigned: Set<number>; readonly withheld: Set<number> };

/**
 * How often the key was about to be used for each request that has not ended, and of how many of these attempts the log
 * says that no signature was made. Spend may go back only where that is all of them.
 */
export class AttemptsCheck {
  readonly #findings: Findings;
  readonly #open = new Map<string, Attempts>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** An `authorized` leaf is an attempt, the first or another. */
  authorize(request: string): void {
    const before = this.#open.get(request);
    if (before) before.made += 1;
    else this.#open.set(request, { made: 1, unsigned: new Set(), withheld: new Set() });
  }

  /** An `attempted` leaf, of the authorization that stands. */
  again(request: string, attempt: unknown, leaf: number): void {
    const attempts = this.#open.get(request);
    if (attempts && attempt === attempts.made + 1) attempts.made += 1;
    else this.#add("attempt-order", `leaf ${leaf} begins an attempt that does not follow on those before it`, leaf);
  }

  /** An `unsigned` leaf: one for each attempt at the most, and none before its attempt. */
  unsigned(request: string, attempt: unknown, leaf: number): void {
    this.#endOne("unsigned", request, attempt, leaf);
  }

  /** A `withheld` leaf: likewise, of an attempt that made a signature, which was destroyed. */
  withheld(request: string, attempt: unknown, leaf: number): void {
    this.#endOne("withheld", request, attempt, leaf);
  }

  #endOne(how: "unsigned" | "withheld", request: string, attempt: unknown, leaf: number): void {
    const attempts = this.#open.get(request);
    const isOne = typeof attempt === "number" && attempts && attempt >= 1 && attempt <= attempts.made;
    if (isOne && !attempts.unsigned.has(attempt) && !attempts.withheld.has(attempt)) attempts[how].add(attempt);
    else this.#add("attempt-order", `leaf ${leaf} ends an attempt that was not begun, or had ended`, leaf);
  }

  /** What was authorized before a restore may have been attempted, and signed, in what was lost. */
  restore(): void {
    for (const attempts of this.#open.values()) attempts.isForgotten = true;
  }

  sign(request: string, leaf: number): void {
    const attempts = this.#open.get(request);
    if (attempts && attempts.unsigned.size + attempts.withheld.size === attempts.made)
      this.#add("signed-unsigned", `leaf ${leaf} is signed, and no attempt before it made a signature to keep`, leaf);
    this.#open.delete(request);
  }

  /** A `failed` leaf. @returns whether its spend is to be forgotten */
  fail(request: string, spend: unknown, leaf: number): boolean {
    const isUnsigned = this.#isUnsigned(request);
    this.#open.delete(request);
    if (spend === undefined || spend === "counted") return false;
    if (spend === "given-back" && isUnsigned) return true;
    const message = `leaf ${leaf} gives spend back, and the log does not show that no signature was made`;
    this.#add("given-back-unproven", message, leaf);
    return false;
  }

  #isUnsigned(request: string): boolean {
    const attempts = this.#open.get(request);
    return attempts !== undefined && !attempts.isForgotten && attempts.unsigned.size === attempts.made;
  }

  #add(code: string, message: string, leaf: number): void {
    this.#findings.add(code, message, leaf);
  }
}
