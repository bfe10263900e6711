import type { DecisionFacts } from "../domain/decision.ts";
import type { CallerName } from "../domain/names.ts";
import type { CompiledPolicy, CompiledRule } from "./compile.ts";

/** What the matching allow rules ask for together (sentence 4). */
export type Asked = {
  /** Persons needed, by group: the largest of all rules. */
  readonly quorums: ReadonlyMap<string, number>;
  readonly delayMs: number;
  /** Undefined where nothing is asked. */
  readonly expireAfterMs: number | undefined;
  /** Whether one of them is for emergencies. */
  readonly breakGlass: boolean;
};

export type Progress = {
  readonly groups: readonly { readonly group: string; readonly have: number; readonly need: number }[];
  /** When the last approval that was needed came in; undefined while some are missing. */
  readonly completedAt: number | undefined;
};

const NOTHING: Asked = { quorums: new Map(), delayMs: 0, expireAfterMs: undefined, breakGlass: false };
/** A request that nobody signs must not stay ready for ever. */
const EXPIRE_AFTER_DELAY_MS = 24 * 3_600_000;

const asks = (rule: CompiledRule): boolean => rule.quorums.length > 0 || rule.delayMs > 0;

export function askedBy(rules: Iterable<CompiledRule>): Asked {
  let asked = NOTHING;
  for (const rule of rules) {
    if (asks(rule)) asked = addUp(asked, rule);
  }
  return asked;
}

function addUp(asked: Asked, rule: CompiledRule): Asked {
  const quorums = new Map(asked.quorums);
  for (const [group, persons] of rule.quorums) quorums.set(group, Math.max(quorums.get(group) ?? 0, persons));
  const expireAfterMs = rule.expireAfterMs ?? rule.delayMs + EXPIRE_AFTER_DELAY_MS;
  return {
    quorums,
    delayMs: Math.max(asked.delayMs, rule.delayMs),
    expireAfterMs: Math.min(asked.expireAfterMs ?? Infinity, expireAfterMs),
    breakGlass: asked.breakGlass || rule.breakGlass,
  };
}

/**
 * Counts approvals as persons. One person fills one place only, also as a member of two groups; the caller and the
 * persons who operate it fill none (I10).
 */
export function progressOf(asked: Asked, policy: CompiledPolicy, facts: DecisionFacts): Progress {
  const places = new Places(asked.quorums, policy);
  let completedAt: number | undefined;
  for (const { person, at, via } of countingApprovals(policy, facts)) {
    if (places.missing > 0 && places.seat(person, via) && places.missing === 0) completedAt = at;
  }
  return { groups: places.groups(), completedAt };
}

/** In the order of time, each person once. */
function countingApprovals(policy: CompiledPolicy, facts: DecisionFacts): DecisionFacts["approvals"] {
  const operators = policy.callers.get(facts.caller)?.operatedBy;
  const seen = new Set<CallerName>([facts.caller, ...(operators ?? [])]);
  return facts.approvals
    .filter(({ at }) => at <= facts.now)
    .toSorted((a, b) => a.at - b.at)
    .filter(({ person }) => {
      if (seen.has(person) || policy.callers.get(person)?.role !== "approver") return false;
      seen.add(person);
      return true;
    });
}

/** Assigns persons to groups so that as many places as possible are filled (augmenting paths; Kuhn 1955). */
class Places {
  missing = 0;
  readonly #quorums: ReadonlyMap<string, number>;
  readonly #policy: Pick<CompiledPolicy, "groups" | "consoleGroups">;
  readonly #byConsole = new Set<CallerName>();
  readonly #seated = new Map<string, Set<CallerName>>();

  constructor(quorums: ReadonlyMap<string, number>, policy: Pick<CompiledPolicy, "groups" | "consoleGroups">) {
    // Small groups first: whoever could sit in either place is told where fewer others could.
    const size = (group: string) => policy.groups.get(group)?.size ?? 0;
    this.#quorums = new Map([...quorums].toSorted(([a], [b]) => size(a) - size(b)));
    this.#policy = policy;
    for (const [group, need] of quorums) {
      this.missing += need;
      this.#seated.set(group, new Set());
    }
  }

  /** @returns whether one more place is filled; nobody who has a place loses it */
  seat(person: CallerName, via?: "console"): boolean {
    if (via === "console") this.#byConsole.add(person);
    const seated = this.#place(person, new Set());
    if (seated) this.missing -= 1;
    return seated;
  }

  groups(): Progress["groups"] {
    return [...this.#quorums].map(([group, need]) => ({ group, have: this.#seated.get(group)!.size, need }));
  }

  #place(person: CallerName, tried: Set<string>): boolean {
    for (const [group, need] of this.#quorums) {
      if (tried.has(group) || !this.#mayFill(group, person)) continue;
      tried.add(group);
      const seated = this.#seated.get(group)!;
      if (seated.size < need || this.#makeRoom(seated, tried)) {
        seated.add(person);
        return true;
      }
    }
    return false;
  }

  #mayFill(group: string, person: CallerName): boolean {
    const { groups, consoleGroups } = this.#policy;
    return groups.get(group)?.has(person) === true && (!this.#byConsole.has(person) || consoleGroups.has(group));
  }

  #makeRoom(seated: Set<CallerName>, tried: Set<string>): boolean {
    for (const other of [...seated]) {
      if (!this.#place(other, tried)) continue;
      seated.delete(other);
      return true;
    }
    return false;
  }
}
