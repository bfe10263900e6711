import { parseAmount } from "../domain/amount.ts";
import { addressesOf, type Declared } from "./declared.ts";
import { isAllow, type AllowRule, type Band, type ClientPolicy, type LimitDocument } from "./document.ts";
import type { Checked } from "./validate.ts";

/** Nothing is unbounded by omission: what an allow rule can move, a sum limit counts; what it can spend on fees, a cap bounds. */
export function requireBounds(checked: Checked, document: ClientPolicy): void {
  for (const [index, rule] of document.rules.entries()) {
    if (!isAllow(rule)) continue;
    for (const symbol of uncounted(rule, document, checked.declared)) {
      checked.report(
        ["rules", index, "amount", symbol],
        `expected a sum limit${document.omnibus ? " per sub-account" : ""} that counts all \`${symbol}\` that rule \`${rule.id}\` can move, found none`,
        {
          part: "key",
          hint: `add to \`limits\`: ${symbol.toLowerCase()}-daily: {sum: ${symbol}, max: "…", window: {rolling: 24h}${document.omnibus ? ", per: sub-account" : ""}}`,
        },
      );
    }
    for (const chain of chainsOf(rule, checked.declared)) {
      const native = checked.declared.chains.get(chain)?.value.native;
      if (native && !Object.hasOwn(document.fee ?? {}, native)) {
        checked.report(
          ["rules", index],
          `expected a \`fee\` cap for \`${native}\`, which rule \`${rule.id}\` can spend on \`${chain}\`, found none`,
          {
            hint: `add \`fee: {${native}: {max: "…"}}\`, or \`uncapped\``,
          },
        );
      }
    }
  }
}

/** Assets that the rule can move to others and that no single limit counts in full. */
function uncounted(rule: AllowRule, document: ClientPolicy, declared: Declared): string[] {
  if (!rule.allow.some((kind) => kind === "transfer" || kind === "allowance")) return [];
  const words = (rule.to ?? []).filter((word) => word !== "own");
  // One sub-account's payments are not to use up what the others may pay.
  const limits = Object.values(document.limits ?? {}).filter(
    ({ per }) => document.omnibus === undefined || per === "sub-account",
  );
  return Object.keys(rule.amount ?? {}).filter(
    (symbol) => !words.every((word) => limits.some((limit) => counts(limit, rule, symbol, word, declared))),
  );
}

function counts(limit: LimitDocument, rule: AllowRule, symbol: string, word: string, declared: Declared): boolean {
  if (!("sum" in limit) || limit.sum !== symbol) return false;
  // It bounds what is elsewhere at a time, and no flow: what comes back may leave again.
  if (limit.window === "outstanding") return false;
  if (limit.to && !limit.to.includes(word)) return false;
  if (limit.by && !(rule.by ?? [undefined]).every((caller) => caller !== undefined && limit.by!.includes(caller)))
    return false;
  if (limit.key && !(rule.key ?? keysOf(rule)).every((key) => key !== undefined && limit.key!.includes(key)))
    return false;
  const band = limit.amount?.[symbol];
  return (
    band === undefined || contains(band, rule.amount![symbol]!, Number(declared.assets.get(symbol)!.value.decimals))
  );
}

/** `from: [hot-1]` says the key as well; with an account among the words any key may sign. */
function keysOf(rule: AllowRule): readonly (string | undefined)[] {
  return rule.from && !rule.from.some((word) => word.startsWith("account:")) ? rule.from : [undefined];
}

function contains(outer: Band, inner: Band, decimals: number): boolean {
  const [outerLow, outerHigh] = edges(outer, decimals);
  const [innerLow, innerHigh] = edges(inner, decimals);
  return outerLow <= innerLow && (outerHigh === undefined || (innerHigh !== undefined && innerHigh <= outerHigh));
}

function edges(band: Band, decimals: number): [low: bigint, high: bigint | undefined] {
  if (band === "any") return [-1n, undefined];
  return [
    band.over === undefined ? -1n : parseAmount(band.over, decimals),
    band.max === undefined || band.max === "any" ? undefined : parseAmount(band.max, decimals),
  ];
}

/** What is signed, but is no transaction; of messages only an anchor of the log is in one. */
const PAYS_NO_FEE: readonly string[] = ["message", "typed-data", "raw-digest"];
const isUnpaid = ({ allow, format }: AllowRule): boolean =>
  allow.every((kind) => PAYS_NO_FEE.includes(kind)) && !format?.includes("anchor");

/** Where the rule can make a transaction: the chains of its assets, or of its destinations, or all. */
function chainsOf(rule: AllowRule, declared: Declared): ReadonlySet<string> {
  if (isUnpaid(rule)) return new Set();
  const onlyMoves = rule.allow.every((kind) => kind === "transfer" || kind === "allowance");
  const chains = onlyMoves
    ? Object.keys(rule.amount ?? {}).map((symbol) => declared.assets.get(symbol)!.value.chain)
    : (rule.to ?? ["anyone"]).flatMap((word) => chainsOfDestination(word, declared));
  return new Set(rule.chain ? chains.filter((chain) => rule.chain!.includes(chain)) : chains);
}

function chainsOfDestination(word: string, declared: Declared): readonly string[] {
  const chainOf = (account: string) => account.slice(0, account.lastIndexOf(":"));
  if (word.startsWith("eip155:")) return [chainOf(word)];
  const named = declared.book.get(word);
  if (named) return addressesOf(named.value).map(chainOf);
  return [...declared.chains.keys()];
}
