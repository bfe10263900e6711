import type { DecisionFacts } from "../../src/domain/decision.ts";
import type { Intent, Operation } from "../../src/domain/intent.ts";

/**
 * The meaning of a policy (DESIGN section 6), written down a second time: straight from the document, sentence by
 * sentence, as slow and plain as can be. It shares no code with src/policy; where the two disagree, one is wrong.
 */

type Band = "any" | { readonly over?: string; readonly max?: string };
type Bands = Readonly<Record<string, Band>>;
type Words = readonly string[];
type Matched = { readonly by?: Words; readonly key?: Words; readonly to?: Words; readonly amount?: Bands };
type Rule = Matched & {
  readonly allow?: Words;
  readonly deny?: Words;
  readonly from?: Words;
  readonly id?: string;
  readonly chain?: Words;
  readonly format?: Words;
  /** Selectors of calls, words of `govern`: the random documents use no signatures of calls. */
  readonly method?: Words;
  readonly fee?: Bands;
  readonly unbounded?: string;
  readonly approvals?: Readonly<Record<string, string>>;
  readonly delay?: string;
};
type Limit = Matched & { readonly sum?: string; readonly max: string; readonly per?: string };
type Entry = { readonly address: string | Words; readonly tags?: Words; readonly coolOff?: string };
export type PolicyObject = {
  readonly client?: string;
  readonly callers: Readonly<Record<string, { readonly role: string; readonly operatedBy?: Words }>>;
  readonly groups?: Readonly<Record<string, Words>>;
  readonly addressBook?: Readonly<Record<string, Entry>>;
  readonly fee?: Readonly<Record<string, "uncapped" | { readonly max: string }>>;
  readonly rules: readonly Rule[];
  readonly limits: Readonly<Record<string, Limit>>;
};
export type FileObject = {
  readonly assets?: Readonly<Record<string, { readonly chain: string; readonly decimals: string }>>;
  readonly chains?: Readonly<Record<string, { readonly native: string }>>;
  readonly entries?: Readonly<Record<string, Entry>>;
};
type Verdict = {
  readonly outcome: "allow" | "deny" | "needs-approval";
  readonly missing: number;
  readonly charges: Readonly<Record<string, bigint>>;
};

const INFINITE = 10n ** 200n;
const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const ms = (duration: string): number => parseInt(duration, 10) * UNIT_MS[duration.at(-1)!]!;

