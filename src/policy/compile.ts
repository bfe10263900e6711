import { formatAmount, parseAmount } from "../domain/amount.ts";
import type { Asset, AssetRegistry, PinnedContract } from "../domain/assets.ts";
import { chainOf, type Account, type AssetSymbol, type ChainId } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import { OPERATION_KINDS, type OperationKind } from "../domain/intent.ts";
import type { CallerName, ClientId, KeyName, Role, SubAccountName } from "../domain/names.ts";
import { addressesOf, declaredIn, type Declared, type RegistryAsset } from "./declared.ts";
import {
  isAllow,
  isViaConsole,
  membersOf,
  type AllowRule,
  type ArgumentDocument,
  type Band as BandDocument,
  type ClientPolicy,
  type DenyRule,
  type HousePolicy,
  type LimitDocument,
  type PolicyDocument,
} from "./document.ts";
import { durationMs } from "./fields.ts";
import { policyHash, type ResolvedPolicy } from "./parse.ts";
import { indexRules, type RuleIndex } from "./rule-index.ts";
import { selectorOf } from "./selector.ts";
import { calendarStart, zoneOf, type CalendarUnit, type Weekday, type Zone } from "./zone.ts";

/**
 * A policy made ready for deciding: amounts in smallest units, names as sets, addresses behind one map. Nothing here
 * depends on a request; one compiled policy serves all requests until the next version is applied.
 */
export type Compiled = {
  readonly of: "client" | "house";
  readonly version: number;
  readonly hash: string;
  readonly registry: AssetRegistry;
  readonly callers: ReadonlyMap<CallerName, CompiledCaller>;
  /** The address book turned round: from an account to what is known of it. */
  readonly addresses: ReadonlyMap<Account, KnownAddress>;
  readonly allows: readonly CompiledRule[];
  readonly denies: readonly CompiledRule[];
  /** The same rules, found by destination. */
  readonly allowIndex: RuleIndex;
  readonly denyIndex: RuleIndex;
  readonly limits: readonly CompiledLimit[];
  /** `null`: uncapped. */
  readonly fees: ReadonlyMap<AssetSymbol, bigint | null>;
};

export type CompiledPolicy = Compiled & {
  readonly of: "client";
  readonly client: ClientId;
  readonly owner: "house" | undefined;
  /** Where everything is returned to, by chain. */
  readonly exit: ReadonlyMap<ChainId, Account>;
  readonly legalBasis: ClientPolicy["legalBasis"];
  readonly signedOutside: ClientPolicy["signedOutside"];
  /** Whose assets the same accounts hold; undefined: one owner's. */
  readonly subAccounts: ReadonlySet<SubAccountName> | undefined;
  readonly groups: ReadonlyMap<string, ReadonlySet<CallerName>>;
  /** Those for which approvals that were made on web pages count too. */
  readonly consoleGroups: ReadonlySet<string>;
};

export type CompiledHouse = Compiled & {
  readonly of: "house";
  readonly policyQuorum: number;
  readonly policyDelayMs: number;
};

export type CompiledCaller = {
  readonly role: Role;
  readonly keys: readonly string[];
  readonly operatedBy: ReadonlySet<CallerName>;
  /** The only one that it asks for. */
  readonly subAccount?: SubAccountName;
};

export type KnownAddress = {
  readonly names: readonly string[];
  readonly tags: readonly string[];
  /** The longest of all entries that hold the address. */
  readonly coolOffMs: number;
};

/** Total in (over, max]; `over` is −1 where nothing is excluded, `max` undefined where nothing bounds. */
export type Band = { readonly over: bigint; readonly max: bigint | undefined };

export type Destinations = {
  readonly anyone: boolean;
  readonly own: boolean;
  readonly house: boolean;
  readonly clients: ReadonlySet<string>;
  readonly names: ReadonlySet<string>;
  readonly tags: ReadonlySet<string>;
  readonly accounts: ReadonlySet<Account>;
};

