import { formatAmount, parseAmount } from "../domain/amount.ts";
import type { CallerName } from "../domain/names.ts";
import { ANOTHER, TooManyAtoms, atomsOf, sceneOf, type Atom } from "./atoms.ts";
import { atomText } from "./atom-text.ts";
import { quorumsOf } from "./break-glass.ts";
import {
  compileClient,
  compileHouse,
  quorumOfHouse,
  type CompiledLimit,
  type CompiledPolicy,
  type CompiledRule,
} from "./compile.ts";
import { addressesOf, declaredIn } from "./declared.ts";
import { isAllow, type AllowRule, type ClientPolicy } from "./document.ts";
import { compareFindings, type DocumentPath, type Finding } from "./finding.ts";
import { limitCounts, mismatchOf } from "./match.ts";
import type { CheckAccount, ResolvedPolicy } from "./parse.ts";
import { tryParsePolicy } from "./parse.ts";
import { askedBy } from "./quorum.ts";
import { runTests } from "./test-runner.ts";

/** What `policy check` says of a document that is valid, but may not say what its author means. */
export const LINTS = {
  "unreachable-rule": "no operation can match the rule",
  "swallowed-allow": "everything that the rule allows is denied by others",
  "deny-walked-round": "what may not be transferred may be drawn by an allowance",
  "overlapping-allows": "one operation matches two rules that ask for different things",
  "amount-gap": "amounts between two rules are allowed by neither",
  "quorum-too-large": "the group has too few members who can count",
  "single-approver": "one person alone approves",
  "console-alone": "approvals made on web pages alone suffice",
  "no-spare-person": "a group needs all of its members: one lost key, and nobody can approve",
  "no-spare-officer": "a change needs all policy officers: one lost key, and nothing can be changed again",
  "break-glass-overlaps": "a rule for emergencies matches what another rule allows",
  "break-glass-same-people": "a rule for emergencies asks nobody but those whom others ask",
  "cap-below-maximum": "a limit is lower than a single transaction that a rule allows",
  "unused-limit": "nothing that the rules allow is counted",
  "unused-entry": "no rule or limit reaches the address book entry",
  "unused-group": "no rule asks the group",
  "argument-spelling": "a value that a decoder writes otherwise, so that nothing is equal to it",
  "fixed-zone": "a time zone without summer time, where people have one",
  "sums-only-per-part": "no sum limit counts the whole client",
  omnibus: "the same accounts hold the assets of several owners",
  "untested-rule": "no test of the document matches the rule",
  "failing-test": "a test of the document fails",
  "too-large": "the document is too large to look at every operation",
} as const;
export type Lint = keyof typeof LINTS;

/** All findings of a document: what makes it no policy, or else what looks wrong in it. */
export function checkPolicy(
  entry: string,
  files: ReadonlyMap<string, string>,
  checkAccount: CheckAccount,
): readonly Finding[] {
  const { policy, findings } = tryParsePolicy(entry, files, checkAccount);
  return policy && findings.length === 0 ? lint(policy) : findings;
}

/** @param resolved a valid policy */
export function lint(resolved: ResolvedPolicy): readonly Finding[] {
  if (resolved.document.kind !== "ClientPolicy") return lintHouse(resolved);
  const linter = new Linter(resolved, resolved.document);
  linter.omnibus();
  linter.groups();
  linter.limits();
  linter.zones();
  linter.argumentValues();
  linter.addressBook();
  linter.bands();
  linter.operations();
  linter.tests();
  return linter.findings.toSorted(compareFindings);
}

function lintHouse(resolved: ResolvedPolicy): readonly Finding[] {
  const { policyQuorum, officers } = quorumOfHouse(compileHouse(resolved));
  if (policyQuorum < officers) return [];
  const path = [
    resolved.document.kind === "HousePolicy" && resolved.document.policyQuorum ? "policyQuorum" : "callers",
  ];
  const at = resolved.sources.get(resolved.entry)!.locate(path, "key");
  const message = `a change needs all ${officers} policy officers: with one key lost nothing can be changed again`;
  const hint = "name more officers than `policyQuorum`";
  return [{ code: "no-spare-officer", severity: "warning", file: resolved.entry, ...at, message, hint }];
}

