import type { Account } from "../domain/chain.ts";
import type { DecisionFacts } from "../domain/decision.ts";
import type { Operation } from "../domain/intent.ts";
import { HOUSE } from "../domain/names.ts";
import type {
  ArgumentTest,
  Band,
  CompiledLimit,
  CompiledRule,
  CompiledWhen,
  Destinations,
  KnownAddress,
} from "./compile.ts";
import { minuteOfDayAt, weekdayAt } from "./zone.ts";
import { movesAsset, type OperationView, type Scene } from "./scene.ts";

/**
 * Whether a rule matches an operation: which field fails first, as a word and not as a sentence. This runs for every
 * rule of every request; sentences are made in `explain.ts`, for those who ask. The order is from cheap to dear, and
 * from "another rule is meant" to "this rule, but not so": the rule that gets farthest is the nearest.
 */
export const MISMATCHES = [
  "operation",
  "caller",
  "key",
  "chain",
  "from",
  "when",
  "method",
  "argument",
  "domain",
  "primary-type",
  "format",
  "to",
  "held-unknown",
  "cooling-off",
  "amount",
  "fee",
  "unbounded",
  "key-purpose",
] as const;
export type Mismatch = (typeof MISMATCHES)[number];

/** @returns the first field that does not hold, or undefined if the rule matches */
export function mismatchOf(
  rule: CompiledRule,
  scene: Scene,
  view: OperationView,
  facts: DecisionFacts,
): Mismatch | undefined {
  const { operation } = view;
  if (!rule.kinds.has(operation.kind)) return "operation";
  if (rule.by && !rule.by.has(facts.caller)) return "caller";
  if (rule.key && !rule.key.has(facts.key)) return "key";
  if (rule.chain && !rule.chain.has(scene.intent.chain)) return "chain";
  if (!fromHolds(rule, scene, view, facts)) return "from";
  if (rule.when && !whenHolds(rule.when, facts.now)) return "when";
  return (
    contentMismatch(rule, operation) ??
    argumentMismatch(rule, scene, operation, facts) ??
    destinationMismatch(rule, view, facts) ??
    amountMismatch(rule, scene, view) ??
    (rule.effect === "allow" ? boundMismatch(rule, view, facts) : undefined)
  );
}

// ---- from -------------------------------------------------------------------------------------------------------

function fromHolds(rule: CompiledRule, scene: Scene, view: OperationView, facts: DecisionFacts): boolean {
  const allows = rule.effect === "allow";
  // I13: an allow rule that names no account spends from this client's accounts alone.
  if (!rule.from) return !allows || view.fromOwn;
  if (rule.from.keys.has(facts.key) && (view.fromOwn || !allows)) return true;
  return rule.from.names.size > 0 && isNamed(rule.from.names, scene.policy.addresses.get(view.operation.from));
}

const isNamed = (names: ReadonlySet<string>, known: KnownAddress | undefined): boolean =>
  known !== undefined && known.names.some((name) => names.has(name));

export function whenHolds({ zone, days, minutes }: CompiledWhen, now: number): boolean {
  if (days && !days.has(weekdayAt(zone, now))) return false;
  if (!minutes) return true;
  const minute = minuteOfDayAt(zone, now);
  return minute >= minutes[0] && minute < minutes[1];
}

// ---- to ---------------------------------------------------------------------------------------------------------

function destinationMismatch(rule: CompiledRule, view: OperationView, facts: DecisionFacts): Mismatch | undefined {
  if (!rule.to) return undefined;
  if (rule.effect === "deny") return reaches(rule.to, view) ? undefined : "to";
  return allowedDestination(rule.to, view, facts);
}

/** What a deny rule or a limit means by its destinations: every way in which an address can be named. */
export function reaches(to: Destinations, view: OperationView): boolean {
  return to.anyone || ownerNamed(to, view) || bookNamed(to, view);
}

/** An allow rule never reaches another client or the house by an address or a book name (sentence 8). */
function allowedDestination(to: Destinations, view: OperationView, facts: DecisionFacts): Mismatch | undefined {
  const mayBeAnyone = view.owner === undefined || view.toOwn;
  const reached = ownerNamed(to, view) || (mayBeAnyone && (to.anyone || bookNamed(to, view)));
  // By whatever word it is reached: else, while an address cools off, a rule that asks for people would not match and
  // one that asks for nobody would.
  return reached ? coolingOff(view, facts) : "to";
}

function ownerNamed(to: Destinations, view: OperationView): boolean {
  if (view.toOwn) return to.own;
  if (view.owner === undefined) return false;
  return view.owner === HOUSE ? to.house : to.clients.has(view.owner);
}

type Named = Pick<OperationView, "known" | "to">;

export function bookNamed(to: Destinations, { known, to: account }: Named): boolean {
  if (account !== undefined && to.accounts.has(account)) return true;
  return (
    known !== undefined &&
    (isNamed(to.names, known) || (to.tags.size > 0 && known.tags.some((tag) => to.tags.has(tag))))
  );
}

