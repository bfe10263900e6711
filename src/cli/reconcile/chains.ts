import type { BlockRef, ChainReader, Holding, TransactionSeen } from "../../custody/chain-reader.ts";
import type { Opening } from "../../custody/register.ts";
import {
  confirmationsOf,
  signedIn,
  useOf,
  type ChainAtBlock,
  type Confirmation,
  type SignedByLeaves,
} from "../../custody/sent.ts";
import { signedOutside, type Outgoing, type SignedOutside } from "../../custody/signed-outside.ts";
import { chainOf, type Account, type ChainId } from "../../domain/chain.ts";

/* What the chain says of what was signed here, and of numbers that were used without us. */

/** A node at the block of this run. */
export type ChainNow = { readonly reader: ChainReader; readonly settled: BlockRef; readonly head: number };

/** So many unknown numbers of an account are looked for on the chain; the others are named without their transaction. */
const LOOK_FOR_MAX = 20;

export const accountsIn = (openings: readonly Opening[]): Account[] =>
  openings.flatMap(({ type, ...content }) => (type === "key-created" ? (content["accounts"] as Account[]) : []));

export type SentOnChain = { readonly confirmations: Confirmation[]; readonly outside: SignedOutside[] };

/** @param openings of one client */
export async function readSent(
  { reader, settled, head }: ChainNow,
  openings: readonly Opening[],
): Promise<SentOnChain> {
  const isHere = (account: Account): boolean => chainOf(account) === reader.chain;
  const accounts = accountsIn(openings).filter(isHere);
  const signed = signedIn(openings);
  const sent = signed.sent.filter(({ account }) => isHere(account));
  const [states, counts] = [
    await reader.transactions(sent.map(({ transaction }) => transaction)),
    await reader.sent(accounts, settled),
  ];
  const seen = new Map(sent.map(({ transaction }, index) => [transaction, states[index]!]));
  const countOf = new Map(accounts.map((account, index) => [account, counts[index]!]));
  const usedBy = usesSeen(sent, seen, settled);
  for (const account of accounts) await lookFor(reader, settled, account, countOf.get(account)!, usedBy);
  const chain: ChainAtBlock = { settled, head, seen, counts: countOf, usedBy };
  return {
    confirmations: confirmationsOf(sent, chain),
    outside: accounts.flatMap((account) => outsideOf(account, countOf.get(account)!, usedBy, signed)),
  };
}

function usesSeen(
  sent: SignedByLeaves["sent"],
  seen: ReadonlyMap<string, TransactionSeen>,
  settled: BlockRef,
): Map<string, string> {
  const isSettled = (found: TransactionSeen | undefined): boolean =>
    found !== undefined && "block" in found && found.block <= settled.number;
  return new Map(
    sent.filter(({ transaction }) => isSettled(seen.get(transaction))).map((one) => [useOf(one), one.transaction]),
  );
}

/** @param usedBy grows by what is found */
async function lookFor(
  reader: ChainReader,
  at: BlockRef,
  account: Account,
  count: bigint,
  usedBy: Map<string, string>,
): Promise<void> {
  for (let [nonce, looked] = [0n, 0]; nonce < count && looked < LOOK_FOR_MAX; nonce++) {
    const use = useOf({ account, nonce });
    if (usedBy.has(use)) continue;
    looked++;
    const found = await reader.outgoing(account, nonce, at);
    if (found !== undefined) usedBy.set(use, found);
  }
}

function outsideOf(
  account: Account,
  nonce: bigint,
  usedBy: ReadonlyMap<string, string>,
  { sent, authorizations }: SignedByLeaves,
): SignedOutside[] {
  const outgoing = [...usedBy].flatMap(([use, transaction]): Outgoing[] =>
    use.startsWith(`${account}#`) ? [{ nonce: BigInt(use.slice(account.length + 1)), transaction }] : [],
  );
  const here = {
    transactions: new Set(sent.map(({ transaction }) => transaction)),
    authorizations: authorizations.get(account) ?? new Set<bigint>(),
  };
  return signedOutside({ account, nonce, outgoing }, here);
}

/**
 * What others saw above our block is not yet to be compared: a deposit there is not in what we read. Above the newest block
 * there is nothing to be seen, so what claims to be there is compared, and found wrong.
 */
export function isNotYet(
  opening: Opening,
  chains: ReadonlyMap<ChainId, ChainNow>,
  chainOfRequest: ReadonlyMap<string, ChainId>,
): boolean {
  if (opening.type !== "observed") return false;
  type Seen = { block?: number; to?: Account; request?: string };
  const { block, to, request } = (opening["deposit"] ?? opening["transaction"] ?? {}) as Seen;
  const chain = to === undefined ? chainOfRequest.get(request ?? "") : chainOf(to);
  const now = chain === undefined ? undefined : chains.get(chain);
  return now !== undefined && block !== undefined && block > now.settled.number && block <= now.head;
}

/** Balances of all holdings, from whichever chain each is on; undefined where no node was given for it. */
export async function readBalances(
  chains: ReadonlyMap<ChainId, ChainNow>,
  holdings: readonly Holding[],
  progress: (done: number, of: number) => void,
): Promise<Map<Holding, bigint | undefined>> {
  const read = new Map<Holding, bigint | undefined>(holdings.map((holding) => [holding, undefined]));
  let before = 0;
  for (const [chain, { reader, settled }] of chains) {
    const own = holdings.filter(({ asset }) => asset.chain === chain);
    const amounts = await reader.balances(own, settled, (done) => progress(before + done, holdings.length));
    for (const [index, holding] of own.entries()) read.set(holding, amounts[index]);
    before += own.length;
  }
  return read;
}
