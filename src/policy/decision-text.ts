import type { Decision, Reason } from "../domain/decision.ts";

/**
 * A decision for people: what was decided and why, rule by rule and limit by limit, and how to ask for what is missing.
 * @param decision of `evaluate` with `explain`, so that every rule is in it
 */
export function explainDecision(decision: Decision): string {
  return [
    ...headline(decision),
    ...section(
      "Rules",
      decision.rules.map(
        ({ rule, of, effect, operation, matched, because }) =>
          `${matched ? "✓" : "·"} ${effect} ${of === "house" ? "house " : ""}${rule}, operation ${operation + 1}: ${because}`,
      ),
    ),
    ...section(
      "Limits",
      decision.limits.map(
        (limit) =>
          `${limit.holds ? "✓" : "✗"} ${limit.of === "house" ? "house " : ""}${limit.limit} (${limit.window}): ${limit.requested} on top of ${limit.spent}, cap ${limit.cap} ${limit.unit}, ${limit.remaining} left`,
      ),
    ),
    ...section("Fee", [
      `at most ${decision.fee.max} ${decision.fee.asset}, ${decision.fee.cap === null ? "no cap" : `cap ${decision.fee.cap}`}`,
    ]),
    ...section("Next", nextSteps(decision)),
    "",
    `policy version ${decision.policy.version} ${decision.policy.hash}`,
    `house version ${decision.policy.houseVersion} ${decision.policy.houseHash}`,
  ].join("\n");
}

const section = (title: string, lines: readonly string[]): string[] =>
  lines.length === 0 ? [] : ["", title, ...lines.map((line) => `  ${line}`)];

function headline({ outcome, reasons, breakGlass }: Decision): string[] {
  const words = { allow: "ALLOWED", deny: "DENIED", "needs-approval": "NEEDS APPROVAL" } as const;
  const glass = breakGlass === undefined ? "" : `, BREAKS THE GLASS (${breakGlass.join(", ")})`;
  return [`${words[outcome]}${glass}`, ...reasons.map((reason) => `  ${reasonText(reason)}`)];
}

export function reasonText(reason: Reason): string {
  switch (reason.code) {
    case "rule-allowed":
      return `rule ${reason.rule} allows operation ${reason.operation + 1}`;
    case "rule-denied":
      return `rule ${reason.rule} denies operation ${reason.operation + 1}`;
    case "rule-failed":
      return `rule ${reason.rule} could not be evaluated: ${reason.detail}`;
    case "over-limit":
      return `limit ${reason.limit}: ${reason.detail}`;
    case "no-rule-allows":
    case "foreign-account":
    case "address-cooling-off":
      return `operation ${reason.operation + 1}: ${reason.detail}`;
    case "over-fee-cap":
    case "no-fee-cap":
    case "needs-approvals":
    case "delayed":
    case "approvals-expired":
    case "conflict":
    case "breaks-lien":
    case "sub-account":
    case "sub-account-short":
    case "empty-intent":
    case "missing-fact":
    case "evaluation-failed":
      return reason.detail;
    default:
      reason satisfies never;
      return "for a reason that has no words";
  }
}

function nextSteps({ outcome, missing, expiresAt, reasons }: Decision): string[] {
  const steps = missing.approvals.map(({ group, have, need }) => `ask ${need - have} more of ${group} to approve`);
  if (missing.notBefore !== undefined)
    steps.push(`send the same request again after ${new Date(missing.notBefore).toISOString()}`);
  else if (outcome === "needs-approval")
    steps.push(
      `then send the same request again${missing.delayMs ? `, after a delay of ${missing.delayMs / 60_000} minutes` : ""}`,
    );
  if (outcome === "needs-approval" && expiresAt !== undefined)
    steps.push(`it lapses at ${new Date(expiresAt).toISOString()}`);
  if (reasons.some(({ code }) => code === "breaks-lien"))
    steps.push("ask the secured party to release what is needed (`portcullis lien release`)");
  if (reasons.some(({ code }) => code === "over-limit"))
    steps.push("wait until earlier payments leave the window, or ask a policy officer to raise the limit");
  // Where only the cool-off is in the way there is a rule: who asks for another would open what was meant to be closed.
  const cooling = new Set(
    reasons.flatMap((reason) => (reason.code === "address-cooling-off" ? [reason.operation] : [])),
  );
  if (reasons.some((reason) => reason.code === "no-rule-allows" && !cooling.has(reason.operation)))
    steps.push("ask a policy officer for a rule that allows it");
  if (cooling.size > 0) steps.push("wait until the address has been in the book long enough, then ask again");
  return steps;
}
