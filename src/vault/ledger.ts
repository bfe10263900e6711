import { createHash } from "node:crypto";
import type { Account } from "../domain/chain.ts";
import { useId, type OutsideUse } from "../domain/custody.ts";
import type { CounterId } from "../domain/decision.ts";
import { claimId, type Claim } from "../domain/intent.ts";
import { HOUSE, type ClientId, type KeyName } from "../domain/names.ts";
import type { RequestId } from "../domain/request.ts";
import { Fingerprints } from "./fingerprints.ts";
import { depositId, type Deposit } from "./returns.ts";
import type { Authorized, KeyRow, LeafRow, LeafSaid, PolicyRow, RecoveryRow, RequestRow, TokenRef } from "./ports.ts";

/*
 * What the leaves say, in the memory of this process: which rows there must be, and which leaf wrote each last (I19). It
 * follows from the leaves alone, one after the other, whoever wrote them.
 */

/** A leaf with its opening read. */
export type Said = Pick<LeafRow, "index" | "at" | "client" | "number" | "hash"> & { readonly said: LeafSaid };

export type KeyFacts = Pick<KeyRow, "id" | "curve" | "purpose" | "chains" | "accounts" | "state"> & {
  readonly publicKey: string;
};

/** One client, as its leaves have made it. */
export type ClientFacts = {
  /** The last leaf that changed its keys, its policy, or what is frozen of it. */
  changedIn: number;
  readonly owner: string;
  readonly token: TokenRef;
  readonly keys: Map<KeyName, KeyFacts>;
  /** What is frozen, and the leaf that said so. */
  readonly freezes: Map<string, number>;
  /** The leaf of a change of policy that waits. */
  scheduled: number | undefined;
  policy: (Pick<PolicyRow, "version" | "hash"> & { readonly held: string; readonly leaf: number }) | undefined;
};

/** A request that has no final answer yet. */
type Open = {
  readonly client: ClientId;
  readonly leaf: number;
  readonly authorized: Authorized | undefined;
  /** While it waits: when its time is over, ms. */
  readonly until: number | undefined;
};

/** Spend that counts no more, and the leaf that said so. */
export type Void = Authorized & { readonly by: number };

/** Since when addresses have been named, in one text: it stands in the leaf of the policy that names them. */
export const heldDigest = (held: ReadonlyMap<Account, number>): string =>
  createHash("sha256")
    .update(JSON.stringify([...held].sort(([one], [other]) => (one < other ? -1 : 1))))
    .digest("hex");

const requestText = ({ client, caller, idempotencyKey }: Pick<RequestRow, "client" | "caller" | "idempotencyKey">) =>
  `request\n${client}\n${caller}\n${idempotencyKey}`;
const claimText = (claim: string) => `claim\n${claim}`;
/** Who holds a claim, in 31 bits: ids of requests are random. */
const holderNumber = (id: string): number => parseInt(id.slice(-7), 16);

/** What is read of openings: every vault writes them by these words. */
type RequestSaid = Pick<RequestRow, "caller" | "idempotencyKey"> & {
  readonly request: RequestId;
  readonly replaces?: RequestId;
  readonly intent?: { readonly claims: readonly Claim[] };
  readonly decision?: {
    readonly charges: readonly { readonly counter: CounterId }[];
    readonly expiresAt?: number;
  };
  readonly notAfter?: number;
  readonly spend?: "given-back" | "counted";
};

/** All of a ledger, in maps; each of its fingerprints as three words. What is added to the ledger is added here. */
export type LedgerState = {
  readonly clients: ReadonlyMap<ClientId, ClientFacts>;
  readonly open: ReadonlyMap<RequestId, Open>;
  readonly nonces: ReadonlyMap<Account, number>;
  readonly ends: ReadonlyMap<CounterId, number>;
  readonly owners: ReadonlyMap<Account, ClientId>;
  readonly voids: ReadonlyMap<ClientId, readonly Void[]>;
  readonly voidLeaves: ReadonlySet<number>;
  readonly recoveries: readonly RecoveryRow[];
  readonly confirmedAt: number | undefined;
  readonly fingerprints: readonly Uint32Array[];
};

