import fc from "fast-check";
import type { Account, AssetSymbol, ChainId } from "../../src/domain/chain.ts";
import type { DecisionFacts } from "../../src/domain/decision.ts";
import type { Intent, Operation } from "../../src/domain/intent.ts";
import type { PolicyObject } from "./reference-policy.ts";
import type { CallerName, ClientId, KeyName } from "../../src/domain/names.ts";

/**
 * Random policies, intents and facts over a world so small that rules, operations and limits meet each other often:
 * few accounts, amounts and times, all at the edges of bands and windows.
 */

const account = (n: number): Account => `eip155:1:0x${n.toString().padStart(40, "0")}` as Account;
export const OWN = account(11);
const OWN_TOO = account(12);
const OTHER = account(21);
const HOUSE = account(31);
const [ALPHA, BETA, GAMMA, STRANGER] = [account(41), account(42), account(43), account(44)];

const OWNERS: ReadonlyMap<Account, ClientId> = new Map([
  [OWN, "acme"],
  [OWN_TOO, "acme"],
  [OTHER, "other"],
  [HOUSE, "house"],
] as [Account, ClientId][]);

/** Two decimals, so that `1.5` and 150 differ. */
export const REGISTRY = {
  apiVersion: "portcullis/v1",
  kind: "AssetRegistry",
  chains: { "eip155:1": { name: "Ethereum", native: "ETH" } },
  assets: {
    ETH: { chain: "eip155:1", decimals: "2", standard: "native" },
    USD: { chain: "eip155:1", decimals: "0", standard: "erc20", contract: account(99) },
  },
};

const key = (n: number) => [`ed25519:${Buffer.alloc(32, n).toString("base64")}`];
const BASE = {
  apiVersion: "portcullis/v1",
  kind: "ClientPolicy",
  client: "acme",
  version: "1",
  use: ["assets.yaml"],
  callers: {
    bot: { role: "wallet-service", keys: key(1), operatedBy: ["dan"] },
    desk: { role: "wallet-service", keys: key(2) },
    ann: { role: "approver", keys: key(3) },
    ben: { role: "approver", keys: key(4) },
    cat: { role: "approver", keys: key(5) },
    dan: { role: "approver", keys: key(6) },
  },
  groups: { g: ["ann", "ben", "dan"], h: ["ann", "cat"] },
  addressBook: {
    alpha: { address: ALPHA },
    beta: { address: [BETA, OWN_TOO, OTHER], tags: ["venue"], coolOff: "1h" },
    gamma: { address: [GAMMA, ALPHA], tags: ["venue", "cold"] },
  },
};

const some = <T>(...values: T[]) => fc.uniqueArray(fc.constantFrom(...values), { minLength: 1, maxLength: 3 });
/** One time in four: a rule with every field would match nothing. */
const maybe = <T>(arbitrary: fc.Arbitrary<T>, name: string) =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: arbitrary.map((value) => ({ [name]: value })) },
  );
const merged = (...parts: fc.Arbitrary<object>[]): fc.Arbitrary<object> =>
  fc.tuple(...parts).map((all) => Object.assign({}, ...all) as object);

const DESTINATIONS = [
  "alpha",
  "beta",
  "gamma",
  "tag:venue",
  "tag:cold",
  "own",
  "client:other",
  "house",
  "anyone",
  ALPHA,
  OTHER,
];
const KINDS = ["transfer", "allowance", "call", "deploy", "delegate", "govern", "message", "raw-digest"] as const;
const amountText = fc.constantFrom("0", "1", "2", "3", "5");
const band = fc.oneof(
  fc.constant("any"),
  amountText.map((max) => ({ max })),
  fc
    .tuple(fc.constantFrom(1, 2, 3), fc.constantFrom(1, 2, 4))
    .map(([over, width]) => ({ over: `${over}`, max: `${over + width}` })),
  fc.constantFrom("1", "2").map((over) => ({ over, max: "any" })),
);
const bands = fc
  .constantFrom(["ETH"], ["USD"], ["ETH", "USD"])
  .chain((assets) =>
    fc
      .tuple(...assets.map((asset) => band.map((value) => [asset, value] as const)))
      .map((entries) => Object.fromEntries(entries)),
  );

const matching = [
  maybe(some("bot", "desk"), "by"),
  maybe(some("k1", "k2"), "key"),
  maybe(some("k1", "account:alpha", "account:beta"), "from"),
  maybe(
    bands.map(({ ETH }) => ({ ETH: ETH ?? "any" })),
    "fee",
  ),
  maybe(some("text", "siwe", "control"), "format"),
] as const;

