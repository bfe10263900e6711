/** What a check found wrong: a code for programs, one sentence for people, and the leaf where it shows. */
export type Finding = { readonly code: string; readonly message: string; readonly leaf?: number };

/** One wrong leaf can make every later checkpoint wrong: of each kind the first ones say it all. */
const SHOWN_PER_CODE = 20;

export class Findings {
  readonly #shown: Finding[] = [];
  readonly #counts = new Map<string, number>();

  add(code: string, message: string, leaf?: number): void {
    const count = (this.#counts.get(code) ?? 0) + 1;
    this.#counts.set(code, count);
    if (count <= SHOWN_PER_CODE) this.#shown.push({ code, message, ...(leaf === undefined ? {} : { leaf }) });
  }

  has(code: string): boolean {
    return this.#counts.has(code);
  }

  get shown(): readonly Finding[] {
    return this.#shown;
  }

  /** How often each was found, also those that are not shown. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts);
  }
}
