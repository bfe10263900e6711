import { formatAmount } from "../domain/amount.ts";
import type { Asset } from "../domain/assets.ts";
import { isRawChain } from "../domain/chain.ts";
import type { Decision, DecisionFacts, LimitFinding, Missing, Reason, RuleFinding } from "../domain/decision.ts";
import type { Intent } from "../domain/intent.ts";
import { chargesIn, type LimitCharge } from "./charges.ts";
import type { CompiledRule } from "./compile.ts";
import { durationText, ruleFinding } from "./explain.ts";
import { foreignAccounts, foreignClaims, foreignDestinations, missingFacts, unmatched } from "./refusals.ts";
import { mismatchOf } from "./match.ts";
import { wrongSubAccount } from "./omnibus.ts";
import { askedBy, progressOf, type Asked } from "./quorum.ts";
import { candidates, type RuleIndex } from "./rule-index.ts";
import { UNLIMITED, scenesOf, type OperationView, type Policies, type Scene } from "./scene.ts";

export type EvaluateOptions = {
  /** Also where the outcome is `allow`: a finding for every rule and operation, not only for those that match. */
  readonly explain?: boolean;
};

/**
 * Decides whether the intent may be signed (DESIGN section 6). Pure; default deny; one matching deny is final; what
 * cannot be known denies. It never throws: an error is a denial with the reason `evaluation-failed`.
 */
export function evaluate(
  policies: Policies,
  intent: Intent,
  facts: DecisionFacts,
  options: EvaluateOptions = {},
): Decision {
  try {
    return decide(policies, intent, facts, options.explain === true);
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return { ...nothingDecided(policies, intent), reasons: [{ code: "evaluation-failed", detail }] };
  }
}

function decide(policies: Policies, intent: Intent, facts: DecisionFacts, explain: boolean): Decision {
  const unusable = missingFacts(policies, intent, facts);
  if (unusable.length > 0) return { ...nothingDecided(policies, intent), reasons: unusable };
  const scenes = scenesOf(policies, intent, facts);
  const verdict = judgeRules(scenes, facts);
  const fee = judgeFee(scenes);
  const limits = judgeLimits(chargesIn(scenes), facts);
  const refusals = [
    ...wrongSubAccount(policies.client, intent, facts),
    ...foreignAccounts(scenes.client, verdict.allowedBy),
    ...foreignClaims(scenes.client),
    ...verdict.refusals,
    ...foreignDestinations(scenes.client, verdict.allowedBy),
    ...fee.refusals,
    ...limits.refusals,
  ];
  const asked = askedBy(verdict.matching);
  const waiting = refusals.length === 0 ? judgeApprovals(asked, policies, facts) : NOT_WAITING;
  const outcome =
    refusals.length > 0 || waiting.expired ? "deny" : waiting.reasons.length > 0 ? "needs-approval" : "allow";
  const findings = once(() => (explain || outcome !== "allow" ? allFindings(scenes, facts) : verdict.findings()));
  return {
    outcome,
    policy: namesOf(policies),
    reasons: outcome === "allow" ? verdict.allowing : [...refusals, ...waiting.reasons],
    // Deciding is a tenth of explaining, and not everybody who asks for a decision reads why.
    get rules() {
      return findings();
    },
    limits: limits.findings,
    fee: fee.finding,
    missing: waiting.missing,
    ...(waiting.expiresAt === undefined ? {} : { expiresAt: waiting.expiresAt }),
    ...(asked.breakGlass && outcome !== "deny" ? { breakGlass: glassOf(verdict.matching) } : {}),
    charges: limits.charges,
  };
}

const glassOf = (rules: ReadonlySet<CompiledRule>): string[] =>
  [...rules]
    .filter(({ breakGlass }) => breakGlass)
    .map(({ id }) => id)
    .sort();

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

const namesOf = ({ client, house }: Policies): Decision["policy"] => ({
  version: client.version,
  hash: client.hash,
  houseVersion: house.version,
  houseHash: house.hash,
});

function nothingDecided(policies: Policies, intent: Intent): Decision {
  const fee = { asset: intent.fee.asset, cap: null, max: String(intent.fee.max) };
  return {
    outcome: "deny",
    policy: namesOf(policies),
    reasons: [],
    rules: [],
    limits: [],
    fee,
    missing: { approvals: [] },
    charges: [],
  };
}

// ---- rules ------------------------------------------------------------------------------------------------------