/** What is read of leaves here, and how it is kept: another number with every change. Snapshots are of one kind only. */
export const LEDGER_VERSION = 3;

export class Ledger {
  readonly clients = new Map<ClientId, ClientFacts>();
  readonly #requests: Fingerprints;
  readonly #claims: Fingerprints;
  /** What observers have reported. */
  readonly #reported: Fingerprints;
  readonly #open = new Map<RequestId, Open>();
  readonly #nonces = new Map<Account, number>();
  readonly #ends = new Map<CounterId, number>();
  readonly #owners = new Map<Account, ClientId>();
  readonly #voids = new Map<ClientId, Void[]>();
  readonly #voidLeaves = new Set<number>();
  /** What officers have decided after a restore. */
  readonly recoveries: RecoveryRow[] = [];
  /** When an officer confirmed the store's clock last. */
  confirmedAt: number | undefined;

  /** @param key of its fingerprints */
  constructor(key: string) {
    this.#requests = new Fingerprints(key);
    this.#claims = new Fingerprints(key);
    this.#reported = new Fingerprints(key);
  }

  /** As it is, and not a copy: to be written down at once. */
  get state(): LedgerState {
    return {
      clients: this.clients,
      open: this.#open,
      nonces: this.#nonces,
      ends: this.#ends,
      owners: this.#owners,
      voids: this.#voids,
      voidLeaves: this.#voidLeaves,
      recoveries: this.recoveries,
      confirmedAt: this.confirmedAt,
      fingerprints: this.#fingerprints.map((each) => each.entries()),
    };
  }

  get #fingerprints(): readonly Fingerprints[] {
    return [this.#requests, this.#claims, this.#reported];
  }