const approvals = fc.oneof(
  fc.record({ g: fc.constantFrom("1", "2") }),
  fc.record({ h: fc.constantFrom("1", "2") }),
  fc.record({ g: fc.constantFrom("1", "2"), h: fc.constant("1"), expireAfter: fc.constantFrom("3h", "6h") }),
);

type RuleObject = PolicyObject["rules"][number];

export const allowRule: fc.Arbitrary<RuleObject> = merged(
  fc
    .oneof({ weight: 3, arbitrary: fc.constant(["transfer", "allowance"]) }, { weight: 1, arbitrary: some(...KINDS) })
    .map((allow) => ({ allow })),
  fc
    .oneof({ weight: 1, arbitrary: fc.constant(["anyone"]) }, { weight: 2, arbitrary: some(...DESTINATIONS) })
    .map((to) => ({ to })),
  bands.map((amount) => ({ amount })),
  fc.constantFrom({ unbounded: "true" }, { unbounded: "true" }),
  fc.option(approvals, { nil: undefined, freq: 2 }).map((value) => (value ? { approvals: value } : {})),
  maybe(fc.constantFrom("1h", "2h"), "delay"),
  ...matching,
).map((rule) =>
  "allow" in rule && (rule.allow as string[]).includes("call") ? { ...rule, method: ["0x12345678", "x()"] } : rule,
);

export const denyRule: fc.Arbitrary<RuleObject> = merged(
  some(...KINDS, "any").map((deny) => ({ deny })),
  maybe(some(...DESTINATIONS), "to"),
  maybe(bands, "amount"),
  ...matching,
);

const limitOf = (per: readonly string[]): fc.Arbitrary<object> =>
  merged(
    fc.oneof(
      fc
        .tuple(fc.constantFrom("ETH", "USD"), fc.constantFrom("3", "6", "9"), fc.option(band, { nil: undefined }))
        .map(([sum, max, filter]) => ({
          sum,
          max,
          ...(filter ? { amount: { [sum]: filter } } : {}),
        })),
      fc
        .tuple(fc.constantFrom("1", "2"), fc.option(bands, { nil: undefined }))
        .map(([max, amount]) => ({ count: "transactions", max, ...(amount ? { amount } : {}) })),
    ),
    fc.constant({ window: { rolling: "24h" } }),
    maybe(some(...DESTINATIONS), "to"),
    maybe(some("bot", "desk"), "by"),
    maybe(some("k1", "k2"), "key"),
    maybe(fc.constantFrom(...per), "per"),
  );

const rarely = (item: fc.Arbitrary<object>): fc.Arbitrary<object[]> =>
  fc.oneof({ weight: 2, arbitrary: fc.constant<object[]>([]) }, { weight: 1, arbitrary: item.map((only) => [only]) });

const named = (items: readonly object[], prefix: string): PolicyObject["rules"] =>
  items.map((item, index) => ({ id: `${prefix}${index}`, ...item }));
const byName = (items: readonly object[], prefix: string): PolicyObject["limits"] =>
  Object.fromEntries(items.map((item, index) => [`${prefix}${index}`, item as PolicyObject["limits"][string]]));

const feeCap = fc.constantFrom<"uncapped" | { max: string }>("uncapped", { max: "1" }, { max: "0.5" });

/** What the bounds ask for is always there, so that every document is valid. */
export const clientDocument: fc.Arbitrary<PolicyObject> = fc
  .record({
    allows: fc.array(allowRule, { minLength: 1, maxLength: 5 }),
    denies: rarely(denyRule),
    limits: fc.array(limitOf(["key", "caller", "destination"]), { maxLength: 2 }),
    fee: feeCap,
  })
  .map(({ allows, denies, limits, fee }) => ({
    ...BASE,
    fee: { ETH: fee },
    rules: [...named(denies, "deny"), ...named(allows, "allow")],
    limits: {
      eth: { sum: "ETH", max: "20", window: { rolling: "24h" } },
      usd: { sum: "USD", max: "20", window: { rolling: "24h" } },
      ...byName(limits, "limit"),
    },
  }));

