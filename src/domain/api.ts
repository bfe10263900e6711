import { z } from "zod";
import type { Json } from "./json.ts";
import { CallerName, ClientId, KeyName, SubAccountName } from "./names.ts";
import { BATCH_MAX, REQUEST_STATES, type RequestState } from "./request.ts";

/*
 * The bodies of the HTTP API. One schema = one type, for the vault, which checks, and for the SDK, which is checked.
 */

export const Hex = z.string().regex(/^0x(?:[0-9a-fA-F]{2})*$/, "expected `0x` and pairs of hex digits");

const Chain = z.string().regex(/^eip155:[1-9][0-9]{0,15}$/, "expected an EVM chain such as `eip155:1`");

/** What is signed off chain names no chain by itself, or not always: a key that lives on several has to be told. */
const ofChain = Chain.optional().describe("for which chain, where the key lives on several");

/** Of which keys are made. */
export const CURVES = ["secp256k1", "p256", "ed25519"] as const;

const quantity = z.union([z.string(), z.number()]);

export const Payload = z.discriminatedUnion("type", [
  z
    .strictObject({
      type: z.literal("evm-transaction"),
      unsigned: Hex.optional().describe("the exact bytes to sign: what keccak256 would be taken of"),
      transaction: z.record(z.string(), z.unknown()).optional().describe("the same as fields; nonce may be left out"),
    })
    .refine((payload) => (payload.unsigned === undefined) !== (payload.transaction === undefined), {
      message: "expected either `unsigned` or `transaction`",
    }),
  z.strictObject({
    type: z.literal("evm-typed-data"),
    typedData: z
      .record(z.string(), z.unknown())
      .describe("EIP-712: exactly `types`, `domain`, `primaryType`, `message`"),
    chain: ofChain,
  }),
  z.strictObject({
    type: z.literal("evm-message"),
    message: z.string().describe("EIP-191 (`personal_sign`): a text, or bytes as `0x` and pairs of hex digits"),
    chain: ofChain,
  }),
  z.strictObject({
    type: z.literal("evm-authorization"),
    chainId: quantity.describe("never 0, which would mean every chain"),
    address: z.string().describe("EIP-7702: whose code the key's account takes"),
    nonce: quantity.describe("of the key's account, when the transaction that carries this runs"),
  }),
  z.strictObject({
    type: z.literal("raw-digest"),
    digest: z
      .string()
      .regex(/^0x[0-9a-fA-F]{64}$/, "expected `0x` and 64 hex digits")
      .describe("32 bytes that a key made for raw digests signs as they are; for Ed25519 they are the message"),
  }),
]);
export type Payload = z.infer<typeof Payload>;

export const SigningRequestBody = z.strictObject({
  key: KeyName,
  payload: Payload,
  notAfter: z.iso
    .datetime()
    .optional()
    .describe("nothing is signed for this request after that; by the gateway's clock, in UTC"),
  replaces: z
    .string()
    .regex(/^[0-9a-f]{32}$/, "expected the id of a signing request")
    .optional()
    .describe("the signing request whose transaction this one replaces: at another price, or to cancel it"),
  subAccount: SubAccountName.optional().describe(
    "of an omnibus client: whose assets this moves; left out by a caller that the policy binds to one, refused for any other client",
  ),
  reference: z
    .string()
    .max(256)
    // What no database keeps as text.
    .refine((text) => !text.includes("\0") && !/\p{Surrogate}/u.test(text), "expected a text, without U+0000")
    .optional()
    .describe("the caller's own words for this withdrawal; kept, never interpreted"),
});
export type SigningRequestBody = z.infer<typeof SigningRequestBody>;

export const BatchBody = z.strictObject({
  requests: z.array(SigningRequestBody).min(1).max(BATCH_MAX).describe("each is decided on its own, in this order"),
});
export type BatchBody = z.infer<typeof BatchBody>;

/** What an evaluation asks: a signing request that will not be made. */
export const EvaluationBody = SigningRequestBody.extend({
  caller: CallerName.optional().describe("decide as if this caller asked; by default whoever sends the evaluation"),
});

const TokenPin = z.string().min(1).max(255).describe("of the token, as its administrators set it");

/** What an officer's own clock shows. */
export const ClockBody = z.strictObject({ seen: z.iso.datetime() });

export const ClientBody = z.strictObject({
  client: ClientId,
  adopt: z
    .strictObject({
      label: z.string().min(1).max(32).describe("of the one token that the HSM's administrators made for this client"),
      pin: TokenPin,
      chains: z.array(Chain).max(32).default([]).describe("where keys that are in it already live for ever"),
    })
    .optional(),
});

export const PinBody = z.strictObject({
  pin: TokenPin.optional().describe("the one that the administrators have set; left out, a new random one is set"),
});

export const KeyStateBody = z.strictObject({ state: z.enum(["disabled", "retired"]) });

export const KeyBody = z
  .strictObject({
    name: KeyName,
    curve: z.enum(CURVES).default("secp256k1"),
    chains: z.array(Chain).max(32).default([]).describe("where it lives for ever; none for raw digests"),
    purpose: z
      .enum(["transactions", "raw"])
      .default("transactions")
      .describe("fixed for ever: raw digests, or all else"),
  })
  .refine(({ purpose, chains }) => (purpose === "raw") === (chains.length === 0), {
    message: "expected chains for a key that signs transactions, and none for one that signs raw digests",
  })
  .refine(({ purpose, curve }) => purpose === "raw" || curve === "secp256k1", {
    message: "expected `secp256k1` for a key that signs transactions: other curves sign raw digests",
  });

