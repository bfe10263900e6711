import type { CounterId, Decision, DecisionFacts } from "../domain/decision.ts";
import type { CallerName, KeyName, SubAccountName } from "../domain/names.ts";
import { chargesOf } from "./charges.ts";
import type { CompiledHouse, CompiledPolicy } from "./compile.ts";
import type { ClientPolicy, PolicyTest } from "./document.ts";
import { evaluate } from "./evaluate.ts";
import { subAccountFor } from "./omnibus.ts";
import type { Policies } from "./scene.ts";
import { NO_HOUSE, World } from "./world.ts";

export type TestResult = {
  readonly name: string;
  /** Position in `tests`. */
  readonly index: number;
  readonly passed: boolean;
  /** What was expected and what was found; empty where it passed. */
  readonly failures: readonly string[];
  /** Absent where the test could not be run. */
  readonly decision?: Decision;
};

export type TestRun = {
  readonly results: readonly TestResult[];
  readonly passed: boolean;
  /** For each rule and limit of the document: how many tests it matched in. */
  readonly coverage: { readonly rules: ReadonlyMap<string, number>; readonly limits: ReadonlyMap<string, number> };
};

/**
 * Runs a document's own tests. Pure: the clock is each test's `now`.
 * @param house left out, nothing of the house holds
 */
export function runTests(document: ClientPolicy, client: CompiledPolicy, house: CompiledHouse = NO_HOUSE): TestRun {
  const results = (document.tests ?? []).map((test, index) => runTest(test, index, { client, house }));
  const count = (names: readonly string[], hits: (decision: Decision) => readonly string[]) =>
    new Map(
      names.map((name) => [name, results.filter(({ decision }) => decision && hits(decision).includes(name)).length]),
    );
  return {
    results,
    passed: results.every(({ passed }) => passed),
    coverage: {
      rules: count(
        document.rules.map(({ id }) => id),
        matchedRules,
      ),
      limits: count(Object.keys(document.limits ?? {}), (decision) => decision.limits.map(({ limit }) => limit)),
    },
  };
}

const matchedRules = (decision: Decision): string[] =>
  decision.rules.filter(({ matched, of }) => matched && of === "client").map(({ rule }) => rule);

function runTest(test: PolicyTest, index: number, policies: Policies): TestResult {
  try {
    const decision = decideTest(test, policies);
    const failures = failuresOf(test.expect, decision);
    return { name: test.name, index, passed: failures.length === 0, failures, decision };
  } catch (error) {
    return {
      name: test.name,
      index,
      passed: false,
      failures: [error instanceof Error ? error.message : String(error)],
    };
  }
}

type Entry = { readonly counter: CounterId; readonly at: number; readonly amount: bigint };

export function decideTest(test: PolicyTest, policies: Policies): Decision {
  const world = new World(policies.client);
  const now = Date.parse(test.now);
  const { request } = test;
  const intent = world.intent(request);
  const common = { client: policies.client.client, owners: world.owners };
  const past = (test.history ?? []).flatMap((entry): Entry[] => {
    const at = Date.parse(entry.at);
    const caller = (entry.by ?? request.by) as CallerName;
    const subAccount = subAccountFor(policies.client, caller, entry.subAccount as SubAccountName);
    const facts = { ...common, now: at, caller, key: entry.from as KeyName, subAccount };
    return chargesOf(policies, world.intent(entry), facts).map(({ counter, amount }) => ({
      counter,
      at,
      amount,
    }));
  });
  const caller = request.by as CallerName;
  const subAccount = subAccountFor(policies.client, caller, request.subAccount as SubAccountName);
  const who = { ...common, now, caller, key: request.from as KeyName, subAccount };
  const facts: DecisionFacts = {
    ...who,
    keyPurpose: test.keyPurpose ?? "transactions",
    submittedAt: test.submittedAt === undefined ? now : Date.parse(test.submittedAt),
    approvals: (test.approvals ?? []).map(({ person, at, via }) => ({
      person: person as CallerName,
      at: Date.parse(at),
      ...(via === undefined ? {} : { via }),
    })),
    heldSince: heldSince(test, world, policies.client),
    spent: spentOf(chargesOf(policies, intent, who), past, now),
  };
  return evaluate(policies, intent, facts, { explain: true });
}

function spentOf(charges: ReturnType<typeof chargesOf>, past: readonly Entry[], now: number): Map<CounterId, bigint> {
  const inWindow = (entry: Entry, counter: CounterId, startsAt: number) =>
    entry.counter === counter && entry.at > startsAt && entry.at <= now;
  return new Map(
    charges.map(({ counter, windowStartsAt }) => [
      counter,
      past.filter((entry) => inWindow(entry, counter, windowStartsAt)).reduce((sum, { amount }) => sum + amount, 0n),
    ]),
  );
}

function heldSince(test: PolicyTest, world: World, policy: CompiledPolicy): DecisionFacts["heldSince"] {
  const since = new Map([...policy.addresses.keys()].map((account) => [account, 0]));
  for (const [name, at] of Object.entries(test.held ?? {})) {
    for (const account of world.accountsOf(name)) since.set(account, Date.parse(at));
  }
  return since;
}

function failuresOf(expect: PolicyTest["expect"], decision: Decision): string[] {
  const failures: string[] = [];
  const say = (what: string, expected: string, found: readonly string[]) =>
    failures.push(
      `expected ${what} \`${expected}\`, found ${found.length === 0 ? "none" : found.map((name) => `\`${name}\``).join(", ")}`,
    );
  const reasons = decision.reasons.map(({ code }) => code as string);
  if (decision.outcome !== expect.decision) say("the decision", expect.decision, [decision.outcome, ...reasons]);
  if (expect.reason !== undefined && !reasons.includes(expect.reason)) say("the reason", expect.reason, reasons);
  const matched = decision.rules.filter((rule) => rule.matched).map(({ rule }) => rule);
  if (expect.rule !== undefined && !matched.includes(expect.rule)) say("a match of rule", expect.rule, matched);
  const exceeded = decision.limits.filter(({ holds }) => !holds).map(({ limit }) => limit);
  if (expect.limit !== undefined && !exceeded.includes(expect.limit)) say("too much for limit", expect.limit, exceeded);
  for (const [group, more] of Object.entries(expect.missing ?? {})) {
    const found = decision.missing.approvals.find((missing) => missing.group === group);
    const missing = found ? found.need - found.have : 0;
    if (missing !== Number(more)) failures.push(`expected ${more} more of \`${group}\`, found ${missing}`);
  }
  return failures;
}
