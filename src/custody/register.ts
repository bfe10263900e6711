import type { Account, AssetSymbol, ChainId } from "../domain/chain.ts";
import { intentFromJson, type Intent } from "../domain/intent.ts";
import type { SubAccountName } from "../domain/names.ts";

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
  /** Full amounts that others may draw from then on. */
  readonly allowances: ReadonlyMap<AssetSymbol, bigint | "unlimited">;
};

export type Lien = {
  readonly lien: string;
  readonly asset: AssetSymbol;
  /** What the asset is, whatever a later policy calls it. */
  readonly chain: ChainId;
  readonly contract?: Account;
  readonly amount: bigint | "all";
  readonly securedParty: string;
  /** Of an omnibus client: whose asset it is. */
  readonly subAccount?: SubAccountName;
  /** The secured party's, when it agreed: no later policy changes who may release it. */
  readonly keys: readonly string[];
  readonly placedIn: number;
};

export type Position = {
  readonly asset: AssetSymbol;
  readonly credits: bigint;
  readonly debits: bigint;
  /** credits − debits. Below zero where a debit was authorized of what no observer has reported. */
  readonly closing: bigint;
  /** Of the debits, what the chain has not settled yet. */
  readonly pending: bigint;
  /** What the last reading of the chain leaves of it, less everything since; undefined: there was none. */
  readonly reconciled: bigint | undefined;
  /** What the liens that stand take of it; never more than there is. */
  readonly encumbered: bigint;
  /** Full amounts of the allowances that were ever given: any of them may be drawn. */
  readonly allowances: bigint | "unlimited";
  /** What could be withdrawn without breaking a lien. */
  readonly free: bigint;
};

type Sums = {
  credits: bigint;
  debits: bigint;
  /** Debits at the most that they can cost, whatever an observer has seen of them. */
  taken: bigint;
  pending: bigint;
  allowances: bigint;
  /** How many without a bound. */
  unlimited: number;
  /** By observer: when it read the chain last, and what it leaves before anything was taken. */
  readonly readings: Map<string, { readonly at: number; readonly left: bigint }>;
};

/** An observer who has fallen silent holds nobody up for longer. */
const READING_VALID_MS = 24 * 3_600_000;

/** Of an omnibus client, whose register it is a part of. */
type PartOf = { readonly whole: Register; readonly own: Set<Account> };

export class Register {
  readonly movements: Movement[] = [];
  readonly debits = new Map<string, Debit>();
  readonly liens = new Map<string, Lien>();
  /** Ledgers of the sub-accounts that leaves have named: each a register of those leaves alone, and a part of this one. */
  readonly subAccounts = new Map<SubAccountName, Register>();
  readonly #own: Set<Account>;
  readonly #sums = new Map<AssetSymbol, Sums>();
  /** As it was reported first, and whose it is. */
  readonly #deposits = new Map<string, { readonly amount: string; booked?: SubAccountName }>();
  /** Whose request it is, and whose lien. */
  readonly #named = new Map<string, SubAccountName>();
  /** Names of liens are used once. */
  readonly #pledges = new Set<string>();
  readonly #whole: Register | undefined;

  constructor(part?: PartOf) {
    this.#own = part?.own ?? new Set();
    this.#whole = part?.whole;
  }

  /** @param openings of one client, in the order of the log */
  static of(openings: Iterable<Opening>): Register {
    const register = new Register();
    for (const opening of openings) register.apply(opening);
    return register;
  }

  apply(opening: Opening): void {
    this.#applyHere(opening);
    const [name, said] = this.#sharedBy(opening) ?? [];
    if (name !== undefined) this.subAccount(name).#applyHere(said!);
  }

