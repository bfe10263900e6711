import type { AssetSymbol } from "../domain/chain.ts";
import type { Finding } from "./reconcile.ts";

/* Tokens whose backing is held here: what is out must not be more than what is kept for it. */

export type Amount = { readonly amount: bigint | undefined; readonly decimals: number };

export type BackedToken = {
  /** Whose reserves they are: under that name the break is reported. */
  readonly client: string;
  readonly token: AssetSymbol;
  /** All of the token that there is on its chain. */
  readonly supply: Amount;
  /** One unit of a reserve backs one unit of the token. */
  readonly reserves: readonly Amount[];
};

/** @returns the shortfall in the token's smallest unit, rounded against whoever issues it */
export function backingOf({ client, token, supply, reserves }: BackedToken): Finding | undefined {
  const of = { client, asset: token };
  const held = reserves.map(({ amount, decimals }) =>
    amount === undefined ? undefined : scaled(amount, decimals, supply.decimals),
  );
  if (supply.amount === undefined || !held.every((amount) => amount !== undefined))
    return { ...of, cause: "backing-not-read", difference: 0n };
  const difference = held.reduce((sum, amount) => sum + amount, 0n) - supply.amount;
  return difference < 0n ? { ...of, cause: "backing-short", difference } : undefined;
}

const scaled = (amount: bigint, from: number, to: number): bigint =>
  to >= from ? amount * 10n ** BigInt(to - from) : amount / 10n ** BigInt(from - to);
