import { isRawChain, type Account, type AssetSymbol } from "../domain/chain.ts";
import { intentFromJson, type Intent, type Operation } from "../domain/intent.ts";
import type { SubAccountName } from "../domain/names.ts";
import type { Lien, Opening, Register } from "./register.ts";

/*
 * What liens forbid: no policy can allow it. Pure; what cannot be bounded could take everything, so while a lien stands on
 * an asset of its chain it is refused.
 */

/** One asset of which something is pledged. */
export type Encumbered = Pick<Lien, "asset" | "chain" | "contract"> & {
  readonly liens: readonly string[];
  /** What may leave without touching what is pledged; below zero where that is touched already. */
  readonly available: bigint | "none";
};

export type Touched = {
  readonly asset: AssetSymbol;
  readonly liens: readonly string[];
  readonly requested: bigint | "unbounded";
  readonly available: bigint | "none";
  readonly holds: boolean;
};

type IsOwn = (account: Account) => boolean;

/**
 * What the intent would take of each pledged asset, at the most: transfers and allowances but to the client itself, and the
 * fee. Assets that it does not touch are left out.
 */
export function touchedBy(intent: Intent, encumbered: readonly Encumbered[], isOwn: IsOwn): Touched[] {
  return encumbered.flatMap((each) => {
    const requested = takenOf(intent, each, isOwn);
    if (requested === 0n) return [];
    const { asset, liens, available } = each;
    const holds = requested !== "unbounded" && available !== "none" && requested <= available;
    return [{ asset, liens, requested, available, holds }];
  });
}

function takenOf(intent: Intent, of: Pick<Lien, "asset" | "chain" | "contract">, isOwn: IsOwn): bigint | "unbounded" {
  let sum = intent.fee.asset === of.asset ? intent.fee.max : 0n;
  const isNear = intent.chain === of.chain || isRawChain(intent.chain);
  for (const operation of intent.operations) {
    const taken = takenBy(operation, of);
    if (taken === "unknown" && isNear) return "unbounded";
    if (taken === "unlimited") return "unbounded";
    if (typeof taken === "bigint" && !("to" in operation && isOwn(operation.to))) sum += taken;
  }
  return sum;
}

/** I17: what cannot be bounded is treated as unlimited. */
function takenBy(
  operation: Operation,
  { asset, contract }: Pick<Lien, "asset" | "contract">,
): bigint | "unlimited" | "unknown" {
  switch (operation.kind) {
    case "transfer":
      return operation.asset === asset ? operation.amount : 0n;
    case "allowance":
      if (operation.asset !== asset) return 0n;
      return operation.unlimited ? "unlimited" : operation.amount;
    case "call":
      // Of the asset's own contract no method is harmless that is not known as a transfer or an allowance.
      return operation.method === undefined || operation.to === contract ? "unknown" : 0n;
    case "message":
      return operation.format === "opaque" ? "unknown" : 0n;
    case "deploy":
      return 0n;
    case "delegate":
    case "govern":
    case "typed-data":
    case "raw-digest":
      return "unknown";
    default:
      return operation satisfies never;
  }
}

/** A client's holdings at one moment: what its leaves say, and what works of this moment have said besides. */
export class Holdings {
  readonly register: Register;
  readonly #unsettled: readonly Opening[];

  /** @param unsettled leaves after the register's last, of which nobody knows yet whether they stay: only what is stricter counts */
  constructor(register: Register, unsettled: readonly Opening[] = []) {
    this.register = register;
    this.#unsettled = unsettled;
  }

  /** Names are used once. */
  wasPledged(lien: string): boolean {
    return this.register.wasPledged(lien) || this.#placing().some((opening) => opening["lien"] === lien);
  }

  /** As it stands, with what is being released of it taken off. */
  lien(name: string): Lien | undefined {
    let lien = this.register.liens.get(name);
    for (const { type, lien: of, remaining } of this.#unsettled) {
      if (type !== "lien-released" || of !== name || !lien) continue;
      lien = remaining === "none" ? undefined : { ...lien, amount: BigInt(remaining as string) };
    }
    return lien;
  }

