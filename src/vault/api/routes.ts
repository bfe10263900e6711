import type { z } from "zod";
import {
  BatchBody,
  ClientBody,
  ClockBody,
  EvaluationBody,
  KeyBody,
  KeyStateBody,
  PinBody,
  PolicyBody,
  SigningRequestBody,
} from "../../domain/api.ts";
import { LienBody, LienReleaseBody, ObservationBody, ReportBody, StatementBody } from "../../domain/custody.ts";
import { FreezeBody, UnfreezeBody } from "../../domain/freeze.ts";
import { ApprovalBody } from "../../domain/approval.ts";
import { RecoveryBody } from "../../domain/recovery.ts";
import { CancellationBody } from "../../domain/governance.ts";
import type { Role } from "../../domain/names.ts";
import type { Broadcast, Wanted } from "../../domain/rpc.ts";
import { RpcAnswer, RpcBody } from "../../domain/rpc-body.ts";
import type { Caller } from "../auth/authenticate.ts";
import type { ClientId } from "../../domain/names.ts";
import type { Gateway } from "../gateway.ts";
import * as a from "../../domain/answers.ts";
import { APPROVAL_PROBLEMS, PAYLOAD_PROBLEMS, type ProblemCode } from "./problem-list.ts";
import { openApiDocument } from "./openapi.ts";
import * as q from "./queries.ts";
import * as approvals from "./approvals.ts";
import * as custody from "./custody.ts";
import { postBatch } from "./batch.ts";
import { listDecisions } from "./decisions.ts";
import { getFreezes, postFreeze, postUnfreeze } from "./freezing.ts";
import * as rpc from "./json-rpc.ts";
import { getLiens, postLien, postLienRelease } from "./liens.ts";
import * as log from "./log.ts";
import * as web3signer from "./web3signer.ts";
import { getRecovery, putRecovery } from "./recovery.ts";
import * as rest from "./rest.ts";

/** What a handler gets: a caller that was proven, a body that fits its schema. */
export type Call<Body = unknown> = {
  readonly gateway: Gateway;
  readonly caller: Caller;
  /** Of the path; the house where the path names nobody. */
  readonly client: ClientId;
  readonly parameters: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  readonly body: Body;
  readonly idempotencyKey: string;
  readonly bodyHash: string;
  readonly evidence: Readonly<Record<string, string>>;
  /** The edge's, for each call of the body. */
  readonly assist: readonly unknown[];
  /** The edge asks its chain nodes once it is told what for. */
  readonly asksNodes: boolean;
};

export type Answer = {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** For the edge to hand to the chain. */
  readonly broadcast?: readonly Broadcast[];
  /** What the edge may ask its chain nodes for, and send the same again with. */
  readonly wanted?: readonly (Wanted | null)[];
};

/** Of an answer that is no JSON. */
export type MediaType = typeof TEXT | typeof BYTES;
const TEXT = "text/plain; charset=utf-8";
const BYTES = "application/octet-stream";

/** What everybody may read: no caller, no client, no body. */
export type OpenCall = Pick<Call, "gateway" | "parameters">;

/** What the OpenAPI document says of a route beside its path. */
type Documented = {
  /** What it does, in the third person. */
  readonly summary: string;
  /** By status: the schema of a JSON body, or another media type. */
  readonly answers: Readonly<Record<number, z.ZodType | MediaType>>;
  /** Its own problems, beside those that every route may answer with. */
  readonly problems?: readonly ProblemCode[];
};

export type OpenRoute = Documented & {
  readonly method: "GET";
  readonly path: string;
  readonly roles: "anyone";
  readonly handle: (call: OpenCall) => Promise<Answer>;
};