  /** Empty where no leaf has named it. */
  subAccount(name: SubAccountName): Register {
    let register = this.subAccounts.get(name);
    if (!register) this.subAccounts.set(name, (register = new Register({ whole: this, own: this.#own })));
    return register;
  }

  /** Whose a leaf is, and what it says of that one; undefined: nobody's, or all the client's. */
  #sharedBy(opening: Opening): [name: SubAccountName, said: Opening] | undefined {
    const { type, subAccount, request, lien } = opening as Opening & Record<"request" | "lien", string> & Named;
    if (type === "authorized" || type === "lien-placed") {
      if (subAccount !== undefined) this.#named.set(request ?? lien, subAccount);
      return subAccount && [subAccount, opening];
    }
    if (type === "observed") return this.#observedOf(opening);
    const known = this.#named.get(request ?? lien);
    return known && [known, opening];
  }

  #observedOf(opening: Opening): [name: SubAccountName, said: Opening] | undefined {
    if (opening["what"] === "transaction") {
      const known = this.#named.get((opening["transaction"] as { request: string }).request);
      return known && [known, opening];
    }
    if (opening["what"] !== "deposit") return undefined;
    const deposit = opening["deposit"] as Deposited;
    const [known, { subAccount }] = [this.#deposits.get(identityOf(deposit))!, deposit];
    // Whose it is can be said later than that it came, and once.
    if (subAccount === undefined || known.booked !== undefined) return undefined;
    known.booked = subAccount;
    return [subAccount, { ...opening, deposit: { ...deposit, amount: known.amount } }];
  }

  /** Whose a deposit is that was reported; undefined: it was not, or nobody has said so. */
  bookedTo(deposit: Parameters<typeof identityOf>[0]): SubAccountName | undefined {
    return this.#deposits.get(identityOf(deposit))?.booked;
  }

  #applyHere(opening: Opening): void {
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
        return this.#lienReleased(opening);
      case "restored":
        return this.#restored(opening);
      default:
        return;
    }
  }

  isOwn(account: Account): boolean {
    return this.#own.has(account);
  }

  wasPledged(lien: string): boolean {
    return this.#pledges.has(lien);
  }

  positions(): Position[] {
    return [...this.#sums.keys()].sort().map((asset) => this.position(asset));
  }

  position(asset: AssetSymbol): Position {
    const { credits, debits, allowances, unlimited, pending } = this.#sumsOf(asset);
    const closing = credits - debits;
    const there = atLeastZero(closing);
    const liens = this.#liensOn(asset);
    const pledged = liens.some(({ amount }) => amount === "all") ? there : sumOf(liens);
    const assured = liens.length === 0 ? there : (this.#assured(asset) ?? 0n);
    return {
      asset,
      credits,
      debits,
      closing,
      pending,
      reconciled: this.#confirmed(asset),
      encumbered: pledged < there ? pledged : there,
      allowances: unlimited > 0 ? "unlimited" : allowances,
      free: this.#freeOf(asset) ?? (unlimited > 0 ? 0n : atLeastZero(assured - pledged - allowances)),
    };
  }

  /** Of a sub-account: as a decision would have it. */
  #freeOf(asset: AssetSymbol): bigint | undefined {
    const whole = this.#whole;
    if (!whole) return undefined;
    const [name] = [...whole.subAccounts].find(([, register]) => register === this)!;
    const available = whole.availableTo(name, asset, NOBODY);
    return available === "none" ? 0n : atLeastZero(available);
  }

  /**
   * What is left of an asset once every lien of a fixed amount has its own: below zero where they do not. Of requests that
   * are named, what they hold already is not counted.
   */
  unpledged(asset: AssetSymbol, except: ReadonlySet<string>): bigint | "none" {
    const there = this.#undrawn(asset, except);
    return there === "none" ? there : there - sumOf(this.#liensOn(asset));
  }

  /** What the chain is known to hold, less what others may draw. */
  #undrawn(asset: AssetSymbol, except: ReadonlySet<string>): bigint | "none" {
    const { allowances, unlimited } = this.#sumsOf(asset);
    const held = [...except].flatMap((request) => this.debits.get(request) ?? []);
    const drawn = held.map((debit) => debit.allowances.get(asset) ?? 0n);
    if (unlimited > drawn.filter((each) => each === "unlimited").length) return "none";
    const assured = this.#assured(asset);
    if (assured === undefined) return "none";
    const ownAllowances = drawn.reduce<bigint>((sum, each) => sum + (each === "unlimited" ? 0n : each), 0n);
    return assured + this.#heldBy(except, asset) - (allowances - ownAllowances);
  }

  /** What all sub-accounts have, each by itself; what no sub-account has been given is somebody's too. */
  unallocated(asset: AssetSymbol): bigint {
    const { credits, debits } = this.#sumsOf(asset);
    return [...this.subAccounts.values()].reduce((left, each) => left - each.#closing(asset), credits - debits);
  }

  /**
   * What a sub-account may take: no more than its own, less its liens, and no more than the chain is known to hold besides
   * what is all others'. Of requests that are named, what they hold already is not counted.
   */
  availableTo(name: SubAccountName, asset: AssetSymbol, except: ReadonlySet<string>): bigint | "none" {
    const part = this.subAccount(name);
    if (part.#liensOn(asset).some(({ amount }) => amount === "all")) return "none";
    const there = this.#undrawn(asset, except);
    if (there === "none") return there;
    const others = [...this.subAccounts].reduce(
      (sum, [other, register]) => (other === name ? sum : sum + atLeastZero(register.#closing(asset))),
      atLeastZero(this.unallocated(asset)),
    );
    const own = part.#closing(asset) + part.#heldBy(except, asset) - sumOf(part.#liensOn(asset));
    return least(own, there - others);
  }

  #closing(asset: AssetSymbol): bigint {
    const sums = this.#sums.get(asset);
    return sums ? sums.credits - sums.debits : 0n;
  }

  #heldBy(requests: ReadonlySet<string>, asset: AssetSymbol): bigint {
    return [...requests].reduce((sum, request) => {
      const debit = this.debits.get(request);
      return debit ? sum + heldOf(debit, asset) : sum;
    }, 0n);
  }

  /** The smaller of the register and what the chain has confirmed; undefined where nobody has read it. */
  #assured(asset: AssetSymbol): bigint | undefined {
    const [{ credits, debits }, confirmed] = [this.#sumsOf(asset), this.#confirmed(asset)];
    return confirmed === undefined ? undefined : least(credits - debits, confirmed);
  }

  /** The least that any observer of the last day has read, so that none can say more than another has seen. */
  #confirmed(asset: AssetSymbol): bigint | undefined {
    const { readings, taken } = this.#sumsOf(asset);
    const newest = [...readings.values()].reduce((latest, { at }) => Math.max(latest, at), -Infinity);
    const valid = [...readings.values()].filter(({ at }) => at > newest - READING_VALID_MS);
    return valid.length === 0 ? undefined : valid.map(({ left }) => left).reduce(least) - taken;
  }

  #liensOn(asset: AssetSymbol): Lien[] {
    return [...this.liens.values()].filter((lien) => lien.asset === asset);
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
    this.#put({
      request,
      authorizedIn: opening.index,
      state: "authorized",
      amounts,
      fee: { asset, amount: max },
      allowances: allowancesOf(intent),
    });
  }

