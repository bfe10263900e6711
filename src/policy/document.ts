import { z } from "zod";
import { CONTRACT_KINDS } from "../domain/assets.ts";
import { MESSAGE_FORMATS, OPERATION_KINDS, type OperationKind } from "../domain/intent.ts";
import * as field from "./fields.ts";
import { WEEKDAYS } from "./zone.ts";

/**
 * The policy documents of DESIGN section 6, as schemas: what is not written here is refused. `policies/schema.json` and
 * `docs/policy-reference.md` are printed from this file, so every field says what it does and shows an example.
 */

const nonEmpty = <T extends z.ZodType>(item: T) =>
  z.array(item).min(1, "expected at least one entry").max(1000, "expected at most 1000 entries");

const apiVersion = z.literal("portcullis/v1").describe("Format of this document: `portcullis/v1`.");
const version = field
  .count("the version of this document")
  .describe("Grows whenever this file or a file named in `use` changes; an older version never becomes active again.");
const use = z
  .array(field.Path.describe("Path below the policies folder, such as `shared/assets.yaml`."))
  .max(100, "expected at most 100 files")
  .describe("Asset registries and address books that this document builds on; the document's hash covers them.");

// ---- assets -----------------------------------------------------------------------------------------------------

const RegistryChain = z
  .strictObject({
    name: field.Prose.describe("Name of the chain for people, such as `Ethereum`."),
    native: field.Symbol.describe("Symbol of the asset in which the chain's fees are paid, such as `ETH`."),
    l1Fee: z
      .strictObject({ max: field.Amount.describe("In the native asset: counted with the fee of every transaction.") })
      .optional()
      .describe(
        "For rollups, which charge for publishing a transaction besides its gas: the most that one may cost. The bytes do not bound that charge, so this does.",
      ),
  })
  .describe("One chain.");

const decimals = z
  .string()
  .regex(/^(0|[1-9]|[12][0-9]|3[0-6])$/, "expected decimals: a whole number from 0 to 36")
  .meta({ type: ["string", "integer"] })
  .describe("Digits behind the point in one unit. They come from here, never from a request or a chain.");
const noDecimals = z
  .enum(["0"])
  .meta({ type: ["string", "integer"], enum: [0, "0"] })
  .describe("Items are counted whole.");

const contract = field.AccountText.describe(
  "The token's contract; only calls to exactly this address mean this asset.",
);
const proxy = field.yes("The contract's code can be replaced by others: shown to people, such as by `decode`.");

const RegistryAsset = z
  .discriminatedUnion("standard", [
    z.strictObject({
      chain: field.Chain,
      decimals,
      standard: z.literal("native").describe("The chain's own coin."),
    }),
    z.strictObject({
      chain: field.Chain,
      decimals,
      standard: z.literal("erc20").describe("An ERC-20 token."),
      contract,
      proxy: proxy.optional(),
      feeOnTransfer: field
        .yes("The contract takes a part of each transfer: less arrives than was sent. Shown, not counted.")
        .optional(),
    }),
    z.strictObject({
      chain: field.Chain,
      decimals: noDecimals,
      standard: z
        .enum(["erc721", "erc1155"])
        .describe("A collection of items. Its selectors are partly those of ERC-20: what is written here decides."),
      contract,
      proxy: proxy.optional(),
    }),
  ])
  .describe("One asset.");

const RegistryContract = z
  .strictObject({
    address: field.AccountText.describe("At this account, and nowhere else, calls have these meanings."),
    kind: z
      .enum(CONTRACT_KINDS)
      .describe(
        "What its functions do: `weth` wraps the native asset; `permit2` is Uniswap's; `multicall` runs calls of itself; `multicall3` calls others in its own name; `safe` is a Safe account, which may delegate to `multisend` or `multisend-call-only`; `other` has nothing but its ABI.",
      ),
    abi: field.JsonPath.optional().describe(
      "The contract's JSON ABI, such as `shared/abis/router.json`: functions and arguments of calls become facts. The document's hash covers the file.",
    ),
    display: field.JsonPath.optional().describe(
      "An ERC-7730 descriptor: how calls are shown to people. It never changes a decision.",
    ),
    note: field.Prose.optional(),
  })
  .describe("One contract.");