export type CallerRoute = Documented & {
  readonly method: "GET" | "POST" | "PUT";
  /** `{name}` stands for one segment, `{name*}` for all that follow; `{client}` is the client whose callers may ask. */
  readonly path: string;
  readonly roles: readonly Role[];
  readonly body?: z.ZodType;
  /** What may stand after the question mark; without it nothing may. */
  readonly query?: z.ZodObject;
  /** A POST that changes nothing needs no idempotency key. */
  readonly dryRun?: true;
  /** An idempotency key is welcome, and not needed: what is asked decides. */
  readonly ownKey?: true;
  /** Done once for an idempotency key: whoever asks again gets the first one's answer. */
  readonly once?: true;
  /** Of every other change: what the same request again does, for `docs/asking-again.md`. */
  readonly repeated?: string;
  /** The path names no client: the caller does, who is declared in one client's document. */
  readonly clientOfCaller?: true;
  /** It holds the directory against the store in the transaction in which it decides. */
  readonly checksItself?: true;
  /** Open to callers who are frozen: what it does needs others as well. */
  readonly whileFrozen?: true;
  readonly handle: (call: Call) => Promise<Answer>;
};

export type Route = CallerRoute | OpenRoute;

/** Gives the handler the type of its schema; the router has checked it by then. */
const route = <Schema extends z.ZodType>(
  definition: Omit<CallerRoute, "handle" | "body"> & {
    body?: Schema;
    handle: (call: Call<z.infer<Schema>>) => Promise<Answer>;
  },
): CallerRoute => definition as CallerRoute;

const READERS: readonly Role[] = [
  "wallet-service",
  "approver",
  "policy-officer",
  "operator",
  "observer",
  "secured-party",
  "auditor",
];

/** Whoever belongs to a client or to the custodian and is no program that asks for signatures. */
const PERSONS: readonly Role[] = READERS.filter((role) => role !== "wallet-service");
/** Who may bring what a person has signed: whose it is, the signature says. */
const CARRIERS: readonly Role[] = ["wallet-service", "approver", "operator", "auditor"];

