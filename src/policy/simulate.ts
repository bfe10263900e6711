import type { CounterId, Decision, DecisionFacts } from "../domain/decision.ts";
import type { Intent } from "../domain/intent.ts";
import { chargesOf } from "./charges.ts";
import { evaluate } from "./evaluate.ts";
import type { Policies } from "./scene.ts";

/** A request as it was recorded, with what was decided of it then. */
export type RecordedRequest = {
  readonly id: string;
  readonly intent: Intent;
  /** At its last decision; what windows held is counted again. */
  readonly facts: Omit<DecisionFacts, "spent">;
  readonly outcome: Decision["outcome"];
};

export type Turned = { readonly id: string; readonly was: Decision["outcome"]; readonly decision: Decision };

/**
 * Decides recorded requests again under other policies. Windows hold what these policies would have authorized, so that
 * a limit is seen to bite at the request at which it would have.
 * @param requests in the order of their decisions
 * @returns those whose outcome would have been another
 */
export function simulate(policies: Policies, requests: readonly RecordedRequest[]): Turned[] {
  const windows = new Map<CounterId, { readonly at: number; readonly amount: bigint }[]>();
  const turned: Turned[] = [];
  for (const { id, intent, facts, outcome } of requests) {
    const charges = chargesOf(policies, intent, facts);
    const spent = charges.map(({ counter, windowStartsAt }) => {
      const inWindow = (windows.get(counter) ?? []).filter(({ at }) => at > windowStartsAt && at <= facts.now);
      return [counter, inWindow.reduce((sum, { amount }) => sum + amount, 0n)] as const;
    });
    const decision = evaluate(policies, intent, { ...facts, spent: new Map(spent) }, { explain: true });
    if (decision.outcome !== outcome) turned.push({ id, was: outcome, decision });
    if (decision.outcome !== "allow") continue;
    for (const { counter, amount } of charges)
      windows.set(counter, [...(windows.get(counter) ?? []), { at: facts.now, amount }]);
  }
  return turned;
}
