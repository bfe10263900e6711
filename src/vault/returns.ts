import type { Account, AssetSymbol } from "../domain/chain.ts";
import type { CounterId } from "../domain/decision.ts";
import type { ClientId } from "../domain/names.ts";
import type { CompiledPolicy } from "../policy/compile.ts";
import { returnedTo } from "../policy/returns.ts";
import type { Authorized, StoreTransaction } from "./ports.ts";
import { authorizationOf } from "./record.ts";

/* What came back from where a limit of what is outstanding counts: it takes off what was sent, and never more than that. */

/** As an observer reports it. */
export type Deposit = {
  readonly transaction: string;
  readonly position: string;
  readonly asset: string;
  readonly amount: string;
  readonly from?: string | undefined;
};

/** One transfer on a chain is one deposit. */
export const depositId = ({ asset, transaction, position }: Deposit): string => `${asset}/${transaction}/${position}`;

/**
 * How much of it each counter takes off: what was sent for certain. An authorization without an outcome may still turn out
 * never to have been sent, and the sum would fall below zero.
 */
export async function returnedIn(
  transaction: StoreTransaction,
  policy: CompiledPolicy,
  { asset, amount, from }: Deposit,
  open: readonly Authorized[],
): Promise<Readonly<Record<CounterId, string>>> {
  const returned: Record<CounterId, string> = {};
  if (from === undefined) return returned;
  for (const counter of returnedTo(policy, { asset: asset as AssetSymbol, from: from as Account })) {
    let sent = await transaction.spent(counter, -1);
    for (const authorization of open) sent -= await transaction.spentAt(counter, authorization);
    const counts = sent < BigInt(amount) ? sent : BigInt(amount);
    if (counts > 0n) returned[counter] = counts.toString();
  }
  return returned;
}

export async function countReturned(
  transaction: StoreTransaction,
  returned: Readonly<Record<CounterId, string>>,
  leaf: Authorized,
): Promise<CounterId[]> {
  const counters = Object.keys(returned) as CounterId[];
  for (const counter of counters) await transaction.addSpend(counter, { ...leaf, amount: -BigInt(returned[counter]!) });
  return counters;
}

const PAGE = 100;

/** Authorizations of the client that have no outcome. */
export async function openOf(transaction: StoreTransaction, client: ClientId): Promise<Authorized[]> {
  const open: Authorized[] = [];
  for (let before: Parameters<StoreTransaction["requests"]>[1]["before"]; ;) {
    const filter = { state: "authorized" as const, limit: PAGE };
    const page = await transaction.requests(client, before === undefined ? filter : { ...filter, before });
    open.push(...page.map(authorizationOf));
    if (page.length < PAGE) return open;
    before = page.at(-1)!.id;
  }
}