/** Everything that can be asked of the vault, and by whom. */
export const ROUTES: readonly Route[] = [
  route({
    method: "POST",
    path: "/v1/clients/{client}/signing-requests",
    summary: "asks for a signature over exact bytes",
    answers: { 201: a.SigningRequestAnswer, 202: a.SigningRequestAnswer },
    problems: [
      "denied-by-policy",
      "rejected",
      "cancelled",
      "request-expired",
      "settled",
      "not-replaceable",
      "request-in-progress",
      "client-frozen",
      "key-disabled",
      "key-not-found",
      "idempotency-mismatch",
      "too-many-denied",
      "node-unavailable",
      ...PAYLOAD_PROBLEMS,
    ],
    roles: ["wallet-service"],
    body: SigningRequestBody,
    checksItself: true,
    repeated: "is the same request: it has one final answer, and goes on where it has none yet",
    handle: rest.postSigningRequest,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/signing-requests/batch",
    summary: "asks for up to 100 signatures; each is decided and answered on its own",
    answers: { 200: a.BatchAnswer },
    problems: ["too-many-denied", "node-unavailable"],
    roles: ["wallet-service"],
    body: BatchBody,
    checksItself: true,
    repeated: "is the same requests: each has one final answer, and goes on where it has none yet",
    handle: postBatch,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/signing-requests",
    summary: "lists signing requests, newest first",
    answers: { 200: a.SigningRequestListAnswer },
    query: q.RequestsQuery,
    roles: ["wallet-service", "approver", "operator", "auditor"],
    handle: rest.listSigningRequests,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/signing-requests/{id}",
    summary: "shows a signing request; waits for a change if asked to",
    answers: { 200: a.SigningRequestAnswer },
    query: q.WaitQuery,
    problems: ["request-not-found"],
    roles: ["wallet-service", "approver", "operator", "auditor"],
    handle: rest.getSigningRequest,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/signing-requests/{id}/settlement",
    summary: "ends a request that was left between authorization and outcome",
    answers: { 200: a.SigningRequestAnswer },
    problems: ["request-not-found", "request-in-progress"],
    roles: ["operator"],
    repeated: "shows the request as it ended",
    handle: rest.postSettlement,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/signing-requests/{id}/approvals",
    summary: "shows what approvers are asked",
    answers: { 200: a.ApprovalsAnswer },
    problems: ["request-not-found"],
    roles: ["wallet-service", "approver", "operator", "auditor"],
    handle: approvals.getApprovals,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/signing-requests/{id}/approvals",
    summary: "brings a person's approval",
    answers: { 201: a.SigningRequestAnswer },
    problems: ["request-not-found", ...APPROVAL_PROBLEMS],
    roles: CARRIERS,
    body: ApprovalBody,
    once: true,
    handle: approvals.postApproval,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/signing-requests/{id}/rejections",
    summary: "brings a person's rejection, which ends the request",
    answers: { 201: a.SigningRequestAnswer },
    problems: ["request-not-found", ...APPROVAL_PROBLEMS],
    roles: CARRIERS,
    body: ApprovalBody,
    once: true,
    handle: approvals.postRejection,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/signing-requests/{id}/cancellation",
    summary: "takes back a request that waits",
    answers: { 200: a.SigningRequestAnswer },
    problems: ["request-not-found", "request-decided"],
    roles: ["wallet-service"],
    repeated: "shows the request, which is cancelled",
    handle: approvals.postCancellation,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/signing-requests/{id}/receipt",
    summary: "proves that the log holds the request: a C2SP tlog-proof",
    answers: { 200: TEXT },
    query: q.ReceiptQuery,
    problems: ["request-not-found", "checkpoint-pending"],
    roles: ["wallet-service", "approver", "auditor"],
    handle: log.getReceipt,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/openings",
    summary: "opens the client's leaves of the log",
    answers: { 200: a.OpeningsAnswer },
    query: q.OpeningsQuery,
    roles: ["approver", "policy-officer", "observer", "auditor"],
    handle: log.listOpenings,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/evaluations",
    summary: "says what would be decided; nothing is signed, counted or recorded",
    answers: { 200: a.EvaluationAnswer },
    problems: [
      "client-frozen",
      "key-disabled",
      "key-not-found",
      "policy-not-found",
      "node-unavailable",
      ...PAYLOAD_PROBLEMS,
    ],
    roles: ["wallet-service", "policy-officer", "auditor"],
    body: EvaluationBody,
    dryRun: true,
    handle: rest.postEvaluation,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/keys",
    summary: "lists keys with their accounts",
    answers: { 200: a.KeyListAnswer },
    roles: READERS,
    handle: rest.listKeys,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/keys",
    summary: "makes a key in the client's token",
    answers: { 201: a.KeyAnswer },
    problems: ["key-exists"],
    roles: ["operator"],
    body: KeyBody,
    once: true,
    handle: rest.postKey,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/keys/{key}/state",
    summary: "disables or retires a key, for ever",
    answers: { 200: a.KeyAnswer },
    problems: ["key-not-found", "key-disabled"],
    roles: ["operator"],
    body: KeyStateBody,
    once: true,
    handle: rest.postKeyState,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/attestation",
    summary: "shows what token and keys are, signed",
    answers: { 200: a.StatementAnswer },
    roles: ["operator", "policy-officer", "auditor", "secured-party"],
    handle: rest.getAttestation,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/pin",
    summary: "gives the client's token another PIN",
    answers: { 200: a.PinAnswer },
    roles: ["operator"],
    body: PinBody,
    once: true,
    handle: rest.postPin,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/policy",
    summary: "shows the policy document with its signatures",
    answers: { 200: a.PolicyAnswer },
    query: q.PolicyQuery,
    problems: ["policy-not-found"],
    roles: READERS,
    handle: rest.getPolicy,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/policy/versions",
    summary: "lists every version of the policy, newest first",
    answers: { 200: a.PolicyVersionListAnswer },
    query: q.VersionsQuery,
    roles: READERS,
    handle: rest.listPolicyVersions,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/policy/scheduled",
    summary: "shows a signed change of the policy that waits",
    answers: { 200: a.WaitingPolicyAnswer },
    roles: READERS,
    handle: rest.getScheduledPolicy,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/policy/cancellation",
    summary: "ends a change of the policy that waits, by any one officer's signature",
    answers: { 200: a.ScheduledPolicyAnswer },
    problems: ["policy-not-found", "policy-signatures", "wrong-namespace"],
    roles: ["policy-officer", "operator"],
    body: CancellationBody,
    once: true,
    handle: rest.postPolicyCancellation,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/decisions",
    summary: "lists decisions with the facts that led to them",
    answers: { 200: a.DecisionListAnswer },
    query: q.DecisionsQuery,
    roles: ["policy-officer", "auditor"],
    handle: listDecisions,
  }),
  route({
    method: "PUT",
    path: "/v1/clients/{client}/policy",
    summary: "applies a policy that the officers have signed",
    answers: { 200: a.PolicyAnswer, 202: a.ScheduledPolicyAnswer },
    problems: ["policy-signatures", "wrong-namespace", "policy-conflict", "policy-scheduled", "policy-invalid"],
    roles: ["policy-officer"],
    body: PolicyBody,
    once: true,
    handle: rest.putPolicy,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/freeze",
    summary: "lists freezes that are in force",
    answers: { 200: a.FreezeListAnswer },
    roles: READERS,
    handle: getFreezes,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/freeze",
    summary: "freezes the client, one key or one caller at once",
    answers: { 200: a.FrozenAnswer, 201: a.FrozenAnswer },
    problems: ["caller-not-found", "key-not-found"],
    roles: PERSONS,
    body: FreezeBody,
    repeated: "shows the freeze that stands: 200 instead of 201",
    handle: postFreeze,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/unfreeze",
    summary: "ends a freeze, by the officers' quorum",
    answers: { 200: a.UnfrozenAnswer },
    problems: ["officer-signatures", "not-frozen"],
    roles: ["policy-officer"],
    body: UnfreezeBody,
    whileFrozen: true,
    once: true,
    handle: postUnfreeze,
  }),
  route({
    method: "POST",
    path: "/rpc/{client}",
    summary: "Ethereum JSON-RPC, one call or a batch: docs/json-rpc.md",
    answers: { 200: RpcAnswer },
    roles: ["wallet-service"],
    body: RpcBody,
    ownKey: true,
    checksItself: true,
    repeated: "is the same request, with or without an idempotency key: docs/json-rpc.md",
    handle: rpc.postRpc,
  }),
  route({
    method: "GET",
    path: "/api/v1/eth1/publicKeys",
    summary: "Web3Signer: lists public keys",
    answers: { 200: a.PublicKeysAnswer },
    roles: ["wallet-service"],
    clientOfCaller: true,
    handle: web3signer.listPublicKeys,
  }),
  route({
    method: "POST",
    path: "/api/v1/eth1/sign/{identifier}",
    summary: "Web3Signer: signs the Keccak of one unsigned transaction or one message",
    answers: { 200: TEXT },
    problems: ["key-not-found", "raw-digest-refused", "denied-by-policy", ...PAYLOAD_PROBLEMS],
    roles: ["wallet-service"],
    body: web3signer.Web3SignerBody,
    ownKey: true,
    checksItself: true,
    clientOfCaller: true,
    repeated: "has the same signature, with or without an idempotency key",
    handle: web3signer.postEth1Sign,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/positions",
    summary: "shows what the client holds, as the log says",
    answers: { 200: a.PositionsAnswer },
    roles: READERS,
    handle: custody.getPositions,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/observations",
    summary: "reports what an observer has seen on a chain",
    answers: { 201: a.ObservationAnswer },
    problems: ["asset-not-found", "foreign-account", "request-not-found", "sub-account-not-found", "deposit-booked"],
    roles: ["observer"],
    body: ObservationBody,
    repeated: "is one leaf more; a deposit, a use or a state of a transaction counts once, the last balance counts",
    handle: custody.postObservation,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/liens",
    summary: "lists the liens that stand",
    answers: { 200: a.LienListAnswer },
    roles: READERS,
    handle: getLiens,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/liens",
    summary: "pledges an asset, with the signatures of the officers and of the secured party",
    answers: { 201: a.LienAnswer },
    problems: [
      "lien-exists",
      "not-enough-free",
      "sub-account-not-found",
      "sub-account-missing",
      "asset-not-found",
      "caller-not-found",
      "officer-signatures",
      "person-signature-invalid",
      "wrong-namespace",
    ],
    roles: ["policy-officer", "secured-party"],
    body: LienBody,
    once: true,
    handle: postLien,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/liens/{lien}/release",
    summary: "releases a lien or a part of it, with the secured party's signature",
    answers: { 200: a.LienReleasedAnswer },
    problems: ["lien-not-found", "not-less", "person-signature-invalid", "wrong-namespace"],
    roles: ["secured-party", "policy-officer", "operator"],
    body: LienReleaseBody,
    once: true,
    handle: postLienRelease,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/reports",
    summary: "records hash and outcome of a report that was made elsewhere, and signs that it did",
    answers: { 201: a.ReportAnswer },
    roles: ["observer", "auditor"],
    body: ReportBody,
    once: true,
    handle: custody.postReport,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/statements",
    summary: "states the client's account over a period, signed",
    answers: { 201: a.StatementAnswer },
    problems: ["checkpoint-pending"],
    roles: ["approver", "policy-officer", "operator", "secured-party", "auditor"],
    body: StatementBody,
    once: true,
    handle: custody.postStatement,
  }),
  route({
    method: "GET",
    path: "/v1/clients",
    summary: "lists clients",
    answers: { 200: a.ClientListAnswer },
    roles: ["operator", "policy-officer", "observer", "auditor"],
    handle: rest.listClients,
  }),
  route({
    method: "POST",
    path: "/v1/clients",
    summary: "adds a client, with a token of its own",
    answers: { 201: a.ClientAnswer },
    problems: ["client-exists", "token-exists", "token-in-use", "key-exists", "chains-missing"],
    roles: ["operator"],
    body: ClientBody,
    once: true,
    handle: rest.postClient,
  }),
  route({
    method: "POST",
    path: "/v1/clock",
    summary: "confirms the store's clock",
    answers: { 201: a.ClockAnswer },
    problems: ["clock-differs"],
    roles: ["policy-officer"],
    body: ClockBody,
    once: true,
    handle: rest.postClock,
  }),
  route({
    method: "GET",
    path: "/v1/recovery",
    summary: "what the store holds, and what was promised",
    answers: { 200: a.RecoveryStateAnswer },
    roles: ["policy-officer", "operator", "auditor"],
    handle: getRecovery,
  }),
  // A PUT, for which the edge has the patience: what was promised may be many leaves more than there are.
  route({
    method: "PUT",
    path: "/v1/recovery",
    summary: "goes on after a restore or a failover, by the officers' quorum",
    answers: { 200: a.RecoveredAnswer },
    problems: ["officer-signatures", "not-moved", "promise-broken", "clock-differs"],
    roles: ["policy-officer"],
    body: RecoveryBody,
    checksItself: true,
    repeated: "is refused, since what the officers signed was the store before: `GET /v1/recovery` shows what was done",
    handle: putRecovery,
  }),
  route({
    method: "GET",
    path: "/v1/log/openings",
    summary: "opens every leaf of the log",
    answers: { 200: a.OpeningsAnswer },
    query: q.OpeningsQuery,
    roles: ["auditor"],
    handle: log.listOpenings,
  }),
  {
    method: "GET",
    path: "/v1/log/checkpoint",
    summary: "the newest checkpoint of the log (C2SP)",
    answers: { 200: TEXT },
    problems: ["not-found"],
    roles: "anyone",
    handle: log.getCheckpoint,
  },
  {
    method: "GET",
    path: "/v1/log/tile/{path*}",
    summary: "a tile of the log (C2SP tlog-tiles)",
    answers: { 200: BYTES },
    problems: ["not-found"],
    roles: "anyone",
    handle: log.getTile,
  },
  {
    method: "GET",
    path: "/openapi.json",
    roles: "anyone",
    summary: "this document",
    answers: { 200: a.OpenApiAnswer },
    handle: async () => ({ status: 200, body: documentOf() }),
  },
];

let printed: Uint8Array | undefined;
/** Printed once: it is the same for as long as the process lives. */
const documentOf = (): Uint8Array => (printed ??= Buffer.from(JSON.stringify(openApiDocument(ROUTES))));
