import { isRawChain } from "../domain/chain.ts";
import type { DecisionFacts, Reason } from "../domain/decision.ts";
import type { Intent } from "../domain/intent.ts";
import { HOUSE } from "../domain/names.ts";
import type { CompiledRule } from "./compile.ts";
import { becauseOf } from "./explain.ts";
import { MISMATCHES, mismatchOf, type Mismatch } from "./match.ts";
import { movesAsset, type OperationView, type Policies, type Scene } from "./scene.ts";

/** What denies before any rule is asked: facts that are not there, parts that do not fit together. */
export function missingFacts({ client, house }: Policies, intent: Intent, facts: DecisionFacts): Reason[] {
  const reasons: Reason[] = [];
  const missing = (detail: string) => reasons.push({ code: "missing-fact", detail });
  if (client.of !== "client" || house.of !== "house") missing("the policies are not those of a client and the house");
  if (facts.client !== client.client)
    missing(`the policy is that of \`${client.client}\`, the request that of \`${facts.client}\``);
  if (![facts.now, facts.submittedAt].every(Number.isSafeInteger)) missing("the time is not known");
  if (client.callers.get(facts.caller)?.role !== "wallet-service")
    missing(`\`${facts.caller}\` is no wallet service of \`${client.client}\``);
  if (intent.operations.length === 0)
    reasons.push({ code: "empty-intent", detail: "the payload would do nothing that a rule could allow" });
  if (facts.owners.get(intent.account) !== facts.client) {
    reasons.push({
      code: "foreign-account",
      operation: 0,
      detail: `\`${intent.account}\`, which signs, is no account of \`${facts.client}\``,
    });
  }
  missingOfChain(client, intent).forEach(missing);
  if (intent.fee.max < 0n) missing("the fee is negative");
  for (const operation of intent.operations) {
    if (!movesAsset(operation)) continue;
    if (client.registry.bySymbol.get(operation.asset)?.chain !== intent.chain)
      missing(`the registry does not have \`${operation.asset}\` on \`${intent.chain}\``);
  }
  return reasons;
}

/** What is signed for no chain moves nothing and pays nothing. */
function missingOfChain({ registry }: Policies["client"], { chain, fee, operations }: Intent): string[] {
  if (isRawChain(chain)) {
    const isRaw = fee.max === 0n && operations.every(({ kind }) => kind === "raw-digest");
    return isRaw ? [] : [`\`${chain}\` is no chain, and only raw digests are signed for none`];
  }
  const native = registry.nativeOf.get(chain);
  if (native?.symbol === fee.asset) return [];
  return [`the registry does not have \`${fee.asset}\` as the native asset of \`${chain}\``];
}

/**
 * I13: `from` is an account of this client or one that a matching rule names, and all of one owner. Another client's
 * account is refused whatever a rule says.
 */
export function foreignAccounts(scene: Scene, allowedBy: readonly boolean[]): Reason[] {
  const reasons: Reason[] = [];
  const sources = new Set<string>();
  for (const view of scene.operations) {
    const { from } = view.operation;
    const owner = scene.facts.owners.get(from);
    const foreign = owner !== undefined && !view.fromOwn;
    sources.add(view.fromOwn ? scene.facts.client : from);
    if (foreign || (!view.fromOwn && !allowedBy[view.index])) {
      const whose = foreign ? `of \`${owner}\`` : "that no rule names";
      reasons.push({
        code: "foreign-account",
        operation: view.index,
        detail: `it spends from \`${from}\`, an account ${whose}`,
      });
    } else if (sources.size > 1) {
      reasons.push({ code: "foreign-account", operation: view.index, detail: "one transaction draws on two owners" });
    }
  }
  return reasons;
}

/** I13: what proves control of an account proves whose it is, so no key signs that it is another client's. */
export function foreignClaims({ operations, facts }: Scene): Reason[] {
  return operations.flatMap(({ operation, index }) => {
    if (operation.kind !== "message" || operation.control === undefined) return [];
    const { client } = operation.control;
    if (client === facts.client) return [];
    const detail = `it proves control for client \`${client}\`, and the key is one of \`${facts.client}\``;
    return [{ code: "foreign-account" as const, operation: index, detail }];
  });
}

/** Says of a destination that no rule matched that it is another client's: the reason why `anyone` did not. */
export function foreignDestinations(scene: Scene, allowedBy: readonly boolean[]): Reason[] {
  return scene.operations
    .filter((view) => view.owner !== undefined && !view.toOwn && !allowedBy[view.index])
    .map((view) => {
      const [whose, word] =
        view.owner === HOUSE ? ["the house", "house"] : [`client \`${view.owner}\``, `client:${view.owner}`];
      return {
        code: "foreign-account",
        operation: view.index,
        detail: `\`${view.to}\` belongs to ${whose}; only a rule with \`to: [${word}]\` reaches it`,
      };
    });
}

/** Why no rule allows an operation: the allow rule that came nearest, and where it ended. */
export function unmatched(scene: Scene, view: OperationView, facts: DecisionFacts): Reason[] {
  const nearest = nearestRule(scene, view, facts);
  const { kind } = view.operation;
  if (!nearest) return [{ code: "no-rule-allows", operation: view.index, kind, detail: `no rule allows \`${kind}\`` }];
  const because = becauseOf(nearest.rule, scene, view, facts, nearest.mismatch);
  const reason: Reason = {
    code: "no-rule-allows",
    operation: view.index,
    kind,
    nearest: nearest.rule.id,
    detail: `the nearest rule, \`${nearest.rule.id}\`, does not match: ${because}`,
  };
  if (nearest.mismatch === "cooling-off")
    return [{ code: "address-cooling-off", operation: view.index, detail: because }, reason];
  if (nearest.mismatch === "held-unknown") return [{ code: "missing-fact", detail: because }, reason];
  return [reason];
}

/** How far a rule got before it failed. */
const REACHED: ReadonlyMap<Mismatch, number> = new Map(MISMATCHES.map((mismatch, index) => [mismatch, index]));

function nearestRule(
  scene: Scene,
  view: OperationView,
  facts: DecisionFacts,
): { rule: CompiledRule; mismatch: Mismatch } | undefined {
  let best: { rule: CompiledRule; mismatch: Mismatch; reached: number } | undefined;
  for (const rule of scene.policy.allows) {
    const mismatch = mismatchOf(rule, scene, view, facts);
    const reached = mismatch === undefined ? 0 : REACHED.get(mismatch)!;
    if (mismatch !== undefined && reached > (best?.reached ?? 0)) best = { rule, mismatch, reached };
  }
  return best;
}
