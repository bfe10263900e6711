import assert from "node:assert/strict";
import fc from "fast-check";
import type { CounterId, DecisionFacts } from "../../src/domain/decision.ts";
import type { Intent } from "../../src/domain/intent.ts";
import { chargesOf } from "../../src/policy/charges.ts";
import { compileClient, compileHouse, type CompiledPolicy } from "../../src/policy/compile.ts";
import { diffHouses, diffPolicies } from "../../src/policy/diff.ts";
import { evaluate } from "../../src/policy/evaluate.ts";
import { parsePolicy } from "../../src/policy/parse.ts";
import type { Policies } from "../../src/policy/scene.ts";
import { NO_HOUSE } from "../../src/policy/world.ts";
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
import type { PolicyObject } from "../support/reference-policy.ts";

// Goal: a change that is called tightening never lets through, or asks less for, what the old version did not.
// Method: random changes of random documents; where the verdict is tightening, a random search for a request that
// contradicts it.

const SOAK = process.env["SOAK"] !== undefined;
const RUNS = SOAK ? 3_000 : 45;
const CASES = SOAK ? 200 : 60;

const files = (document: object) =>
  new Map([
    ["policy.yaml", JSON.stringify(document)],
    ["assets.yaml", JSON.stringify(REGISTRY)],
  ]);
const compile = (document: object): CompiledPolicy =>
  compileClient(parsePolicy("policy.yaml", files(document), () => {}));

/** All windows hold the same: what one counter has seen another may have seen as well. */
function factsFor(policies: Policies, intent: Intent, { spentSeed, ...facts }: RandomFacts): DecisionFacts {
  return {
    ...facts,
    spent: new Map<CounterId, bigint>(
      chargesOf(policies, intent, facts).map(({ counter }) => [counter, BigInt(spentSeed[0]!)]),
    ),
  };
}

const RANK = { deny: 0, "needs-approval": 1, allow: 2 } as const;
const rank = (policies: Policies, intent: Intent, random: RandomFacts) =>
  RANK[evaluate(policies, intent, factsFor(policies, intent, random)).outcome];

type Edit = (document: PolicyObject) => PolicyObject;
const pick = <T>(items: readonly T[], at: number): T | undefined => items[at % Math.max(1, items.length)];
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.nat().map((at): Edit => (document) => ({
    ...document,
    rules: document.rules.filter((rule) => rule !== pick(document.rules, at)),
  })),
  denyRule.map((rule): Edit => (document) => ({
    ...document,
    rules: [...document.rules, { id: `added${document.rules.length}`, ...rule }],
  })),
  allowRule.map((rule): Edit => (document) => ({
    ...document,
    rules: [...document.rules, { id: `added${document.rules.length}`, ...rule }],
  })),
  fc.tuple(fc.nat(), allowRule).map(([at, rule]): Edit => (document) => ({
    ...document,
    rules: document.rules.map((old) =>
      old === pick(document.rules, at) && old.allow ? { ...old, amount: rule.amount! } : old,
    ),
  })),
  fc.tuple(fc.nat(), allowRule).map(([at, { approvals, delay }]): Edit => (document) => ({
    ...document,
    rules: document.rules.map((old) =>
      old === pick(document.rules, at) && old.allow
        ? { ...old, ...(approvals ? { approvals } : {}), ...(delay ? { delay } : {}) }
        : old,
    ),
  })),
  fc.tuple(fc.nat(), fc.constantFrom("1", "2", "9")).map(([at, max]): Edit => (document) => ({
    ...document,
    limits: Object.fromEntries(
      Object.entries(document.limits).map(([name, limit], index) => [
        name,
        index === at % Object.keys(document.limits).length ? { ...limit, max } : limit,
      ]),
    ),
  })),
  fc
    .constantFrom({ max: "0.2" }, { max: "0.75" }, "uncapped" as const)
    .map((fee): Edit => (document) => ({ ...document, fee: { ETH: fee } })),
  fc
    .constantFrom(["ann"], ["ann", "ben", "cat", "dan"])
    .map((members): Edit => (document) => ({ ...document, groups: { ...document.groups, g: members } })),
  fc.constantFrom("0h", "2h").map((coolOff): Edit => (document) => {
    const { address, tags = [] } = document.addressBook!.beta!;
    const beta = { address, tags };
    return {
      ...document,
      addressBook: { ...document.addressBook, beta: coolOff === "0h" ? beta : { ...beta, coolOff } },
    };
  }),
);

/** What a person needs to see the contradiction. */
const shown = (value: unknown) =>
  JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "bigint" ? `${inner}` : inner));

describe("a diff", function () {
  this.timeout(SOAK ? 3_600_000 : 60_000);
  it("never calls tightening what lets something through", () => {
    const seen = { none: 0, tightening: 0, loosening: 0, mixed: 0 };
    fc.assert(
      fc.property(
        clientDocument,
        edit,
        edit,
        fc.boolean(),
        fc.array(fc.tuple(intents, randomFacts), { minLength: CASES, maxLength: CASES }),
        (document, first, second, both, cases) => {
          const changed = both ? second(first(document)) : first(document);
          const [before, after] = [compile(document), compile(changed)];
          const { verdict } = diffPolicies(before, after);
          seen[verdict] += 1;
          if (verdict === "loosening" || verdict === "mixed") return;
          for (const [intent, random] of cases) {
            const [old, now] = [before, after].map((client) => rank({ client, house: NO_HOUSE }, intent, random));
            assert.ok(
              now! <= old! && (verdict !== "none" || now === old),
              `${verdict}: was ${old}, is ${now}: ${shown([changed.rules, intent.operations, random])}`,
            );
          }
        },
      ),
      { numRuns: RUNS, endOnFailure: true },
    );
    assert.ok(seen.tightening * 10 > RUNS && seen.loosening * 10 > RUNS, JSON.stringify(seen));
  });

  it("nor for the house", () => {
    fc.assert(
      fc.property(
        clientDocument,
        houseDocument,
        denyRule,
        fc.boolean(),
        fc.array(fc.tuple(intents, randomFacts), { minLength: CASES, maxLength: CASES }),
        (client, house, rule, adds, cases) => {
          const other = { ...house, rules: adds ? [...house.rules, { id: "added", ...rule }] : [] };
          const [before, after] = [house, other].map((each) =>
            compileHouse(parsePolicy("policy.yaml", files(each), () => {})),
          );
          const { verdict } = diffHouses(before!, after!);
          if (verdict === "loosening" || verdict === "mixed") return;
          const compiled = compile(client);
          for (const [intent, random] of cases) {
            const [old, now] = [before!, after!].map((each) => rank({ client: compiled, house: each }, intent, random));
            assert.ok(now! <= old!);
          }
        },
      ),
      { numRuns: RUNS / 3, endOnFailure: true },
    );
  });
});
