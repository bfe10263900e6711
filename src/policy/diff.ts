import type { Account } from "../domain/chain.ts";
import { OPERATION_KINDS } from "../domain/intent.ts";
import type { CallerName, ClientId } from "../domain/names.ts";
import { TooManyAtoms, atomsOf, sceneOf, type Atom } from "./atoms.ts";
import type { Compiled, CompiledHouse, CompiledPolicy, CompiledRule } from "./compile.ts";
import { atomText } from "./atom-text.ts";
import { dominates, limitText } from "./limit-order.ts";
import { mismatchOf } from "./match.ts";
import { diffOmnibus } from "./omnibus.ts";
import { askedBy, type Asked } from "./quorum.ts";
import { asksAtLeast } from "./quorum-order.ts";

/**
 * What changes between two versions of a document. `tightening` is a proof: no request that the new version allows
 * would have been denied, or asked for more, by the old one; so it may be active at once. What cannot be proved counts
 * as loosening.
 */
export type PolicyDiff = {
  readonly verdict: "none" | "tightening" | "loosening" | "mixed";
  readonly changes: readonly Change[];
};

export type Change = {
  readonly kind:
    | "newly-permitted"
    | "break-glass"
    | "newly-denied"
    | "asks-less"
    | "asks-more"
    | "limit-looser"
    | "limit-tighter"
    | "fee-looser"
    | "fee-tighter"
    | "authority-wider"
    | "authority-narrower"
    | "address-book"
    | "registry"
    | "unproved";
  readonly direction: "tightening" | "loosening";
  readonly text: string;
  /** How many classes of operations it is about; `text` shows the first. */
  readonly count?: number;
};

/** @param withinMs for the proof; what it has not proven by then is `unproved` */
export function diffPolicies(before: CompiledPolicy, after: CompiledPolicy, withinMs = Infinity): PolicyDiff {
  const pair = { before, after };
  return verdictOf([
    ...(before.owner === after.owner ? [] : [loosening("authority-wider", "whose the assets are changes")]),
    ...diffExit(before, after),
    ...diffLegalBasis(pair),
    ...diffSignedOutside(pair),
    ...diffOmnibus(pair).map(({ direction, text }) =>
      direction === "loosening" ? loosening("authority-wider", text) : tightening("authority-narrower", text),
    ),
    ...diffAuthority(pair),
    ...diffRegistry(pair),
    ...diffBook(pair),
    ...diffRules(pair, after.client, { before: waysIn(before), after: waysIn(after) }, withinMs),
    ...diffFees(pair, true),
    ...diffLimits(pair),
  ]);
}

/** It allows nothing by itself, but everything is brought there: it does not change without those who wait for it. */
function diffExit({ exit: before }: CompiledPolicy, { exit: after }: CompiledPolicy): Change[] {
  const moved = [...after].filter(([chain, account]) => before.get(chain) !== account);
  return moved.map(([chain, account]) =>
    loosening("authority-wider", `on \`${chain}\` everything is returned to \`${account}\``),
  );
}

/** The house denies, limits and runs the gateway: all that is not denied counts as permitted. */
export function diffHouses(before: CompiledHouse, after: CompiledHouse, withinMs = Infinity): PolicyDiff {
  const pair = { before, after };
  const quorum = compare(
    "policyQuorum",
    after.policyQuorum - before.policyQuorum,
    `${before.policyQuorum} to ${after.policyQuorum}`,
  );
  const delay = compare(
    "policyDelay",
    after.policyDelayMs - before.policyDelayMs,
    `${before.policyDelayMs} ms to ${after.policyDelayMs} ms`,
  );
  return verdictOf([
    ...quorum,
    ...delay,
    ...diffAuthority(pair),
    ...diffRegistry(pair),
    ...diffRules(pair, SOME_CLIENT, { before: new Map(), after: new Map() }, withinMs),
    ...diffFees(pair, false),
    ...diffLimits(pair),
  ]);
}

/** For the house every client is another; none can have this name. */
const SOME_CLIENT = "(client)" as ClientId;

type Pair<P extends Compiled = Compiled> = { readonly before: P; readonly after: P };
type Groups = CompiledPolicy["groups"];

