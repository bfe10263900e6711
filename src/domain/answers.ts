import { z } from "zod";
import { Hex, Payload } from "./api.ts";
import { CallerName, ClientId, KeyName } from "./names.ts";
import { Lost } from "./recovery.ts";
import { REQUEST_STATES } from "./request.ts";

/*
 * The bodies of the HTTP API's answers, as the OpenAPI document prints them. They are open: an answer may gain a field.
 * A test holds every answer of the vault against them.
 */

const Time = z.iso.datetime();
const Digest = z.string().regex(/^[0-9a-f]{64}$/);
const Text = z.string();
const Count = z.int().nonnegative();
const AnyJson = z.unknown();

const LeafPlace = z
  .object({ index: Count, number: Count.describe("among the client's leaves"), hash: Digest })
  .describe("where a leaf of the log stands; `hash` is its RFC 6962 leaf hash");

export const ProblemAnswer = z
  .looseObject({
    type: Text.describe("`urn:portcullis:problem:` and the code"),
    title: Text,
    status: z.int(),
    code: Text.describe("stable, for programs: docs/errors.md lists them"),
    detail: Text.describe("for people"),
    hint: Text.exactOptional(),
    requestId: Text.exactOptional(),
  })
  .meta({ id: "Problem", description: "RFC 9457; further members are the problem's facts" });

const Intent = z
  .object({
    chain: Text.describe("CAIP-2"),
    account: Text.describe("CAIP-10, of the key that signs"),
    operations: z.array(z.looseObject({ kind: Text, from: Text })),
    fee: z.object({ asset: Text, max: Text.describe("the most that the bytes permit, smallest unit") }),
    claims: z.array(z.looseObject({ kind: Text })).describe("what the chain lets be used once only"),
  })
  .meta({ id: "Intent", description: "what the payload would do, decoded from its bytes" });

export const DecisionAnswer = z
  .object({
    outcome: z.enum(["allow", "deny", "needs-approval"]),
    policy: z.object({ version: Count, hash: Text, houseVersion: Count, houseHash: Text }),
    reasons: z.array(z.looseObject({ code: Text })),
    rules: z.array(
      z.object({
        rule: Text,
        of: z.enum(["client", "house"]),
        effect: z.enum(["allow", "deny"]),
        operation: Count,
        matched: z.boolean(),
        because: Text,
      }),
    ),
    limits: z.array(
      z.object({
        limit: Text,
        of: z.enum(["client", "house"]),
        counter: Text,
        holds: z.boolean(),
        cap: Text,
        spent: Text,
        requested: Text,
        remaining: Text,
        unit: Text,
        window: Text,
      }),
    ),
    liens: z
      .array(
        z.object({
          asset: Text,
          liens: z.array(Text),
          holds: z.boolean(),
          requested: Text.describe("in units of the asset, or `unbounded`"),
          available: Text.describe("in units of the asset, or `none`"),
        }),
      )
      .exactOptional()
      .describe("only where one stands on what the request could touch"),
    subAccount: z
      .array(
        z.object({
          subAccount: Text,
          asset: Text,
          holds: z.boolean(),
          requested: Text.describe("in units of the asset"),
          available: Text.describe("in units of the asset, or `none`"),
        }),
      )
      .exactOptional()
      .describe("of an omnibus client: what is the sub-account's own"),
    fee: z.object({ asset: Text, cap: Text.nullable(), max: Text }),
    missing: z.object({
      approvals: z.array(z.object({ group: Text, have: Count, need: Count })),
      notBefore: Time.exactOptional(),
      delayMs: Count.exactOptional(),
    }),
    expiresAt: Time.exactOptional(),
    breakGlass: z.array(Text).exactOptional().describe("rules for emergencies that it takes"),
  })
  .meta({ id: "Decision", description: "why: every rule and limit, by which fact, and what is still missing" });

export const SigningRequestAnswer = z
  .object({
    id: Text,
    client: ClientId,
    caller: CallerName,
    key: KeyName,
    subAccount: Text.exactOptional().describe("of an omnibus client: whose assets it moves"),
    state: z.enum(REQUEST_STATES),
    submittedAt: Time,
    changedAt: Time,
    reference: Text.exactOptional(),
    notAfter: Time.exactOptional().describe("nothing is signed for it after that"),
    replaces: Text.exactOptional().describe("the request that it takes the place of"),
    intent: Intent.exactOptional(),
    decision: DecisionAnswer.exactOptional(),
    approvals: z.array(z.object({ person: CallerName, at: Time })).exactOptional(),
    authorization: z
      .object({ at: Time, attempts: Count, unsigned: Count, settling: z.enum(["given-back", "counted"]) })
      .exactOptional()
      .describe(
        "while it stands `authorized`: since when, how often it was tried, what settling would do with its spend",
      ),
    problem: ProblemAnswer.exactOptional(),
    result: z
      .object({
        address: Text,
        digest: Hex,
        signature: Hex.describe(
          "secp256k1: r ‖ s ‖ v, 65 bytes, v 27 or 28; other curves: 64 bytes, of P-256 r ‖ s, of Ed25519 R ‖ S",
        ),
        signedTransaction: Hex.exactOptional(),
        transactionHash: Hex.exactOptional(),
      })
      .exactOptional(),
    leaves: z.object({ decision: LeafPlace.exactOptional(), outcome: LeafPlace.exactOptional() }),
    hint: Text.exactOptional(),
  })
  .meta({ id: "SigningRequest" });

