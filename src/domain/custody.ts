import { z } from "zod";
import { PersonSignature } from "./approval.ts";
import { OfficerSignatures } from "./api.ts";
import { CallerName, SubAccountName } from "./names.ts";

/*
 * What observers, secured parties and those who read accounts send and get. Amounts here are whole numbers of the asset's
 * smallest unit as decimal text: an observer says what a chain says.
 */

const Amount = z.string().regex(/^(0|[1-9][0-9]{0,77})$/, "expected a whole number of the smallest unit, as text");
const Hash = z.string().regex(/^0x[0-9a-f]{64}$/, "expected `0x` and 64 hex digits in lower case");
const Account = z.string().max(200).describe("CAIP-10, such as `eip155:1:0x…`");
const Symbol = z.string().min(1).max(32).describe("of the client's asset registry");
const BlockNumber = z.int().min(0);
const Nonce = z.string().regex(/^(0|[1-9][0-9]{0,19})$/, "expected a nonce, as text");

/** What a chain shows, as an observer has seen it. */
export const ObservationBody = z.discriminatedUnion("what", [
  z.strictObject({
    what: z.literal("deposit"),
    deposit: z.strictObject({
      transaction: Hash,
      position: z
        .string()
        .regex(/^(value|[0-9]{1,9}(\.[0-9]{1,9})?)$/)
        .describe("which transfer of the transaction: `value`, or the index of the log entry"),
      asset: Symbol,
      amount: Amount,
      to: Account,
      from: Account.optional(),
      subAccount: SubAccountName.optional().describe(
        "of an omnibus client: whose it is; left out, it is unallocated until the same deposit is reported with it",
      ),
      block: BlockNumber,
    }),
  }),
  z.strictObject({
    what: z.literal("balance"),
    balance: z
      .strictObject({
        asset: Symbol,
        amount: Amount.describe("of all accounts of the client together, at that block"),
        block: BlockNumber,
      })
      .describe("the chain as it was read: what a lien is checked against"),
  }),
  z.strictObject({
    what: z.literal("signed-outside"),
    use: z
      .strictObject({
        account: Account,
        first: Nonce,
        last: Nonce.describe("of these numbers (nonces) that the account has used; both ends are among them"),
        transaction: Hash.optional().describe("which used it, where the node can say; of one number"),
      })
      .describe("numbers that are used on the chain, and by nothing that is in the log: the key was used elsewhere"),
  }),
  z.strictObject({
    what: z.literal("transaction"),
    transaction: z.strictObject({
      request: z.string().regex(/^[0-9a-f]{32}$/),
      state: z.enum(["broadcast", "mined", "reverted", "replaced", "dropped"]),
      block: BlockNumber.optional(),
      depth: z.int().min(0).optional().describe("blocks on top of it, and itself"),
      fee: Amount.optional().describe("paid, in the native asset's smallest unit; of a mined or reverted one"),
    }),
  }),
]);
export type ObservationBody = z.infer<typeof ObservationBody>;

export type OutsideUse = Extract<ObservationBody, { what: "signed-outside" }>["use"];

/** By the numbers alone: a node that learns by which transaction tells of the same use. */
export const useId = ({ account, first, last }: Pick<OutsideUse, "account" | "first" | "last">): string =>
  `outside/${account}/${first}-${last}`;

export const StatementBody = z.strictObject({
  from: z.iso.datetime().describe("the first moment of the period"),
  to: z.iso.datetime().describe("the first moment after it"),
  subAccount: SubAccountName.optional().describe("of an omnibus client: of this one alone; left out: of all together"),
});
export type StatementBody = z.infer<typeof StatementBody>;

/** What was computed elsewhere from the log, a chain or books: its hash and outcome become a leaf. */
export const ReportBody = z.strictObject({
  kind: z.enum(["reconciliation", "liabilities", "segregation", "evidence"]),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  outcome: z.enum(["ok", "breaks"]),
  summary: z.record(z.string().max(64), z.union([z.string().max(256), z.int()])).default({}),
});
export type ReportBody = z.infer<typeof ReportBody>;

