import { GatewayError } from "../domain/errors.ts";
import { HOUSE, type ClientId, type KeyName } from "../domain/names.ts";
import type { CompiledHouse, CompiledPolicy } from "../policy/compile.ts";
import type { Account } from "../domain/chain.ts";
import type { Pins } from "./pins.ts";
import type { ClientRow, Hsm, KeyRow, PolicyRow, Store, StoreReader, Token, TokenRef } from "./ports.ts";

/** One client as the vault works with it: its row, keys that proved themselves, its open token, its active policy. */
export type ClientEntry = {
  readonly row: ClientRow;
  /** Of the store, when all this was read. */
  readonly revision: number;
  readonly token: Token | undefined;
  /** Why the token is unavailable, when it is. */
  readonly tokenError: GatewayError | undefined;
  readonly keys: ReadonlyMap<KeyName, KeyRow>;
  /** Keys that failed I1, each with the reason: they are shown and never used. */
  readonly refusedKeys: ReadonlyMap<KeyName, GatewayError>;
  readonly policy: CompiledPolicy | undefined;
  readonly heldSince: ReadonlyMap<Account, number>;
};

export type HouseEntry = {
  readonly row: ClientRow;
  readonly revision: number;
  readonly policy: CompiledHouse;
  /** What was spent before this moment is not known any more; ms. */
  readonly restoredAt: number | undefined;
};

/** Turns a stored document into the rules that are evaluated; the checks are those of `policy check`. */
export type PolicyCompilers = {
  readonly client: (row: Pick<PolicyRow, "entry" | "files">) => CompiledPolicy;
  readonly house: (row: Pick<PolicyRow, "entry" | "files">) => CompiledHouse;
};

/**
 * What the vault holds in memory of the store's slow-moving rows. Whoever decides something compares the revisions
 * with the store's inside its own transaction (`requireCurrent`), so that a stale entry can cost a retry, never a
 * decision.
 */
export class Directory {
  readonly #store: Store;
  readonly #hsm: Hsm;
  readonly #pins: Pins;
  readonly #compile: PolicyCompilers;
  readonly #clients = new Map<ClientId, ClientEntry>();
  readonly #refreshes = new Map<ClientId, Promise<void>>();
  #house: HouseEntry | undefined;
  #discoveredAt = -Infinity;

  constructor(parts: { store: Store; hsm: Hsm; pins: Pins; compile: PolicyCompilers }) {
    this.#store = parts.store;
    this.#hsm = parts.hsm;
    this.#pins = parts.pins;
    this.#compile = parts.compile;
  }

  /** Reads everything, logs in to every token, has every key prove itself (I1). */
  async load(): Promise<void> {
    await this.refreshHouse();
    for (const row of await this.#store.read((reader) => reader.clients())) {
      if (row.id !== HOUSE) await this.refreshClient(row.id);
    }
  }