/** What rules and limits match by; a field that the document leaves out is undefined and holds always. */
export type Match = {
  readonly by: ReadonlySet<CallerName> | undefined;
  readonly key: ReadonlySet<KeyName> | undefined;
  readonly to: Destinations | undefined;
  readonly amount: ReadonlyMap<AssetSymbol, Band> | undefined;
};

export type CompiledRule = Match & {
  readonly id: string;
  readonly of: "client" | "house";
  readonly effect: "allow" | "deny";
  readonly kinds: ReadonlySet<OperationKind>;
  /** Keys, and accounts that a key acts through, by their book names. */
  readonly from: { readonly keys: ReadonlySet<KeyName>; readonly names: ReadonlySet<string> } | undefined;
  readonly chain: ReadonlySet<ChainId> | undefined;
  readonly fee: ReadonlyMap<AssetSymbol, Band> | undefined;
  readonly method: { readonly selectors: ReadonlySet<string>; readonly words: ReadonlySet<string> } | undefined;
  readonly when: CompiledWhen | undefined;
  readonly arguments: readonly (readonly [name: string, test: ArgumentTest])[] | undefined;
  readonly domain: readonly (readonly [string, string])[] | undefined;
  readonly primaryType: ReadonlySet<string> | undefined;
  readonly format: ReadonlySet<string> | undefined;
  readonly unbounded: boolean;
  readonly quorums: readonly (readonly [group: string, persons: number])[];
  readonly expireAfterMs: number | undefined;
  readonly delayMs: number;
  /** For emergencies: its use is told loudly. */
  readonly breakGlass: boolean;
};

/** Minutes of the day: from the first, before the second. */
export type CompiledWhen = {
  readonly zone: Zone;
  readonly days: ReadonlySet<Weekday> | undefined;
  readonly minutes: readonly [from: number, to: number] | undefined;
  readonly text: string;
};

export type ArgumentTest =
  | { readonly kind: "in"; readonly values: ReadonlySet<string> }
  | { readonly kind: "band"; readonly band: Band }
  | { readonly kind: "to"; readonly to: Destinations };

export type CompiledLimit = Match & {
  readonly name: string;
  readonly of: "client" | "house";
  /** Undefined: counts transactions. */
  readonly asset: Asset | undefined;
  readonly max: bigint;
  readonly maxText: string;
  readonly per: "client" | "key" | "caller" | "destination" | "asset" | "sub-account" | undefined;
  /** Entries after this moment count at that time. */
  readonly windowStartsAt: (now: number) => number;
  readonly windowText: string;
  /** The same as data, for comparing. */
  readonly window:
    | { readonly kind: "lifetime" }
    | { readonly kind: "outstanding" }
    | { readonly kind: "rolling"; readonly lengthMs: number }
    | { readonly kind: "calendar"; readonly unit: CalendarUnit; readonly tz: string };
};

export function compileClient(resolved: ResolvedPolicy): CompiledPolicy {
  const { document } = resolved;
  if (document.kind !== "ClientPolicy") throw wrongKind("ClientPolicy", document);
  const groups = Object.entries(document.groups ?? {}).map(
    ([name, group]) => [name, new Set(membersOf(group) as CallerName[])] as const,
  );
  return {
    ...compileCommon(resolved, "client"),
    of: "client",
    client: document.client as ClientId,
    owner: document.owner,
    exit: exitOf(document.exit, declaredIn(resolved)),
    legalBasis: document.legalBasis,
    signedOutside: document.signedOutside,
    subAccounts: document.omnibus && new Set(document.omnibus.subAccounts as SubAccountName[]),
    groups: new Map(groups),
    consoleGroups: new Set(
      Object.entries(document.groups ?? {}).flatMap(([name, group]) => (isViaConsole(group) ? [name] : [])),
    ),
  };
}

export function compileHouse(resolved: ResolvedPolicy): CompiledHouse {
  const { document } = resolved;
  if (document.kind !== "HousePolicy") throw wrongKind("HousePolicy", document);
  return {
    ...compileCommon(resolved, "house"),
    of: "house",
    policyQuorum: Number(document.policyQuorum ?? "1"),
    policyDelayMs: document.policyDelay ? durationMs(document.policyDelay) : 0,
  };
}

