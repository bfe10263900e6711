import type { CallerName } from "../domain/names.ts";
import type { CompiledRule } from "./compile.ts";
import type { OperationView } from "./scene.ts";

/**
 * Finds the rules that can match a caller and a destination without asking all of them: a rule with `by` matches no
 * other caller, and one whose `to` has only names, tags and accounts matches nothing that none of its words stands for.
 */
export type RuleIndex = {
  readonly byWord: ReadonlyMap<string, Callers>;
  /** Rules that have to be asked whatever the destination. */
  readonly others: Callers;
};

type Callers = {
  readonly byCaller: ReadonlyMap<CallerName, readonly CompiledRule[]>;
  /** Rules that have to be asked whoever asks. */
  readonly others: readonly CompiledRule[];
};

export function indexRules(rules: readonly CompiledRule[]): RuleIndex {
  const byWord = new Map<string, CompiledRule[]>();
  const others: CompiledRule[] = [];
  for (const rule of rules) {
    const { to } = rule;
    if (!to || to.anyone || to.own || to.house || to.clients.size > 0) others.push(rule);
    else for (const word of [...to.names, ...[...to.tags].map(tagWord), ...to.accounts]) push(byWord, word, rule);
  }
  return {
    byWord: new Map([...byWord].map(([word, some]) => [word, indexCallers(some)])),
    others: indexCallers(others),
  };
}

function indexCallers(rules: readonly CompiledRule[]): Callers {
  const byCaller = new Map<CallerName, CompiledRule[]>();
  for (const rule of rules) for (const caller of rule.by ?? []) push(byCaller, caller, rule);
  return { byCaller, others: rules.filter(({ by }) => by === undefined) };
}

function push<K>(map: Map<K, CompiledRule[]>, key: K, rule: CompiledRule): void {
  const rules = map.get(key);
  if (rules) rules.push(rule);
  else map.set(key, [rule]);
}

/** A tag may be spelled as a name is. */
const tagWord = (tag: string): string => `tag:${tag}`;

export const EMPTY_INDEX: RuleIndex = { byWord: new Map(), others: { byCaller: new Map(), others: [] } };

/** @returns each rule once */
export function candidates(
  index: RuleIndex,
  { to, known }: OperationView,
  caller: CallerName,
): ReadonlySet<CompiledRule> {
  const found = new Set<CompiledRule>();
  const add = (callers: Callers | undefined) => {
    if (!callers) return;
    for (const rule of callers.others) found.add(rule);
    for (const rule of callers.byCaller.get(caller) ?? []) found.add(rule);
  };
  add(index.others);
  if (to !== undefined) add(index.byWord.get(to));
  for (const name of known?.names ?? []) add(index.byWord.get(name));
  for (const tag of known?.tags ?? []) add(index.byWord.get(tagWord(tag)));
  return found;
}
