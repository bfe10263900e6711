import { GatewayError } from "../domain/errors.ts";
import { claimId, type Claim } from "../domain/intent.ts";
import { HOUSE, type ClientId } from "../domain/names.ts";
import { sameHash } from "../tlog/hashes.ts";
import { Holdings } from "../custody/liens.ts";
import type { Opening } from "../custody/register.ts";
import { Encumbrances } from "./encumbrances.ts";
import { Ledger, reportedIn, type Said } from "./ledger.ts";
import { hashOfLeaf } from "./log.ts";
import type { LeafRow, LeafSaid, RowReader, RowStore, SealedLeaf } from "./ports.ts";
import type { Seals } from "./seals.ts";
import { readSnapshot, type Knowledge } from "./snapshot.ts";

/*
 * How this process comes to know every leaf: at its start those behind the last snapshot, its own when they are
 * committed, those of other vaults in the next transaction. Each one is held against its seal, its hash and the chain of
 * its client.
 */

/** As many at a time: others of this process have their turn in between. */
const PAGE = 500;

/** `facts.client` is whose it is; for the house it is everybody's. */
export const integrity = (client: ClientId, what: string, cause?: unknown): GatewayError =>
  new GatewayError("integrity", `expected ${what} as the log has it, found something else in the store`, {
    facts: { client },
    cause,
    hint: "somebody has changed the store: nothing is signed for this client; see `The store was changed` in docs/operations.md",
  });

export class Following {
  readonly ledger: Ledger;
  readonly #encumbrances = new Encumbrances();
  readonly seals: Seals;
  readonly #report: (error: GatewayError) => void;
  /** Whose rows or leaves did not fit, since this process began. */
  readonly #broken = new Map<ClientId, GatewayError>();
  readonly #saltKeys = new Map<ClientId, Uint8Array>();
  /** Written by works that nobody knows the end of yet. */
  readonly #expected = new Map<number, Said>();
  /** Until they are in the ledger: those that change a client, or that take something back. */
  readonly #changes = new Map<number, Said>();
  /** Committed, and waiting for those before them. */
  readonly #committed = new Map<number, Said>();
  /** The last leaf of each client. */
  readonly #ends = new Map<ClientId, Pick<Said, "index" | "number" | "hash">>();
  #size = 0;
  #last: Uint8Array | undefined;

  /** @param report told of each client that is stopped, once */
  constructor(seals: Seals, report: (error: GatewayError) => void) {
    this.seals = seals;
    this.ledger = new Ledger(seals.keyFor("fingerprints"));
    this.#report = report;
  }

  /** So many leaves are in the ledger: what a row says of a later one, this process or another is writing now. */
  get size(): number {
    return this.#size;
  }

  /** Why nothing is signed for these clients. */
  get broken(): ReadonlyMap<ClientId, GatewayError> {
    return this.#broken;
  }