export const LienName = z.string().regex(/^[a-z0-9-]{1,24}$/, "expected 1 to 24 characters of `a-z`, `0-9` and `-`");

export const LienBody = z.strictObject({
  lien: LienName.describe("used once: no other lien of this client ever has that name"),
  asset: Symbol,
  amount: z.union([z.literal("all"), Amount]).describe("`all`: whatever there is and comes, until it is released"),
  subAccount: SubAccountName.optional().describe("of an omnibus client, and there always: whose asset it is"),
  securedParty: CallerName.describe("declared in the client's policy with the role `secured-party`"),
  signatures: OfficerSignatures.describe("of the policy officers' quorum, for the client, over the text of `lienText`"),
  agreement: PersonSignature.describe("of the secured party, over the same text"),
});
export type LienBody = z.infer<typeof LienBody>;

export const LienReleaseBody = z.strictObject({
  remaining: z
    .union([z.literal("none"), Amount])
    .describe("what stays encumbered: less than before; `none` ends the lien"),
  signature: PersonSignature.describe("of the secured party, over the text of `lienReleaseText`"),
});
export type LienReleaseBody = z.infer<typeof LienReleaseBody>;

/** What officers and secured party sign. The policy's hash pins what the symbol means, and whose keys the secured party's are. */
export const lienText = (fields: {
  readonly origin: string;
  readonly client: string;
  /** Of an omnibus client. */
  readonly subAccount?: string | undefined;
  readonly lien: string;
  readonly asset: string;
  /** In the smallest unit, or `all`. */
  readonly amount: string;
  readonly securedParty: string;
  readonly policy: string;
}): string =>
  [
    "portcullis/lien/v1",
    `origin: ${fields.origin}`,
    `client: ${fields.client}`,
    ...(fields.subAccount === undefined ? [] : [`sub-account: ${fields.subAccount}`]),
    `lien: ${fields.lien}`,
    `asset: ${fields.asset}`,
    `amount: ${fields.amount}`,
    `secured party: ${fields.securedParty}`,
    `policy: ${fields.policy}`,
    "",
  ].join("\n");

/** What the secured party signs, for that lien and no other. It can only become less: an old text brings nothing back. */
export const lienReleaseText = (fields: {
  readonly origin: string;
  readonly client: string;
  readonly lien: string;
  /** Index of its `lien-placed` leaf. */
  readonly placedIn: number;
  readonly remaining: string;
}): string =>
  [
    "portcullis/lien-release/v1",
    `origin: ${fields.origin}`,
    `client: ${fields.client}`,
    `lien: ${fields.lien}`,
    `placed: ${fields.placedIn}`,
    `remaining: ${fields.remaining}`,
    "",
  ].join("\n");

/** A lien that stands, in units of the asset. */
export type LienView = {
  readonly lien: string;
  readonly asset: string;
  readonly amount: string;
  readonly securedParty: string;
  readonly subAccount?: string;
  /** Index of its `lien-placed` leaf. */
  readonly leaf: number;
};

/** One asset of a client, in units of the asset. */
export type PositionView = {
  readonly asset: string;
  readonly credits: string;
  readonly debits: string;
  readonly closing: string;
  /** Of the debits, what the chain has not settled. */
  readonly pending: string;
  /** What the last reading of the chain leaves; absent where nobody has read it. */
  readonly reconciled?: string;
  readonly encumbered: string;
  readonly allowances: string;
  readonly free: string;
};

/** What the sub-accounts of an omnibus client hold, and what nobody has been given yet. */
export type SubAccountPositions = {
  readonly subAccounts: Readonly<Record<string, readonly PositionView[]>>;
  readonly unallocated: readonly { readonly asset: string; readonly closing: string }[];
};
