import { addressOf, chainOf, type Account, type ChainId } from "../domain/chain.ts";
import type { Asset } from "../domain/assets.ts";
import type { DecisionFacts } from "../domain/decision.ts";
import type { Operation, OperationKind } from "../domain/intent.ts";
import { MESSAGE_FORMATS, OPERATION_KINDS } from "../domain/intent.ts";
import { HOUSE, type CallerName, type ClientId, type KeyName } from "../domain/names.ts";
import type { ArgumentTest, Band, Compiled, CompiledRule, Destinations } from "./compile.ts";
import { whenHolds } from "./match.ts";
import { UNLIMITED, destinationOf, isUnlimited, movesAsset, type OperationView, type Scene } from "./scene.ts";
import { FIRST_DAY, momentsOf } from "./moments.ts";
import { madeUpAccount } from "./world.ts";

/**
 * Everything that one operation can be, as far as some policies can tell things apart. Rules compare with a closed set
 * of values, so between two of their values nothing changes: one representative of each class stands for all of it.
 * What holds for every atom holds for every operation.
 *
 * Left to the caller: fee caps, limits, approvals, and how long a destination has been held (atoms hold each for ever):
 * one that cools off is allowed by no rule at all.
 */
export type Atom = {
  readonly operation: Operation;
  readonly caller: CallerName;
  readonly key: KeyName;
  readonly keyPurpose: "transactions" | "raw";
  readonly now: number;
  /** The transaction's total of the asset; operations to `own` meet totals of others. */
  readonly total: bigint;
  readonly fee: bigint;
  readonly chain: ChainId;
  /** Whose `to` is. */
  readonly owner: ClientId | undefined;
  /** Whether addresses that stand in arguments have been held for ever, or since now. */
  readonly argumentsHeld: boolean;
};

/** More would take minutes; who asks then has to assume the worst. */
export const MAX_ATOMS = 400_000;

export class TooManyAtoms extends Error {}

/** @throws {TooManyAtoms} if there are more than `MAX_ATOMS` */
export function* atomsOf(
  client: ClientId,
  policies: readonly Compiled[],
  kinds: readonly OperationKind[] = OPERATION_KINDS,
): Generator<Atom> {
  const space = new Space(client, policies);
  let count = 0;
  for (const chain of space.chains) {
    for (const situation of space.situations(chain)) {
      for (const kind of kinds) {
        for (const content of space.contents(kind, chain)) {
          count += 1;
          if (count > MAX_ATOMS)
            throw new TooManyAtoms(`expected at most ${MAX_ATOMS} kinds of operations to tell apart, found more`);
          yield { ...situation, ...content, chain };
        }
      }
    }
  }
}

/** The atom as a policy sees it. */
export function sceneOf(
  atom: Atom,
  policy: Compiled,
  client: ClientId,
): { scene: Scene; view: OperationView; facts: DecisionFacts } {
  const { operation, chain } = atom;
  const own = ownAccount(chain);
  const to = destinationOf(operation);
  const facts: DecisionFacts = {
    now: atom.now,
    client,
    caller: atom.caller,
    key: atom.key,
    keyPurpose: atom.keyPurpose,
    submittedAt: atom.now,
    approvals: [],
    // The view says already whose accounts these are.
    owners: NO_OWNERS,
    heldSince: atom.argumentsHeld ? HELD_FOR_EVER : heldSinceNow(atom.now, to),
    spent: NOTHING_SPENT,
  };
  const feeAsset = policy.registry.nativeOf.get(chain);
  const view: OperationView = {
    index: 0,
    operation,
    asset: movesAsset(operation) ? policy.registry.bySymbol.get(operation.asset) : undefined,
    total: atom.total,
    unlimited: isUnlimited(operation),
    to,
    owner: atom.owner,
    toOwn: atom.owner === client,
    fromOwn: operation.from === own,
    known: to && policy.addresses.get(to),
  };
  const intent = {
    chain,
    account: own,
    operations: [operation],
    fee: { asset: feeAsset?.symbol as never, max: atom.fee },
    claims: [],
  };
  return { scene: { policy, intent, facts, operations: [view], feeAsset }, view, facts };
}

/** All addresses but the destination. */
const heldSinceNow = (now: number, to: Account | undefined): DecisionFacts["heldSince"] =>
  ({ get: (account: Account) => (account === to ? 0 : now) }) as unknown as DecisionFacts["heldSince"];

