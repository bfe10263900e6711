import { formatAmount } from "../domain/amount.ts";
import type { Asset } from "../domain/assets.ts";
import type { DecisionFacts, RuleFinding } from "../domain/decision.ts";
import type { Band, CompiledRule } from "./compile.ts";
import type { Mismatch } from "./match.ts";
import { UNLIMITED, destinationOf, type OperationView, type Scene } from "./scene.ts";

/** What became of one rule for one operation (sentence 12). */
export function ruleFinding(
  rule: CompiledRule,
  scene: Scene,
  view: OperationView,
  facts: DecisionFacts,
  mismatch: Mismatch | "failed" | undefined,
): RuleFinding {
  return {
    rule: rule.id,
    of: rule.of,
    effect: rule.effect,
    operation: view.index,
    matched: mismatch === undefined,
    because: becauseOf(rule, scene, view, facts, mismatch),
  };
}

/** The fact that decided, as a person would say it. */
export function becauseOf(
  rule: CompiledRule,
  scene: Scene,
  view: OperationView,
  facts: DecisionFacts,
  mismatch: Mismatch | "failed" | undefined,
): string {
  const { operation, known } = view;
  switch (mismatch) {
    case undefined:
      return `${rule.breakGlass ? "for emergencies: " : ""}${matchedBecause(scene, view, facts)}`;
    case "failed":
      return "the rule could not be evaluated";
    case "operation":
      return `it is about ${list(rule.kinds)}, not \`${operation.kind}\``;
    case "caller":
      return `it is about ${list(rule.by!)}, not caller \`${facts.caller}\``;
    case "key":
      return `it is about ${list(rule.key!)}, not key \`${facts.key}\``;
    case "chain":
      return `it is about ${list(rule.chain!)}, not \`${scene.intent.chain}\``;
    case "from":
      return rule.from
        ? `it does not name key \`${facts.key}\` for \`${operation.from}\``
        : `\`${operation.from}\` is no account of \`${facts.client}\``;
    case "to":
      return `its destinations do not have ${destinationText(view)}`;
    case "held-unknown":
      return `since when the address book has held ${destinationText(view)} is not known`;
    case "cooling-off":
      return `${destinationText(view)} is in the address book since ${isoText(facts.heldSince.get(view.to!))}, its cool-off is ${durationText(known!.coolOffMs)}: from ${isoText(facts.heldSince.get(view.to!)! + known!.coolOffMs)} it can be paid`;
    case "amount":
      return amountBecause(rule, view);
    case "fee":
      return `the highest fee of ${amountText(scene.intent.fee.max, scene.feeAsset)} is not in its band`;
    case "when":
      return `it holds at other times (${rule.when!.text})`;
    case "argument":
      return `an argument of ${methodText(view)} is not as it says`;
    case "method":
      return `it is about ${list(rule.method!.words)}, not ${methodText(view)}`;
    case "domain":
      return "the EIP-712 domain is another";
    case "primary-type":
      return `it is about ${list(rule.primaryType!)}, not ${operation.kind === "typed-data" ? `\`${operation.primaryType}\`` : "this type"}`;
    case "format":
      return `it is about ${list(rule.format!)}, not ${operation.kind === "message" ? `\`${operation.format}\`` : "this format"}`;
    case "unbounded":
      return "no amount can bound it, and the rule does not say `unbounded`";
    case "key-purpose":
      return `key \`${facts.key}\` was not created with the purpose \`raw\``;
    default:
      mismatch satisfies never;
      return "the rule could not be evaluated";
  }
}

function matchedBecause(scene: Scene, view: OperationView, facts: DecisionFacts): string {
  const parts = [`\`${view.operation.kind}\` by \`${facts.caller}\` from key \`${facts.key}\``];
  if (view.to) parts.push(`to ${destinationText(view)}`);
  if (view.asset) parts.push(`transaction total ${amountText(view.total, view.asset)}`);
  return parts.join(", ");
}

function amountBecause(rule: CompiledRule, { asset, total }: OperationView): string {
  const band = asset && rule.amount?.get(asset.symbol);
  if (!asset) return "no asset that it knows moves";
  if (!band) return `it does not name \`${asset.symbol}\``;
  return `the transaction's total of ${amountText(total, asset)} is not ${bandText(band, asset)}`;
}

export function bandText(band: Band, asset: Asset): string {
  const over = band.over < 0n ? "" : `over ${amountText(band.over, asset)}`;
  const max = band.max === undefined ? "" : `at most ${amountText(band.max, asset)}`;
  return [over, max].filter(Boolean).join(" and ") || "any amount";
}

export function amountText(amount: bigint, asset: Asset | undefined): string {
  if (!asset) return `${amount} of the smallest unit`;
  return amount >= UNLIMITED ? `unlimited ${asset.symbol}` : `${formatAmount(amount, asset.decimals)} ${asset.symbol}`;
}

function destinationText({ operation, known, owner, toOwn }: OperationView): string {
  const to = destinationOf(operation);
  if (to === undefined) return "an operation without destination";
  const whose = toOwn ? "own" : owner ? `of ${owner}` : known ? known.names.join(", ") : undefined;
  return whose ? `\`${to}\` (${whose})` : `\`${to}\``;
}

const methodText = ({ operation }: OperationView): string =>
  operation.kind === "call"
    ? `\`${operation.method?.signature ?? operation.selector}\``
    : operation.kind === "govern"
      ? `\`${operation.method}\``
      : "this method";

/** A denial has a sentence for every rule: what a rule lists is put into words once. */
const lists = new WeakMap<ReadonlySet<string>, string>();

function list(words: ReadonlySet<string>): string {
  const known = lists.get(words);
  if (known !== undefined) return known;
  const text = [...words].map((word) => `\`${word}\``).join(", ");
  lists.set(words, text);
  return text;
}

const isoText = (ms: number | undefined): string =>
  ms === undefined || !Number.isFinite(ms) ? "an unknown time" : new Date(ms).toISOString();

/** The shortest of `90s`, `30m`, `24h`, `7d` that is exact. */
export function durationText(ms: number): string {
  for (const [unit, length] of [
    ["d", 86_400_000],
    ["h", 3_600_000],
    ["m", 60_000],
  ] as const) {
    if (ms >= length && ms % length === 0 && !(unit === "d" && ms < 2 * length)) return `${ms / length}${unit}`;
  }
  return `${ms / 1000}s`;
}