function exitOf(name: string | undefined, { book }: Declared): ReadonlyMap<ChainId, Account> {
  const entry = name === undefined ? undefined : book.get(name);
  const accounts = entry ? (addressesOf(entry.value) as Account[]) : [];
  return new Map(accounts.map((account) => [chainOf(account), account]));
}

/** How many sign a change, and of how many. */
export const quorumOfHouse = ({
  policyQuorum,
  callers,
}: CompiledHouse): { policyQuorum: number; officers: number } => ({
  policyQuorum,
  officers: [...callers.values()].filter(({ role }) => role === "policy-officer").length,
});

const wrongKind = (expected: string, found: PolicyDocument) =>
  new GatewayError("policy-invalid", `expected a \`${expected}\`, found a \`${found.kind}\``);

function compileCommon(resolved: ResolvedPolicy, of: "client" | "house"): Omit<Compiled, "of"> {
  const { document } = resolved;
  const declared = declaredIn(resolved);
  const registry = compileRegistry(declared, resolved);
  const rules = (document.rules ?? []).map((rule) => compileRule(rule, of, registry));
  const allows = rules.filter(({ effect }) => effect === "allow");
  const denies = rules.filter(({ effect }) => effect === "deny");
  return {
    version: Number(document.version),
    hash: policyHash(resolved),
    registry,
    callers: compileCallers(document),
    addresses: compileAddresses(declared),
    allows,
    denies,
    allowIndex: indexRules(allows),
    denyIndex: indexRules(denies),
    limits: Object.entries<LimitDocument>(document.limits ?? {}).map(([name, limit]) =>
      compileLimit(name, limit, of, registry),
    ),
    fees: compileFees(document, registry),
  };
}

function compileRegistry(declared: Declared, { abis, displays }: ResolvedPolicy): AssetRegistry {
  const assets = [...declared.assets].map(([symbol, { value }]) => compileAsset(symbol as AssetSymbol, value));
  const bySymbol = new Map(assets.map((asset) => [asset.symbol, asset]));
  const nativeOf = new Map<ChainId, Asset>();
  const l1FeeMax = new Map<ChainId, bigint>();
  for (const [chain, { value }] of declared.chains) {
    const native = bySymbol.get(value.native as AssetSymbol)!;
    nativeOf.set(chain as ChainId, native);
    if (value.l1Fee) l1FeeMax.set(chain as ChainId, parseAmount(value.l1Fee.max, native.decimals));
  }
  const contracts = [...declared.contracts].map(([name, { value }]): PinnedContract => {
    const [abi, display] = [value.abi && abis.get(value.abi), value.display && displays.get(value.display)];
    const account = value.address as Account;
    return { account, name, kind: value.kind, ...(abi ? { abi } : {}), ...(display ? { display } : {}) };
  });
  return {
    bySymbol,
    nativeOf,
    byContract: new Map(assets.flatMap((asset) => (asset.contract ? [[asset.contract, asset] as const] : []))),
    contracts: new Map(contracts.map((contract) => [contract.account, contract])),
    l1FeeMax,
  };
}

function compileAsset(symbol: AssetSymbol, asset: RegistryAsset): Asset {
  const common = { symbol, chain: asset.chain as ChainId, decimals: Number(asset.decimals), standard: asset.standard };
  if (asset.standard === "native") return common;
  return {
    ...common,
    contract: asset.contract as Account,
    ...(asset.proxy ? { proxy: true } : {}),
    ...("feeOnTransfer" in asset && asset.feeOnTransfer ? { feeOnTransfer: true } : {}),
  };
}