function verdictOf(changes: readonly Change[]): PolicyDiff {
  const directions = new Set(changes.map(({ direction }) => direction));
  const [only] = directions;
  return { verdict: only === undefined ? "none" : directions.size === 1 ? only : "mixed", changes };
}

const loosening = (kind: Change["kind"], text: string): Change => ({ kind, direction: "loosening", text });
const tightening = (kind: Change["kind"], text: string): Change => ({ kind, direction: "tightening", text });

const compare = (what: string, difference: number, text: string): Change[] => {
  if (difference === 0) return [];
  return [
    difference > 0
      ? tightening("authority-narrower", `${what} grows from ${text}`)
      : loosening("authority-wider", `${what} falls from ${text}`),
  ];
};

// ---- callers, assets, addresses ---------------------------------------------------------------------------------

/** No request is decided by it, and it is no tightening either: what clients were promised changes with it. */
function diffLegalBasis({ before, after }: Pair<CompiledPolicy>): Change[] {
  const text = ({ legalBasis: basis }: CompiledPolicy) => (basis ? `${basis.kind}: ${basis.reference}` : "none");
  if (text(before) === text(after)) return [];
  return [loosening("authority-wider", `the legal basis becomes ${text(after)}, was ${text(before)}`)];
}

function diffSignedOutside({ before, after }: Pair<CompiledPolicy>): Change[] {
  if (before.signedOutside === after.signedOutside) return [];
  return [
    after.signedOutside === undefined
      ? loosening("authority-wider", "what was signed outside freezes the client no more")
      : tightening("authority-narrower", "what was signed outside freezes the client"),
  ];
}

/** A new identity, role or key is new authority; also one that may only read. */
function diffAuthority({ before, after }: Pair): Change[] {
  const changes: Change[] = [];
  for (const [name, caller] of after.callers) {
    const old = before.callers.get(name);
    if (!old) changes.push(loosening("authority-wider", `caller \`${name}\` (${caller.role}) is new`));
    else if (old.role !== caller.role)
      changes.push(loosening("authority-wider", `caller \`${name}\` becomes ${caller.role}, was ${old.role}`));
    const added = old ? caller.keys.filter((key) => !old.keys.includes(key)) : [];
    if (added.length > 0) changes.push(loosening("authority-wider", `caller \`${name}\` has a new key`));
  }
  for (const [name, caller] of before.callers) {
    const now = after.callers.get(name);
    if (!now) changes.push(tightening("authority-narrower", `caller \`${name}\` (${caller.role}) is gone`));
    else if (caller.keys.some((key) => !now.keys.includes(key)))
      changes.push(tightening("authority-narrower", `caller \`${name}\` loses a key`));
  }
  return changes;
}