type Scenes = ReturnType<typeof scenesOf>;
/** One match of one rule. */
type Hit = { readonly rule: CompiledRule; readonly scene: Scene; readonly view: OperationView };

type RuleVerdict = {
  readonly refusals: readonly Reason[];
  readonly allowing: readonly Reason[];
  readonly matching: ReadonlySet<CompiledRule>;
  /** By operation: whether some allow rule matches. */
  readonly allowedBy: readonly boolean[];
  readonly findings: () => RuleFinding[];
};

function judgeRules(scenes: Scenes, facts: DecisionFacts): RuleVerdict {
  const refusals: Reason[] = [];
  const denying = [
    ...hits(scenes.client, scenes.client.policy.denyIndex, facts, refusals),
    ...hits(scenes.house, scenes.house.policy.denyIndex, facts, refusals),
  ];
  const allowing = hits(scenes.client, scenes.client.policy.allowIndex, facts, refusals);
  for (const { rule, view } of denying) refusals.push({ code: "rule-denied", rule: rule.id, operation: view.index });
  const allowedBy = scenes.client.operations.map(() => false);
  for (const { view } of allowing) allowedBy[view.index] = true;
  for (const view of scenes.client.operations) {
    if (!allowedBy[view.index]) refusals.push(...unmatched(scenes.client, view, facts));
  }
  return {
    refusals,
    allowing: allowing.map(({ rule, view }) => ({ code: "rule-allowed", rule: rule.id, operation: view.index })),
    matching: new Set(allowing.map(({ rule }) => rule)),
    allowedBy,
    findings: () => allowing.map(({ rule, scene, view }) => ruleFinding(rule, scene, view, facts, undefined)),
  };
}

/** An error inside a rule denies, whatever the rule would have said: a deny that is skipped opens a door. */
function hits(scene: Scene, index: RuleIndex, facts: DecisionFacts, refusals: Reason[]): Hit[] {
  const found: Hit[] = [];
  for (const view of scene.operations) {
    for (const rule of candidates(index, view, facts.caller)) {
      try {
        if (mismatchOf(rule, scene, view, facts) === undefined) found.push({ rule, scene, view });
      } catch (error) {
        const detail = error instanceof Error ? error.message : String(error);
        refusals.push({ code: "rule-failed", rule: rule.id, detail });
      }
    }
  }
  return found;
}

function allFindings({ client, house }: Scenes, facts: DecisionFacts): RuleFinding[] {
  const findings: RuleFinding[] = [];
  for (const scene of [client, house]) {
    for (const rule of [...scene.policy.denies, ...scene.policy.allows]) {
      for (const view of scene.operations) findings.push(findingOf(rule, scene, view, facts));
    }
  }
  return findings;
}

/** Whatever an error comes from, the decision is made: it is said of the rule, and goes no further. */
function findingOf(rule: CompiledRule, scene: Scene, view: OperationView, facts: DecisionFacts): RuleFinding {
  try {
    return ruleFinding(rule, scene, view, facts, mismatchOf(rule, scene, view, facts));
  } catch {
    return ruleFinding(rule, scene, view, facts, "failed");
  }
}

// ---- fee --------------------------------------------------------------------------------------------------------

function judgeFee({ client, house }: Scenes): {
  readonly refusals: readonly Reason[];
  readonly finding: Decision["fee"];
} {
  const { asset: symbol, max } = client.intent.fee;
  // It pays no fee in anything: `missingFacts` has seen to it.
  if (isRawChain(client.intent.chain)) return { refusals: [], finding: { asset: symbol, cap: null, max: "0" } };
  const asset = client.feeAsset!;
  const own = client.policy.fees.get(asset.symbol);
  const cap = least(own ?? null, (house.feeAsset && house.policy.fees.get(house.feeAsset.symbol)) ?? null);
  const finding = {
    asset: asset.symbol,
    cap: cap === null ? null : formatAmount(cap, asset.decimals),
    max: formatAmount(max, asset.decimals),
  };
  const refusals: Reason[] = [];
  // A message pays nothing; what pays has to have a cap written, be it `uncapped`.
  if (own === undefined && max > 0n) {
    refusals.push({
      code: "no-fee-cap",
      asset: asset.symbol,
      detail: `the policy has no \`fee\` cap for \`${asset.symbol}\``,
    });
  }
  if (cap !== null && max > cap) {
    refusals.push({
      code: "over-fee-cap",
      asset: asset.symbol,
      detail: `the bytes permit a fee of ${finding.max} ${asset.symbol}, the cap is ${finding.cap}`,
    });
  }
  return { refusals, finding };
}