export const RefusedRequestAnswer = ProblemAnswer.extend({ request: SigningRequestAnswer.exactOptional() }).meta({
  id: "RefusedRequest",
  description: "a problem, and the signing request that ended with it",
});

export const BatchAnswer = z.object({
  answers: z
    .array(z.object({ status: z.int(), body: z.union([SigningRequestAnswer, RefusedRequestAnswer]) }))
    .describe("of each request, in their order: the status and body that it would be answered with alone"),
});

const cursor = Text.nullable().describe("for the next page; null on the last");

export const SigningRequestListAnswer = z.object({ requests: z.array(SigningRequestAnswer), cursor });

export const ApprovalsAnswer = z.object({
  request: SigningRequestAnswer,
  waiting: z
    .object({
      origin: Text,
      payload: Payload,
      filling: z.record(Text, Text),
      accounts: z.array(Text),
      chains: z.array(Text),
      intent: Intent,
      intentHash: Text.describe("what an approval names"),
      policy: Text.describe("what an approval counts under"),
      outcome: z.enum(["allow", "deny", "needs-approval"]),
      reasons: z.array(z.looseObject({ code: Text })),
      missing: z.array(z.object({ group: Text, have: Count, need: Count, from: z.array(CallerName) })),
      notBefore: Time.exactOptional(),
      expires: Time.exactOptional(),
      breakGlass: z.array(Text).exactOptional().describe("rules for emergencies that it takes"),
      approvals: z.array(z.object({ person: CallerName, at: Time, counts: z.boolean() })),
    })
    .exactOptional()
    .describe("absent once the request waits no more"),
});

export const EvaluationAnswer = z.object({ intent: Intent, digest: Hex, decision: DecisionAnswer });

const Refused = z.object({ code: Text, detail: Text });

export const KeyAnswer = z
  .object({
    name: KeyName,
    state: z.enum(["active", "disabled", "retired"]),
    purpose: z.enum(["transactions", "raw"]),
    curve: Text,
    publicKey: Hex,
    chains: z.array(Text),
    accounts: z.array(Text).describe("CAIP-10"),
    createdInLeaf: Count,
    usable: z.boolean(),
    refused: Refused.exactOptional(),
  })
  .meta({ id: "Key" });

export const KeyListAnswer = z.object({ client: ClientId, keys: z.array(KeyAnswer) });

const Signatures = z.array(z.object({ person: CallerName, signature: Text }));
const PolicyVersion = {
  client: ClientId,
  version: Count,
  hash: Text,
  previousHash: Text.nullable(),
  appliedAt: Time,
  leaf: Count,
  signatures: Signatures,
};

export const PolicyAnswer = z
  .object({ ...PolicyVersion, entry: Text, files: z.record(Text, Text) })
  .meta({ id: "Policy" });

/** A signed change that waits until `activeAt`. */
export const ScheduledPolicyAnswer = z
  .object({
    client: ClientId,
    version: Count,
    hash: Text,
    previousHash: Text.nullable(),
    activeAt: Time,
    leaf: Count,
    signatures: z.array(z.object({ person: CallerName, signature: Text })),
    entry: Text,
    files: z.record(Text, Text),
  })
  .meta({ id: "ScheduledPolicy" });

export const WaitingPolicyAnswer = z.object({ client: ClientId, scheduled: ScheduledPolicyAnswer.nullable() });

export const PolicyVersionListAnswer = z.object({
  client: ClientId,
  versions: z.array(z.object({ ...PolicyVersion, active: z.boolean() })),
  cursor: Count.nullable(),
});

export const DecisionListAnswer = z.object({
  client: ClientId,
  decisions: z.array(
    z.object({
      id: Text,
      caller: CallerName,
      key: KeyName,
      subAccount: Text.exactOptional(),
      keyPurpose: z.enum(["transactions", "raw"]),
      submittedAt: Time,
      decidedAt: Time,
      outcome: z.enum(["allow", "deny", "needs-approval"]),
      reasons: z.array(Text),
      intent: Intent,
      owners: z.record(Text, Text),
      heldSince: z.record(Text, Time),
    }),
  ),
  cursor,
});

const Freeze = z.object({
  target: Text,
  by: Text,
  reason: Text.exactOptional(),
  since: Time,
  leaf: LeafPlace,
});

export const FreezeListAnswer = z.object({ client: ClientId, status: Text, house: Text, freezes: z.array(Freeze) });