function compileCallers(document: PolicyDocument): Map<CallerName, CompiledCaller> {
  const callers: Readonly<Record<string, ClientPolicy["callers"][string] | HousePolicy["callers"][string]>> =
    document.callers;
  return new Map(
    Object.entries(callers).map(([name, caller]) => [
      name as CallerName,
      {
        role: caller.role,
        keys: caller.keys,
        operatedBy: new Set(("operatedBy" in caller ? (caller.operatedBy ?? []) : []) as CallerName[]),
        ...("subAccount" in caller && caller.subAccount ? { subAccount: caller.subAccount as SubAccountName } : {}),
      },
    ]),
  );
}

function compileAddresses(declared: Declared): Map<Account, KnownAddress> {
  const addresses = new Map<Account, { names: string[]; tags: string[]; coolOffMs: number }>();
  for (const [name, { value: entry }] of declared.book) {
    const coolOffMs = entry.coolOff ? durationMs(entry.coolOff) : 0;
    for (const account of addressesOf(entry) as Account[]) {
      const known = addresses.get(account) ?? { names: [], tags: [], coolOffMs: 0 };
      known.names.push(name);
      known.tags.push(...(entry.tags ?? []));
      known.coolOffMs = Math.max(known.coolOffMs, coolOffMs);
      addresses.set(account, known);
    }
  }
  return addresses;
}

function compileFees(document: PolicyDocument, registry: AssetRegistry): Map<AssetSymbol, bigint | null> {
  return new Map(
    Object.entries(document.fee ?? {}).map(([symbol, cap]) => {
      const { decimals } = registry.bySymbol.get(symbol as AssetSymbol)!;
      return [symbol as AssetSymbol, cap === "uncapped" ? null : parseAmount(cap.max, decimals)];
    }),
  );
}

// ---- rules and limits -------------------------------------------------------------------------------------------

function compileRule(rule: AllowRule | DenyRule, of: "client" | "house", registry: AssetRegistry): CompiledRule {
  const words = isAllow(rule) ? rule.allow : rule.deny;
  return {
    ...compileMatch(rule, registry),
    ...compileAsked(isAllow(rule) ? rule : {}),
    id: rule.id,
    of,
    effect: isAllow(rule) ? "allow" : "deny",
    kinds: new Set<OperationKind>(
      (words as readonly string[]).includes("any") ? OPERATION_KINDS : (words as OperationKind[]),
    ),
    from: rule.from && compileFrom(rule.from),
    chain: rule.chain && new Set(rule.chain as ChainId[]),
    fee: rule.fee && compileBands(rule.fee, registry),
    method: rule.method && compileMethods(rule.method),
    when: rule.when && compileWhen(rule.when),
    arguments:
      rule.arguments && Object.entries(rule.arguments).map(([name, test]) => [name, compileArgument(test)] as const),
    domain: rule.domain && Object.entries(rule.domain),
    primaryType: rule.primaryType && new Set(rule.primaryType),
    format: rule.format && new Set<string>(rule.format),
    unbounded: isAllow(rule) && rule.unbounded === "true",
  };
}

function compileAsked({
  approvals,
  delay,
  breakGlass,
}: Pick<AllowRule, "approvals" | "delay" | "breakGlass">): Pick<
  CompiledRule,
  "quorums" | "expireAfterMs" | "delayMs" | "breakGlass"
> {
  const { expireAfter, ...quorums } = approvals ?? {};
  return {
    quorums: Object.entries(quorums).map(([group, persons]) => [group, Number(persons)] as const),
    expireAfterMs: expireAfter === undefined ? undefined : durationMs(expireAfter),
    delayMs: delay ? durationMs(delay) : 0,
    breakGlass: breakGlass === "true",
  };
}

function compileLimit(
  name: string,
  limit: LimitDocument,
  of: "client" | "house",
  registry: AssetRegistry,
): CompiledLimit {
  const asset = "sum" in limit ? registry.bySymbol.get(limit.sum as AssetSymbol)! : undefined;
  const max = asset ? parseAmount(limit.max, asset.decimals) : BigInt(limit.max);
  return {
    ...compileMatch(limit, registry),
    name,
    of,
    asset,
    max,
    maxText: asset ? formatAmount(max, asset.decimals) : limit.max,
    per: limit.per,
    ...compileWindow(limit.window),
  };
}

