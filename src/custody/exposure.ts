import type { Account, AssetSymbol } from "../domain/chain.ts";
import type { Register } from "./register.ts";

/** Where assets are out of the client's hands: a limit of what is outstanding there, or a name of its address book. */
export type Venue = {
  readonly venue: string;
  readonly isAt: (account: Account) => boolean;
  /** Of a limit: what may be there at a time. */
  readonly max?: bigint;
};

export type Exposure = { readonly venue: string; readonly amount: bigint; readonly max?: bigint };

/**
 * What is at each venue of an asset: sent − returned, movement by movement, never below zero: what a venue paid beyond that
 * makes no room for later. A payment that never arrived (replaced, reverted, failed without a signature) is not there. An
 * account of two venues counts at the first of them.
 */
export function exposuresOf(register: Register, asset: AssetSymbol, venues: readonly Venue[]): Exposure[] {
  const out = new Map<Venue, bigint>();
  for (const movement of register.movements) {
    const { counterparty, amount } = movement;
    const venue = counterparty && venues.find(({ isAt }) => isAt(counterparty));
    if (movement.asset !== asset || !venue) continue;
    const before = out.get(venue) ?? 0n;
    if (movement.kind === "credit") out.set(venue, before > amount ? before - amount : 0n);
    else if (stands(register, movement)) out.set(venue, before + amount);
  }
  return [...out].map(([{ venue, max }, amount]) => ({ venue, amount, ...(max === undefined ? {} : { max }) }));
}

/** What was given back has no amounts any more; what was authorized again counts from then on. */
function stands({ debits }: Register, { request, leaf, asset }: Register["movements"][number]): boolean {
  const debit = request === undefined ? undefined : debits.get(request);
  return debit?.authorizedIn === leaf && debit.amounts.has(asset);
}
