import { Register, type Opening } from "../custody/register.ts";
import type { ClientId } from "../domain/names.ts";
import type { Said } from "./ledger.ts";

/*
 * The registers of clients whose assets are pledged, in the memory of this process: they follow from the leaves, as the
 * ledger does, so that there is no row which somebody could change. Of other clients only this is known, that there is none.
 */

type Kept = { readonly register: Register; next: number };

/** Reads a client's openings from one leaf on, up to the last that is known for certain. */
export type ReadOn = (from: number) => Promise<{ readonly openings: readonly Opening[]; readonly next: number }>;

export class Encumbrances {
  /** The names of liens that stand. */
  readonly #standing = new Map<ClientId, Set<string>>();
  readonly #registers = new Map<ClientId, Kept>();
  /** So many leaves are known. */
  #size = 0;

  add({ client, index, said }: Said): void {
    if (said.type === "lien-placed") this.#stand(client).add(said["lien"] as string);
    if (said.type === "lien-released" && said["remaining"] === "none")
      this.#stand(client).delete(said["lien"] as string);
    this.#size = index + 1;
    // It is the house that goes on after a restore, and everybody whom that concerns.
    const concerned = said.type === "restored" ? [...this.#registers.values()] : [this.#registers.get(client)];
    for (const kept of concerned) {
      kept?.register.apply(said as Opening);
      if (kept) kept.next = this.#size;
    }
  }

  /** Of each client the liens that stand: registers are read along the log again. */
  get standing(): ReadonlyMap<ClientId, ReadonlySet<string>> {
    return this.#standing;
  }

  /** Where nothing is known yet. */
  restore(standing: ReadonlyMap<ClientId, ReadonlySet<string>>, size: number): void {
    for (const [client, liens] of standing) this.#standing.set(client, new Set(liens));
    this.#size = size;
  }

  stands(client: ClientId): boolean {
    return (this.#standing.get(client)?.size ?? 0) > 0;
  }

  /** Clients of which a lien stands. */
  get pledging(): ClientId[] {
    return [...this.#standing.keys()].filter((client) => this.stands(client));
  }

  /** Read along the log where nobody has asked for it before: then it goes on with every leaf. */
  async registerOf(client: ClientId, readOn: ReadOn): Promise<Register> {
    const known = this.#registers.get(client);
    if (known) return known.register;
    const kept = { register: new Register(), next: 0 };
    while (kept.next < this.#size) {
      const { openings, next } = await readOn(kept.next);
      for (const opening of openings) kept.register.apply(opening);
      kept.next = next;
    }
    // Nothing has been awaited since: between its last leaf and the next one there is no gap.
    this.#registers.set(client, kept);
    return kept.register;
  }

  #stand(client: ClientId): Set<string> {
    let names = this.#standing.get(client);
    if (!names) this.#standing.set(client, (names = new Set()));
    return names;
  }
}