/** Another registry makes other operations of the same bytes; what that opens is not worked out. */
function diffRegistry({ before, after }: Pair): Change[] {
  const changes: Change[] = [];
  const text = (value: unknown) => JSON.stringify(value);
  const symbols = new Set([...before.registry.bySymbol.keys(), ...after.registry.bySymbol.keys()]);
  for (const symbol of symbols) {
    const [old, now] = [before.registry.bySymbol.get(symbol), after.registry.bySymbol.get(symbol)];
    if (text(old) !== text(now))
      changes.push(loosening("registry", `asset \`${symbol}\` ${!old ? "is new" : !now ? "is gone" : "is another"}`));
  }
  for (const chain of new Set([...before.registry.nativeOf.keys(), ...after.registry.nativeOf.keys()])) {
    if (before.registry.nativeOf.has(chain) !== after.registry.nativeOf.has(chain))
      changes.push(
        loosening("registry", `chain \`${chain}\` ${after.registry.nativeOf.has(chain) ? "is new" : "is gone"}`),
      );
  }
  const l1Fees = ({ registry }: Compiled) => String([...(registry.l1FeeMax ?? [])].sort());
  if (l1Fees(before) !== l1Fees(after)) changes.push(loosening("registry", "the bounds of publishing fees are others"));
  const contracts = ({ registry }: Compiled) =>
    text([...(registry.contracts ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  if (contracts(before) !== contracts(after)) changes.push(loosening("registry", "the pinned contracts are others"));
  return changes;
}

/** What rules do with an address is compared with the rules; here only how long it must have been held. */
function diffBook({ before, after }: Pair): Change[] {
  const changes: Change[] = [];
  const inArguments = [before, after].some(testsAddresses);
  for (const [account, old] of before.addresses) {
    const now = after.addresses.get(account);
    const [was, is] = [old.coolOffMs, now?.coolOffMs ?? 0];
    if (was === is || (!now && !reachedAnyway(after, account))) continue;
    const text = `the cool-off of \`${account}\` (${old.names.join(", ")}) is ${is > was ? "longer" : now ? "shorter" : "gone, and a rule reaches it"}`;
    if (is > was) changes.push(tightening("address-book", text));
    // While an argument's address cools off its rule does not match, and another may that asks for less.
    if (is < was || inArguments) changes.push(loosening("address-book", text));
  }
  return changes;
}

const testsAddresses = ({ allows }: Compiled): boolean =>
  allows.some((rule) => rule.arguments?.some(([, test]) => test.kind === "to"));

/** Whether an allow rule reaches an address that is in no address book. */
const reachedAnyway = (policy: Compiled, account: Account): boolean =>
  testsAddresses(policy) ||
  policy.allows.some(
    ({ to }) => to && (to.anyone || to.own || to.house || to.clients.size > 0 || to.accounts.has(account)),
  );

// ---- rules ------------------------------------------------------------------------------------------------------

type Standing = { readonly permitted: boolean; readonly asked: Asked };

function diffRules(
  pair: Pair,
  client: ClientId,
  groups: { readonly before: Groups; readonly after: Groups },
  withinMs: number,
): Change[] {
  const found = new Map<Change["kind"], { first: Atom; count: number }>();
  const note = (kind: Change["kind"], atom: Atom) => {
    const entry = found.get(kind);
    if (entry) entry.count += 1;
    else found.set(kind, { first: atom, count: 1 });
  };
  const order = new AskOrder(pair, groups.before, groups.after);
  const until = performance.now() + withinMs;
  try {
    for (const atom of atomsOf(client, [pair.before, pair.after], OPERATION_KINDS)) {
      if (performance.now() > until) throw new TooManyAtoms(`it takes longer than ${withinMs} ms`);
      classify(atom, pair, client, order, note);
    }
  } catch (error) {
    if (!(error instanceof TooManyAtoms)) throw error;
    return [loosening("unproved", `what changes is too much to be proved: ${error.message}`)];
  }
  return [...found].map(([kind, { first, count }]) => ({
    kind,
    direction: LOOSENING.has(kind) ? "loosening" : "tightening",
    text: `${RULE_TEXTS[kind]}: ${atomText(first, pair.after)}`,
    count,
  }));
}

const LOOSENING: ReadonlySet<Change["kind"]> = new Set(["newly-permitted", "break-glass", "asks-less"]);

const RULE_TEXTS: Partial<Record<Change["kind"], string>> = {
  "newly-permitted": "is permitted now and was not",
  "break-glass": "is permitted now by breaking the glass, and was not",
  "newly-denied": "was permitted and is not now",
  "asks-less": "asks for less than it did",
  "asks-more": "asks for more than it did",
};

function classify(
  atom: Atom,
  { before, after }: Pair,
  client: ClientId,
  order: AskOrder,
  note: (kind: Change["kind"], atom: Atom) => void,
): void {
  const [old, now] = [standingOf(atom, before, client), standingOf(atom, after, client)];
  if (!old.permitted && !now.permitted) return;
  if (!old.permitted) return note(now.asked.breakGlass ? "break-glass" : "newly-permitted", atom);
  if (!now.permitted) return note("newly-denied", atom);
  if (!order.asksAtLeast(now.asked, old.asked, atom.caller, "after")) note("asks-less", atom);
  if (!order.asksAtLeast(old.asked, now.asked, atom.caller, "before")) note("asks-more", atom);
}

const NOTHING_ASKED: Asked = askedBy([]);

function standingOf(atom: Atom, policy: Compiled, client: ClientId): Standing {
  const { scene, view, facts } = sceneOf(atom, policy, client);
  const matches = (rule: CompiledRule) => mismatchOf(rule, scene, view, facts) === undefined;
  const no = { permitted: false, asked: NOTHING_ASKED };
  if (policy.of === "client" && policy.callers.get(atom.caller)?.role !== "wallet-service") return no;
  if (view.asset === undefined && policy.of === "client" && "asset" in atom.operation) return no;
  if (policy.denies.some(matches)) return no;
  if (policy.of === "house") return { permitted: true, asked: NOTHING_ASKED };
  const allowing = policy.allows.filter(matches);
  return { permitted: allowing.length > 0, asked: askedBy(allowing) };
}

/** Remembers comparisons: the same two questions come up for thousands of atoms. */
class AskOrder {
  readonly #known = new Map<string, boolean>();
  readonly #approvers: {
    readonly before: (caller: CallerName) => Groups;
    readonly after: (caller: CallerName) => Groups;
  };

  constructor({ before, after }: Pair, groupsBefore: Groups, groupsAfter: Groups) {
    this.#approvers = { before: eligible(before, groupsBefore), after: eligible(after, groupsAfter) };
  }

  /** Whether every set of approvals that satisfies `strict` satisfies `lax` too. */
  asksAtLeast(strict: Asked, lax: Asked, caller: CallerName, side: "before" | "after"): boolean {
    if (lax.expireAfterMs === undefined) return true;
    const id = `${side} ${caller} ${textOf(strict)} ${textOf(lax)}`;
    let known = this.#known.get(id);
    if (known === undefined) {
      const other = side === "before" ? "after" : "before";
      known = asksAtLeast(
        { asked: strict, groups: this.#approvers[side](caller) },
        { asked: lax, groups: this.#approvers[other](caller) },
      );
      this.#known.set(id, known);
    }
    return known;
  }
}

const textOf = ({ quorums, delayMs, expireAfterMs, breakGlass }: Asked): string =>
  `${[...quorums].toSorted().join(";")},${delayMs},${expireAfterMs},${breakGlass}`;

/** Who counts in each group for a caller's requests. */
const eligible =
  (policy: Compiled, groups: Groups) =>
  (caller: CallerName): Groups => {
    const out = policy.callers.get(caller)?.operatedBy ?? new Set();
    const counts = (way: string) => {
      const person = way.replace(VIA_CONSOLE, "") as CallerName;
      return person !== caller && !out.has(person) && policy.callers.get(person)?.role === "approver";
    };
    return new Map([...groups].map(([name, members]) => [name, new Set([...members].filter(counts))]));
  };

const VIA_CONSOLE = " by console";

/** Each member, and once more where an approval made on a web page counts: that opens another way to the same place. */
const waysIn = ({ groups, consoleGroups }: CompiledPolicy): Groups =>
  new Map(
    [...groups].map(([name, members]) => {
      const byConsole = consoleGroups.has(name)
        ? [...members].map((person) => `${person}${VIA_CONSOLE}` as CallerName)
        : [];
      return [name, new Set([...members, ...byConsole])];
    }),
  );

// ---- fees and limits --------------------------------------------------------------------------------------------

/** Without a cap a client pays no fee at all; the house without one leaves it to the client. */
function diffFees({ before, after }: Pair, absentIsNone: boolean): Change[] {
  const changes: Change[] = [];
  for (const asset of new Set([...before.fees.keys(), ...after.fees.keys()])) {
    const [old, now] = [before, after].map(({ fees }) =>
      fees.has(asset) ? (fees.get(asset) ?? Infinity) : absentIsNone ? 0n : Infinity,
    ) as [bigint | number, bigint | number];
    if (now > old) changes.push(loosening("fee-looser", `the fee cap of \`${asset}\` is higher`));
    if (now < old) changes.push(tightening("fee-tighter", `the fee cap of \`${asset}\` is lower`));
  }
  return changes;
}

/** A limit may go where another stands that counts at least as much, over at least as long, up to at most as much. */
function diffLimits({ before, after }: Pair): Change[] {
  const inBook = ({ limits, addresses: book }: Compiled) => limits.map((limit) => ({ limit, book }));
  const [old, now] = [inBook(before), inBook(after)];
  const lost = old.filter((weak) => !now.some((strong) => dominates(strong, weak)));
  const gained = now.filter((weak) => !old.some((strong) => dominates(strong, weak)));
  return [
    ...lost.map(({ limit }) =>
      loosening("limit-looser", `nothing holds any more what limit \`${limit.name}\` held: ${limitText(limit)}`),
    ),
    ...gained.map(({ limit }) =>
      tightening("limit-tighter", `limit \`${limit.name}\` holds what nothing held: ${limitText(limit)}`),
    ),
  ];
}
