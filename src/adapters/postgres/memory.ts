import type { Account } from "../../domain/chain.ts";
import type { CounterId } from "../../domain/decision.ts";
import type { ClientId } from "../../domain/names.ts";
import type { RequestId } from "../../domain/request.ts";
import type { ClientRow, SealedLeaf, SealedNonce, SealedRequest, SealedSpend } from "../../vault/ports.ts";

/** Entries of a counter in their order, beginning with the last one that is not after `from`. */
export type CounterStretch = { readonly from: number; readonly entries: readonly SealedSpend[] };

/** Rows of requests under way that are kept for their next step. */
const REQUESTS_MAX = 4_096;
/** Accounts of strangers are without number. */
const OWNERS_MAX = 65_536;

/**
 * What every request asks for again: ends of the log and of counters, active policies, owners, rows under way. It is
 * the state after COMMIT `version`, and worth something only while that is the last one; whatever is undone or unclear
 * empties it. All that is missing here is read from the database.
 */
export class Memory {
  /** Of the COMMIT after which this is what the database holds. */
  version: number | undefined;
  readonly leaves = new Map<ClientId | "log", SealedLeaf | undefined>();
  readonly clients = new Map<ClientId, ClientRow | undefined>();
  readonly policyHashes = new Map<ClientId, string | undefined>();
  readonly revisions = new Map<ClientId, number | undefined>();
  readonly ends = new Map<CounterId, SealedSpend | undefined>();
  readonly stretches = new Map<CounterId, CounterStretch>();
  readonly nonces = new Map<Account, SealedNonce | undefined>();
  readonly owners = new Map<Account, ClientId | undefined>();
  readonly requests = new Map<RequestId, SealedRequest>();
  /** Of the group that runs, fetched ahead or written by it. */
  readonly requestsByKey = new Map<string, SealedRequest | undefined>();
  readonly claims = new Map<string, RequestId | undefined>();

  /** What a group asks for once only. */
  forgetGroup(): void {
    this.requestsByKey.clear();
    this.claims.clear();
    for (const id of this.requests.keys()) {
      if (this.requests.size <= REQUESTS_MAX) break;
      this.requests.delete(id);
    }
    if (this.owners.size > OWNERS_MAX) this.owners.clear();
  }

  forgetCounters(): void {
    this.ends.clear();
    this.stretches.clear();
  }

  forget(): void {
    this.version = undefined;
    this.forgetCounters();
    for (const map of [this.leaves, this.clients, this.policyHashes, this.revisions, this.nonces, this.owners])
      map.clear();
    this.requests.clear();
    this.forgetGroup();
  }
}

export const idempotencyIndex = (client: string, caller: string, idempotencyKey: string): string =>
  `${client}\n${caller}\n${idempotencyKey}`;

export async function remembered<K, V>(memory: Map<K, V>, key: K, read: () => Promise<V>): Promise<V> {
  if (memory.has(key)) return memory.get(key) as V;
  const value = await read();
  memory.set(key, value);
  return value;
}
