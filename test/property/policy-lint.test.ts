import assert from "node:assert/strict";
import fc from "fast-check";
import type { Decision, DecisionFacts, RuleFinding } from "../../src/domain/decision.ts";
import type { Intent } from "../../src/domain/intent.ts";
import { chargesOf } from "../../src/policy/charges.ts";
import { compileClient, type CompiledPolicy, type CompiledRule } from "../../src/policy/compile.ts";
import { evaluate } from "../../src/policy/evaluate.ts";
import { lint, type Lint } from "../../src/policy/lint.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import { NO_HOUSE } from "../../src/policy/world.ts";
import {
  REGISTRY,
  clientDocument,
  denyRule,
  intents,
  randomFacts,
  type RandomFacts,
} from "../support/random-policy.ts";

// Goal: what `policy check` says of a document is so: no request is found that contradicts a finding, or shows an overlap
// of which nothing was said.
// Method: random documents; of each finding, a random search for a request that it says cannot be.

const SOAK = process.env["SOAK"] !== undefined;
const DOCUMENTS = SOAK ? 2_000 : 40;
const CASES = SOAK ? 500 : 100;

type Case = readonly [Intent, RandomFacts];
type Looked = {
  readonly policy: CompiledPolicy;
  readonly intent: Intent;
  readonly facts: DecisionFacts;
  readonly decision: Decision;
};

function look(policy: CompiledPolicy, [intent, { spentSeed: _, ...random }]: Case): Looked {
  const policies = { client: policy, house: NO_HOUSE };
  const spent = new Map(chargesOf(policies, intent, random).map(({ counter }) => [counter, 0n]));
  const facts = { ...random, spent };
  return { policy, intent, facts, decision: evaluate(policies, intent, facts, { explain: true }) };
}

const matches = ({ decision }: Looked, effect: "allow" | "deny"): RuleFinding[] =>
  decision.rules.filter((rule) => rule.matched && rule.effect === effect);

/** The request contradicts what was said of a rule or limit of that name. */
const CONTRADICTIONS: Partial<Record<Lint, (name: string, looked: Looked) => boolean>> = {
  "unreachable-rule": (name, { decision }) => decision.rules.some(({ rule, matched }) => matched && rule === name),
  "swallowed-allow": (name, looked) =>
    matches(looked, "allow").some(
      ({ rule, operation }) => rule === name && !matches(looked, "deny").some((deny) => deny.operation === operation),
    ),
  "unused-limit": (name, { decision }) =>
    decision.outcome !== "deny" && decision.limits.some(({ limit }) => limit === name),
};

const asksOf = ({ quorums, delayMs, expireAfterMs }: CompiledRule): string =>
  JSON.stringify([
    [...quorums].toSorted(),
    delayMs,
    quorums.length > 0 || delayMs > 0 ? (expireAfterMs ?? null) : null,
  ]);

/** Two rules that ask for different things match one operation, which goes to nobody's address here and is not denied. */
function overlaps(looked: Looked): boolean {
  const { policy, intent, facts } = looked;
  const denied = new Set(matches(looked, "deny").map(({ operation }) => operation));
  return intent.operations.some((operation, index) => {
    if (denied.has(index) || ("to" in operation && facts.owners.has(operation.to))) return false;
    const rules = matches(looked, "allow").filter((found) => found.operation === index);
    return new Set(rules.map(({ rule }) => asksOf(policy.allows.find(({ id }) => id === rule)!))).size > 1;
  });
}

const NAMED = /(?:rule|limit) `([a-z0-9-]+)`/;

describe("what `policy check` says", function () {
  this.timeout(SOAK ? 3_600_000 : 120_000);
  it("is contradicted by no request", () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(
        clientDocument,
        fc.array(denyRule, { maxLength: 2 }),
        fc.array(fc.tuple(intents, randomFacts), { minLength: CASES, maxLength: CASES }),
        (document, denies, cases) => {
          const more = denies.map((rule, n) => ({ id: `no${n}`, ...rule }));
          const files = new Map([
            ["policy.yaml", JSON.stringify({ ...document, rules: [...document.rules, ...more] })],
            ["assets.yaml", JSON.stringify(REGISTRY)],
          ]);
          const resolved = parsePolicy("policy.yaml", files, () => {});
          const findings = lint(resolved);
          if (findings.some(({ code }) => code === "too-large")) return;
          const policy = compileClient(resolved);
          const said = findings.flatMap(({ code, message }) => {
            const contradicts = CONTRADICTIONS[code as Lint];
            return contradicts ? [{ code, name: NAMED.exec(message)![1]!, contradicts }] : [];
          });
          const saysOverlap = findings.some(({ code }) => code === "overlapping-allows");
          for (const { code } of said) seen.set(code, (seen.get(code) ?? 0) + 1);
          seen.set(`overlap ${saysOverlap}`, (seen.get(`overlap ${saysOverlap}`) ?? 0) + 1);
          for (const one of cases) {
            const looked = look(policy, one);
            for (const { code, name, contradicts } of said) assert.ok(!contradicts(name, looked), `${code} ${name}`);
            assert.ok(saysOverlap || !overlaps(looked), "an overlap of which nothing was said");
          }
        },
      ),
      { numRuns: DOCUMENTS, endOnFailure: true },
    );
    // A search that never had anything to contradict proves little.
    for (const what of ["unreachable-rule", "swallowed-allow", "unused-limit", "overlap true", "overlap false"])
      assert.ok((seen.get(what) ?? 0) > 0, `no ${what} in ${JSON.stringify([...seen])}`);
  });
});