export const FrozenAnswer = z.object({
  client: ClientId,
  freeze: Freeze,
  isNew: z.boolean(),
  out: z.array(z.looseObject({ client: ClientId, id: Text, state: Text })),
  more: z.boolean(),
});

export const UnfrozenAnswer = z.object({ client: ClientId, unfrozen: Freeze });

const Units = Text.describe("in units of the asset");

const Positions = z.array(
  z.object({
    asset: Text,
    credits: Units,
    debits: Units,
    closing: Units,
    pending: Units.describe("of the debits, what the chain has not settled yet"),
    reconciled: Units.exactOptional().describe("what the last reading of the chain leaves, less all debits since"),
    encumbered: Units,
    allowances: Text.describe("in units of the asset, or `unlimited`"),
    free: Units,
  }),
);

export const PositionsAnswer = z.object({
  client: ClientId,
  positions: Positions.describe("of all together; of its sub-account alone to a caller that is bound to one"),
  subAccounts: z.record(Text, Positions).exactOptional().describe("of an omnibus client"),
  unallocated: z
    .array(z.object({ asset: Text, closing: Units }))
    .exactOptional()
    .describe("of an omnibus client: what no sub-account has been given"),
});

const Lien = z.object({
  lien: Text,
  asset: Text,
  amount: Text.describe("in units of the asset, or `all`"),
  securedParty: CallerName,
  subAccount: Text.exactOptional().describe("of an omnibus client: whose asset it is"),
  leaf: Count.describe("index of its `lien-placed` leaf"),
});

export const LienListAnswer = z.object({ client: ClientId, liens: z.array(Lien) });

export const LienAnswer = z.object({ client: ClientId, lien: Lien, leaf: LeafPlace });

export const LienReleasedAnswer = z.object({
  client: ClientId,
  lien: Lien.nullable().describe("what stays of it; null where it has ended"),
  leaf: LeafPlace,
});

export const PublicKeysAnswer = z.array(Text.describe("x and y, 64 bytes in hex behind `0x`"));

export const LeafAnswer = z.object({ client: ClientId, leaf: LeafPlace });

export const ObservationAnswer = LeafAnswer.extend({
  isFrozen: z.boolean().exactOptional().describe("of what was signed outside: whether the client is frozen now"),
});

const Token = z.object({ label: Text, serial: Text });

export const ClientListAnswer = z.object({
  clients: z.array(
    z.object({
      client: ClientId,
      status: Text,
      freezes: z.array(Freeze),
      token: Token,
      available: z.boolean(),
      unavailable: Refused.exactOptional(),
      keys: z.array(KeyName),
      policy: z.object({ version: Count, hash: Text }).nullable(),
    }),
  ),
  house: z.object({ status: Text, freezes: z.array(Freeze) }),
});

export const ClientAnswer = z.object({
  client: ClientId,
  status: Text,
  token: Token,
  keys: z.array(KeyAnswer),
  pinKept: Refused.exactOptional(),
});

export const StatementAnswer = z
  .object({ text: Text, signature: Text, key: Text })
  .meta({ id: "Statement", description: "a text that the log token's `statement` key signed" });

/** The statement says kind, hash, outcome and leaf: it is kept beside the report. */
export const ReportAnswer = LeafAnswer.extend({ statement: StatementAnswer });

export const PinAnswer = z.object({ client: ClientId, version: Count });

export const ClockAnswer = z.object({ confirmed: Time });

const Head = z.object({ size: Count, root: Text });

export const RecoveryStateAnswer = z.object({
  origin: Text,
  store: Head,
  promised: Head,
  history: Text,
  writtenIn: Text,
  refused: Text.nullable(),
  logKey: Text,
  lastLeafAt: Time.nullable(),
});

export const RecoveredAnswer = z.object({ leaf: Count, at: Time, promisedSize: Count, lost: Lost });

export const OpeningsAnswer = z.object({
  origin: Text,
  key: Text,
  leaves: z.array(z.looseObject({ index: Count, at: Count })),
  checkpoints: z.array(z.object({ size: Count, note: Text })),
  next: Count,
});

export const ReadinessAnswer = z.object({
  status: Text,
  gateway: Text,
  isolation: Text,
  clients: z.object({ available: Count, all: Count }),
  frozen: Count.describe("clients of which nothing is signed until the officers unfreeze them"),
  unavailable: z.array(z.object({ client: Text, state: Text, ckr: Text })),
  integrity: z.array(Text).describe("clients for whom nothing is signed, since the store is not what the log says"),
});

/** As Web3Signer says it. */
const Up = z.enum(["UP", "DOWN"]);
export const HealthcheckAnswer = z.object({
  status: Up,
  checks: z.array(z.object({ id: Text, status: Up })),
  outcome: Up,
});

export const OpenApiAnswer = z.looseObject({ openapi: Text, info: AnyJson, paths: AnyJson });