export const houseDocument: fc.Arbitrary<PolicyObject> = fc
  .record({
    denies: rarely(denyRule),
    limits: fc.array(limitOf(["client", "key", "caller", "destination"]), { maxLength: 1 }),
    fee: fc.option(feeCap, { nil: undefined }),
  })
  .map(({ denies, limits, fee }) => ({
    apiVersion: "portcullis/v1",
    kind: "HousePolicy",
    version: "1",
    use: ["assets.yaml"],
    callers: { chief: { role: "policy-officer", keys: key(9) } },
    addressBook: BASE.addressBook,
    rules: named(denies, "house"),
    limits: byName(limits, "house"),
    ...(fee ? { fee: { ETH: fee } } : {}),
  }));

const destination = fc.constantFrom(ALPHA, BETA, GAMMA, STRANGER, OWN_TOO, OTHER, HOUSE);
const source = fc.oneof(
  { weight: 12, arbitrary: fc.constant(OWN) },
  { weight: 1, arbitrary: fc.constantFrom(ALPHA, BETA, OTHER) },
);
const moved = fc.oneof(
  fc.constantFrom(0n, 1n, 2n, 3n, 4n, 5n).map((amount) => ({ asset: "USD" as AssetSymbol, amount })),
  fc.constantFrom(0n, 100n, 150n, 200n, 201n, 300n, 500n).map((amount) => ({ asset: "ETH" as AssetSymbol, amount })),
);
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc
      .tuple(source, destination, moved)
      .map(([from, to, what]) => ({ kind: "transfer" as const, from, to, ...what })),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(source, destination, moved, fc.boolean()).map(([from, to, what, unlimited]) => ({
      kind: "allowance" as const,
      from,
      to,
      ...what,
      ...(unlimited ? { unlimited: true as const } : {}),
    })),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(source, destination, fc.constantFrom(...KINDS)).map(([from, to, kind]): Operation => {
      if (kind === "call") return { kind, from, to, selector: "0x12345678" };
      if (kind === "deploy" || kind === "raw-digest") return { kind, from };
      if (kind === "message") return { kind, from, format: "text" };
      if (kind === "govern") return { kind, from, to, method: "x()" };
      return { kind: "delegate", from, to };
    }),
  },
);

export const intents: fc.Arbitrary<Intent> = fc
  .record({
    operations: fc.oneof(
      { weight: 5, arbitrary: fc.array(operation, { minLength: 1, maxLength: 1 }) },
      { weight: 3, arbitrary: fc.array(operation, { maxLength: 3 }) },
    ),
    fee: fc.constantFrom(0n, 10n, 50n, 51n, 100n),
  })
  .map(({ operations, fee }) => ({
    chain: "eip155:1" as ChainId,
    account: OWN,
    operations,
    fee: { asset: "ETH" as AssetSymbol, max: fee },
    claims: [],
  }));

export const NOW = 1_000 * 3_600_000;
const hours = fc.constantFrom(0, 0.5, 1, 1.5, 2, 3, 5);

export type RandomFacts = Omit<DecisionFacts, "spent"> & { readonly spentSeed: readonly number[] };

export const randomFacts: fc.Arbitrary<RandomFacts> = fc
  .record({
    caller: fc.constantFrom("bot", "bot", "bot", "desk", "desk", "ann"),
    key: fc.constantFrom("k1", "k2"),
    keyPurpose: fc.constantFrom("transactions" as const, "raw" as const),
    age: hours,
    approvals: fc.uniqueArray(fc.record({ person: fc.constantFrom("ann", "ben", "cat", "dan"), age: hours }), {
      maxLength: 4,
      selector: ({ person }) => person,
    }),
    heldHours: fc.constantFrom(undefined, 0, 0.5, 1, 2),
    spentSeed: fc.array(fc.constantFrom(0, 0, 0, 0, 0, 1, 2, 100), { minLength: 4, maxLength: 4 }),
  })
  .map(({ caller, key: keyName, keyPurpose, age, approvals: given, heldHours, spentSeed }) => ({
    now: NOW,
    client: "acme" as ClientId,
    caller: caller as CallerName,
    key: keyName as KeyName,
    keyPurpose,
    submittedAt: NOW - age * 3_600_000,
    approvals: given.map(({ person, age: approvalAge }) => ({
      person: person as CallerName,
      at: NOW - approvalAge * 3_600_000,
    })),
    owners: OWNERS,
    heldSince: new Map(
      heldHours === undefined ? [] : [ALPHA, BETA, GAMMA, OWN_TOO].map((held) => [held, NOW - heldHours * 3_600_000]),
    ),
    spentSeed,
  }));
