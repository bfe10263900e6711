import type { Charge, CounterId, Decision, DecisionFacts } from "../domain/decision.ts";
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
 * @param since what was decided before this moment only fills the windows, with what was authorized in fact
 * @returns those whose outcome would have been another
 */
export function simulate(policies: Policies, requests: readonly RecordedRequest[], since = 0): Turned[] {
  const windows = new Windows();
  const turned: Turned[] = [];
  for (const { id, intent, facts, outcome } of requests) {
    const charges = chargesOf(policies, intent, facts);
    let passes = outcome === "allow";
    if (facts.now >= since) {
      const spent = new Map(charges.map((charge) => [charge.counter, windows.spent(charge, facts.now)]));
      const decision = evaluate(policies, intent, { ...facts, spent }, { explain: true });
      if (decision.outcome !== outcome) turned.push({ id, was: outcome, decision });
      passes = decision.outcome === "allow";
    }
    if (passes) charges.forEach((charge) => windows.add(charge, facts.now));
  }
  return turned;
}

type Entry = { readonly at: number; readonly amount: bigint };

class Windows {
  readonly #entries = new Map<CounterId, Entry[]>();

  add({ counter, amount }: Charge, at: number): void {
    const entries = this.#entries.get(counter);
    if (entries) entries.push({ at, amount });
    else this.#entries.set(counter, [{ at, amount }]);
  }

  spent({ counter, windowStartsAt }: Charge, now: number): bigint {
    return (this.#entries.get(counter) ?? [])
      .filter(({ at }) => at > windowStartsAt && at <= now)
      .reduce((sum, { amount }) => sum + amount, 0n);
  }
}