const NO_OWNERS: DecisionFacts["owners"] = new Map();
const NOTHING_SPENT: DecisionFacts["spent"] = new Map();
/** Since the beginning of time, for every account there is. */
const HELD_FOR_EVER = { get: () => 0 } as unknown as DecisionFacts["heldSince"];

const ownAccounts = new Map<ChainId, Account>();

export function ownAccount(chain: ChainId): Account {
  const account = ownAccounts.get(chain) ?? madeUpAccount(chain, "own");
  ownAccounts.set(chain, account);
  return account;
}

/** An address, and whose it is. */
type Owned = { readonly to: Account; readonly owner: ClientId | undefined };
type Situation = Pick<Atom, "caller" | "key" | "now" | "fee">;
type Content = Pick<Atom, "operation" | "total" | "owner" | "keyPurpose" | "argumentsHeld">;

class Space {
  readonly chains: readonly ChainId[];
  readonly #client: ClientId;
  readonly #policies: readonly Compiled[];
  readonly #rules: readonly CompiledRule[];
  readonly #destinations = new Map<ChainId, readonly Owned[]>();
  readonly #moments: readonly number[];

  constructor(client: ClientId, policies: readonly Compiled[]) {
    this.#client = client;
    this.#policies = policies;
    this.#rules = policies.flatMap(({ allows, denies }) => [...allows, ...denies]);
    this.#moments = this.#times();
    this.chains = [...new Set(policies.flatMap(({ registry }) => [...registry.nativeOf.keys()]))];
    for (const chain of this.chains) this.#destinations.set(chain, [...this.#destinationsOn(chain)]);
  }