  /** Between the client's own accounts nothing leaves; an account that acts through the key is its client's. */
  #taken(opening: Opening, request: string, { operations }: Intent): ReadonlyMap<AssetSymbol, bigint> {
    const amounts = new Map<AssetSymbol, bigint>();
    for (const operation of operations) {
      if (operation.kind !== "transfer" || this.#own.has(operation.to) || operation.amount === 0n) continue;
      const { asset, amount, to } = operation;
      this.#move(opening, { kind: "debit", asset, amount, request, counterparty: to, why: "transfer" });
      amounts.set(asset, (amounts.get(asset) ?? 0n) + amount);
    }
    return amounts;
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
      case "balance":
        return this.#read(opening);
      default:
        return;
    }
  }

  /** One transfer on a chain is one deposit, however often and by whomever it is reported. */
  #deposited(opening: Opening): void {
    const deposit = opening["deposit"] as Deposited;
    const { transaction, asset, amount } = deposit;
    const identity = identityOf(deposit);
    if (this.#deposits.has(identity)) return;
    this.#deposits.set(identity, { amount });
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

  /**
   * What the client's accounts held together. A debit that is not settled may still be in it; what an observer says later of
   * debits before it counts with the next reading, so that one word alone frees nothing.
   */
  #read(opening: Opening): void {
    const { asset, amount } = opening["balance"] as { asset: AssetSymbol; amount: string };
    const { taken, pending, readings } = this.#sumsOf(asset);
    readings.set(opening["by"] as string, { at: opening.at, left: BigInt(amount) - pending + taken });
  }

  /** Of what is forgotten nobody knows what it took: the chain is read again before anything of it counts for a lien. */
  #restored({ lost }: Opening): void {
    if (lost === "nothing") return;
    for (const { readings } of this.#sums.values()) readings.clear();
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
    this.#put({ ...debit, fee: { asset, amount: paid } });
  }

  #giveBack(opening: Opening, request: string, why: string): void {
    const debit = this.debits.get(request);
    if (!debit) return;
    this.#giveBackAmounts(opening, debit, why);
    const { asset, amount } = debit.fee;
    if (amount > 0n) this.#move(opening, { kind: "correction", asset, amount, request, why });
    this.#put({ ...this.debits.get(request)!, fee: { asset, amount: 0n } });
  }

  #giveBackAmounts(opening: Opening, { request, amounts }: Debit, why: string): void {
    for (const [asset, amount] of amounts) this.#move(opening, { kind: "correction", asset, amount, request, why });
    this.#put({ ...this.debits.get(request)!, amounts: new Map(), allowances: new Map() });
  }

  #lienPlaced(opening: Opening): void {
    type Placed = Omit<Lien, "amount" | "placedIn"> & { readonly amount: string };
    const { lien, asset, chain, contract, amount, securedParty, subAccount, keys } = opening as unknown as Placed;
    const whose = subAccount === undefined ? {} : { subAccount };
    this.#sumsOf(asset);
    this.#pledges.add(lien);
    const what = { asset, chain, ...(contract === undefined ? {} : { contract }) };
    const taken = amount === "all" ? "all" : BigInt(amount);
    this.liens.set(lien, { lien, ...what, amount: taken, securedParty, ...whose, keys, placedIn: opening.index });
  }

  #lienReleased(opening: Opening): void {
    const { lien: name, remaining } = opening as unknown as { lien: string; remaining: string };
    const lien = this.liens.get(name);
    if (lien && remaining !== "none") this.liens.set(name, { ...lien, amount: BigInt(remaining) });
    else this.liens.delete(name);
  }

  #change(opening: Opening, change: Partial<Debit>): void {
    const debit = this.debits.get(opening["request"] as string);
    if (debit) this.#put({ ...debit, ...change });
  }

  /** The one place where debits change: what is pending, and what others may draw, follows. */
  #put(debit: Debit): void {
    const before = this.debits.get(debit.request);
    if (before) this.#count(before, -1n);
    this.#count(debit, 1n);
    this.debits.set(debit.request, debit);
  }

  #count(debit: Debit, sign: 1n | -1n): void {
    const { amounts, fee, allowances, state } = debit;
    if (!isEnded(state)) {
      for (const [asset, amount] of amounts) this.#sumsOf(asset).pending += sign * amount;
      this.#sumsOf(fee.asset).pending += sign * fee.amount;
    }
    for (const [asset, amount] of allowances) {
      if (amount === "unlimited") this.#sumsOf(asset).unlimited += Number(sign);
      else this.#sumsOf(asset).allowances += sign * amount;
    }
  }

  #move({ type, index, at }: Opening, movement: Omit<Movement, "leaf" | "at">): void {
    this.movements.push({ leaf: index, at, ...movement });
    const sums = this.#sumsOf(movement.asset);
    if (movement.kind === "credit") sums.credits += movement.amount;
    else {
      const taken = movement.kind === "correction" ? -movement.amount : movement.amount;
      sums.debits += taken;
      if (type !== "observed") sums.taken += taken;
    }
  }

  #sumsOf(asset: AssetSymbol) {
    let sums = this.#sums.get(asset);
    if (!sums) {
      sums = { credits: 0n, debits: 0n, taken: 0n, pending: 0n, allowances: 0n, unlimited: 0, readings: new Map() };
      this.#sums.set(asset, sums);
    }
    return sums;
  }
}

