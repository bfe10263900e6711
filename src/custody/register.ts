import type { Account, AssetSymbol } from "../domain/chain.ts";
import { intentFromJson, type Intent } from "../domain/intent.ts";

/*
 * The register of positions (compare MiCA Art. 75(2)): what a client holds of each asset, as the leaves of its log say,
 * and nothing else. Append-only as the log is: what turned out otherwise is a movement of its own, never a change of an
 * earlier one. A debit stands from its authorization on, at the most that its bytes can cost, until an observer has seen
 * on the chain what it did cost.
 */

/** The parts of a leaf's opening that move a position. Others are read past. */
export type Opening = {
  readonly type: string;
  readonly index: number;
  /** ms since 1970. */
  readonly at: number;
  readonly [field: string]: unknown;
};

/** `credit` and `correction` add, `debit` and `fee` take away. */
export type MovementKind = "credit" | "debit" | "fee" | "correction";

export type Movement = {
  readonly leaf: number;
  readonly at: number;
  readonly kind: MovementKind;
  readonly asset: AssetSymbol;
  /** In the asset's smallest unit; above zero. */
  readonly amount: bigint;
  /** The signing request that instructed it; absent for a credit. */
  readonly request?: string;
  readonly transaction?: string;
  /** Where it came from or went. */
  readonly counterparty?: Account;
  readonly why: string;
};

/** What became of a signed transaction. `dropped` is no end: whoever has the bytes can send them again. */
export const CHAIN_STATES = ["broadcast", "mined", "reverted", "replaced", "dropped"] as const;
export type ChainState = (typeof CHAIN_STATES)[number];

/** One instruction that takes something out of the client's accounts. */
export type Debit = {
  readonly request: string;
  readonly authorizedIn: number;
  readonly state: "authorized" | "signed" | "failed" | ChainState;
  readonly transaction?: string;
  readonly block?: number;
  readonly depth?: number;
  /** What it takes at the most, or what it took once that is known. */
  readonly amounts: ReadonlyMap<AssetSymbol, bigint>;
  readonly fee: { readonly asset: AssetSymbol; readonly amount: bigint };
};

export type Lien = {
  readonly lien: string;
  readonly asset: AssetSymbol;
  readonly amount: bigint | "all";
  readonly securedParty: string;
  readonly placedIn: number;
};

export type Position = {
  readonly asset: AssetSymbol;
  readonly credits: bigint;
  readonly debits: bigint;
  /** credits − debits. Below zero where a debit was authorized of what no observer has reported. */
  readonly closing: bigint;
  /** What the liens that stand take of it; never more than there is. */
  readonly encumbered: bigint;
  /** Full amounts of the allowances that were ever given: any of them may be drawn. */
  readonly allowances: bigint | "unlimited";
  /** What could be withdrawn without breaking a lien. */
  readonly free: bigint;
};

export class Register {
  readonly movements: Movement[] = [];
  readonly debits = new Map<string, Debit>();
  readonly liens = new Map<string, Lien>();
  readonly #own = new Set<Account>();
  readonly #sums = new Map<AssetSymbol, { credits: bigint; debits: bigint; allowances: bigint | "unlimited" }>();
  readonly #deposits = new Set<string>();

  /** @param openings of one client, in the order of the log */
  static of(openings: Iterable<Opening>): Register {
    const register = new Register();
    for (const opening of openings) register.apply(opening);
    return register;
  }

  apply(opening: Opening): void {
    switch (opening.type) {
      case "key-created":
        for (const account of opening["accounts"] as Account[]) this.#own.add(account);
        return;
      case "authorized":
        return this.#authorized(opening);
      case "signed":
        return this.#change(opening, { state: "signed", ...transactionOf(opening) });
      case "failed":
        return this.#failed(opening);
      case "observed":
        return this.#observed(opening);
      case "lien-placed":
        return this.#lienPlaced(opening);
      case "lien-released":
        this.liens.delete(opening["lien"] as string);
        return;
      default:
        return;
    }
  }

  positions(): Position[] {
    return [...this.#sums.keys()].sort().map((asset) => this.position(asset));
  }

  position(asset: AssetSymbol): Position {
    const { credits, debits, allowances } = this.#sumsOf(asset);
    const closing = credits - debits;
    const there = closing > 0n ? closing : 0n;
    const encumbered = this.#encumbered(asset, there);
    const rest = allowances === "unlimited" ? 0n : there - encumbered - allowances;
    return { asset, credits, debits, closing, encumbered, allowances, free: rest > 0n ? rest : 0n };
  }

  #encumbered(asset: AssetSymbol, there: bigint): bigint {
    const liens = [...this.liens.values()].filter((lien) => lien.asset === asset);
    if (liens.some(({ amount }) => amount === "all")) return there;
    const sum = liens.reduce((total, { amount }) => total + (amount as bigint), 0n);
    return sum < there ? sum : there;
  }

