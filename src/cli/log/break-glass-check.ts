import type { Findings } from "./findings.ts";

export type BreakGlassOpening = {
  readonly request: string;
  readonly rules: readonly string[];
  readonly what: string;
  readonly leaf: number;
};

type Due = {
  readonly leaf: number;
  readonly what: string;
  readonly request: string;
  readonly rules: readonly string[];
};

/**
 * Whether every step towards breaking the glass was told: by the documents that were active, not by what the gateway says of
 * its decision, the client's very next leaf is a `break-glass` leaf about it; and no other leaf is one.
 */
export class BreakGlassCheck {
  readonly #findings: Findings;
  readonly #due = new Map<string, Due>();

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  /** A decision was recorded that takes these rules for emergencies. */
  expect(client: string, due: Due): void {
    if (due.rules.length > 0) this.#due.set(client, due);
  }

  /** Any other leaf of that client: nothing may be due by then. */
  pass(client: string): void {
    const due = this.#due.get(client);
    if (!due) return;
    this.#due.delete(client);
    this.#findings.add("break-glass-silent", `leaf ${due.leaf} breaks the glass, and no leaf says so`, due.leaf);
  }

  take(client: string, { request, rules, what, leaf }: BreakGlassOpening, index: number): void {
    const due = this.#due.get(client);
    this.#due.delete(client);
    const isDue =
      due !== undefined &&
      due.leaf === leaf &&
      due.what === what &&
      due.request === request &&
      String(due.rules) === String(rules);
    if (isDue) return;
    this.#findings.add(
      "break-glass-differs",
      `leaf ${index} says that the glass was broken otherwise than it was`,
      index,
    );
  }

  finish(): void {
    for (const client of [...this.#due.keys()]) this.pass(client);
  }
}
