import { hash, randomBytes } from "node:crypto";

/**
 * Which of very many texts are known, and a number with each: 64 bits of a keyed hash and 32 of the number, in a quarter of
 * the memory of a Map. Two texts are taken for one once in 2^64 tries, and nobody can look for them: the key is this
 * process's own.
 */
export class Fingerprints {
  readonly #key = randomBytes(32).toString("hex");
  #slots = new Uint32Array(SLOT * 1024);
  #used = 0;

  /** @param value below 2^32 − 1 */
  set(text: string, value: number): void {
    if (this.#used * 2 > this.#slots.length / SLOT) this.#grow();
    this.#put(this.#fingerprint(text), value + 1);
  }

  get(text: string): number | undefined {
    const at = this.#find(this.#fingerprint(text));
    const value = this.#slots[at + 2]!;
    return value === GONE ? undefined : value - 1;
  }

  delete(text: string): void {
    const at = this.#find(this.#fingerprint(text));
    this.#slots[at + 2] = GONE; // its place stays taken: others may have been put behind it
  }

  #fingerprint(text: string): readonly [number, number] {
    const hex = hash("sha512-256", this.#key + text, "hex");
    // 0 in the first place says that a slot is empty.
    return [parseInt(hex.slice(0, 8), 16) || 1, parseInt(hex.slice(8, 16), 16)];
  }

  #put([high, low]: readonly [number, number], value: number): void {
    const at = this.#find([high, low]);
    if (this.#slots[at] === 0) this.#used += 1;
    this.#slots.set([high, low, value], at);
  }

  /** Where it stands, or would. */
  #find([high, low]: readonly [number, number]): number {
    const slots = this.#slots;
    const count = slots.length / SLOT;
    for (let n = low % count; ; n = (n + 1) % count) {
      const at = n * SLOT;
      if (slots[at] === 0 || (slots[at] === high && slots[at + 1] === low)) return at;
    }
  }

  #grow(): void {
    const before = this.#slots;
    this.#slots = new Uint32Array(before.length * 2);
    this.#used = 0;
    for (let at = 0; at < before.length; at += SLOT)
      if (before[at] !== 0 && before[at + 2] !== GONE) this.#put([before[at]!, before[at + 1]!], before[at + 2]!);
  }
}

const SLOT = 3;
const GONE = 0;