class Linter {
  readonly findings: Finding[] = [];
  readonly #resolved: ResolvedPolicy;
  readonly #document: ClientPolicy;
  readonly #policy: CompiledPolicy;
  readonly #ruleKeys: ReadonlySet<string>;

  constructor(resolved: ResolvedPolicy, document: ClientPolicy) {
    this.#resolved = resolved;
    this.#document = document;
    this.#policy = compileClient(resolved);
    const rules = [...this.#policy.allows, ...this.#policy.denies];
    this.#ruleKeys = new Set(rules.flatMap(({ key, from }) => [...(key ?? []), ...(from?.keys ?? [])]));
  }

  omnibus(): void {
    if (this.#document.omnibus === undefined) return;
    this.#say(
      "omnibus",
      "warning",
      ["omnibus"],
      "the same accounts hold what is several owners': that nobody spends another's rests on the ledger, not on keys, and a chain shows no owner's position apart",
      "a client of its own for each owner, with its own token, wherever that can be",
    );
  }

  // ---- people ---------------------------------------------------------------------------------------------------

  groups(): void {
    const asked = new Set(this.#allows().flatMap(([, rule]) => quorumsOf(rule).map(([group]) => group)));
    for (const group of Object.keys(this.#document.groups ?? {})) {
      if (!asked.has(group))
        this.#say(
          "unused-group",
          "warning",
          ["groups", group],
          `no rule asks group \`${group}\``,
          "remove it, or name it in `approvals`",
        );
    }
    for (const [index, rule] of this.#allows()) this.#quorums(index, rule);
  }

  #quorums(index: number, rule: AllowRule): void {
    const quorums = quorumsOf(rule);
    for (const [group, need] of quorums) {
      const can = this.#eligible(group, rule.by);
      if (can.size === need) this.#noSpare(index, rule, group);
      if (can.size >= need) continue;
      const path = ["rules", index, "approvals", group];
      this.#say(
        "quorum-too-large",
        "error",
        path,
        `expected at most ${can.size}, the members of \`${group}\` who can count, found \`${need}\``,
        "who operates the calling service does not count",
      );
    }
    this.#consoleAlone(index, rule, quorums);
    this.#breakGlass(index, rule, quorums);
    if (quorums.reduce((sum, [, need]) => sum + need, 0) !== 1) return;
    this.#say(
      "single-approver",
      "warning",
      ["rules", index, "approvals"],
      `rule \`${rule.id}\` is met by one person`,
      "ask two persons, so that no one alone can move assets",
    );
  }

