import { Register, type Opening } from "../custody/register.ts";
import type { ClientId } from "../domain/names.ts";
import type { LeafRow, StoreReader } from "./ports.ts";

/** Leaves at a time: between two pages the process has a turn of its event loop, however long the past is. */
const PAGE = 500;

/** Every client's register, read along the log as far as it was needed: the next time goes on from there. */
export class Registers {
  readonly #registers = new Map<ClientId, Register>();
  #next = 0;
  #reading: Promise<void> = Promise.resolve();

  /** As the log stands now. What comes back goes on growing: read it before the next await. */
  async of(reader: StoreReader, client: ClientId): Promise<Register> {
    const reading = this.#reading.catch(() => undefined).then(() => this.#readOn(reader));
    this.#reading = reading;
    await reading;
    return this.#register(client);
  }

  async #readOn(reader: StoreReader): Promise<void> {
    for (let page: LeafRow[]; (page = await reader.leaves(this.#next, PAGE)).length > 0;) {
      for (const { client, opening, index } of page) {
        const read = JSON.parse(opening) as Opening;
        // It is the house that goes on after a restore, and everybody whom that concerns.
        if (read.type === "restored") for (const register of this.#registers.values()) register.apply(read);
        else this.#register(client).apply(read);
        this.#next = index + 1;
      }
    }
  }

  #register(client: ClientId): Register {
    let register = this.#registers.get(client);
    if (!register) this.#registers.set(client, (register = new Register()));
    return register;
  }
}

/** One client's leaves as a statement reads them, up to a moment. */
export async function openingsUntil(reader: StoreReader, client: ClientId, until: number): Promise<Opening[]> {
  const openings: Opening[] = [];
  for (let from = 0, page: LeafRow[]; (page = await reader.leaves(from, PAGE)).length > 0; from += PAGE) {
    for (const leaf of page)
      if (leaf.client === client && leaf.at < until) openings.push(JSON.parse(leaf.opening) as Opening);
    if (page.at(-1)!.at >= until) break;
  }
  return openings;
}