  *situations(chain: ChainId): Generator<Situation> {
    for (const caller of this.#callers()) {
      for (const key of this.#keys()) {
        for (const now of this.#moments) {
          for (const fee of this.#fees(chain)) yield { caller, key, now, fee };
        }
      }
    }
  }

  *contents(kind: OperationKind, chain: ChainId): Generator<Content> {
    for (const from of this.#sources(chain)) {
      switch (kind) {
        case "transfer":
        case "allowance":
          yield* this.#moves(kind, from, chain);
          break;
        case "call":
        case "delegate":
        case "govern":
          yield* this.#actsOn(kind, from, chain);
          break;
        case "deploy":
          yield { ...BARE, operation: { kind, from } };
          break;
        case "message":
          for (const format of MESSAGE_FORMATS) yield { ...BARE, operation: { kind, from, format } };
          break;
        case "typed-data":
          for (const domain of this.#domains()) {
            for (const primaryType of this.#words(({ primaryType: types }) => types))
              yield { ...BARE, operation: { kind, from, domain, primaryType } };
          }
          break;
        case "raw-digest":
          for (const keyPurpose of ["transactions", "raw"] as const)
            yield { ...BARE, keyPurpose, operation: { kind, from } };
          break;
        default:
          kind satisfies never;
      }
    }
  }

  *#moves(kind: "transfer" | "allowance", from: Account, chain: ChainId): Generator<Content> {
    for (const asset of this.#assets(chain)) {
      const totals = this.#totals(asset);
      for (const { to, owner } of this.#destinations.get(chain)!) {
        for (const total of totals)
          yield { ...BARE, owner, total, operation: { kind, asset: asset.symbol, from, to, amount: total } };
        if (kind === "allowance") {
          yield {
            ...BARE,
            owner,
            total: UNLIMITED,
            operation: { kind, asset: asset.symbol, from, to, amount: (1n << 256n) - 1n, unlimited: true },
          };
        }
      }
    }
  }

  *#actsOn(kind: "call" | "delegate" | "govern", from: Account, chain: ChainId): Generator<Content> {
    for (const { to, owner } of this.#destinations.get(chain)!) {
      if (kind === "delegate") yield { ...BARE, owner, operation: { kind, from, to } };
      if (kind === "govern") {
        for (const method of this.#words(({ method: methods }) => methods?.words))
          yield { ...BARE, owner, operation: { kind, from, to, method } };
      }
      if (kind !== "call") continue;
      for (const selector of this.#words(({ method: methods }) => methods?.selectors)) {
        yield { ...BARE, owner, operation: { kind, from, to, selector } };
        for (const given of this.#arguments(chain)) {
          const operation: Operation = { kind, from, to, selector, method: { signature: selector, arguments: given } };
          for (const argumentsHeld of Object.keys(given).length > 0 ? [true, false] : [true])
            yield { ...BARE, owner, argumentsHeld, operation };
        }
      }
    }
  }

  // ---- the values of each dimension ----------------------------------------------------------------------------

  #callers(): CallerName[] {
    const names = this.#policies.flatMap(({ callers }) =>
      [...callers].filter(([, { role }]) => role === "wallet-service").map(([name]) => name),
    );
    return [
      ...new Set([
        ...names,
        ...this.#policies.filter(({ of }) => of === "house").flatMap(() => this.#words(({ by }) => by) as CallerName[]),
      ]),
    ];
  }

  #keys(): KeyName[] {
    return this.#words(({ key, from }) => [...(key ?? []), ...(from?.keys ?? [])]) as KeyName[];
  }

  #sources(chain: ChainId): Account[] {
    const named = new Set(this.#rules.flatMap(({ from }) => [...(from?.names ?? [])]));
    if (named.size === 0) return [ownAccount(chain)];
    const accounts = this.#policies
      .flatMap(({ addresses }) => [...addresses])
      .filter(([account, { names }]) => chainOf(account) === chain && names.some((name) => named.has(name)));
    return [
      ownAccount(chain),
      ...firstOfEach(
        accounts.map(([account]) => account),
        (account) =>
          this.#policies
            .map(({ addresses }) =>
              addresses
                .get(account)
                ?.names.filter((name) => named.has(name))
                .toSorted()
                .join(),
            )
            .join("|"),
      ),
    ];
  }

  #assets(chain: ChainId): Asset[] {
    const assets = this.#policies
      .flatMap(({ registry }) => [...registry.bySymbol.values()])
      .filter((asset) => asset.chain === chain);
    return [...new Map(assets.map((asset) => [asset.symbol, asset])).values()];
  }

  #totals(asset: Asset): bigint[] {
    const bands = [...this.#rules, ...this.#policies.flatMap(({ limits }) => limits)].flatMap(({ amount }) =>
      amount?.get(asset.symbol) ? [amount.get(asset.symbol)!] : [],
    );
    return edgesOf(bands, 1n);
  }

  #fees(chain: ChainId): bigint[] {
    const native = this.#policies.map(({ registry }) => registry.nativeOf.get(chain)?.symbol);
    return edgesOf(
      this.#rules.flatMap(({ fee }) =>
        native.flatMap((symbol) => (symbol && fee?.get(symbol) ? [fee.get(symbol)!] : [])),
      ),
      0n,
    );
  }

  /** One moment for each set of `when`s that hold together. */
  #times(): number[] {
    const whens = this.#rules.flatMap(({ when }) => (when ? [when] : []));
    if (whens.length === 0) return [FIRST_DAY];
    return firstOfEach(momentsOf(whens), (now) => whens.map((when) => Number(whenHolds(when, now))).join(""));
  }

  #domains(): Record<string, string>[] {
    const values = new Map<string, Set<string>>();
    for (const [field, value] of this.#rules.flatMap(({ domain }) => domain ?? []))
      values.set(field, (values.get(field) ?? new Set()).add(value));
    return product([...values].map(([field, some]) => [field, [undefined, ...some]] as const));
  }

  #arguments(chain: ChainId): Record<string, string>[] {
    const tests = new Map<string, ArgumentTest[]>();
    for (const [name, test] of this.#argumentTests()) tests.set(name, [...(tests.get(name) ?? []), test]);
    return product([...tests].map(([name, list]) => [name, this.#argumentValues(list, chain)] as const));
  }

  #argumentTests(): (readonly [name: string, test: ArgumentTest])[] {
    return this.#rules.flatMap((rule) => rule.arguments ?? []);
  }

  /** All tests of one argument: a value that one test lists is told apart from its neighbours in another's band. */
  #argumentValues(tests: readonly ArgumentTest[], chain: ChainId): string[] {
    const listed = tests.flatMap((test) => (test.kind === "in" ? [...test.values] : []));
    const points = listed.filter((value) => /^[0-9]{1,78}$/.test(value)).map(BigInt);
    const bands = tests.flatMap((test) => (test.kind === "band" ? [test.band] : []));
    const numbers =
      bands.length > 0 ? edgesOf([...bands, ...points.map((point) => ({ over: point - 1n, max: point }))], 0n) : [];
    const addresses = tests.some(({ kind }) => kind === "to")
      ? this.#destinations.get(chain)!.map(({ to }) => addressOf(to))
      : [];
    return [...new Set([NOT_LISTED, ...listed, ...numbers.map(String), ...addresses])];
  }

  /** One address of each class that no rule or limit tells apart, with each owner that it could have. */
  *#destinationsOn(chain: ChainId): Generator<Owned> {
    const all = [
      ...this.#rules.map(({ to }) => to),
      ...this.#rules.flatMap((rule) =>
        (rule.arguments ?? []).map(([, test]) => (test.kind === "to" ? test.to : undefined)),
      ),
      ...this.#policies.flatMap(({ limits }) => limits.map(({ to }) => to)),
    ];
    const named = all.filter((to): to is Destinations => to !== undefined);
    const words = {
      names: new Set(named.flatMap(({ names }) => [...names])),
      tags: new Set(named.flatMap(({ tags }) => [...tags])),
      accounts: new Set([...named.flatMap(({ accounts }) => [...accounts]), ...this.#listedAccounts(chain)]),
    };
    const known = [...this.#policies.flatMap(({ addresses }) => [...addresses.keys()]), ...words.accounts].filter(
      (account) => chainOf(account) === chain,
    );
    const signature = (account: Account) =>
      this.#policies
        .map(({ addresses }) => {
          const entry = addresses.get(account);
          return `${
            entry?.names
              .filter((name) => words.names.has(name))
              .toSorted()
              .join() ?? ""
          }/${
            entry?.tags
              .filter((tag) => words.tags.has(tag))
              .toSorted()
              .join() ?? ""
          }`;
        })
        .join("|") + (words.accounts.has(account) ? account : "");
    const accounts = firstOfEach(known, signature);
    const clients = new Set(named.flatMap(({ clients: others }) => [...others]));
    for (const to of [...accounts, madeUpAccount(chain, "stranger")]) {
      yield { to, owner: undefined };
      for (const owner of [this.#client, HOUSE, ...clients, ANOTHER]) yield { to, owner: owner as ClientId };
    }
  }

  /** Of the address books: those that an argument may be because a rule lists them as values. */
  #listedAccounts(chain: ChainId): Account[] {
    const values = this.#argumentTests().flatMap(([, test]) => (test.kind === "in" ? [...test.values] : []));
    const books = this.#policies.map(({ addresses }) => addresses);
    return values
      .map((value) => `${chain}:${value}` as Account)
      .filter((account) => books.some((book) => book.has(account)));
  }

  /** All words that some rule compares with, and one that none does. */
  #words(of: (rule: CompiledRule) => Iterable<string> | undefined): string[] {
    return [...new Set(this.#rules.flatMap((rule) => [...(of(rule) ?? [])])), ANOTHER];
  }
}

/** Every way to give each field one of its values; undefined leaves it out. */
function product(
  fields: readonly (readonly [name: string, values: readonly (string | undefined)[]])[],
): Record<string, string>[] {
  let all: Record<string, string>[] = [{}];
  for (const [name, values] of fields) {
    all = all.flatMap((given) => values.map((value) => (value === undefined ? given : { ...given, [name]: value })));
    if (all.length > MAX_ATOMS) throw new TooManyAtoms("expected fewer combinations of values to tell apart");
  }
  return all;
}

const BARE = { total: 0n, owner: undefined, keyPurpose: "transactions", argumentsHeld: true } as const;
/** A word that no document can contain. */
export const ANOTHER = "(another)";

/** Longer than any value that a document can list. */
const NOT_LISTED = "?".repeat(201);

/** Where a band begins and ends, and what lies just beyond: between two of these no band tells amounts apart. */
function edgesOf(bands: readonly Band[], least: bigint): bigint[] {
  const edges = bands.flatMap(({ over, max }) => [over, over + 1n, ...(max === undefined ? [] : [max, max + 1n])]);
  return [...new Set([least, 0n, ...edges.filter((edge) => edge >= 0n)])].toSorted((a, b) => (a < b ? -1 : 1));
}

function firstOfEach<T>(items: readonly T[], classOf: (item: T) => string): T[] {
  const first = new Map<string, T>();
  for (const item of items) {
    const name = classOf(item);
    if (!first.has(name)) first.set(name, item);
  }
  return [...first.values()];
}