  /** In a ledger that knows nothing yet. */
  restore(state: LedgerState): void {
    putAll(this.clients, state.clients);
    putAll(this.#open, state.open);
    putAll(this.#nonces, state.nonces);
    putAll(this.#ends, state.ends);
    putAll(this.#owners, state.owners);
    for (const [client, voids] of state.voids) this.#voids.set(client, [...voids]);
    for (const leaf of state.voidLeaves) this.#voidLeaves.add(leaf);
    this.recoveries.push(...state.recoveries);
    this.confirmedAt = state.confirmedAt;
    for (const [n, known] of this.#fingerprints.entries()) known.restore(state.fingerprints[n]!);
  }

  knowsRequest(row: Pick<RequestRow, "client" | "caller" | "idempotencyKey">): boolean {
    return this.#requests.get(requestText(row)) !== undefined;
  }

  /** The leaf that a request without a final answer stands in. */
  openIn(id: RequestId): number | undefined {
    return this.#open.get(id)?.leaf;
  }

  isReported(client: ClientId, what: string): boolean {
    return this.#reported.get(`${client}/${what}`) !== undefined;
  }

  /** Requests that wait, and whose time is over by what they were told last. */
  lapsed(now: number): { readonly client: ClientId; readonly id: RequestId }[] {
    return [...this.#open].flatMap(([id, { client, until }]) =>
      until !== undefined && until <= now ? [{ client, id }] : [],
    );
  }

  isClaimed(claim: string): boolean {
    return this.#claims.get(claimText(claim)) !== undefined;
  }

  isClaimedBy(claim: string, id: RequestId): boolean {
    return this.#claims.get(claimText(claim)) === holderNumber(id);
  }

  nonceIn(account: Account): number | undefined {
    return this.#nonces.get(account);
  }

  spentIn(counter: CounterId): number | undefined {
    return this.#ends.get(counter);
  }

  ownerOf(account: Account): ClientId | undefined {
    return this.#owners.get(account);
  }

  voidsOf(owner: ClientId): readonly Void[] {
    return this.#voids.get(owner) ?? [];
  }

  isVoid(leaf: number): boolean {
    return this.#voidLeaves.has(leaf);
  }

  add(leaf: Said): void {
    const { client: id, said, index } = leaf;
    if (said.type === "clock-confirmed" || said.type === "restored") this.confirmedAt = leaf.at;
    if (said.type === "genesis" || said.type === "client-added") this.#addClient(leaf);
    const client = this.clients.get(id);
    if (!client) return; // its chain has no beginning: no row of it fits
    switch (said.type) {
      case "genesis":
      case "policy-applied":
        if (said["scheduled"] !== undefined) client.scheduled = undefined;
        this.#applyPolicy(client, leaf);
        break;
      case "policy-scheduled":
        client.scheduled = index;
        break;
      case "policy-cancelled":
        client.scheduled = undefined;
        break;
      case "key-created":
        this.#addKey(client, leaf);
        break;
      case "key-disabled":
      case "key-retired":
        this.#endKey(client, said["key"] as KeyName, said.type.slice("key-".length) as KeyRow["state"]);
        break;
      case "frozen":
        client.freezes.set(said["target"] as string, index);
        break;
      case "unfrozen":
        client.freezes.delete(said["target"] as string);
        break;
      case "observed":
        return this.#observe(leaf);
      case "restored":
        this.recoveries.push(recoveryOf(leaf));
        break;
      default:
        return this.#addToRequest(leaf);
    }
    client.changedIn = index;
  }

  #addClient({ client, index, said }: Said): void {
    const [owner, token] = [said["owner"] as string, said["token"] as TokenRef];
    const facts = { changedIn: index, owner, token, policy: undefined, scheduled: undefined };
    this.clients.set(client, { ...facts, keys: new Map(), freezes: new Map() });
  }

  #applyPolicy(client: ClientFacts, { client: id, index, said }: Said): void {
    const [hash, version, held] = [said["policy"], said["version"], said["held"]] as [string, number, string];
    client.policy = { hash, version, held, leaf: index };
    this.#voids.set(id, []); // the counters were built without them
    for (const counter of this.#ends.keys()) if (counter.startsWith(`${id}/`)) this.#ends.delete(counter);
    const counted = (said["counted"] ?? {}) as Readonly<Record<CounterId, number>>;
    for (const [counter, leaf] of Object.entries(counted)) this.#ends.set(counter as CounterId, leaf);
  }

  #addKey(client: ClientFacts, { client: id, index, said }: Said): void {
    const { key, how, ...facts } = keyFacts(said);
    client.keys.set(key, facts);
    for (const account of facts.accounts) {
      this.#owners.set(account, id);
      // Nobody has used the accounts of a key before it was generated; of one that was adopted nobody here can say.
      if (how === "generated") this.#nonces.set(account, index);
    }
  }

  #endKey(client: ClientFacts, name: KeyName, state: KeyRow["state"]): void {
    const key = client.keys.get(name);
    if (key) client.keys.set(name, { ...key, state });
  }

  /** What came back is an entry of the counters that it lowers. */
  #observe({ client, index, said }: Said): void {
    const reported = reportedIn(said);
    if (reported !== undefined) this.#reported.set(`${client}/${reported}`, 0);
    for (const counter of Object.keys(said["returned"] ?? {}) as CounterId[]) this.#ends.set(counter, index);
  }

  #addToRequest(leaf: Said): void {
    const { index, said } = leaf;
    const id = (said as { request?: RequestId }).request;
    if (id === undefined) return;
    const before = this.#open.get(id);
    switch (said.type) {
      case "authorized":
        return this.#authorize(leaf, before);
      case "pending":
      case "approved":
        this.#know(leaf);
        this.#open.set(id, { client: leaf.client, leaf: index, authorized: undefined, until: untilOf(said) });
        return;
      case "attempted":
      case "unsigned":
        if (before) this.#open.set(id, { ...before, leaf: index });
        return;
      case "failed":
        if (said["spend"] === "given-back") this.#giveBack(leaf, before);
        break;
      case "signed":
      case "denied":
      case "expired":
      case "rejected":
      case "cancelled":
        break;
      default:
        return;
    }
    this.#know(leaf);
    this.#open.delete(id);
  }

