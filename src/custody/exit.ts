import type { Asset } from "../domain/assets.ts";
import type { Account, AssetSymbol, ChainId } from "../domain/chain.ts";
import type { KeyName } from "../domain/names.ts";

/*
 * How everything that is not pledged comes back to the address that the client fixed beforehand (compare MiCA Art. 75(6)).
 * A plan, and no authority: each transaction of it is decided like any other, under the rule that the policy has for it.
 */

/** What a node says that an account holds. */
export type Held = {
  readonly key: KeyName;
  readonly account: Account;
  readonly asset: Asset;
  readonly amount: bigint;
  /** What one transfer of it to the exit may use. */
  readonly gas: bigint;
};

export type ExitTransfer = Omit<Held, "gas"> & {
  readonly to: Account;
  readonly gas: bigint;
  /** The most that it costs, in the chain's native asset. */
  readonly fee: bigint;
};

export type Left = Pick<Held, "account" | "asset" | "amount"> & { readonly why: string };
export type ExitPlan = { readonly transfers: readonly ExitTransfer[]; readonly left: readonly Left[] };

export type ExitTerms = {
  readonly exit: ReadonlyMap<ChainId, Account>;
  /** What liens leave of an asset; none named: nothing of it is pledged. */
  readonly available: ReadonlyMap<AssetSymbol, bigint>;
  /** What one gas may cost at the most, by chain. */
  readonly gasPriceMax: ReadonlyMap<ChainId, bigint>;
};

/** Tokens first, the native asset last: with it the account pays for all of them. */
export function planExit(held: readonly Held[], terms: ExitTerms): ExitPlan {
  const plan = new Plan(terms);
  const natives = new Map(held.filter(({ asset }) => asset.standard === "native").map((each) => [each.account, each]));
  for (const each of held) if (each.asset.standard !== "native") plan.token(each, natives.get(each.account));
  for (const native of natives.values()) plan.native(native);
  return { transfers: plan.transfers, left: plan.left };
}

class Plan {
  readonly transfers: ExitTransfer[] = [];
  readonly left: Left[] = [];
  readonly #terms: ExitTerms;
  readonly #available: Map<AssetSymbol, bigint>;
  /** What an account's transfers cost so far. */
  readonly #fees = new Map<Account, bigint>();

  constructor(terms: ExitTerms) {
    this.#terms = terms;
    this.#available = new Map(terms.available);
  }

  token(held: Held, native: Held | undefined): void {
    const { asset, account } = held;
    if (held.amount === 0n) return;
    if (asset.standard !== "erc20")
      return this.#leave(held, held.amount, "items of collections are returned one by one");
    const fee = this.#feeOf(held);
    const there = (native?.amount ?? 0n) - this.#feesOf(account);
    if (!native || fee > there || fee > this.#availableOf(native.asset, there))
      return this.#leave(held, held.amount, "the account cannot pay for the transfer");
    this.#transfer(held, held.amount, fee, native.asset);
  }

  native(held: Held): void {
    if (held.amount === 0n) return;
    const fee = this.#feeOf(held);
    const there = held.amount - this.#feesOf(held.account);
    const most = this.#availableOf(held.asset, there) - fee;
    if (most <= 0n) return this.#leave(held, there, there <= fee ? "less than the fee" : "pledged");
    this.#take(held.asset, fee);
    this.#transfer(held, there - fee, fee);
  }

  /** @param payer what the fee is taken from, where it was not taken yet */
  #transfer(held: Held, wanted: bigint, fee: bigint, payer?: Asset): void {
    const to = this.#terms.exit.get(held.asset.chain);
    if (to === held.account) return;
    if (to === undefined) return this.#leave(held, wanted, "the policy fixes no `exit` on this chain");
    const amount = this.#availableOf(held.asset, wanted);
    if (amount < wanted) this.#leave(held, wanted - amount, "pledged");
    if (amount === 0n) return;
    if (payer) this.#take(payer, fee);
    this.#take(held.asset, amount);
    this.#fees.set(held.account, this.#feesOf(held.account) + fee);
    this.transfers.push({ ...held, amount, to, fee });
  }

  #feeOf = ({ gas, asset }: Held): bigint => gas * (this.#terms.gasPriceMax.get(asset.chain) ?? 0n);
  #feesOf = (account: Account): bigint => this.#fees.get(account) ?? 0n;

  #availableOf({ symbol }: Asset, wanted: bigint): bigint {
    const available = this.#available.get(symbol);
    if (available === undefined || available > wanted) return wanted;
    return available > 0n ? available : 0n;
  }

  #take({ symbol }: Asset, amount: bigint): void {
    const available = this.#available.get(symbol);
    if (available !== undefined) this.#available.set(symbol, available - amount);
  }

  #leave({ account, asset }: Held, amount: bigint, why: string): void {
    if (amount > 0n) this.left.push({ account, asset, amount, why });
  }
}
