import type { CallerName } from "../domain/names.ts";
import type { CompiledPolicy } from "./compile.ts";
import type { Asked } from "./quorum.ts";

export type Question = {
  readonly asked: Asked;
  /** Who counts in each group. */
  readonly groups: CompiledPolicy["groups"];
};

/**
 * Whether whoever satisfies `strict` satisfies `lax` no later, has no longer to do so, and is heard as loudly.
 *
 * Group by group: at least as many, of no other persons. Trying all sets of persons would prove more of one rule, but
 * not of two that add up: a person who could sit in either of two groups fills one place only.
 */
export function asksAtLeast(strict: Question, lax: Question): boolean {
  if (lax.asked.expireAfterMs === undefined) return true;
  if (strict.asked.expireAfterMs === undefined) return false;
  if (strict.asked.delayMs < lax.asked.delayMs || strict.asked.expireAfterMs > lax.asked.expireAfterMs) return false;
  if (lax.asked.breakGlass && !strict.asked.breakGlass) return false;
  return [...lax.asked.quorums].every(([group, need]) => {
    const members = strict.groups.get(group) ?? new Set<CallerName>();
    const accepted = lax.groups.get(group) ?? new Set<CallerName>();
    return (strict.asked.quorums.get(group) ?? 0) >= need && [...members].every((person) => accepted.has(person));
  });
}