  #know({ client, said }: Said): void {
    const { caller, idempotencyKey } = said as unknown as RequestSaid;
    if (caller !== undefined) this.#requests.set(requestText({ client, caller, idempotencyKey }), 0);
  }

  #authorize(leaf: Said, before: Open | undefined): void {
    const { at, index, client, said } = leaf;
    const { intent, decision, request } = said as unknown as RequestSaid;
    this.#know(leaf);
    // Decided again: its spend stands at the new moment alone, and what it claimed is its own already.
    if (before?.authorized) this.#void(client, before.authorized, index);
    else for (const claim of intent!.claims) this.#claim(claim, leaf);
    for (const { counter } of decision!.charges) this.#ends.set(counter, index);
    this.#open.set(request, { client, leaf: index, authorized: { at, leaf: index }, until: undefined });
  }

  #claim(claim: Claim, { index, said }: Said): void {
    const { request, replaces } = said as unknown as RequestSaid;
    const [id, text] = [claimId(claim), claimText(claimId(claim))];
    if (replaces !== undefined && this.isClaimedBy(id, replaces)) return this.#claims.set(text, holderNumber(request));
    // Held by another already: whoever signed the authorization that is carried here (I12).
    if (this.isClaimed(id)) return;
    this.#claims.set(text, holderNumber(request));
    this.#nonces.set(claim.account, index);
  }

  #giveBack({ index, client, said }: Said, before: Open | undefined): void {
    const { request, intent, replaces } = said as unknown as RequestSaid;
    if (before?.authorized) this.#void(client, before.authorized, index);
    for (const claim of intent?.claims ?? []) {
      if (!this.isClaimedBy(claimId(claim), request)) continue;
      const text = claimText(claimId(claim));
      if (replaces !== undefined) {
        this.#claims.set(text, holderNumber(replaces)); // the replaced transaction's again
        continue;
      }
      this.#claims.delete(text);
      this.#nonces.set(claim.account, index);
    }
  }

  #void(client: ClientId, authorized: Authorized, by: number): void {
    this.#voidLeaves.add(authorized.leaf);
    for (const owner of [client, HOUSE])
      this.#voids.set(owner, [...(this.#voids.get(owner) ?? []), { ...authorized, by }]);
  }
}

/** The deposit, or the use of a key elsewhere, that an observer's leaf tells of: what counts the first time. */
export function reportedIn({ type, what, deposit, use }: LeafSaid): string | undefined {
  if (type !== "observed") return undefined;
  if (what === "deposit") return depositId(deposit as Deposit);
  return what === "signed-outside" ? useId(use as OutsideUse) : undefined;
}

function putAll<K, V>(map: Map<K, V>, entries: ReadonlyMap<K, V>): void {
  for (const [key, value] of entries) map.set(key, value);
}

/** Never infinite: the ledger is kept as JSON. */
const untilOf = (said: LeafSaid): number | undefined => {
  const { decision, notAfter } = said as unknown as RequestSaid;
  const until = Math.min(decision?.expiresAt ?? Infinity, notAfter ?? Infinity);
  return until === Infinity ? undefined : until;
};

const recoveryOf = ({ index, at, said }: Said): RecoveryRow => {
  const { promised, lost } = said as unknown as { promised: { size: number }; lost: RecoveryRow["lost"] };
  return { leaf: index, at, promisedSize: promised.size, lost };
};

function keyFacts(said: LeafSaid): KeyFacts & { readonly key: KeyName; readonly how: string } {
  const { key, id, curve, purpose, publicKey, chains, accounts, ceremony } = said as unknown as Omit<
    KeyFacts,
    "state"
  > & { key: KeyName; ceremony: { how: string } };
  return { key, id, curve, purpose, publicKey, chains, accounts, state: "active", how: ceremony.how };
}