function compileWindow(
  window: LimitDocument["window"],
): Pick<CompiledLimit, "windowStartsAt" | "windowText" | "window"> {
  if (window === "lifetime" || window === "outstanding")
    return { windowStartsAt: () => -1, windowText: window, window: { kind: window } };
  if ("rolling" in window) {
    const lengthMs = durationMs(window.rolling);
    return {
      windowStartsAt: (now) => now - lengthMs,
      windowText: `rolling ${window.rolling}`,
      window: { kind: "rolling", lengthMs },
    };
  }
  const zone = zoneOf(window.tz);
  // The first moment of the day, week or month is in the window; what lies before it is not.
  return {
    windowStartsAt: (now) => calendarStart(zone, window.calendar, now) - 1,
    windowText: `calendar ${window.calendar}, ${window.tz}`,
    window: { kind: "calendar", unit: window.calendar, tz: window.tz },
  };
}

function compileWhen({ days, hours, tz }: NonNullable<DenyRule["when"]>): CompiledWhen {
  const minuteOf = (clock: string) => Number(clock.slice(0, 2)) * 60 + Number(clock.slice(3));
  const text = [days?.join(", "), hours, tz].filter(Boolean).join(" ");
  return {
    zone: zoneOf(tz),
    days: days && new Set(days),
    minutes: hours === undefined ? undefined : [minuteOf(hours.slice(0, 5)), minuteOf(hours.slice(6))],
    text,
  };
}

function compileArgument(test: ArgumentDocument): ArgumentTest {
  if ("in" in test) return { kind: "in", values: new Set(test.in) };
  if ("to" in test) return { kind: "to", to: compileDestinations(test.to) };
  return { kind: "band", band: { over: test.over === undefined ? -1n : BigInt(test.over), max: BigInt(test.max) } };
}

function compileMatch(match: Pick<DenyRule, "by" | "key" | "to" | "amount">, registry: AssetRegistry): Match {
  return {
    by: match.by && new Set(match.by as CallerName[]),
    key: match.key && new Set(match.key as KeyName[]),
    to: match.to && compileDestinations(match.to),
    amount: match.amount && compileBands(match.amount, registry),
  };
}

function compileDestinations(words: readonly string[]): Destinations {
  const after = (prefix: string) =>
    new Set(words.filter((word) => word.startsWith(prefix)).map((word) => word.slice(prefix.length)));
  return {
    anyone: words.includes("anyone"),
    own: words.includes("own"),
    house: words.includes("house"),
    clients: after("client:"),
    names: new Set(words.filter((word) => !word.includes(":"))),
    tags: after("tag:"),
    accounts: new Set(words.filter((word) => word.startsWith("eip155:")) as Account[]),
  };
}

function compileFrom(words: readonly string[]): CompiledRule["from"] {
  const prefix = "account:";
  return {
    keys: new Set(words.filter((word) => !word.startsWith(prefix)) as KeyName[]),
    names: new Set(words.filter((word) => word.startsWith(prefix)).map((word) => word.slice(prefix.length))),
  };
}

function compileMethods(words: readonly string[]): CompiledRule["method"] {
  return {
    selectors: new Set(words.map((word) => (word.startsWith("0x") ? word : selectorOf(word)))),
    words: new Set(words),
  };
}

function compileBands(bands: Readonly<Record<string, BandDocument>>, registry: AssetRegistry): Map<AssetSymbol, Band> {
  return new Map(
    Object.entries(bands).map(([symbol, band]) => [
      symbol as AssetSymbol,
      compileBand(band, registry.bySymbol.get(symbol as AssetSymbol)!.decimals),
    ]),
  );
}

function compileBand(band: BandDocument, decimals: number): Band {
  if (band === "any") return { over: -1n, max: undefined };
  return {
    over: band.over === undefined ? -1n : parseAmount(band.over, decimals),
    max: band.max === undefined || band.max === "any" ? undefined : parseAmount(band.max, decimals),
  };
}