/** @param files the registries and books that both documents use */
export function referenceDecision(
  client: PolicyObject,
  house: PolicyObject,
  files: readonly FileObject[],
  intent: Intent,
  facts: DecisionFacts,
): Verdict {
  const assets = new Map(files.flatMap((file) => Object.entries(file.assets ?? {})));
  const chains = new Map(files.flatMap((file) => Object.entries(file.chains ?? {})));
  const operations = intent.operations;
  const ownerOf = (account: string | undefined) =>
    account === undefined ? undefined : facts.owners.get(account as never);
  const isOwn = (account: string | undefined) => ownerOf(account) === facts.client;
  const toOf = (operation: Operation) => (operation as { to?: string }).to;
  const amountOf = (operation: Operation) =>
    operation.kind === "allowance" && operation.unlimited
      ? INFINITE
      : operation.kind === "transfer" || operation.kind === "allowance"
        ? operation.amount
        : 0n;
  const assetOf = (operation: Operation) =>
    operation.kind === "transfer" || operation.kind === "allowance" ? (operation.asset as string) : undefined;
  const units = (text: string, asset: string): bigint => {
    const [whole, fraction = ""] = text.split(".");
    return BigInt(whole! + fraction.padEnd(Number(assets.get(asset)!.decimals), "0"));
  };

  // Sentence 3.
  const totalOf = (asset: string): bigint => {
    let total = 0n;
    for (const operation of operations)
      if (assetOf(operation) === asset && !isOwn(toOf(operation))) total += amountOf(operation);
    return total;
  };
  const inBand = (amount: bigint, band: Band, asset: string): boolean => {
    if (band === "any") return true;
    if (band.over !== undefined && !(amount > units(band.over, asset))) return false;
    if (band.max !== undefined && band.max !== "any" && !(amount <= units(band.max, asset))) return false;
    return true;
  };

  // The address book, by walking through it.
  const entriesOf = (document: PolicyObject, account: string | undefined) =>
    [
      ...files.flatMap((file) => Object.entries(file.entries ?? {})),
      ...Object.entries(document.addressBook ?? {}),
    ].filter(([, entry]) => account !== undefined && [entry.address].flat().includes(account));
  const bookHas = (document: PolicyObject, words: readonly string[], account: string | undefined): boolean =>
    words.includes(account ?? "-") ||
    entriesOf(document, account).some(
      ([name, entry]) => words.includes(name) || (entry.tags ?? []).some((tag) => words.includes(`tag:${tag}`)),
    );
  const ownerHas = (words: readonly string[], account: string | undefined): boolean => {
    const owner = ownerOf(account);
    if (owner === undefined) return false;
    if (owner === facts.client) return words.includes("own");
    return words.includes(owner === "house" ? "house" : `client:${owner}`);
  };
  const reached = (document: PolicyObject, words: readonly string[], account: string | undefined) =>
    words.includes("anyone") || ownerHas(words, account) || bookHas(document, words, account);

  // Sentence 8, for allow rules.
  const mayReach = (document: PolicyObject, words: readonly string[], account: string | undefined): boolean => {
    const foreign = ownerOf(account) !== undefined && !isOwn(account);
    const named = !foreign && (words.includes("anyone") || bookHas(document, words, account));
    if (!ownerHas(words, account) && !named) return false;
    const coolOffs = entriesOf(document, account).map(([, entry]) => (entry.coolOff ? ms(entry.coolOff) : 0));
    const longest = Math.max(0, ...coolOffs);
    if (longest === 0) return true;
    const since = facts.heldSince.get(account as never);
    return since !== undefined && since + longest <= facts.now;
  };

  // Sentence 2.
  const matches = (document: PolicyObject, rule: Rule, operation: Operation): boolean => {
    const allows = rule.allow !== undefined;
    const kinds = rule.allow ?? rule.deny ?? [];
    if (!kinds.includes(operation.kind) && !kinds.includes("any")) return false;
    if (rule.by && !rule.by.includes(facts.caller)) return false;
    if (rule.key && !rule.key.includes(facts.key)) return false;
    if (rule.chain && !rule.chain.includes(intent.chain)) return false;
    if (!fromMatches(document, rule, operation, allows)) return false;
    if (
      rule.to &&
      !(allows ? mayReach(document, rule.to, toOf(operation)) : reached(document, rule.to, toOf(operation)))
    )
      return false;
    const asset = assetOf(operation);
    if (rule.amount && (asset !== undefined || !allows)) {
      if (asset === undefined || rule.amount[asset] === undefined || !inBand(totalOf(asset), rule.amount[asset], asset))
        return false;
    }
    if (
      rule.fee &&
      !(
        rule.fee[intent.fee.asset] !== undefined &&
        inBand(intent.fee.max, rule.fee[intent.fee.asset]!, intent.fee.asset)
      )
    )
      return false;
    if (operation.kind === "call" && rule.method && !rule.method.includes(operation.selector)) return false;
    if (operation.kind === "govern" && rule.method && !rule.method.includes(operation.method)) return false;
    if (operation.kind === "message" && rule.format && !rule.format.includes(operation.format)) return false;
    if (!allows) return true;
    const blind =
      (operation.kind === "allowance" && operation.unlimited === true) ||
      (operation.kind === "call" && operation.method === undefined) ||
      ["delegate", "typed-data", "raw-digest"].includes(operation.kind);
    if (blind && rule.unbounded !== "true") return false;
    return operation.kind !== "raw-digest" || facts.keyPurpose === "raw";
  };
  const fromMatches = (document: PolicyObject, rule: Rule, operation: Operation, allows: boolean): boolean => {
    const own = isOwn(operation.from);
    if (!rule.from) return own || !allows;
    return rule.from.some((word) =>
      word.startsWith("account:")
        ? entriesOf(document, operation.from).some(([name]) => `account:${name}` === word)
        : word === facts.key && (own || !allows),
    );
  };

  // Sentence 5.
  const charges: Record<string, bigint> = {};
  const charge = (document: PolicyObject, of: string, name: string, limit: Limit): void => {
    if (limit.by && !limit.by.includes(facts.caller)) return;
    if (limit.key && !limit.key.includes(facts.key)) return;
    const counted = operations.filter((operation) => {
      const asset = assetOf(operation);
      if (limit.sum && asset !== limit.sum) return false;
      if ((limit.sum || limit.amount) && isOwn(toOf(operation))) return false;
      if (limit.to && !reached(document, limit.to, toOf(operation))) return false;
      return (
        !limit.amount ||
        (asset !== undefined && limit.amount[asset] !== undefined && inBand(totalOf(asset), limit.amount[asset], asset))
      );
    });
    const within = of === "house" ? `${facts.client}/` : "";
    const add = (scope: string, operation: Operation) => {
      const id = `${of}/${name}/${scope}`;
      charges[id] = limit.sum ? (charges[id] ?? 0n) + amountOf(operation) : 1n;
    };
    for (const operation of counted) {
      if (limit.per === "destination") {
        if (toOf(operation) !== undefined) add(toOf(operation)!, operation);
      } else
        add(
          limit.per === undefined
            ? "-"
            : limit.per === "client"
              ? facts.client
              : within + (limit.per === "key" ? facts.key : facts.caller),
          operation,
        );
    }
    if (limit.sum && !limit.to && !limit.amount && limit.per !== "destination" && intent.fee.asset === limit.sum) {
      const scope =
        limit.per === undefined
          ? "-"
          : limit.per === "client"
            ? facts.client
            : within + (limit.per === "key" ? facts.key : facts.caller);
      const id = `${of}/${name}/${scope}`;
      charges[id] = (charges[id] ?? 0n) + intent.fee.max;
    }
  };
  for (const [name, limit] of Object.entries(client.limits)) charge(client, facts.client, name, limit);
  for (const [name, limit] of Object.entries(house.limits)) charge(house, "house", name, limit);
  for (const id of Object.keys(charges)) if (charges[id] === 0n) delete charges[id];
  const capOf = (id: string): bigint => {
    const [of, name] = id.split("/");
    const limit: Limit = of === "house" ? house.limits[name!]! : client.limits[name!]!;
    return limit.sum ? units(limit.max, limit.sum) : BigInt(limit.max);
  };

  // Sentence 1, with I13 and the fee cap.
  const no: Verdict = { outcome: "deny", missing: 0, charges };
  if (operations.length === 0 || facts.client !== client.client) return no;
  if (client.callers[facts.caller]?.role !== "wallet-service" || !isOwn(intent.account)) return no;
  if (chains.get(intent.chain)?.native !== intent.fee.asset) return no;
  if (
    operations.some(
      (operation) => assetOf(operation) !== undefined && assets.get(assetOf(operation)!)?.chain !== intent.chain,
    )
  )
    return no;
  const { rules } = client;
  const denies = [
    ...rules.filter((rule) => rule.deny).map((rule) => [client, rule] as const),
    ...house.rules.map((rule) => [house, rule] as const),
  ];
  if (operations.some((operation) => denies.some(([document, rule]) => matches(document, rule, operation)))) return no;
  const matching = operations.map((operation) =>
    rules.filter((rule) => rule.allow && matches(client, rule, operation)),
  );
  if (matching.some((found) => found.length === 0)) return no;
  if (new Set(operations.map(({ from }) => ownerOf(from) ?? from)).size > 1) return no;
  if (operations.some(({ from }) => ownerOf(from) !== undefined && !isOwn(from))) return no;
  for (const cap of [client.fee?.[intent.fee.asset], house.fee?.[intent.fee.asset]]) {
    if (cap !== undefined && cap !== "uncapped" && intent.fee.max > units(cap.max, intent.fee.asset)) return no;
  }
  if (client.fee?.[intent.fee.asset] === undefined && intent.fee.max > 0n) return no;
  for (const [id, amount] of Object.entries(charges)) {
    const spent = facts.spent.get(id as never);
    if (spent === undefined || spent + amount > capOf(id)) return no;
  }

  // Sentence 4.
  const asking = matching.flat().filter((rule) => rule.approvals || rule.delay);
  if (asking.length === 0) return { outcome: "allow", missing: 0, charges };
  const delay = Math.max(0, ...asking.map((rule) => (rule.delay ? ms(rule.delay) : 0)));
  const expiry = Math.min(
    ...asking.map((rule) =>
      rule.approvals?.expireAfter ? ms(rule.approvals.expireAfter) : (rule.delay ? ms(rule.delay) : 0) + ms("24h"),
    ),
  );
  if (facts.now >= facts.submittedAt + expiry) return no;
  const places: string[] = [];
  for (const group of Object.keys(client.groups ?? {})) {
    const need = Math.max(0, ...asking.map((rule) => Number(rule.approvals?.[group] ?? 0)));
    for (let place = 0; place < need; place += 1) places.push(group);
  }
  const counting = facts.approvals
    .filter(
      ({ person, at }) => at <= facts.now && person !== facts.caller && client.callers[person]?.role === "approver",
    )
    .filter(({ person }) => !(client.callers[facts.caller]!.operatedBy ?? []).includes(person));
  /** The most places that these persons can fill, by trying every way. */
  const filled = (persons: readonly string[], open: readonly string[]): number => {
    const [person, ...others] = persons;
    if (person === undefined) return 0;
    let best = filled(others, open);
    open.forEach((group, index) => {
      if (client.groups![group]!.includes(person)) best = Math.max(best, 1 + filled(others, open.toSpliced(index, 1)));
    });
    return best;
  };
  const filledUntil = (time: number) =>
    filled([...new Set(counting.filter(({ at }) => at <= time).map(({ person }) => person as string))], places);
  const missing = places.length - filledUntil(facts.now);
  if (missing > 0) return { outcome: "needs-approval", missing, charges };
  const complete = counting.map(({ at }) => at).filter((at) => filledUntil(at) === places.length);
  const start = places.length === 0 ? facts.submittedAt : Math.max(facts.submittedAt, Math.min(...complete));
  return { outcome: facts.now >= start + delay ? "allow" : "needs-approval", missing: 0, charges };
}