  #noSpare(index: number, rule: AllowRule, group: string): void {
    this.#say(
      "no-spare-person",
      "warning",
      ["rules", index, "approvals", group],
      `rule \`${rule.id}\` asks all members of \`${group}\` who can count`,
      "add a member: with one key lost nobody could approve, and a new key takes the officers and their delay",
    );
  }

  /** In an emergency the officers of every day may be the ones who are not there. */
  #breakGlass(index: number, rule: AllowRule, quorums: ReturnType<typeof quorumsOf>): void {
    if (rule.breakGlass === undefined) return;
    const membersOf = (groups: ReturnType<typeof quorumsOf>): CallerName[] =>
      groups.flatMap(([group]) => [...(this.#policy.groups.get(group) ?? [])]);
    const daily = this.#allows().flatMap(([, other]) => (other.breakGlass === undefined ? quorumsOf(other) : []));
    const known = new Set(membersOf(daily));
    if (!membersOf(quorums).every((person) => known.has(person))) return;
    this.#say(
      "break-glass-same-people",
      "warning",
      ["rules", index, "approvals"],
      `rule \`${rule.id}\` asks nobody whom other rules do not ask`,
      "name a group with others in it: when those of every day cannot be reached, nobody could break the glass",
    );
  }

  /** A page comes from the edge, which may show one payment and ask for another. */
  #consoleAlone(index: number, rule: AllowRule, quorums: ReturnType<typeof quorumsOf>): void {
    if (quorums.length === 0 || !quorums.every(([group]) => this.#policy.consoleGroups.has(group))) return;
    this.#say(
      "console-alone",
      "warning",
      ["rules", index, "approvals"],
      `rule \`${rule.id}\` is met by approvals made on web pages alone`,
      "ask a group without `via: [console]` as well: what its members sign was decoded on machines of their own",
    );
  }

  /** Members of whom the least favourable caller leaves something. */
  #eligible(group: string, by: readonly string[] | undefined): ReadonlySet<CallerName> {
    const members = [...(this.#policy.groups.get(group) ?? [])];
    const services =
      by ?? [...this.#policy.callers].filter(([, { role }]) => role === "wallet-service").map(([name]) => name);
    const out = services.map(
      (service) => this.#policy.callers.get(service as CallerName)?.operatedBy ?? new Set<CallerName>(),
    );
    return new Set(members.filter((member) => !out.some((operators) => operators.has(member))));
  }

  // ---- time -----------------------------------------------------------------------------------------------------

  /** `EST` is five hours behind UTC all year, `Etc/GMT+5` as well: its sign is the other way round. */
  zones(): void {
    const rules = [...this.#document.rules.entries()].map(
      ([index, { when }]) => [["rules", index, "when", "tz"], when?.tz] as const,
    );
    const limits = Object.entries(this.#document.limits ?? {}).map(
      ([name, { window }]) =>
        [
          ["limits", name, "window", "tz"],
          typeof window === "object" && "tz" in window ? window.tz : undefined,
        ] as const,
    );
    for (const [path, tz] of [...rules, ...limits]) {
      if (tz === undefined || !FIXED_ZONE.test(tz)) continue;
      this.#say(
        "fixed-zone",
        "warning",
        path,
        `\`${tz}\` has no summer time`,
        "name a place, such as `America/New_York`, or `UTC`",
      );
    }
  }

  // ---- arguments ------------------------------------------------------------------------------------------------

  argumentValues(): void {
    for (const [index, rule] of this.#document.rules.entries()) {
      for (const [name, test] of Object.entries(rule.arguments ?? {})) {
        const value = "in" in test ? test.in.find((one) => MISSPELT.test(one)) : undefined;
        if (value === undefined) continue;
        this.#say(
          "argument-spelling",
          "warning",
          ["rules", index, "arguments", name],
          `no address and no number is written \`${value}\``,
          "an address has its checksum, better `to: [NAME]`; a number has no leading zero",
        );
      }
    }
  }

  // ---- limits ---------------------------------------------------------------------------------------------------

  limits(): void {
    const sums = Object.entries(this.#document.limits ?? {}).filter(([, limit]) => "sum" in limit);
    for (const symbol of new Set(sums.map(([, limit]) => ("sum" in limit ? limit.sum : "")))) {
      const of = sums.filter(([, limit]) => "sum" in limit && limit.sum === symbol);
      if (!of.every(([, limit]) => limit.per !== undefined)) continue;
      this.#say(
        "sums-only-per-part",
        "warning",
        ["limits", of[0]![0]],
        `expected a sum limit of \`${symbol}\` over the whole client, found only limits with \`per\``,
        "every further key or caller brings a window of its own",
      );
    }
    for (const [index, rule] of this.#allows()) this.#caps(index, rule);
  }

  #caps(index: number, rule: AllowRule): void {
    for (const [symbol, band] of Object.entries(rule.amount ?? {})) {
      if (band === "any" || band.max === undefined || band.max === "any") continue;
      const asset = this.#policy.registry.bySymbol.get(symbol as never)!;
      const max = parseAmount(band.max, asset.decimals);
      for (const limit of this.#policy.limits) {
        const whole = !limit.to && !limit.by && !limit.key && !limit.amount && limit.per !== "destination";
        if (limit.asset?.symbol !== symbol) continue;
        if (!whole || limit.max >= max) continue;
        const path = ["rules", index, "amount", symbol];
        this.#say(
          "cap-below-maximum",
          "warning",
          path,
          `rule \`${rule.id}\` allows ${band.max} ${symbol}, but limit \`${limit.name}\` never lets more than ${formatAmount(limit.max, asset.decimals)} pass`,
          "lower the rule's `max`, or raise the limit",
        );
      }
    }
  }

  // ---- address book ---------------------------------------------------------------------------------------------

  addressBook(): void {
    const words = new Set(this.#words());
    const accounts = new Set([...words].filter((word) => word.startsWith("eip155:")));
    for (const [name, { value: entry, file, path }] of declaredIn(this.#resolved).book) {
      // What files share is used by others.
      if (file !== this.#resolved.entry) continue;
      const reached =
        words.has(name) ||
        words.has(`account:${name}`) ||
        (entry.tags ?? []).some((tag) => words.has(`tag:${tag}`)) ||
        addressesOf(entry).some((account) => accounts.has(account));
      if (!reached)
        this.#say(
          "unused-entry",
          "note",
          path,
          `no rule or limit reaches \`${name}\``,
          "remove it, or give it a tag that a rule names",
        );
    }
  }

  #words(): string[] {
    const limits = Object.values(this.#document.limits ?? {}).flatMap(({ to }) => to ?? []);
    const rules = this.#document.rules.flatMap(({ to, from, arguments: tests }) => [
      ...(to ?? []),
      ...(from ?? []),
      ...Object.values(tests ?? {}).flatMap((test) => ("to" in test ? test.to : [])),
    ]);
    return [...limits, ...rules];
  }

  // ---- amounts --------------------------------------------------------------------------------------------------

  /** Rules that differ in nothing but their bands are meant to meet. */
  bands(): void {
    const families = new Map<string, (readonly [number, AllowRule])[]>();
    for (const [index, rule] of this.#allows()) {
      const kind = JSON.stringify(
        Object.entries(rule)
          .filter(([field]) => !MAY_DIFFER.includes(field))
          .toSorted(),
      );
      families.set(kind, [...(families.get(kind) ?? []), [index, rule]]);
    }
    for (const family of families.values()) {
      for (const symbol of new Set(family.flatMap(([, { amount }]) => Object.keys(amount ?? {}))))
        this.#gaps(family, symbol);
    }
  }

  #gaps(family: readonly (readonly [number, AllowRule])[], symbol: string): void {
    const decimals = this.#policy.registry.bySymbol.get(symbol as never)!.decimals;
    const bands = family
      .flatMap(([index, rule]) => {
        const band = this.#policy.allows.find(({ id }) => id === rule.id)?.amount?.get(symbol as never);
        return band ? [{ index, rule, ...band }] : [];
      })
      .toSorted((a, b) => (a.over < b.over ? -1 : 1));
    let reached: bigint | undefined = bands[0]?.max ?? undefined;
    for (const band of bands.slice(1)) {
      if (reached === undefined) return;
      if (band.over > reached) {
        const gap = `over ${formatAmount(reached, decimals)} up to ${formatAmount(band.over, decimals)} ${symbol}`;
        this.#say(
          "amount-gap",
          "warning",
          ["rules", band.index, "amount", symbol],
          `no rule allows ${gap}, while less and more is allowed`,
          "let `over` of this rule be `max` of the one below",
        );
      }
      if (band.max === undefined || band.max > reached) reached = band.max;
    }
  }

  // ---- every operation ------------------------------------------------------------------------------------------

  operations(): void {
    const seen: Seen = {
      matched: new Set(),
      allowed: new Set(),
      counted: new Set(),
      overlaps: new Map(),
      glass: new Map(),
      drawn: new Map(),
    };
    try {
      for (const atom of atomsOf(this.#policy.client, [this.#policy])) this.#look(atom, seen);
    } catch (error) {
      if (!(error instanceof TooManyAtoms)) throw error;
      return this.#say("too-large", "note", ["rules"], `not every operation was looked at: ${error.message}`);
    }
    this.#reached(seen);
    this.#walkedRound(seen);
    for (const [index, rule] of this.#allows()) {
      const atom = seen.overlaps.get(rule.id);
      if (atom)
        this.#say(
          "overlapping-allows",
          "note",
          ["rules", index],
          `rule \`${rule.id}\` and \`${atom.other}\` ask for different things for one operation: ${atomText(atom.atom, this.#policy)}`,
          "what both ask for adds up",
        );
      const glass = seen.glass.get(rule.id);
      if (glass)
        this.#say(
          "break-glass-overlaps",
          "warning",
          ["rules", index],
          `rule \`${rule.id}\` is for emergencies, and also matches what rule \`${glass.other}\` allows: ${atomText(glass.atom, this.#policy)}`,
          "what both ask for adds up: let one of them not reach it",
        );
    }
  }

  #look(atom: Atom, seen: Seen): void {
    const { scene, view, facts } = sceneOf(atom, this.#policy, this.#policy.client);
    const matches = (rule: CompiledRule) => mismatchOf(rule, scene, view, facts) === undefined;
    const [allowing, denying] = [this.#policy.allows.filter(matches), this.#policy.denies.filter(matches)];
    for (const { id } of [...allowing, ...denying]) seen.matched.add(id);
    if (denying.length > 0 || allowing.length === 0) return;
    for (const { id } of allowing) seen.allowed.add(id);
    this.#lookAtDrawing(atom, allowing[0]!.id, seen);
    for (const limit of this.#policy.limits) {
      const fee =
        limit.asset?.symbol !== undefined &&
        limit.asset.symbol === scene.feeAsset?.symbol &&
        !limit.to &&
        !limit.amount;
      if (this.#mayApply(limit, atom) && (fee || limitCounts(limit, view))) seen.counted.add(limit.name);
    }
    // An own account that the book names as another's is possible, but not what an author thinks of.
    if (view.known && atom.owner !== undefined) return;
    const daily = allowing.find(({ breakGlass }) => !breakGlass);
    for (const { id, breakGlass } of daily ? allowing : [])
      if (breakGlass && !seen.glass.has(id)) seen.glass.set(id, { atom, other: daily!.id });
    const [first, ...others] = allowing.filter(({ breakGlass }) => !breakGlass || daily === undefined);
    const other = others.find((rule) => asksText(rule) !== asksText(first!));
    if (other && !seen.overlaps.has(other.id)) seen.overlaps.set(other.id, { atom, other: first!.id });
  }

  /** Whoever has an allowance takes the asset by himself: a deny rule that knows transfers only never sees it. */
  #lookAtDrawing(atom: Atom, allowing: string, { drawn }: Seen): void {
    if (atom.operation.kind !== "allowance") return;
    const { asset, from, to, amount } = atom.operation;
    const transfer: Atom = { ...atom, operation: { kind: "transfer", asset, from, to, amount } };
    const { scene, view, facts } = sceneOf(transfer, this.#policy, this.#policy.client);
    for (const rule of this.#policy.denies)
      if (!drawn.has(rule.id) && mismatchOf(rule, scene, view, facts) === undefined)
        drawn.set(rule.id, { atom, by: allowing });
  }

  #walkedRound({ drawn }: Seen): void {
    for (const [index, { id }] of this.#document.rules.entries()) {
      const found = drawn.get(id);
      if (found)
        this.#say(
          "deny-walked-round",
          "warning",
          ["rules", index],
          `rule \`${id}\` denies a transfer that rule \`${found.by}\` lets be drawn: ${atomText(found.atom, this.#policy)}`,
          "deny `allowance` as well",
        );
    }
  }

  /** An atom's key is one that the rules name, or stands for all that they do not name. */
  #mayApply({ by, key }: CompiledLimit, atom: Atom): boolean {
    if (by && !by.has(atom.caller)) return false;
    if (!key || key.has(atom.key)) return true;
    return atom.key === ANOTHER && [...key].some((name) => !this.#ruleKeys.has(name));
  }

  #reached({ matched, allowed, counted }: Seen): void {
    for (const [index, rule] of this.#document.rules.entries()) {
      const path = ["rules", index];
      if (!matched.has(rule.id))
        this.#say(
          "unreachable-rule",
          "warning",
          path,
          `no operation can match rule \`${rule.id}\``,
          "its fields exclude each other",
        );
      else if (isAllow(rule) && !allowed.has(rule.id))
        this.#say(
          "swallowed-allow",
          "warning",
          path,
          `everything that rule \`${rule.id}\` allows is denied by others`,
          "remove the rule, or narrow the deny rule",
        );
    }
    for (const name of Object.keys(this.#document.limits ?? {})) {
      if (!counted.has(name))
        this.#say(
          "unused-limit",
          "warning",
          ["limits", name],
          `limit \`${name}\` counts nothing that a rule allows`,
          "remove it, or correct what it counts",
        );
    }
  }

  // ---- tests ----------------------------------------------------------------------------------------------------

  tests(): void {
    const run = runTests(this.#document, this.#policy);
    for (const { index, name, failures } of run.results.filter(({ passed }) => !passed)) {
      this.#say("failing-test", "error", ["tests", index], `test \`${name}\` fails: ${failures.join("; ")}`);
    }
    for (const [index, { id }] of this.#document.rules.entries()) {
      if (run.coverage.rules.get(id) === 0)
        this.#say("untested-rule", "note", ["rules", index], `no test matches rule \`${id}\``, "add one to `tests`");
    }
  }

  #allows(): (readonly [number, AllowRule])[] {
    return [...this.#document.rules.entries()].flatMap(([index, rule]) =>
      isAllow(rule) ? [[index, rule] as const] : [],
    );
  }

  #say(code: Lint, severity: Finding["severity"], path: DocumentPath, message: string, hint?: string): void {
    const file = this.#resolved.entry;
    const at = this.#resolved.sources.get(file)!.locate(path, typeof path.at(-1) === "number" ? "value" : "key");
    this.findings.push({ code, severity, file, ...at, message, ...(hint ? { hint } : {}) });
  }
}

/** Addresses of one case, numbers with leading zeros. */
const MISSPELT = /^(0x(?=.*[a-f])[0-9a-f]{40}|0x(?=.*[A-F])[0-9A-F]{40}|0[0-9]+)$/;

const FIXED_ZONE = /^(EST|MST|HST|Etc\/GMT[+-][0-9]+)$/i;

/** What rules of one family of bands may differ in. */
const MAY_DIFFER = ["id", "note", "amount", "approvals", "delay"];

type Seen = {
  readonly matched: Set<string>;
  readonly allowed: Set<string>;
  readonly counted: Set<string>;
  readonly overlaps: Map<string, { readonly atom: Atom; readonly other: string }>;
  /** Rule for emergencies → what another rule allows as well. */
  readonly glass: Map<string, { readonly atom: Atom; readonly other: string }>;
  /** Deny rule → an allowance by which it is walked round, and the rule that allows that. */
  readonly drawn: Map<string, { readonly atom: Atom; readonly by: string }>;
};

function asksText(rule: CompiledRule): string {
  const { quorums, delayMs, expireAfterMs } = askedBy([rule]);
  return JSON.stringify([[...quorums].toSorted(), delayMs, expireAfterMs]);
}