export const AssetRegistryDocument = z
  .strictObject({
    apiVersion,
    kind: z.literal("AssetRegistry").describe("This document: assets, their chains, and contracts."),
    chains: z.record(field.Chain, RegistryChain).describe("Chains by CAIP-2 id."),
    assets: z.record(field.Symbol, RegistryAsset).describe("Assets by symbol."),
    contracts: z
      .record(field.name("a contract's name"), RegistryContract)
      .optional()
      .describe("Contracts whose calls have a meaning, by names for people."),
  })
  .describe("The pinned asset registry: the only source of decimals, contract addresses and contracts' meanings.");
export type AssetRegistryDocument = z.infer<typeof AssetRegistryDocument>;

// ---- address book -----------------------------------------------------------------------------------------------

const tag = field.name("a tag").describe("A word that rules may name as `tag:<word>`.");

const BookEntry = z
  .strictObject({
    address: z
      .union([field.AccountText, nonEmpty(field.AccountText).max(10_000, "expected at most 10000 addresses")])
      .describe("One CAIP-10 account or a list of them."),
    tags: z
      .array(tag)
      .max(20, "expected at most 20 tags")
      .optional()
      .describe("Words shared by many entries, such as `[exchange]`."),
    coolOff: field.Duration.optional().describe(
      "How long the active policies must have held an address before an allow rule may use it, such as `24h`. Counted for the address, not for its name.",
    ),
    note: field.Prose.optional(),
  })
  .describe("One destination.")
  .meta({ id: "BookEntry" });

const Book = z.record(field.name("an address book name"), BookEntry);

export const AddressBookDocument = z
  .strictObject({
    apiVersion,
    kind: z.literal("AddressBook").describe("This document: named addresses that several policies share."),
    entries: Book.describe("Destinations by name."),
  })
  .describe("Addresses with names and tags.");
export type AddressBookDocument = z.infer<typeof AddressBookDocument>;

// ---- callers ----------------------------------------------------------------------------------------------------

const keys = z
  .array(field.PublicKey)
  .min(1, "expected one or two public keys")
  .max(2, "expected one or two public keys")
  .describe("One public key, or two while one replaces the other.");

const ClientCaller = z
  .strictObject({
    role: z
      .enum(["wallet-service", "approver", "observer", "secured-party", "auditor"])
      .describe("What this identity may do; one caller has one role."),
    keys,
    subAccount: field
      .name("a sub-account")
      .optional()
      .describe("Of a wallet service of an omnibus client: the one sub-account that it asks for, named or not."),
    operatedBy: nonEmpty(field.name("a caller"))
      .optional()
      .describe("Approvers who operate this wallet service: their approvals never count for its requests."),
  })
  .describe("One identity.");

const HouseCaller = z
  .strictObject({
    role: z
      .enum(["policy-officer", "operator", "observer", "auditor"])
      .describe("What this identity may do; one caller has one role."),
    keys,
  })
  .describe("One identity of the custodian.");

// ---- what rules and limits match --------------------------------------------------------------------------------

/** Every message carries the whole list: it is what a person needs when a word is wrong. */
const DESTINATION = /^([a-z0-9-]{1,24}|(tag|client):[a-z0-9-]{1,24}|eip155:[1-9][0-9]{0,15}:0x[0-9a-fA-F]{40})$/;
const to = nonEmpty(
  z
    .string()
    .regex(
      DESTINATION,
      "expected a destination: an address book name, `tag:<tag>`, a CAIP-10 account, `own`, `client:<name>`, `house` or `anyone`",
    )
    .describe(
      "An address book name, `tag:<tag>`, a CAIP-10 account, `own` (this client's keys), `client:<name>` (another client), `house` (the custodian) or `anyone` (whoever is neither another client nor the house).",
    ),
).describe("Destinations, any of which matches: payee, spender or contract.");

const from = nonEmpty(
  z
    .string()
    .regex(/^(account:)?[a-z0-9-]{1,24}$/, "expected a key name or `account:<address book name>`")
    .describe(
      "A key's name (spends from this client's own accounts, signed by that key) or `account:<address book name>` (an account that a key of this client acts through).",
    ),
).describe("Where assets come from; left out in an allow rule: any account of this client.");

