import { hash } from "node:crypto";

/**
 * Which of very many texts are known, and a number with each: 64 bits of a keyed hash and 32 of the number, in a quarter of
 * the memory of a Map. Two texts are taken for one once in 2^64 tries, and nobody can look for them: the key is
 * secret.
 */
export class Fingerprints {
  readonly #key: string;
  #slots = new Uint32Array(SLOT * 1024);
  #used = 0;

  constructor(key: string) {
    this.#key = key;
  }

  /** Those that are known, three words each. */
  entries(): Uint32Array {
    const slots = this.#slots;
    const found = new Uint32Array(this.#used * SLOT);
    let end = 0;
    for (let at = 0; at < slots.length; at += SLOT) {
      if (slots[at] === 0 || slots[at + 2] === GONE) continue;
      for (let n = 0; n < SLOT; n++) found[end + n] = slots[at + n]!;
      end += SLOT;
    }
    return found.subarray(0, end);
  }

  /** In place of all that was known. @param entries of another one with the same key */
  restore(entries: Uint32Array): void {
    this.#slots = new Uint32Array(SLOT * 1024);
    this.#used = 0;
    for (let at = 0; at < entries.length; at += SLOT) {
      if (this.#used * 2 > this.#slots.length / SLOT) this.#grow();
      this.#put([entries[at]!, entries[at + 1]!], entries[at + 2]!);
    }
  }

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
