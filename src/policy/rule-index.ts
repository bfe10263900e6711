import type { CompiledRule } from "./compile.ts";
import type { OperationView } from "./scene.ts";

/**
 * Finds the rules that can match a destination without asking all of them: a rule whose `to` has only names, tags and
 * accounts matches nothing that none of its words stands for.
 */
export type RuleIndex = {
  readonly byWord: ReadonlyMap<string, readonly CompiledRule[]>;
  /** Rules that have to be asked always. */
  readonly others: readonly CompiledRule[];
};

export function indexRules(rules: readonly CompiledRule[]): RuleIndex {
  const byWord = new Map<string, CompiledRule[]>();
  const others: CompiledRule[] = [];
  for (const rule of rules) {
    const { to } = rule;
    if (!to || to.anyone || to.own || to.house || to.clients.size > 0) others.push(rule);
    else
      for (const word of [...to.names, ...[...to.tags].map(tagWord), ...to.accounts])
        byWord.set(word, [...(byWord.get(word) ?? []), rule]);
  }
  return { byWord, others };
}

/** A tag may be spelled as a name is. */
const tagWord = (tag: string): string => `tag:${tag}`;

export function candidates(index: RuleIndex, { to, known }: OperationView): ReadonlySet<CompiledRule> {
  const found = new Set(index.others);
  const add = (word: string) => {
    for (const rule of index.byWord.get(word) ?? []) found.add(rule);
  };
  if (to !== undefined) add(to);
  known?.names.forEach(add);
  known?.tags.forEach((tag) => add(tagWord(tag)));
  return found;
}