  /** A request that is authorized again stands once: the later authorization takes the place of the earlier one. */
  #authorized(opening: Opening): void {
    const request = opening["request"] as string;
    this.#giveBack(opening, request, "authorized again");
    const intent = intentFromJson(opening["intent"]);
    const amounts = this.#taken(opening, request, intent);
    const { asset, max } = intent.fee;
    if (max > 0n)
      this.#move(opening, { kind: "fee", asset, amount: max, request, why: "the most that its bytes permit" });
    this.debits.set(request, {
      request,
      authorizedIn: opening.index,
      state: "authorized",
      amounts,
      fee: { asset, amount: max },
    });
  }

  /** Between the client's own accounts nothing leaves; an account that acts through the key is its client's. */
  #taken(opening: Opening, request: string, { operations }: Intent): ReadonlyMap<AssetSymbol, bigint> {
    const amounts = new Map<AssetSymbol, bigint>();
    for (const operation of operations) {
      if (operation.kind === "allowance") this.#allow(operation);
      if (operation.kind !== "transfer" || this.#own.has(operation.to) || operation.amount === 0n) continue;
      const { asset, amount, to } = operation;
      this.#move(opening, { kind: "debit", asset, amount, request, counterparty: to, why: "transfer" });
      amounts.set(asset, (amounts.get(asset) ?? 0n) + amount);
    }
    return amounts;
  }

  #allow({ asset, amount, unlimited }: Extract<Intent["operations"][number], { kind: "allowance" }>): void {
    const sums = this.#sumsOf(asset);
    sums.allowances = unlimited || sums.allowances === "unlimited" ? "unlimited" : sums.allowances + amount;
  }

  #failed(opening: Opening): void {
    const request = opening["request"] as string;
    if (opening["spend"] === "given-back") this.#giveBack(opening, request, "no signature was made");
    this.#change(opening, { state: "failed" });
  }

  #observed(opening: Opening): void {
    switch (opening["what"]) {
      case "deposit":
        return this.#deposited(opening);
      case "transaction":
        return this.#seen(opening);
      default:
        return;
    }
  }

  /** One transfer on a chain is one deposit, however often and by whomever it is reported. */
  #deposited(opening: Opening): void {
    const deposit = opening["deposit"] as { transaction: string; position: string; asset: AssetSymbol; amount: string };
    const { transaction, position, asset, amount } = deposit;
    const identity = `${asset}/${transaction}/${position}`;
    if (this.#deposits.has(identity)) return;
    this.#deposits.add(identity);
    const from = (opening["deposit"] as { from?: Account }).from;
    const counterparty = from === undefined ? {} : { counterparty: from };
    this.#move(opening, {
      kind: "credit",
      asset,
      amount: BigInt(amount),
      transaction,
      ...counterparty,
      why: "deposit",
    });
  }

  #seen(opening: Opening): void {
    type Seen = { request: string; state: ChainState; block?: number; depth?: number; fee?: string };
    const { request, state, block, depth, fee } = opening["transaction"] as Seen;
    const debit = this.debits.get(request);
    if (!debit || isEnded(debit.state)) return;
    if (state === "replaced") this.#giveBack(opening, request, "another transaction has taken its nonce");
    if (state === "reverted") this.#giveBackAmounts(opening, debit, "the transaction was reverted");
    if ((state === "mined" || state === "reverted") && fee !== undefined)
      this.#settleFee(opening, request, BigInt(fee));
    this.#change(
      { ...opening, request },
      { state, ...(block === undefined ? {} : { block }), ...(depth === undefined ? {} : { depth }) },
    );
  }

  /** What was reserved beyond the fee that was paid comes back; a fee above what the bytes permit is no fee of theirs. */
  #settleFee(opening: Opening, request: string, paid: bigint): void {
    const debit = this.debits.get(request)!;
    const { asset, amount } = debit.fee;
    if (paid >= amount) return;
    this.#move(opening, { kind: "correction", asset, amount: amount - paid, request, why: "the fee was less" });
    this.debits.set(request, { ...debit, fee: { asset, amount: paid } });
  }

  #giveBack(opening: Opening, request: string, why: string): void {
    const debit = this.debits.get(request);
    if (!debit) return;
    this.#giveBackAmounts(opening, debit, why);
    const { asset, amount } = debit.fee;
    if (amount > 0n) this.#move(opening, { kind: "correction", asset, amount, request, why });
    this.debits.set(request, { ...debit, amounts: new Map(), fee: { asset, amount: 0n } });
  }

  #giveBackAmounts(opening: Opening, { request, amounts }: Debit, why: string): void {
    for (const [asset, amount] of amounts) this.#move(opening, { kind: "correction", asset, amount, request, why });
    this.debits.set(request, { ...this.debits.get(request)!, amounts: new Map() });
  }

  #lienPlaced(opening: Opening): void {
    type Placed = { lien: string; asset: AssetSymbol; amount: string; securedParty: string };
    const { lien, asset, amount, securedParty } = opening as unknown as Placed;
    this.#sumsOf(asset);
    const taken = amount === "all" ? "all" : BigInt(amount);
    this.liens.set(lien, { lien, asset, amount: taken, securedParty, placedIn: opening.index });
  }

  #change(opening: Opening, change: Partial<Debit>): void {
    const debit = this.debits.get(opening["request"] as string);
    if (debit) this.debits.set(debit.request, { ...debit, ...change });
  }

  #move({ index, at }: Opening, movement: Omit<Movement, "leaf" | "at">): void {
    this.movements.push({ leaf: index, at, ...movement });
    const sums = this.#sumsOf(movement.asset);
    if (movement.kind === "credit") sums.credits += movement.amount;
    else sums.debits += movement.kind === "correction" ? -movement.amount : movement.amount;
  }

  #sumsOf(asset: AssetSymbol) {
    let sums = this.#sums.get(asset);
    if (!sums) this.#sums.set(asset, (sums = { credits: 0n, debits: 0n, allowances: 0n }));
    return sums;
  }
}

/** What has ended on the chain stays so: a later word about it is another observer's mistake. */
const isEnded = (state: Debit["state"]): boolean => state === "mined" || state === "reverted" || state === "replaced";

const transactionOf = ({ transactionHash }: Opening): { transaction?: string } =>
  typeof transactionHash === "string" ? { transaction: transactionHash } : {};