type Named = { readonly subAccount?: SubAccountName };
type Deposited = Named & { transaction: string; position: string; asset: AssetSymbol; amount: string };

const identityOf = ({ asset, transaction, position }: Pick<Deposited, "asset" | "transaction" | "position">): string =>
  `${asset}/${transaction}/${position}`;

const NOBODY: ReadonlySet<string> = new Set();

const least = (a: bigint, b: bigint): bigint => (a < b ? a : b);
const atLeastZero = (amount: bigint): bigint => (amount > 0n ? amount : 0n);

/** Of those with a fixed amount. */
const sumOf = (liens: readonly Lien[]): bigint =>
  liens.reduce((sum, { amount }) => (amount === "all" ? sum : sum + amount), 0n);

const heldOf = ({ amounts, fee }: Debit, asset: AssetSymbol): bigint =>
  (amounts.get(asset) ?? 0n) + (fee.asset === asset ? fee.amount : 0n);

function allowancesOf({ operations }: Intent): ReadonlyMap<AssetSymbol, bigint | "unlimited"> {
  const allowances = new Map<AssetSymbol, bigint | "unlimited">();
  for (const operation of operations) {
    if (operation.kind !== "allowance") continue;
    const { asset, amount, unlimited } = operation;
    const before = allowances.get(asset) ?? 0n;
    allowances.set(asset, unlimited || before === "unlimited" ? "unlimited" : before + amount);
  }
  return allowances;
}

/** What has ended on the chain stays so: a later word about it is another observer's mistake. */
const isEnded = (state: Debit["state"]): boolean => state === "mined" || state === "reverted" || state === "replaced";

const transactionOf = ({ transactionHash }: Opening): { transaction?: string } =>
  typeof transactionHash === "string" ? { transaction: transactionHash } : {};