const by = nonEmpty(field.name("a caller")).describe("Callers who ask, any of which matches.");
const key = nonEmpty(field.name("a key")).describe("Names of the keys that sign, any of which matches.");
const chain = nonEmpty(field.Chain).describe("Chains, any of which matches.");

const Band = z
  .union([
    z.literal("any").describe("Any amount, an unlimited allowance too where the rule says `unbounded`."),
    z.strictObject({
      over: field.Amount.optional().describe("Matches only above this amount, which itself is excluded."),
      max: z
        .union([z.literal("any"), field.Amount])
        .optional()
        .describe("Matches up to this amount, which itself is included; `any`: no bound."),
    }),
  ])
  .describe('A band of amounts, such as `{over: "10", max: "500"}`.');
export type Band = z.infer<typeof Band>;

const amount = z
  .record(field.Symbol, Band)
  .describe(
    "The transaction's total of each asset over all transfers and allowances except to `own`. An asset that is not named does not match.",
  );

const matchMethod = nonEmpty(
  z
    .string()
    .max(500, "expected at most 500 characters")
    .regex(
      /^(0x[0-9a-f]{8}|[A-Za-z_$][A-Za-z0-9_$]*\([A-Za-z0-9_$,()[\]]*\))$/,
      "expected a method such as `stake(uint256)` or a selector such as `0xa694fc3a`",
    )
    .describe("Signature without blanks and names, such as `stake(uint256)`, or its 4-byte selector."),
).describe("Methods of a `call` or `govern`, any of which matches.");

const domain = z
  .partialRecord(
    z.enum(["name", "version", "chainId", "verifyingContract", "salt"]),
    z
      .string()
      .min(1, "expected a value")
      .max(200, "expected at most 200 characters")
      .describe("The value that this field must have."),
  )
  .describe("Fields of the EIP-712 domain of `typed-data`, all of which must have these values.");