const least = (a: bigint | null, b: bigint | null): bigint | null => (a === null ? b : b === null || a < b ? a : b);

// ---- limits -----------------------------------------------------------------------------------------------------

type LimitVerdict = {
  readonly refusals: readonly Reason[];
  readonly findings: readonly LimitFinding[];
  readonly charges: Decision["charges"];
};

function judgeLimits(charges: readonly LimitCharge[], facts: DecisionFacts): LimitVerdict {
  const refusals: Reason[] = [];
  const findings: LimitFinding[] = [];
  for (const { limit, charge } of charges) {
    const spent = facts.spent.get(charge.counter);
    if (spent === undefined) {
      refusals.push({ code: "missing-fact", detail: `what \`${charge.counter}\` holds is not known` });
      continue;
    }
    const finding = limitFinding({ limit, charge }, spent);
    findings.push(finding);
    if (finding.holds) continue;
    const detail = `${finding.requested} ${finding.unit} on top of ${finding.spent} in the window (${finding.window}) is over the cap of ${finding.cap}`;
    refusals.push({ code: "over-limit", limit: limit.name, detail });
  }
  return { refusals, findings, charges: charges.map(({ charge }) => charge) };
}

function limitFinding({ limit, charge }: LimitCharge, spent: bigint): LimitFinding {
  const remaining = spent > limit.max ? 0n : limit.max - spent;
  return {
    limit: limit.name,
    of: limit.of,
    counter: charge.counter,
    holds: charge.amount <= limit.max - spent,
    cap: limit.maxText,
    spent: unitText(spent, limit.asset),
    requested: unitText(charge.amount, limit.asset),
    remaining: unitText(remaining, limit.asset),
    unit: limit.asset?.symbol ?? "transactions",
    window: limit.windowText,
  };
}

function unitText(amount: bigint, asset: Asset | undefined): string {
  if (!asset) return amount.toString();
  return amount >= UNLIMITED ? "unlimited" : formatAmount(amount, asset.decimals);
}

// ---- approvals and delay ----------------------------------------------------------------------------------------

type Waiting = {
  readonly reasons: readonly Reason[];
  readonly missing: Missing;
  readonly expired: boolean;
  readonly expiresAt?: number;
};

const NOT_WAITING: Waiting = { reasons: [], missing: { approvals: [] }, expired: false };

function judgeApprovals(asked: Asked, policies: Policies, facts: DecisionFacts): Waiting {
  if (asked.expireAfterMs === undefined) return NOT_WAITING;
  const expiresAt = facts.submittedAt + asked.expireAfterMs;
  if (facts.now >= expiresAt) {
    const detail = `the request lapsed ${durationText(asked.expireAfterMs)} after it was submitted`;
    return { reasons: [{ code: "approvals-expired", detail }], missing: { approvals: [] }, expired: true, expiresAt };
  }
  const progress = progressOf(asked, policies.client, facts);
  const completedAt = asked.quorums.size === 0 ? facts.submittedAt : progress.completedAt;
  if (completedAt === undefined) return waitingForPeople(progress.groups, asked, expiresAt);
  // No delay ends earlier because people are asked as well.
  const notBefore = Math.max(completedAt, facts.submittedAt) + asked.delayMs;
  if (facts.now >= notBefore) return { ...NOT_WAITING, expiresAt };
  const detail = `a delay of ${durationText(asked.delayMs)} ends at ${new Date(notBefore).toISOString()}`;
  return {
    reasons: [{ code: "delayed", detail }],
    missing: { approvals: [], notBefore, delayMs: asked.delayMs },
    expired: false,
    expiresAt,
  };
}

function waitingForPeople(groups: Missing["approvals"], asked: Asked, expiresAt: number): Waiting {
  const approvals = groups.filter(({ have, need }) => have < need);
  const texts = approvals.map(({ group, have, need }) => `${need - have} more of \`${group}\` (${have} of ${need})`);
  const missing: Missing = { approvals, ...(asked.delayMs > 0 ? { delayMs: asked.delayMs } : {}) };
  return {
    reasons: [{ code: "needs-approvals", detail: `approvals are missing: ${texts.join(", ")}` }],
    missing,
    expired: false,
    expiresAt,
  };
}
