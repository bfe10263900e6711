import { GatewayError } from "../domain/errors.ts";
import { HOUSE, type ClientId, type KeyName } from "../domain/names.ts";
import type { CompiledHouse, CompiledPolicy } from "../policy/compile.ts";
import type { Account } from "../domain/chain.ts";
import { integrity } from "./following.ts";
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
  /** Clients whose rows are not what the log says: they are nobody's to work with, the others go on. */
  readonly #unfit = new Map<ClientId, GatewayError>();
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
      if (row.id !== HOUSE) await this.#refreshOrKeep(row.id);
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

  /** @throws {GatewayError} `integrity` for a client of whom not even the callers are known */
  requireFit(client: ClientId): void {
    const unfit = this.#unfit.get(client);
    if (unfit) throw unfit;
  }

  async refreshHouse(): Promise<void> {
    this.#house = await this.#verified(async (transaction, isHeld) => {
      const [row, policy] = [await transaction.client(HOUSE), await transaction.policy(HOUSE)];
      const revision = isHeld ? await transaction.revision(HOUSE) : NEVER_CURRENT;
      if (!row || !policy || revision === undefined) {
        throw new GatewayError("not-initialised", "expected a store with a genesis leaf, found none", {
          hint: "run `portcullis init` first",
        });
      }
      const restoredAt = (await transaction.recoveries()).findLast(({ lost }) => lost === "unknown")?.at;
      return { row, revision, restoredAt, policy: compiledAs(policy, (stored) => this.#compile.house(stored)) };
    });
  }

  /**
   * Clients that another vault has made are found when somebody asks for them; strangers who ask for anything else make
   * the store work once a second at the most.
   */
  async discover(): Promise<void> {
    if (Date.now() - this.#discoveredAt < DISCOVER_EVERY_MS) return;
    this.#discoveredAt = Date.now();
    for (const { id } of await this.#store.read((reader) => reader.clients()))
      if (id !== HOUSE && !this.#clients.has(id)) await this.#refreshOrKeep(id);
  }

  #refreshOrKeep(client: ClientId): Promise<void> {
    return this.refreshClient(client).catch((error: unknown) => keepUnfit(this.#unfit, client, error));
  }

  /** One at a time for each client: of two, the one that read first must not write last. */
  refreshClient(client: ClientId): Promise<void> {
    const before = this.#refreshes.get(client) ?? Promise.resolve();
    const refresh = before.catch(() => undefined).then(() => this.#refreshClient(client));
    this.#refreshes.set(client, refresh);
    return refresh;
  }

  /** Looks again for tokens that were away, and for what another vault has changed: PINs, policies, keys, freezes. */
  async retry(): Promise<void> {
    await this.#followChanges();
    for (const entry of this.clients()) {
      if (!entry.token || this.#needsLogin(entry)) await this.#refreshOrKeep(entry.row.id);
    }
  }

  /**
   * What another vault has changed, whoever decides finds out by itself. This is for those who only look, and for callers
   * whom nobody here knows yet, or should not know any more.
   */
  async #followChanges(): Promise<void> {
    for (const known of [this.house, ...this.clients()]) {
      const { id } = known.row;
      if (this.#unfit.has(id) || (await this.#store.read((reader) => reader.revision(id))) === known.revision) continue;
      await (id === HOUSE ? this.refreshHouse() : this.#refreshOrKeep(id));
    }
  }

  /** The token was there and has refused its PIN since: only another PIN helps. */
  #needsLogin({ row }: ClientEntry): boolean {
    return this.#hsm.health().some(({ ref, ckr }) => isSame(ref, row.token) && ckr === "CKR_PIN_INCORRECT");
  }

  async #refreshClient(client: ClientId): Promise<void> {
    const known = this.#clients.get(client);
    const stored = await this.#read(client, known?.policy);
    // Its register is read along the log now, and not inside a request.
    if (stored.policy?.subAccounts) await this.#store.read((reader) => reader.holdings(client, "always"));
    this.#unfit.delete(client);
    if (!stored.row || stored.revision === undefined) return;
    const { token, tokenError } = await this.#open(stored.row, known);
    const { keys, refusedKeys } = await proveKeys(stored.keys, token, tokenError, known);
    this.#clients.set(client, {
      row: stored.row,
      revision: stored.revision,
      token,
      tokenError,
      keys,
      refusedKeys,
      policy: stored.policy,
      heldSince: stored.heldSince,
    });
  }

  /**
   * In a transaction, where every row is held against the log (I19). Where none can be, nothing is signed: what is there
   * is shown all the same, and read again before anything is done with it.
   */
  async #verified<T>(work: (reader: StoreReader, isHeld: boolean) => Promise<T>): Promise<T> {
    try {
      return await this.#store.write((transaction) => work(transaction, true));
    } catch (error) {
      if (!(error instanceof GatewayError) || error.code !== "store-moved") throw error;
      return this.#store.read((reader) => work(reader, false));
    }
  }

  #read(client: ClientId, known: CompiledPolicy | undefined) {
    return this.#verified(async (transaction, isHeld) => {
      const stored = await transaction.policy(client);
      return {
        row: await transaction.client(client),
        revision: isHeld ? await transaction.revision(client) : NEVER_CURRENT,
        keys: await transaction.keys(client),
        policy:
          stored && (known?.hash === stored.hash ? known : compiledAs(stored, (row) => this.#compile.client(row))),
        heldSince: await transaction.heldSince(client),
      };
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

/** The documents are believed by their hash, which the log has: it is all that is compared when they are read again. */
function compiledAs<Policy extends { readonly hash: string; readonly version: number }>(
  row: PolicyRow,
  compile: (row: PolicyRow) => Policy,
): Policy {
  try {
    const compiled = compile(row);
    if (compiled.hash === row.hash && compiled.version === row.version) return compiled;
  } catch (error) {
    // What was applied could be compiled.
    throw integrity(row.client, "the documents of the policy", error);
  }
  throw integrity(row.client, "the documents of the policy");
}

/** @throws whatever is not the trouble of one client alone */
function keepUnfit(unfit: Map<ClientId, GatewayError>, client: ClientId, error: unknown): void {
  if (!(error instanceof GatewayError) || error.code !== "integrity") throw error;
  unfit.set(client, error);
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

/** No revision of the store. */
const NEVER_CURRENT = -1;
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

const REFRESHES = 3;

/** With what is active now in memory, as for every request. */
export async function freshly<T>(directory: Directory, work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof StaleDirectory) || attempt >= REFRESHES) throw error;
      if (error.client === HOUSE) await directory.refreshHouse();
      else await directory.refreshClient(error.client);
    }
  }
}