const when = z
  .strictObject({
    days: nonEmpty(z.enum(WEEKDAYS)).optional().describe("Days of the week, any of which matches."),
    hours: z
      .string()
      .regex(
        /^([01][0-9]|2[0-3]):[0-5][0-9]-(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$/,
        "expected hours such as `09:00-17:30`",
      )
      .refine((hours) => hours.slice(0, 5) < hours.slice(6), "expected hours that end after they begin")
      .optional()
      .describe(
        "From the first minute, which is included, to the second, which is not: `09:00-17:30`. A night is two rules.",
      ),
    tz: field.TimeZone,
  })
  .describe("Local time at the decision, such as `{days: [sat, sun], tz: Europe/Zurich}`.");

const argument = z
  .union([
    z.strictObject({
      in: nonEmpty(z.string().max(200, "expected at most 200 characters").describe("A value.")).describe(
        "Values, one of which it must be, as the decoder writes them.",
      ),
    }),
    z.strictObject({
      over: field.Whole.optional().describe("A whole number above this one, which itself is excluded."),
      max: field.Whole.describe("A whole number up to this one, which itself is included."),
    }),
    z.strictObject({
      to: to.describe(
        "Address book names, tags or CAIP-10 accounts, one of which the address must be; no other words.",
      ),
    }),
  ])
  .describe('What an argument must be: `{in: [...]}`, `{max: "..."}` or `{to: [...]}`.');
export type ArgumentDocument = z.infer<typeof argument>;

const matched = {
  by: by.optional(),
  key: key.optional(),
  from: from.optional(),
  to: to.optional(),
  chain: chain.optional(),
  amount: amount.optional(),
  fee: amount.optional().describe("The highest fee that the bytes permit, by native asset."),
  method: matchMethod.optional(),
  arguments: z
    .record(z.string().regex(/^[A-Za-z_$][A-Za-z0-9_$.]{0,99}$/, "expected an argument's name"), argument)
    .optional()
    .describe(
      "Arguments of a `call` by their names in the pinned ABI, all of which must hold; a call that is not decoded has none.",
    ),
  domain: domain.optional(),
  primaryType: nonEmpty(z.string().regex(/^[A-Za-z_$][A-Za-z0-9_$]{0,99}$/, "expected an EIP-712 type name"))
    .optional()
    .describe("Primary types of `typed-data`, any of which matches."),
  when: when.optional(),
  format: nonEmpty(z.enum(MESSAGE_FORMATS))
    .optional()
    .describe(
      "Kinds of `message`, any of which matches: a `text`, a Sign-In with Ethereum (`siwe`), a proof of `control`, an `anchor` of the log in a transaction that does nothing else, what nobody can read (`opaque`).",
    ),
};

// ---- rules ------------------------------------------------------------------------------------------------------

const id = field.ruleName("a rule id").describe("Name of this rule in decisions and logs; unique in the document.");
const note = field.Prose.optional().describe("Why this rule is here; has no effect.");

const Approvals = z
  .strictObject({
    expireAfter: field.Duration.optional().describe(
      "The request lapses this long after it was submitted (left out: 24h after its delay).",
    ),
  })
  .catchall(field.count("a number of persons").describe("How many persons of this group must approve."))
  .describe(
    "How many persons of which groups must approve, such as `{officers: 2, expireAfter: 24h}`. The caller and the persons who operate it never count; one person counts once.",
  );

/** Fields that an allow rule must have where it lists one of these words: nothing is unbounded by omission (sentence 2). */
export const REQUIRED_WITH = {
  to: ["transfer", "allowance", "call", "delegate", "govern"],
  amount: ["transfer", "allowance"],
  method: ["call"],
  domain: ["typed-data"],
  primaryType: ["typed-data"],
  unbounded: ["delegate", "typed-data", "raw-digest"],
} as const satisfies Readonly<Record<string, readonly OperationKind[]>>;

/** The same for editors, and that a band has an end; `validate` says it with a hint. */
const nothingByOmission = [
  ...Object.entries(REQUIRED_WITH).map(([field, kinds]) => ({
    if: { properties: { allow: { contains: { enum: kinds } } } },
    then: { required: [field] },
  })),
  { if: { required: ["breakGlass"] }, then: { required: ["approvals", "delay", "to"] } },
  { if: { required: ["amount"] }, then: { properties: { amount: { additionalProperties: { required: ["max"] } } } } },
];

const AllowRule = z
  .strictObject({
    id,
    allow: nonEmpty(z.enum(OPERATION_KINDS)).describe("Operations that this rule allows when every field of it holds."),
    note,
    ...matched,
    unbounded: field
      .yes(
        "Written where a rule may allow what no amount can bound: undecoded calls, typed data, delegations, unlimited allowances, raw digests.",
      )
      .optional(),
    approvals: Approvals.optional(),
    delay: field.Duration.optional().describe(
      "Earliest moment of signing, counted from the last approval (without approvals: from submission).",
    ),
    breakGlass: field
      .yes(
        "For emergencies: every use leaves `break-glass` leaves in the log and is told as urgent. Asks for `approvals` of two persons or more, a `delay`, and destinations other than `anyone`; goes round no deny, limit or freeze.",
      )
      .optional(),
  })
  .describe("A rule that allows. What all matching allow rules ask for adds up.")
  .meta({ id: "AllowRule", allOf: nothingByOmission });
export type AllowRule = z.infer<typeof AllowRule>;

const DenyRule = z
  .strictObject({
    id,
    deny: nonEmpty(z.enum([...OPERATION_KINDS, "any"])).describe(
      "Operations that this rule denies when every field of it holds; `any`: all of them.",
    ),
    note,
    ...matched,
  })
  .describe("A rule that denies; one match is final.")
  .meta({ id: "DenyRule" });
export type DenyRule = z.infer<typeof DenyRule>;

export const isAllow = (rule: AllowRule | DenyRule): rule is AllowRule => "allow" in rule;

// ---- fees and limits --------------------------------------------------------------------------------------------

const fee = z
  .record(
    field.Symbol,
    z.union([
      z.literal("uncapped").describe("No cap: the key's whole balance may go to fees."),
      z.strictObject({ max: field.Amount }).describe("The cap of one transaction."),
    ]),
  )
  .describe(
    'Cap of one transaction\'s fee at the worst price that its bytes permit, by native asset, such as `{ETH: {max: "0.02"}}`.',
  );

const window = z
  .union([
    z.literal("lifetime").describe("Everything ever counted."),
    z
      .literal("outstanding")
      .describe(
        "Of a sum with `to`: everything ever sent there, less what an observer has reported to have come back from the addresses that `to` names.",
      ),
    z.strictObject({ rolling: field.Duration.describe("The time up to now, such as `24h`.") }),
    z.strictObject({
      calendar: z.enum(["day", "week", "month"]).describe("The day, ISO week (from Monday) or month that it is now."),
      tz: field.TimeZone,
    }),
  ])
  .describe(
    "What the limit counts over: `{rolling: 24h}`, `{calendar: month, tz: Europe/Zurich}`, `lifetime` or `outstanding`.",
  );

const limitFields = {
  window,
  by: by.optional(),
  key: key.optional(),
  to: to.optional(),
  amount: amount.optional().describe("Counts only transactions whose total of this asset lies in the band."),
  note,
};

const limitOf = <const S extends readonly [string, ...string[]], const C extends readonly [string, ...string[]]>(
  perOfSum: S,
  perOfCount: C,
) =>
  z
    .union([
      z.strictObject({
        sum: field.Symbol.describe("Asset whose transfers and allowances are added up, those to `own` excepted."),
        max: field.Amount,
        ...limitFields,
        per: z.enum(perOfSum).optional().describe("A window of its own for each value."),
      }),
      z.strictObject({
        count: z.literal("transactions").describe("Counts transactions."),
        max: field.count("a number of transactions").describe("How many transactions the window may hold."),
        ...limitFields,
        per: z.enum(perOfCount).optional().describe("A window of its own for each value."),
      }),
    ])
    .describe("A cap on a sum or a number in a window, whichever rule allowed what it counts.");

const ClientLimit = limitOf(
  ["key", "caller", "destination", "sub-account"],
  ["key", "caller", "destination", "asset", "sub-account"],
);
const HouseLimit = limitOf(
  ["client", "key", "caller", "destination"],
  ["client", "key", "caller", "destination", "asset"],
);
export type LimitDocument = z.infer<typeof ClientLimit> | z.infer<typeof HouseLimit>;

const limitName = field.ruleName("a limit's name");

// ---- tests ------------------------------------------------------------------------------------------------------

const place = z
  .string()
  .regex(DESTINATION, "expected an address book name, a CAIP-10 account, `own`, `client:<name>` or `house`")
  .describe("An address book name, a CAIP-10 account, `own`, `client:<name>` or `house`.");
const origin = field
  .name("an address book name")
  .optional()
  .describe("Address book name of the account that the key acts through; left out: the key's own.");

const acts = {
  transfer: z
    .strictObject({ asset: field.Symbol, amount: field.Amount, to: place, account: origin })
    .optional()
    .describe("Moves an asset."),
  allowance: z
    .strictObject({
      asset: field.Symbol,
      amount: z.union([z.literal("unlimited"), field.Amount]).describe("The full new allowance, or `unlimited`."),
      to: place,
      account: origin,
    })
    .optional()
    .describe("Lets a spender take an asset."),
  call: z
    .strictObject({
      to: place,
      method: field.Prose.describe("Signature or selector."),
      chain: field.Chain.optional(),
      decoded: field.yes("The registry pins the contract's ABI.").optional(),
      arguments: z
        .record(z.string().max(100), z.string().max(200).describe("Value."))
        .optional()
        .describe("Arguments of a decoded call by name."),
      account: origin,
    })
    .optional()
    .describe("Calls a contract."),
  deploy: z.strictObject({ chain: field.Chain }).optional().describe("Creates a contract."),
  delegate: z
    .strictObject({ to: place, chain: field.Chain.optional() })
    .optional()
    .describe("Lets a contract act for the account (EIP-7702)."),
  govern: z
    .strictObject({
      to: place,
      method: field.Prose.describe("Signature."),
      chain: field.Chain.optional(),
      account: origin,
    })
    .optional()
    .describe("Changes a contract's own owners, modules or code."),
  message: z
    .strictObject({ chain: field.Chain, format: z.enum(MESSAGE_FORMATS).describe("Kind of message.") })
    .optional()
    .describe("Signs a message."),
  typedData: z
    .strictObject({
      chain: field.Chain,
      domain: z
        .record(z.string().max(50), z.string().max(200).describe("Value."))
        .describe("Fields of the EIP-712 domain."),
      primaryType: z.string().max(100).describe("Primary type."),
    })
    .optional()
    .describe("Signs typed data that means no transfer and no allowance."),
  rawDigest: z
    .strictObject({ curve: z.enum(["secp256k1", "p256", "ed25519"]).describe("Curve of the key.") })
    .optional()
    .describe("Signs 32 bytes whose meaning is unknown; alone, and on no chain."),
};

const Act = z.strictObject(acts).refine((act) => Object.keys(act).length === 1, "expected exactly one operation");
export type Act = z.infer<typeof Act>;

const asked = {
  by: field.name("a caller").describe("The wallet service that asks."),
  from: field.name("a key").describe("The key that signs."),
  subAccount: field.name("a sub-account").optional().describe("Of an omnibus client: whose assets it moves."),
  fee: field.Amount.optional().describe("The highest fee that the bytes permit (left out: 0)."),
  ...acts,
  operations: nonEmpty(Act)
    .optional()
    .describe("Several operations in one transaction, instead of one written directly."),
};

const TestApproval = z
  .strictObject({
    person: field.name("an approver").describe("Who approved."),
    at: field.Instant,
    via: z.literal("console").optional().describe("Where it was made on a web page."),
  })
  .describe("One approval.");

export const PolicyTest = z
  .strictObject({
    name: z
      .string()
      .min(1)
      .max(200)
      .regex(/^[ -~]+$/, "expected printable ASCII")
      .describe("What is proved, as a sentence."),
    now: field.Instant,
    submittedAt: field.Instant.optional().describe("When the request was first recorded (left out: `now`)."),
    keyPurpose: z
      .enum(["transactions", "raw"])
      .optional()
      .describe("What the key was created for (left out: `transactions`)."),
    held: z
      .record(field.name("an address book name"), field.Instant)
      .optional()
      .describe("Since when the active policies have held an entry's addresses (left out: always)."),
    history: z
      .array(
        z.strictObject({
          at: field.Instant,
          ...asked,
          by: asked.by.optional().describe("The wallet service that asked (left out: that of `request`)."),
        }),
      )
      .max(1000, "expected at most 1000 entries")
      .optional()
      .describe("What was authorized before."),
    request: z.strictObject(asked).describe("What is asked now."),
    approvals: z
      .array(TestApproval)
      .max(100, "expected at most 100 approvals")
      .optional()
      .describe("Who has approved."),
    expect: z
      .strictObject({
        decision: z.enum(["allow", "deny", "needs-approval"]).describe("The outcome."),
        reason: z
          .string()
          .regex(/^[a-z-]{1,40}$/, "expected a reason code")
          .optional()
          .describe("A reason code that the decision must give."),
        rule: field.ruleName("a rule id").optional().describe("A rule that must have matched."),
        limit: field.ruleName("a limit's name").optional().describe("A limit that must have denied."),
        missing: z
          .record(field.name("a group"), field.count("a number of persons").describe("How many more."))
          .optional()
          .describe("Approvals still missing, by group."),
      })
      .describe("What the decision must be."),
  })
  .describe("A test: it runs before this document can be applied.");
export type PolicyTest = z.infer<typeof PolicyTest>;

const tests = z
  .array(PolicyTest)
  .max(1000, "expected at most 1000 tests")
  .optional()
  .describe("Tests of this document.");

// ---- the two policies -------------------------------------------------------------------------------------------

const members = nonEmpty(field.name("a caller"));
const groups = z
  .record(
    field.name("a group's name"),
    z.union([
      members,
      z.strictObject({
        members: members.describe("Approvers who are in it."),
        via: z
          .array(z.literal("console").describe("Approvals that were made on web pages, with WebAuthn keys."))
          .length(1)
          .describe("What else counts for this group."),
      }),
    ]),
  )
  .describe(
    "Groups of approvers, such as `{officers: [alice, bob]}`; with `via: [console]` approvals made on web pages count for it too.",
  );

type Group = z.infer<typeof groups>[string];
export const membersOf = (group: Group): readonly string[] => (Array.isArray(group) ? group : group.members);
export const isViaConsole = (group: Group): boolean => !Array.isArray(group);

export const ClientPolicy = z
  .strictObject({
    apiVersion,
    kind: z
      .literal("ClientPolicy")
      .describe("This document: everything that gives authority over one client's assets."),
    client: field.name("a client").describe("Whose assets these are."),
    owner: z.literal("house").optional().describe("Written where the assets are the custodian's own."),
    legalBasis: z
      .strictObject({
        kind: z
          .enum(["trust", "bailment", "agreement"])
          .describe("As what the custodian holds the assets: in trust, as a bailee, by another kind of agreement."),
        reference: field.Prose.describe("Where that is agreed, such as `Custody agreement of 2026-03-01, section 4`."),
      })
      .optional()
      .describe("On what ground these assets are held for the client; shown in segregation reports, no rule reads it."),
    signedOutside: z
      .enum(["freeze"])
      .optional()
      .describe(
        "`freeze`: the client is frozen as soon as an observer reports that one of its keys has signed what is not in the log, once for each use. Left out: it is in the log and in reports, and people decide.",
      ),
    omnibus: z
      .strictObject({
        subAccounts: nonEmpty(field.name("a sub-account")).describe("Whose assets they are, such as `[alpha, beta]`."),
      })
      .optional()
      .describe(
        "Written where the same accounts hold the assets of several owners. Every request names the sub-account whose assets it moves, and takes no more than that one's own. Left out, as it should be wherever it can: all assets are one owner's.",
      ),
    version,
    use: use.optional(),
    callers: z.record(field.name("a caller's name"), ClientCaller).describe("Who may ask, approve and read."),
    groups: groups.optional(),
    addressBook: Book.optional().describe("Destinations that only this client has."),
    exit: field
      .name("an address book name")
      .optional()
      .describe(
        "Where `portcullis return-assets` brings everything that is not pledged, fixed beforehand: an entry with one address a chain. A rule of its own has to allow it.",
      ),
    fee: fee.optional(),
    rules: z
      .array(z.union([AllowRule, DenyRule]))
      .max(1000, "expected at most 1000 rules")
      .describe("What no rule allows is denied; order never matters."),
    limits: z
      .record(limitName, ClientLimit)
      .optional()
      .describe("Limits by name; they stand by themselves, no rule has to name them."),
    tests,
  })
  .describe("One client's policy.");
export type ClientPolicy = z.infer<typeof ClientPolicy>;

export const HousePolicy = z
  .strictObject({
    apiVersion,
    kind: z.literal("HousePolicy").describe("This document: what holds for every client, and who runs the gateway."),
    version,
    use: use.optional(),
    callers: z
      .record(field.name("a caller's name"), HouseCaller)
      .describe("Operators, policy officers, auditors, observers."),
    policyQuorum: field
      .count("a number of policy officers")
      .optional()
      .describe("How many policy officers must sign a policy change (left out: 1)."),
    policyDelay: field.Duration.optional().describe(
      "How long a change that is not only tightening waits before it is active (left out: none).",
    ),
    addressBook: Book.optional().describe("Destinations that the rules and limits of this document name."),
    fee: fee.optional(),
    rules: z
      .array(DenyRule)
      .max(1000, "expected at most 1000 rules")
      .optional()
      .describe("What is denied to every client; this document never allows."),
    limits: z
      .record(limitName, HouseLimit)
      .optional()
      .describe("Ceilings over all clients, or `per: client` for each."),
  })
  .describe("The house policy, which applies to every request beside the client's document.");
export type HousePolicy = z.infer<typeof HousePolicy>;

export type PolicyDocument = ClientPolicy | HousePolicy;
