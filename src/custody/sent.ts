import type { Account } from "../domain/chain.ts";
import type { Intent } from "../domain/intent.ts";
import type { BlockRef, TransactionSeen } from "./chain-reader.ts";
import type { ChainState, Opening } from "./register.ts";

/* What was signed here for a chain, as the leaves say, and what became of it there. */

/** One signed transaction. */
export type Sent = {
  readonly request: string;
  readonly account: Account;
  readonly nonce: bigint;
  readonly transaction: string;
};

export type SignedByLeaves = {
  readonly sent: readonly Sent[];
  /** Numbers that signed EIP-7702 authorizations use up, without a transaction of their account. */
  readonly authorizations: ReadonlyMap<Account, ReadonlySet<bigint>>;
};

/** @param openings of one client, in the order of the log */
export function signedIn(openings: Iterable<Opening>): SignedByLeaves {
  const claims = new Map<string, Intent["claims"]>();
  const sent: Sent[] = [];
  const authorizations = new Map<Account, Set<bigint>>();
  for (const opening of openings) {
    const { type, request, transactionHash } = opening as Opening & { request: string; transactionHash?: string };
    if (type === "authorized") claims.set(request, (opening["intent"] as Intent).claims);
    if (type !== "signed") continue;
    // The first claim of a transaction is its own nonce; all others are of authorizations.
    const [own, ...others] = claims.get(request) ?? [];
    if (own && transactionHash !== undefined)
      sent.push({ request, account: own.account, nonce: BigInt(own.nonce), transaction: transactionHash });
    for (const { account, nonce } of transactionHash === undefined && own ? [own, ...others] : others)
      authorizations.set(account, (authorizations.get(account) ?? new Set()).add(BigInt(nonce)));
  }
  return { sent, authorizations };
}

/** `unexplained`: its number is used, and the node does not say by what; nothing is said of it then. */
export type Confirmation = Sent & {
  readonly state: ChainState | "unexplained";
  readonly block?: number;
  /** Blocks on top of it, and itself. */
  readonly depth?: number;
  readonly fee?: bigint;
};

export type ChainAtBlock = {
  readonly settled: BlockRef;
  readonly head: number;
  readonly seen: ReadonlyMap<string, TransactionSeen>;
  /** Of each account: how many numbers are used at the settled block. */
  readonly counts: ReadonlyMap<Account, bigint>;
  /** By which transaction a number was used, where that is known: `account#nonce`. */
  readonly usedBy: ReadonlyMap<string, string>;
};

export const useOf = ({ account, nonce }: Pick<Sent, "account" | "nonce">): string => `${account}#${nonce}`;

/** What of all that was signed became of it: settled is what stands at the settled block or below, nothing else has ended. */
export const confirmationsOf = (sent: readonly Sent[], chain: ChainAtBlock): Confirmation[] =>
  sent.map((one) => ({ ...one, ...stateOf(one, chain) }));

function stateOf(one: Sent, { settled, head, seen, counts, usedBy }: ChainAtBlock): Omit<Confirmation, keyof Sent> {
  const found = seen.get(one.transaction) ?? { state: "unknown" };
  if ("block" in found) {
    const { state, block, fee } = found;
    const depth = Math.max(0, head - block + 1);
    return block <= settled.number ? { state, block, depth, fee } : { state: "broadcast", block, depth };
  }
  if (one.nonce < (counts.get(one.account) ?? 0n)) {
    const by = usedBy.get(useOf(one));
    return { state: by === undefined || by === one.transaction ? "unexplained" : "replaced" };
  }
  return { state: found.state === "waiting" ? "broadcast" : "dropped" };
}