  /** Keeps who is stopped; `error` may be of any kind. */
  note(error: unknown): void {
    if (!(error instanceof GatewayError) || error.code !== "integrity") return;
    const client = error.facts["client"] as ClientId | undefined;
    if (client === undefined || this.#broken.has(client)) return;
    this.#broken.set(client, error);
    this.#report(error);
  }

  /** @throws {GatewayError} `integrity`, once anything of that client or of the house did not fit */
  requireWhole(client: ClientId): void {
    const broken = this.#broken.get(HOUSE) ?? this.#broken.get(client);
    if (broken) throw broken;
  }

  saltKeyOf(client: ClientId): Uint8Array | undefined {
    return this.#saltKeys.get(client);
  }

  /** Another number after every change of the client: also one that a work is making now. */
  changedIn(client: ClientId): number {
    let changedIn = this.ledger.clients.get(client)?.changedIn ?? 0;
    for (const leaf of this.#changes.values())
      if (leaf.client === client && CHANGING.has(leaf.said.type)) changedIn = Math.max(changedIn, leaf.index);
    return changedIn;
  }

  /** Whether a work that is not in the ledger yet makes it free, or another's. */
  moves(claim: string): boolean {
    for (const { said } of this.#changes.values())
      if (movesClaims(said) && claimsOf(said).some((each) => claimId(each) === claim)) return true;
    return false;
  }

  /** As it is, and not a copy; undefined while anything does not fit: then every leaf is to be read again. */
  get knowledge(): Knowledge | undefined {
    if (this.#broken.size > 0) return undefined;
    const ends = new Map(
      [...this.#ends].map(([client, { index, number, hash }]) => [client, { index, number, hash: hexOf(hash) }]),
    );
    const saltKeys = new Map([...this.#saltKeys].map(([client, saltKey]) => [client, hexOf(saltKey)]));
    return { size: this.#size, ends, saltKeys, standing: this.#encumbrances.standing, ledger: this.ledger.state };
  }

  /**
   * Where it knows nothing yet: what it knew once, if the log still begins with the same leaves. Each client's last one
   * names the one before it, and so all of them.
   * @returns whether it does
   */
  async #recall(reader: RowReader, { size, ends, saltKeys, standing, ledger }: Knowledge): Promise<boolean> {
    const known = new Map([...saltKeys].map(([client, saltKey]) => [client, Buffer.from(saltKey, "hex")]));
    const rows = await Promise.all([...ends.values()].map(({ index }) => reader.leaf(index)));
    let last: Uint8Array | undefined;
    for (const [n, [client, end]] of [...ends].entries()) {
      const [row, saltKey] = [rows[n], known.get(client)];
      if (!row || !saltKey || row.client !== client || row.number !== end.number) return false;
      if (hexOf(row.hash) !== end.hash || !this.#isSealed(saltKey, row)) return false;
      if (row.index === size - 1) last = row.hash;
    }
    if (!last) return false;
    this.#last = last;
    for (const [client, { hash, ...end }] of ends) this.#ends.set(client, { ...end, hash: Buffer.from(hash, "hex") });
    for (const [client, saltKey] of known) this.#saltKeys.set(client, saltKey);
    this.#encumbrances.restore(standing, size);
    this.ledger.restore(ledger);
    this.#size = size;
    return true;
  }

  /** Every leaf there is: from the first one on, or from where a snapshot ends that is beyond doubt. */
  async load(store: RowStore): Promise<void> {
    try {
      await store.read(async (reader) => {
        const known = await readSnapshot(reader, this.seals);
        if (known && !(await this.#recall(reader, known)))
          throw new GatewayError("snapshot-unusable", "expected a snapshot of this log's beginning, found another's");
      });
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== "snapshot-unusable") throw error;
      this.#report(error);
    }
    while (await store.read((reader) => this.#followPage(reader)));
    // Before the first request, and not inside one.
    for (const client of this.#encumbrances.pledging) await store.read((reader) => this.holdings(reader, client));
  }

  /** Whether a lien on the client's assets stands, or a work of this moment places one. */
  isPledged(client: ClientId): boolean {
    if (this.#encumbrances.stands(client)) return true;
    for (const leaf of this.#changes.values())
      if (leaf.client === client && leaf.said.type === "lien-placed") return true;
    return false;
  }

  /** Whether an observer has said so before (`reportedIn`), a work of this moment included. */
  isReported(client: ClientId, what: string): boolean {
    if (this.ledger.isReported(client, what)) return true;
    for (const leaf of [...this.#committed.values(), ...this.#expected.values()])
      if (leaf.client === client && reportedIn(leaf.said) === what) return true;
    return false;
  }

  /** What the client's leaves say that it holds, with those that works of this moment have written. */
  async holdings(reader: RowReader, client: ClientId): Promise<Holdings> {
    const register = await this.#encumbrances.registerOf(client, (from) => this.#openingsFrom(reader, client, from));
    const unsettled = [...this.#committed.values(), ...this.#expected.values()]
      .filter((leaf) => leaf.client === client && leaf.index >= this.#size)
      .sort((a, b) => a.index - b.index);
    return new Holdings(
      register,
      unsettled.map(({ said }) => said as Opening),
    );
  }

  async #openingsFrom(reader: RowReader, client: ClientId, from: number) {
    const page = await reader.leaves(from, Math.min(PAGE, this.#size - from));
    const openings: Opening[] = [];
    for (const [n, row] of page.entries()) {
      if (row.index !== from + n || !(await this.isGenuine(reader, row)))
        throw integrity(row.client, `leaf ${from + n}`);
      const opening = JSON.parse(row.opening) as Opening;
      if (row.client === client || opening.type === "restored") openings.push(opening);
    }
    return { openings, next: from + page.length };
  }

  /** At the beginning of each work: what others have written since. */
  async follow(transaction: RowReader): Promise<void> {
    const last = await transaction.lastLeaf();
    const size = (last?.index ?? -1) + 1;
    if (size < this.#size || (size === this.#size && size > 0 && !sameHash(last!.hash, this.#last!)))
      throw new GatewayError(
        "integrity",
        `expected a store that goes on behind leaf ${this.#size - 1}, found another`,
        {
          hint: "a backup was restored, or the log was changed: nothing is written or signed. If it is to stay, start every vault anew, then `portcullis recover --after-restore`: docs/operations.md",
        },
      );
    if (size === this.#size) return;
    const expected = this.#expected.get(last!.index) ?? this.#committed.get(last!.index);
    if (expected && sameHash(expected.hash, last!.hash)) return;
    while (await this.#followPage(transaction));
  }

  expect(own: Said[], leaf: LeafRow, said: LeafSaid): void {
    const { index, at, client, number, hash } = leaf;
    const expected = { index, at, client, number, hash, said };
    own.push(expected);
    this.#expected.set(index, expected);
    if (CHANGING.has(said.type) || movesClaims(said) || said.type === "lien-placed") this.#changes.set(index, expected);
  }

  /** The work was undone, or nobody can say: then it is found in the store. */
  forget(own: readonly Said[]): void {
    for (const leaf of own)
      for (const expected of [this.#expected, this.#changes])
        if (expected.get(leaf.index) === leaf) expected.delete(leaf.index);
  }

  /** The work was committed. */
  take(own: readonly Said[]): void {
    for (const leaf of own) {
      this.#expected.delete(leaf.index);
      if (leaf.index >= this.#size) this.#committed.set(leaf.index, leaf);
    }
    for (let next; (next = this.#committed.get(this.#size));) this.#add(next);
  }

  endOf(client: ClientId): Pick<Said, "number" | "hash"> | undefined {
    return this.#ends.get(client);
  }

  /** Of a client that is being made. */
  learnSaltKey(client: ClientId, saltKey: Uint8Array): void {
    if (!this.#saltKeys.has(client)) this.#saltKeys.set(client, saltKey);
  }

  #add(leaf: Said): void {
    this.ledger.add(leaf);
    this.#encumbrances.add(leaf);
    this.#ends.set(leaf.client, leaf);
    this.#size = leaf.index + 1;
    this.#last = leaf.hash;
    this.#committed.delete(leaf.index);
    this.#changes.delete(leaf.index);
  }

  /** @returns whether there may be more */
  async #followPage(reader: RowReader): Promise<boolean> {
    const page = await reader.leaves(this.#size, PAGE);
    for (const row of page) {
      if (row.index !== this.#size) throw integrity(HOUSE, `leaf ${this.#size}`);
      await this.#followLeaf(reader, row);
    }
    return page.length === PAGE;
  }

  async #followLeaf(reader: RowReader, row: SealedLeaf): Promise<void> {
    const leaf = await this.#open(reader, row);
    if (leaf) return this.#add(leaf);
    // Its content means nothing: the client is stopped, the others go on behind it.
    this.note(integrity(row.client, `leaf ${row.index}`));
    const { index, at, client, number, hash } = row;
    this.#add({ index, at, client, number, hash, said: { type: "unknown" } });
  }

  /** @returns nothing where it is not what a vault wrote */
  async #open(reader: RowReader, row: SealedLeaf): Promise<Said | undefined> {
    if (!(await this.isGenuine(reader, row))) return undefined;
    const said = JSON.parse(row.opening) as LeafSaid & { previous: string | null };
    const before = this.#ends.get(row.client);
    const follows =
      row.number === (before?.number ?? -1) + 1 &&
      said.previous === (before ? Buffer.from(before.hash).toString("hex") : null);
    const { index, at, client, number, hash } = row;
    return follows ? { index, at, client, number, hash, said } : undefined;
  }

  /** Seal, commitment and hash: this very content was written here by a vault, in this place. */
  async isGenuine(reader: Pick<RowReader, "client">, row: SealedLeaf): Promise<boolean> {
    const saltKey = this.#saltKeys.get(row.client) ?? (await reader.client(row.client))?.saltKey;
    if (!saltKey || !this.#isSealed(saltKey, row)) return false;
    this.learnSaltKey(row.client, saltKey);
    return true;
  }

  #isSealed(saltKey: Uint8Array, row: SealedLeaf): boolean {
    return this.seals.leaf(row) === row.seal && sameHash(hashOfLeaf(saltKey, row), row.hash);
  }
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

const movesClaims = (said: LeafSaid): boolean => said["spend"] === "given-back" || said["replaces"] !== undefined;
const claimsOf = (said: LeafSaid): readonly Claim[] =>
  (said["intent"] as { claims: readonly Claim[] } | undefined)?.claims ?? [];

/** What changes a client, and not one of its requests. */
const CHANGING: ReadonlySet<string> = new Set([
  "genesis",
  "client-added",
  "policy-applied",
  "policy-scheduled",
  "policy-cancelled",
  "key-created",
  "key-disabled",
  "key-retired",
  "frozen",
  "unfrozen",
  "restored",
]);
