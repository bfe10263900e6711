import type { AllowRule } from "./document.ts";
import type { DocumentPath } from "./finding.ts";
import type { Report } from "./validate.ts";

/*
 * Break-glass is a rule like any other: it denies nothing its due, and goes round no freeze, deny, limit or house. What the
 * marker adds is that nobody uses it alone, at once, silently, or to a place that nobody thought of before.
 */

const PERSONS_MIN = 2;

/** How many persons of which groups a rule asks, as the document says it. */
export const quorumsOf = ({ approvals }: Pick<AllowRule, "approvals">): (readonly [group: string, need: number])[] =>
  Object.entries(approvals ?? {}).flatMap(([group, need]) =>
    group === "expireAfter" ? [] : [[group, Number(need)] as const],
  );

export function requireGuarded(rule: AllowRule, path: DocumentPath, report: Report): void {
  if (rule.breakGlass === undefined) return;
  const persons = quorumsOf(rule).reduce((sum, [, need]) => sum + need, 0);
  if (persons < PERSONS_MIN)
    report(path, `expected \`approvals\` of at least ${PERSONS_MIN} persons beside \`breakGlass\`, found ${persons}`, {
      hint: "nobody breaks the glass alone",
    });
  if (rule.delay === undefined)
    report(path, "expected a `delay` beside `breakGlass`, found none", {
      hint: "while it runs, whoever hears the alarm can reject the request or freeze the client",
    });
  const anyone = (rule.to ?? []).indexOf("anyone");
  if (rule.to === undefined || anyone >= 0)
    report(
      anyone < 0 ? path : [...path, "to", anyone],
      `expected destinations that were chosen before beside \`breakGlass\`, found ${anyone < 0 ? "none" : "`anyone`"}`,
      { hint: "name the address to which everything may be brought in an emergency" },
    );
  if (rule.unbounded !== undefined)
    report([...path, "unbounded"], "expected no `unbounded` beside `breakGlass`, found it", {
      part: "key",
      hint: "what nobody can read is not signed in a hurry either",
    });
}