  /** @param of whose: of an omnibus client's sub-account alone, or of anybody */
  isPledged(asset: AssetSymbol, of?: SubAccountName): boolean {
    return this.pledged(asset).some(({ subAccount }) => of === undefined || subAccount === of);
  }

  /** What may be pledged: of a sub-account, its own and no more than all together have. */
  availableFor(of: SubAccountName | undefined, what: Pick<Lien, "asset" | "chain" | "contract">): bigint | "none" {
    if (of !== undefined) return this.availableTo(of, what.asset);
    return this.available(what.asset, what);
  }

  pledged(asset: AssetSymbol): Pick<Lien, "lien" | "amount" | "asset" | "chain" | "contract" | "subAccount">[] {
    return [...this.register.liens.values(), ...this.#placing().map(placedBy)].filter((lien) => lien.asset === asset);
  }

  /** @param except requests whose own debits are not held against them */
  encumbered(except: ReadonlySet<string>): Encumbered[] {
    const assets = [...this.register.liens.values(), ...this.#placing().map(placedBy)].map(({ asset }) => asset);
    return [...new Set(assets)].map((asset) => {
      const liens = this.pledged(asset);
      const [{ chain, contract }] = liens as [Lien];
      const what = { asset, chain, ...(contract === undefined ? {} : { contract }) };
      return { ...what, liens: liens.map(({ lien }) => lien), available: this.available(asset, what, except) };
    });
  }

  /** What is free of an asset, whether a lien stands on it or not. */
  available(
    asset: AssetSymbol,
    what: Pick<Lien, "asset" | "chain" | "contract">,
    except: ReadonlySet<string> = new Set(),
  ): bigint | "none" {
    if (this.pledged(asset).some(({ amount }) => amount === "all")) return "none";
    let left = this.register.unpledged(asset, except);
    for (const opening of this.#unsettled) {
      if (left === "none") return left;
      if (opening.type === "lien-placed" && opening["asset"] === asset) left -= BigInt(opening["amount"] as string);
      if (opening.type !== "authorized" || except.has(opening["request"] as string)) continue;
      const taken = takenOf(intentFromJson(opening["intent"]), what, (account) => this.register.isOwn(account));
      left = taken === "unbounded" ? "none" : left - taken;
    }
    return left;
  }

  /** What a sub-account may take of an asset: never what is another's. */
  availableTo(name: SubAccountName, asset: AssetSymbol, except: ReadonlySet<string> = new Set()): bigint | "none" {
    const left = this.register.availableTo(name, asset, except);
    let taken = 0n;
    for (const { type, subAccount = name, request, ...said } of this.#unsettled) {
      // What another takes meanwhile is taken of that one's own.
      if (subAccount !== name) continue;
      if (type === "lien-placed" && said["asset"] === asset) {
        if (said["amount"] === "all") return "none";
        taken += BigInt(said["amount"] as string);
      }
      if (type !== "authorized" || except.has(request as string)) continue;
      taken += drawnBy(intentFromJson(said["intent"]), (account) => this.register.isOwn(account)).get(asset) ?? 0n;
    }
    return left === "none" ? left : left - taken;
  }

  #placing(): Opening[] {
    return this.#unsettled.filter(({ type }) => type === "lien-placed");
  }
}

/** What the transfers and the fee of an intent take of each asset; transfers to the client itself take nothing. */
export function drawnBy({ operations, fee }: Intent, isOwn: IsOwn): ReadonlyMap<AssetSymbol, bigint> {
  const drawn = new Map<AssetSymbol, bigint>(fee.max > 0n ? [[fee.asset, fee.max]] : []);
  for (const operation of operations)
    if (operation.kind === "transfer" && !isOwn(operation.to))
      drawn.set(operation.asset, (drawn.get(operation.asset) ?? 0n) + operation.amount);
  return drawn;
}

function placedBy(opening: Opening): Pick<Lien, "lien" | "amount" | "asset" | "chain" | "contract" | "subAccount"> {
  const { amount, ...lien } = opening as unknown as Omit<Lien, "amount"> & { readonly amount: string };
  return { ...lien, amount: amount === "all" ? amount : BigInt(amount) };
}
