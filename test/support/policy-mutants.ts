/** A change of one place of the source, by hand, that lets more through. */
export type Mutant = { readonly file: string; readonly what: string; readonly from: string; readonly to: string };

const of =
  (file: string) =>
  (what: string, from: string, to: string): Mutant => ({ file: `src/policy/${file}`, what, from, to });
const evaluate = of("evaluate.ts");
const charges = of("charges.ts");
const match = of("match.ts");
const scene = of("scene.ts");
const compile = of("compile.ts");
const quorum = of("quorum.ts");
const refusals = of("refusals.ts");
const index = of("rule-index.ts");
const zone = of("zone.ts");

export const MUTANTS: readonly Mutant[] = [
  evaluate("missing facts pass", "if (unusable.length > 0) return", "if (unusable.length > 99) return"),
  evaluate(
    "the client's deny rules are not asked",
    "...hits(scenes.client, scenes.client.policy.denyIndex, facts, refusals),",
    "",
  ),
  evaluate(
    "the house's deny rules are not asked",
    "...hits(scenes.house, scenes.house.policy.denyIndex, facts, refusals),",
    "",
  ),
  evaluate(
    "a deny is one vote",
    "for (const { rule, view } of denying) refusals.push",
    "for (const { rule, view } of denying.slice(1)) refusals.push",
  ),
  evaluate(
    "what no rule allows passes",
    "if (!allowedBy[view.index]) refusals.push",
    "if (allowedBy[view.index] === undefined) refusals.push",
  ),
  evaluate(
    "one allowed operation allows all",
    "for (const { view } of allowing) allowedBy[view.index] = true;",
    "if (allowing.length > 0) allowedBy.fill(true);",
  ),
  evaluate(
    "a rule that fails is skipped",
    'refusals.push({ code: "rule-failed", rule: rule.id, detail });',
    "void detail;",
  ),
  evaluate(
    "the fee cap is a wei too high",
    "if (cap !== null && max > cap) {",
    "if (cap !== null && max > cap + 1n) {",
  ),
  evaluate(
    "without a fee cap any fee passes",
    "if (own === undefined && max > 0n) {",
    "if (own === undefined && max < 0n) {",
  ),
  evaluate(
    "the house's fee cap is forgotten",
    "least(own ?? null, (house.feeAsset && house.policy.fees.get(house.feeAsset.symbol)) ?? null)",
    "least(own ?? null, null)",
  ),
  evaluate("the higher of two fee caps holds", "b === null || a < b ? a : b", "b === null || a > b ? a : b"),
  evaluate("a counter that is not known is empty", "if (spent === undefined) {", "if (spent === null) {"),
  evaluate(
    "a limit is one too high",
    "holds: charge.amount <= limit.max - spent,",
    "holds: charge.amount <= limit.max - spent + 1n,",
  ),
  evaluate(
    "a limit forgets what was spent",
    "holds: charge.amount <= limit.max - spent,",
    "holds: charge.amount <= limit.max,",
  ),
  evaluate("limits only warn", "if (finding.holds) continue;", "if (finding.cap) continue;"),
  evaluate("an approval is good at its last moment", "if (facts.now >= expiresAt) {", "if (facts.now > expiresAt) {"),
  evaluate(
    "a delay is over a moment early",
    "if (facts.now >= notBefore) return",
    "if (facts.now >= notBefore - 1) return",
  ),
  evaluate(
    "a delay runs from submission",
    "Math.max(completedAt, facts.submittedAt) + asked.delayMs",
    "facts.submittedAt + asked.delayMs",
  ),
  evaluate(
    "missing approvals are asked for and not waited for",
    "if (completedAt === undefined) return waitingForPeople(progress.groups, asked, expiresAt);",
    "if (completedAt === undefined) return { ...NOT_WAITING, expiresAt };",
  ),
  charges(
    "a sum holds the last operation alone",
    "amount = limit.asset ? amount + amountOf(view) : 1n;",
    "amount = limit.asset ? amountOf(view) : 1n;",
  ),
  charges("fees are not counted", "  amount += feeIn(limit, scene);\n", ""),
  charges(
    "limits of the house count nothing",
    "for (const limit of house.policy.limits) chargeLimit(limit, house, charges);",
    "",
  ),
  charges(
    "limits of the client count nothing",
    "for (const limit of client.policy.limits) chargeLimit(limit, client, charges);",
    "",
  ),
  charges("an unlimited allowance counts nothing", "if (unlimited) return UNLIMITED;", "if (unlimited) return 0n;"),
  charges(
    "a destination's sum holds the last operation alone",
    "(sums.get(scope) ?? 0n) + amountOf(view)",
    "amountOf(view)",
  ),
  charges(
    "allowances are no spend",
    "return movesAsset(operation) ? operation.amount : 0n;",
    'return operation.kind === "transfer" ? operation.amount : 0n;',
  ),
  charges(
    "callers of all clients have windows of their own name",
    "return `${within}${facts.caller}`;",
    "return `${within}${facts.caller}${facts.now}`;",
  ),
  match("`over` includes", "amount > band.over &&", "amount >= band.over &&"),
  match("`max` is one too high", "amount <= band.max);", "amount <= band.max + 1n);"),
  match(
    "an allow rule spends from anybody",
    "if (!rule.from) return !allows || view.fromOwn;",
    "if (!rule.from) return true;",
  ),
  match(
    "a key's name stands for any account",
    "if (rule.from.keys.has(facts.key) && (view.fromOwn || !allows)) return true;",
    "if (rule.from.keys.has(facts.key)) return true;",
  ),
  match(
    "another client is anyone",
    "const mayBeAnyone = view.owner === undefined || view.toOwn;",
    "const mayBeAnyone = true;",
  ),
  match(
    "an address cools off by a moment",
    "facts.now - since >= known.coolOffMs",
    "facts.now - since >= known.coolOffMs - 1",
  ),
  match(
    "an address of which nothing is known has cooled off",
    'if (since === undefined) return "held-unknown";',
    "if (since === undefined) return undefined;",
  ),
  match(
    "a rule's destination never cools off",
    'return reached ? coolingOff(view, facts) : "to";',
    'return reached ? undefined : "to";',
  ),
  match("hours end a minute late", "minute < minutes[1]", "minute <= minutes[1]"),
  match("one field of the domain is enough", "!rule.domain.every(", "!rule.domain.some("),
  match("one argument is enough", "const holds = rule.arguments.every(", "const holds = rule.arguments.some("),
  match(
    "an argument's address never cools off",
    '(rule.effect === "deny" || coolingOff(named, facts) === undefined)',
    "true",
  ),
  match(
    "`unbounded` need not be written",
    "if (!rule.unbounded && cannotBeBounded(view.operation))",
    "if (!rule && cannotBeBounded(view.operation))",
  ),
  match(
    "every key signs raw digests",
    'view.operation.kind === "raw-digest" && facts.keyPurpose !== "raw"',
    'view.operation.kind === "raw-digest" && facts.keyPurpose === undefined',
  ),
  match("a call that nobody read is bounded", "return operation.method === undefined;", "return false;"),
  match(
    "limits do not count what goes to other clients",
    "if (view.toOwn && (sums || limit.amount)) return false;",
    "if (view.owner !== undefined && (sums || limit.amount)) return false;",
  ),
  match(
    "a deny rule reaches only what an allow rule would",
    'if (rule.effect === "deny") return reaches(rule.to, view) ? undefined : "to";',
    "",
  ),
  match(
    "tags of a deny rule reach nothing",
    "(to.tags.size > 0 && known.tags.some((tag) => to.tags.has(tag)))",
    "false",
  ),
  match("a rule for a caller is for all", 'if (rule.by && !rule.by.has(facts.caller)) return "caller";', ""),
  match("a rule for a key is for all", 'if (rule.key && !rule.key.has(facts.key)) return "key";', ""),
  match("a rule for a chain is for all", 'if (rule.chain && !rule.chain.has(scene.intent.chain)) return "chain";', ""),
  match("a rule holds at any time", 'if (rule.when && !whenHolds(rule.when, facts.now)) return "when";', ""),
  match("a rule for one kind of operation is for all", 'if (!rule.kinds.has(operation.kind)) return "operation";', ""),
  scene(
    "a total is the last operation's amount",
    "totals.set(operation.asset, (totals.get(operation.asset) ?? 0n) + amount);",
    "totals.set(operation.asset, amount);",
  ),
  scene(
    "an unlimited allowance is no part of the total",
    "const amount = isUnlimited(operation) ? UNLIMITED : operation.amount;",
    "const amount = isUnlimited(operation) ? 0n : operation.amount;",
  ),
  scene("a negative amount hides another", "if (amount < 0n) throw", "if (amount < -(1n << 256n)) throw"),
  scene("whoever has an owner is own", "facts.owners.get(account) === facts.client;", "facts.owners.has(account);"),
  compile(
    "a rolling window is a moment too short",
    "windowStartsAt: (now) => now - lengthMs,",
    "windowStartsAt: (now) => now - lengthMs + 1,",
  ),
  compile(
    "a calendar window forgets its first moment",
    "calendarStart(zone, window.calendar, now) - 1,",
    "calendarStart(zone, window.calendar, now),",
  ),
  compile("a lifetime is a moment", "windowStartsAt: () => -1,", "windowStartsAt: (now) => now - 1,"),
  compile(
    "the shortest cool-off of an address holds",
    "known.coolOffMs = Math.max(known.coolOffMs, coolOffMs);",
    "known.coolOffMs = coolOffMs;",
  ),
  quorum(
    "the smallest quorum of a group holds",
    "Math.max(quorums.get(group) ?? 0, persons)",
    "Math.min(quorums.get(group) ?? persons, persons)",
  ),
  quorum("the shortest delay holds", "delayMs: Math.max(asked.delayMs, rule.delayMs),", "delayMs: rule.delayMs,"),
  quorum(
    "the latest expiry holds",
    "Math.min(asked.expireAfterMs ?? Infinity, expireAfterMs)",
    "Math.max(asked.expireAfterMs ?? 0, expireAfterMs)",
  ),
  quorum(
    "a rule for emergencies is quiet beside another",
    "breakGlass: asked.breakGlass || rule.breakGlass,",
    "breakGlass: asked.breakGlass && rule.breakGlass,",
  ),
  quorum("who operates the service counts", "[facts.caller, ...(operators ?? [])]", "[facts.caller]"),
  quorum("an approval from the future counts", ".filter(({ at }) => at <= facts.now)", ".filter(({ at }) => at >= 0)"),
  quorum("a person counts as often as they approve", "      seen.add(person);\n", ""),
  quorum(
    "whoever approves counts",
    'if (seen.has(person) || policy.callers.get(person)?.role !== "approver") return false;',
    "if (seen.has(person)) return false;",
  ),
  refusals(
    "another client's account is spent from",
    "if (foreign || (!view.fromOwn && !allowedBy[view.index])) {",
    "if (!view.fromOwn && !allowedBy[view.index]) {",
  ),
  refusals("a transaction draws on two owners", "} else if (sources.size > 1) {", "} else if (sources.size > 99) {"),
  refusals(
    "the signing account is another's",
    "if (facts.owners.get(intent.account) !== facts.client) {",
    "if (!facts.owners.has(intent.account)) {",
  ),
  refusals("the policy is another client's", "if (facts.client !== client.client)", "if (facts.client === undefined)"),
  refusals("a negative fee passes", "if (intent.fee.max < 0n)", "if (intent.fee.max < -(1n << 256n))"),
  refusals(
    "an approver asks",
    'if (client.callers.get(facts.caller)?.role !== "wallet-service")',
    "if (!client.callers.has(facts.caller))",
  ),
  refusals("nothing is allowed to be done", "if (intent.operations.length === 0)", "if (intent.operations.length < 0)"),
  refusals(
    "an asset of another chain passes",
    "if (client.registry.bySymbol.get(operation.asset)?.chain !== intent.chain)",
    "if (!client.registry.bySymbol.has(operation.asset))",
  ),
  index("rules that name an account are not found", "if (to !== undefined) add(index.byWord.get(to));", "void to;"),
  index(
    "rules that name a tag are not found",
    "for (const tag of known?.tags ?? []) add(index.byWord.get(tagWord(tag)));",
    "",
  ),
  index("rules that name nobody are not found", "for (const rule of callers.others) found.add(rule);", ""),
  zone(
    "a day begins an hour late",
    "return Math.min(...candidates.filter(",
    "return 3_600_000 + Math.min(...candidates.filter(",
  ),
  zone("a week begins on Sunday", "const weekday = (local.getUTCDay() + 6) % 7;", "const weekday = local.getUTCDay();"),
];
