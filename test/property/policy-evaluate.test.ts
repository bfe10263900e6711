import assert from "node:assert/strict";
import fc from "fast-check";
import type { CounterId, Decision, DecisionFacts } from "../../src/domain/decision.ts";
import type { Intent } from "../../src/domain/intent.ts";
import { chargesOf } from "../../src/policy/charges.ts";
import { compileClient, compileHouse } from "../../src/policy/compile.ts";
import { evaluate } from "../../src/policy/evaluate.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import type { Policies } from "../../src/policy/scene.ts";
import {
  REGISTRY,
  allowRule,
  clientDocument,
  denyRule,
  houseDocument,
  intents,
  randomFacts,
  type RandomFacts,
} from "../support/random-policy.ts";
import { referenceDecision, type PolicyObject } from "../support/reference-policy.ts";

// Goal: no document, request or facts make the evaluator say what the twelve sentences do not say.
// Method: random worlds of few accounts and amounts; a second evaluator, written from the sentences, must agree; and
// changes of a document that can only tighten never open anything. The soak looks at a million.

const SOAK = process.env["SOAK"] !== undefined;
const AGREEMENTS = SOAK ? 1_000_000 : 4_000;
const CHANGES = SOAK ? 5_000 : 400;
/** Requests for one document: reading documents is what takes the time. */
const CASES = SOAK ? 100 : 25;
const noCheck = () => {};

const compilePair = (client: PolicyObject, house: PolicyObject): Policies => {
  const files = (document: PolicyObject) =>
    new Map([
      ["policy.yaml", JSON.stringify(document)],
      ["assets.yaml", JSON.stringify(REGISTRY)],
    ]);
  return {
    client: compileClient(parsePolicy("policy.yaml", files(client), noCheck)),
    house: compileHouse(parsePolicy("policy.yaml", files(house), noCheck)),
  };
};

/** What windows hold is drawn by the counter's name, so that every evaluator of one run is told the same. */
function withSpent(policies: Policies, intent: Intent, { spentSeed, ...facts }: RandomFacts): DecisionFacts {
  const spent = new Map<CounterId, bigint>();
  for (const { counter } of chargesOf(policies, intent, facts))
    spent.set(counter, BigInt(spentSeed[counter.length % spentSeed.length]!));
  return { ...facts, spent };
}

const RANK = { deny: 0, "needs-approval": 1, allow: 2 } as const;
const missingOf = (decision: Decision): number =>
  decision.missing.approvals.reduce((sum, { have, need }) => sum + need - have, 0);

describe("the evaluator", function () {
  this.timeout(SOAK ? 3_600_000 : 60_000);
  it("agrees with a reference written from the sentences", () => {
    const seen = { allow: 0, deny: 0, "needs-approval": 0 };
    fc.assert(
      fc.property(
        clientDocument,
        houseDocument,
        fc.array(fc.tuple(intents, randomFacts), { minLength: CASES, maxLength: CASES }),
        (client, house, cases) => {
          const policies = compilePair(client, house);
          for (const [intent, random] of cases) {
            const facts = withSpent(policies, intent, random);
            const decision = evaluate(policies, intent, facts);
            const reference = referenceDecision(client, house, [REGISTRY], intent, facts);
            seen[decision.outcome] += 1;
            assert.ok(
              !decision.reasons.some(({ code }) => code === "evaluation-failed"),
              JSON.stringify(decision.reasons),
            );
            assert.equal(decision.outcome, reference.outcome);
            assert.equal(missingOf(decision), reference.missing);
            assert.deepEqual(
              finite(chargesOf(policies, intent, facts).map(({ counter, amount }) => [counter, amount])),
              finite(Object.entries(reference.charges)),
            );
          }
        },
      ),
      { numRuns: AGREEMENTS / CASES },
    );
    // A test that only ever sees denials proves little.
    assert.ok(seen.allow * 50 > seen.deny && seen["needs-approval"] * 100 > seen.deny, JSON.stringify(seen));
  });

  it("never permits more when a deny rule is added", () => {
    fc.assert(
      fc.property(
        clientDocument,
        houseDocument,
        denyRule,
        intents,
        randomFacts,
        (client, house, rule, intent, random) => {
          const before = compilePair(client, house);
          const after = compilePair({ ...client, rules: [...client.rules, { id: "added", ...rule }] }, house);
          const facts = withSpent(before, intent, random);
          assert.ok(RANK[evaluate(after, intent, facts).outcome] <= RANK[evaluate(before, intent, facts).outcome]);
        },
      ),
      { numRuns: CHANGES },
    );
  });

  it("never asks for less when an allow rule is added", () => {
    fc.assert(
      fc.property(
        clientDocument,
        houseDocument,
        allowRule,
        intents,
        randomFacts,
        (client, house, rule, intent, random) => {
          const before = compilePair(client, house);
          const after = compilePair({ ...client, rules: [...client.rules, { id: "added", ...rule }] }, house);
          const facts = withSpent(before, intent, random);
          const [first, second] = [evaluate(before, intent, facts), evaluate(after, intent, facts)];
          if (first.outcome === "needs-approval") {
            assert.notEqual(second.outcome, "allow");
            if (second.outcome === "needs-approval")
              assert.ok(missingOf(second) >= missingOf(first) && second.expiresAt! <= first.expiresAt!);
          }
        },
      ),
      { numRuns: CHANGES },
    );
  });

  it("never permits more when a window holds more", () => {
    fc.assert(
      fc.property(
        clientDocument,
        houseDocument,
        intents,
        randomFacts,
        fc.bigInt({ min: 0n, max: 300n }),
        (client, house, intent, random, more) => {
          const policies = compilePair(client, house);
          const facts = withSpent(policies, intent, random);
          const fuller = {
            ...facts,
            spent: new Map([...facts.spent].map(([counter, spent]) => [counter, spent + more])),
          };
          assert.ok(
            RANK[evaluate(policies, intent, fuller).outcome] <= RANK[evaluate(policies, intent, facts).outcome],
          );
        },
      ),
      { numRuns: CHANGES / 2 },
    );
  });
});

/** The two have different numbers for "more than anything". */
const finite = (entries: readonly (readonly [string, bigint])[]): Record<string, string> =>
  Object.fromEntries(
    entries
      .map(([counter, amount]): [string, string] => [counter, amount > 10n ** 100n ? "unlimited" : amount.toString()])
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