/** Of policy officers, each over the text that names what they decide. */
export const OfficerSignatures = z
  .array(z.strictObject({ person: CallerName, signature: z.string().max(4096) }))
  .max(32);

export const PolicyBody = z.strictObject({
  entry: z.string().max(200).describe("path of the policy document among `files`"),
  files: z.record(z.string().max(200), z.string()).describe("path → text: the document and every file that it uses"),
  signatures: OfficerSignatures.describe("over the text of `policySigningText`"),
});
export type PolicyBody = z.infer<typeof PolicyBody>;

/** What policy officers sign (DESIGN section 6.10): a text that names everything that it changes, and nothing else. */
export const policySigningText = (fields: {
  origin: string;
  client: string;
  version: number;
  hash: string;
  previousHash: string | null;
}): string =>
  [
    "portcullis/policy/v1",
    `origin: ${fields.origin}`,
    `client: ${fields.client}`,
    `version: ${fields.version}`,
    `policy: ${fields.hash}`,
    `previous: ${fields.previousHash ?? "none"}`,
    "",
  ].join("\n");

export const StateFilter = z.enum(REQUEST_STATES);

/** An RFC 9457 problem. `code` is stable, for programs; `detail` and `hint` are for people. */
export type Problem = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  readonly hint?: string;
  readonly requestId?: string;
  readonly [fact: string]: unknown;
};

/** Where a leaf stands: its index in the log, its number among the client's leaves, its RFC 6962 hash in hex. */
export type LeafPlace = { readonly index: number; readonly number: number; readonly hash: string };

/** One version of a policy in the list of all that ever stood. */
export type PolicyVersionView = {
  readonly version: number;
  readonly hash: string;
  readonly previousHash: string | null;
  readonly appliedAt: string;
  readonly leaf: number;
  readonly signatures: readonly { readonly person: string; readonly signature: string }[];
  readonly active: boolean;
};

/** What was decided of a request, and on which facts: all that deciding it again under another policy needs. */
export type RecordedDecision = {
  readonly id: string;
  readonly caller: string;
  readonly key: string;
  readonly subAccount?: string;
  readonly keyPurpose: "transactions" | "raw";
  readonly submittedAt: string;
  /** When it was authorized; else when its state last changed. */
  readonly decidedAt: string;
  readonly outcome: "allow" | "deny" | "needs-approval";
  /** Codes. */
  readonly reasons: readonly string[];
  readonly intent: Json;
  /** Whose the accounts are that the intent names; those of nobody here are absent. */
  readonly owners: Readonly<Record<string, string>>;
  /** Since when the active policies have held those accounts. */
  readonly heldSince: Readonly<Record<string, string>>;
};

/** What somebody who is asked to approve has to know: the payload itself, and what the vault says of it now. */
export type ApprovalView = {
  readonly request: SigningRequestView;
  /** Absent once the request waits no more. */
  readonly waiting?: {
    readonly origin: string;
    readonly payload: Payload;
    /** What would be filled in for fields that it left out; when it is signed, they are filled anew. */
    readonly filling: Readonly<Record<string, string>>;
    /** Of the key: what the payload is read with. */
    readonly accounts: readonly string[];
    readonly chains: readonly string[];
    readonly intent: Json;
    /** `sha256:` and hex: what an approval names. */
    readonly intentHash: string;
    /** Of the client's active policy: what an approval counts under. */
    readonly policy: string;
    readonly outcome: "allow" | "deny" | "needs-approval";
    /** Why it would not be signed now, beyond what is missing. */
    readonly reasons: readonly Json[];
    readonly missing: readonly {
      readonly group: string;
      readonly have: number;
      readonly need: number;
      /** Who could still fill the places. */
      readonly from: readonly string[];
    }[];
    readonly notBefore?: string;
    readonly expires?: string;
    /** Rules for emergencies that it takes. */
    readonly breakGlass?: readonly string[];
    readonly approvals: readonly { readonly person: string; readonly at: string; readonly counts: boolean }[];
  };
};

/** A signing request as its caller sees it. */
export type SigningRequestView = {
  readonly id: string;
  readonly client: string;
  readonly caller: string;
  readonly key: string;
  /** Of an omnibus client: whose assets it moves. */
  readonly subAccount?: string;
  readonly state: RequestState;
  readonly submittedAt: string;
  readonly changedAt: string;
  readonly reference?: string;
  readonly notAfter?: string;
  /** The request whose transaction this one replaces. */
  readonly replaces?: string;
  readonly intent?: Json;
  readonly decision?: Json;
  /** Who has approved, in their order; whether each still counts is asked when the request is decided. */
  readonly approvals?: readonly { readonly person: string; readonly at: string }[];
  /** While it stands `authorized`: since when, how often it was tried, and what settling it would do with its spend. */
  readonly authorization?: {
    readonly at: string;
    readonly attempts: number;
    /** Attempts of which the log says that no signature was made. */
    readonly unsigned: number;
    readonly settling: "given-back" | "counted";
  };
  readonly problem?: Problem;
  readonly result?: {
    readonly address: string;
    readonly digest: string;
    /** r ‖ s ‖ v, 65 bytes, v 27 or 28. */
    readonly signature: string;
    /** Of a transaction. */
    readonly signedTransaction?: string;
    readonly transactionHash?: string;
  };
  /** Where the decision and, once there is one, the outcome stand in the log. */
  readonly leaves: { readonly decision?: LeafPlace; readonly outcome?: LeafPlace };
  readonly hint?: string;
};