function coolingOff({ known, to }: Named, facts: DecisionFacts): Mismatch | undefined {
  if (!known || known.coolOffMs === 0) return undefined;
  const since = facts.heldSince.get(to!);
  if (since === undefined) return "held-unknown";
  return facts.now - since >= known.coolOffMs ? undefined : "cooling-off";
}

// ---- amount and fee ---------------------------------------------------------------------------------------------

function amountMismatch(rule: CompiledRule, scene: Scene, view: OperationView): Mismatch | undefined {
  // An allow rule's amount says nothing of operations that move no asset; a deny rule's selects those that do.
  const applies = rule.amount !== undefined && (movesAsset(view.operation) || rule.effect === "deny");
  if (applies && !amountHolds(rule.amount, view)) return "amount";
  if (!rule.fee) return undefined;
  const band = scene.feeAsset && rule.fee.get(scene.feeAsset.symbol);
  return band && inBand(scene.intent.fee.max, band) ? undefined : "fee";
}

function amountHolds(amount: ReadonlyMap<string, Band>, view: OperationView): boolean {
  const band = view.asset && amount.get(view.asset.symbol);
  return band !== undefined && inBand(view.total, band);
}

/** Sentence 3: `over` excludes, `max` includes. */
export const inBand = (amount: bigint, band: Band): boolean =>
  amount > band.over && (band.max === undefined || amount <= band.max);

// ---- what is called or signed -----------------------------------------------------------------------------------

function contentMismatch(rule: CompiledRule, operation: Operation): Mismatch | undefined {
  switch (operation.kind) {
    case "call":
      return !rule.method || rule.method.selectors.has(operation.selector) ? undefined : "method";
    case "govern":
      return !rule.method || rule.method.words.has(operation.method) ? undefined : "method";
    case "typed-data":
      if (
        rule.domain &&
        !rule.domain.every(
          ([field, value]) => Object.hasOwn(operation.domain, field) && operation.domain[field] === value,
        )
      )
        return "domain";
      return !rule.primaryType || rule.primaryType.has(operation.primaryType) ? undefined : "primary-type";
    case "message":
      return !rule.format || rule.format.has(operation.format) ? undefined : "format";
    case "transfer":
    case "allowance":
    case "deploy":
    case "delegate":
    case "raw-digest":
      return undefined;
    default:
      operation satisfies never;
      return "operation";
  }
}

/** A call that was not decoded has no arguments, so nothing holds of them. */
function argumentMismatch(
  rule: CompiledRule,
  scene: Scene,
  operation: Operation,
  facts: DecisionFacts,
): Mismatch | undefined {
  if (!rule.arguments || operation.kind !== "call") return undefined;
  const given = operation.method?.arguments ?? {};
  const holds = rule.arguments.every(
    ([name, test]) => Object.hasOwn(given, name) && argumentHolds(test, given[name]!, scene, rule, facts),
  );
  return holds ? undefined : "argument";
}

function argumentHolds(
  test: ArgumentTest,
  value: string,
  scene: Scene,
  rule: CompiledRule,
  facts: DecisionFacts,
): boolean {
  switch (test.kind) {
    case "in":
      return test.values.has(value);
    case "band":
      return /^[0-9]{1,78}$/.test(value) && inBand(BigInt(value), test.band);
    case "to": {
      const account = `${scene.intent.chain}:${value}` as Account;
      const named = { to: account, known: scene.policy.addresses.get(account) };
      return bookNamed(test.to, named) && (rule.effect === "deny" || coolingOff(named, facts) === undefined);
    }
    default:
      test satisfies never;
      return false;
  }
}

/** I17: what cannot be bounded needs a rule that says so, and a raw digest a key that was made for it (I3). */
function boundMismatch(rule: CompiledRule, view: OperationView, facts: DecisionFacts): Mismatch | undefined {
  if (!rule.unbounded && cannotBeBounded(view.operation)) return "unbounded";
  return view.operation.kind === "raw-digest" && facts.keyPurpose !== "raw" ? "key-purpose" : undefined;
}

function cannotBeBounded(operation: Operation): boolean {
  switch (operation.kind) {
    case "allowance":
      return operation.unlimited === true;
    case "call":
      return operation.method === undefined;
    case "delegate":
    case "typed-data":
    case "raw-digest":
      return true;
    case "transfer":
    case "deploy":
    case "govern":
    case "message":
      return false;
    default:
      operation satisfies never;
      return true;
  }
}

// ---- limits -----------------------------------------------------------------------------------------------------

/** Whether a limit counts anything of this caller and key. */
export const limitApplies = (limit: CompiledLimit, scene: Scene): boolean =>
  (!limit.by || limit.by.has(scene.facts.caller)) && (!limit.key || limit.key.has(scene.facts.key));

/** Whether a limit counts this operation. Transfers to `own` are no spend; only a count without an amount sees them. */
export function limitCounts(limit: CompiledLimit, view: OperationView): boolean {
  const sums = limit.asset !== undefined;
  if (sums && view.asset?.symbol !== limit.asset.symbol) return false;
  if (view.toOwn && (sums || limit.amount)) return false;
  if (limit.to && !reaches(limit.to, view)) return false;
  return !limit.amount || amountHolds(limit.amount, view);
}