  get house(): HouseEntry {
    if (!this.#house) throw new GatewayError("not-ready", "the house policy is not loaded");
    return this.#house;
  }

  clients(): ClientEntry[] {
    return [...this.#clients.values()];
  }

  find(client: ClientId): ClientEntry | undefined {
    return this.#clients.get(client);
  }

  get(client: ClientId): ClientEntry {
    const entry = this.#clients.get(client);
    if (!entry) throw new GatewayError("client-not-found", `expected a client of this gateway, found \`${client}\``);
    return entry;
  }

  async refreshHouse(): Promise<void> {
    const { row, policy, revision, recoveries } = await this.#store.read(async (reader) => ({
      row: await reader.client(HOUSE),
      policy: await reader.policy(HOUSE),
      revision: await reader.revision(HOUSE),
      recoveries: await reader.recoveries(),
    }));
    if (!row || !policy || revision === undefined) {
      throw new GatewayError("not-initialised", "expected a store with a genesis leaf, found none", {
        hint: "run `portcullis init` first",
      });
    }
    const restoredAt = recoveries.findLast(({ lost }) => lost === "unknown")?.at;
    this.#house = { row, revision, policy: this.#compile.house(policy), restoredAt };
  }

  /**
   * Clients that another vault has made are found when somebody asks for them; strangers who ask for anything else make
   * the store work once a second at the most.
   */
  async discover(): Promise<void> {
    if (Date.now() - this.#discoveredAt < DISCOVER_EVERY_MS) return;
    this.#discoveredAt = Date.now();
    for (const { id } of await this.#store.read((reader) => reader.clients()))
      if (id !== HOUSE && !this.#clients.has(id)) await this.refreshClient(id);
  }

  /** One at a time for each client: of two, the one that read first must not write last. */
  refreshClient(client: ClientId): Promise<void> {
    const before = this.#refreshes.get(client) ?? Promise.resolve();
    const refresh = before.catch(() => undefined).then(() => this.#refreshClient(client));
    this.#refreshes.set(client, refresh);
    return refresh;
  }

  /** Looks again for tokens that were away, and for PINs that another vault has changed. */
  async retry(): Promise<void> {
    for (const entry of this.clients()) {
      if (!entry.token || this.#needsLogin(entry)) await this.refreshClient(entry.row.id);
    }
  }

  /** The token was there and has refused its PIN since: only another PIN helps. */
  #needsLogin({ row }: ClientEntry): boolean {
    return this.#hsm.health().some(({ ref, ckr }) => isSame(ref, row.token) && ckr === "CKR_PIN_INCORRECT");
  }

  async #refreshClient(client: ClientId): Promise<void> {
    const stored = await this.#store.read(async (reader) => ({
      row: await reader.client(client),
      revision: await reader.revision(client),
      keys: await reader.keys(client),
      policy: await reader.policy(client),
      heldSince: await reader.heldSince(client),
    }));
    if (!stored.row || stored.revision === undefined) return;
    const known = this.#clients.get(client);
    const { token, tokenError } = await this.#open(stored.row, known);
    const { keys, refusedKeys } = await proveKeys(stored.keys, token, tokenError, known);
    const policy =
      stored.policy &&
      (known?.policy?.hash === stored.policy.hash ? known.policy : this.#compile.client(stored.policy));
    this.#clients.set(client, {
      row: stored.row,
      revision: stored.revision,
      token,
      tokenError,
      keys,
      refusedKeys,
      policy,
      heldSince: stored.heldSince,
    });
  }

  async #open(row: ClientRow, known: ClientEntry | undefined): Promise<Pick<ClientEntry, "token" | "tokenError">> {
    if (known?.token && !this.#needsLogin(known)) return { token: known.token, tokenError: undefined };
    try {
      const token = await this.#pins.login(row.id, row.token, (pin) => this.#hsm.openToken(row.token, pin));
      return { token, tokenError: undefined };
    } catch (error) {
      // One client's token being away is that client's trouble: the others go on.
      if (!(error instanceof GatewayError)) throw error;
      return { token: undefined, tokenError: error };
    }
  }
}

const isSame = (one: TokenRef, other: TokenRef) => one.label === other.label && one.serial === other.serial;

async function proveKeys(
  rows: KeyRow[],
  token: Token | undefined,
  tokenError: GatewayError | undefined,
  known: ClientEntry | undefined,
) {
  const keys = new Map<KeyName, KeyRow>();
  const refusedKeys = new Map<KeyName, GatewayError>();
  for (const row of rows) {
    if (known?.keys.has(row.name)) {
      keys.set(row.name, row);
      continue;
    }
    try {
      if (!token) throw tokenError!;
      await token.proveKey({ id: row.id, label: row.name, curve: row.curve, publicKey: row.publicKey });
      keys.set(row.name, row);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      refusedKeys.set(row.name, error);
    }
  }
  return { keys, refusedKeys };
}

const DISCOVER_EVERY_MS = 1_000;

/** Thrown inside a transaction when the directory lags behind the store; the request is then started again. */
export class StaleDirectory extends Error {
  readonly client: ClientId;
  constructor(client: ClientId) {
    super(`${client} has changed`);
    this.client = client;
  }
}

/** Compares what a decision is about to use with what is active in this very transaction (DESIGN section 6.10). */
export async function requireCurrent(reader: StoreReader, client: ClientEntry, house: HouseEntry): Promise<void> {
  if ((await reader.revision(HOUSE)) !== house.revision) throw new StaleDirectory(HOUSE);
  if ((await reader.revision(client.row.id)) !== client.revision) throw new StaleDirectory(client.row.id);
}
