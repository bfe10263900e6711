import type { z } from "zod";
import {
  ClientBody,
  ClockBody,
  EvaluationBody,
  KeyBody,
  KeyStateBody,
  PinBody,
  PolicyBody,
  SigningRequestBody,
} from "../../domain/api.ts";
import { FreezeBody, UnfreezeBody } from "../../domain/freeze.ts";
import { ApprovalBody } from "../../domain/approval.ts";
import type { Role } from "../../domain/names.ts";
import type { Caller } from "../auth/authenticate.ts";
import type { ClientId } from "../../domain/names.ts";
import type { Gateway } from "../gateway.ts";
import * as approvals from "./approvals.ts";
import { listDecisions } from "./decisions.ts";
import { getFreezes, postFreeze, postUnfreeze } from "./freezing.ts";
import * as log from "./log.ts";
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
};

export type Answer = {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
};

/** What everybody may read: no caller, no client, no body. */
export type OpenCall = Pick<Call, "gateway" | "parameters">;

export type OpenRoute = {
  readonly method: "GET";
  readonly path: string;
  readonly roles: "anyone";
  readonly handle: (call: OpenCall) => Promise<Answer>;
};

export type CallerRoute = {
  readonly method: "GET" | "POST" | "PUT";
  /** `{name}` stands for one segment, `{name*}` for all that follow; `{client}` is the client whose callers may ask. */
  readonly path: string;
  readonly roles: readonly Role[];
  readonly body?: z.ZodType;
  /** A POST that changes nothing needs no idempotency key. */
  readonly dryRun?: true;
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
    roles: ["wallet-service"],
    body: SigningRequestBody,
    checksItself: true,
    handle: rest.postSigningRequest,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/signing-requests",
    roles: ["wallet-service", "approver", "operator", "auditor"],
    handle: rest.listSigningRequests,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/signing-requests/{id}",
    roles: ["wallet-service", "approver", "operator", "auditor"],
    handle: rest.getSigningRequest,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/signing-requests/{id}/settlement",
    roles: ["operator"],
    handle: rest.postSettlement,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/signing-requests/{id}/approvals",
    roles: ["wallet-service", "approver", "operator", "auditor"],
    handle: approvals.getApprovals,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/signing-requests/{id}/approvals",
    roles: CARRIERS,
    body: ApprovalBody,
    handle: approvals.postApproval,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/signing-requests/{id}/rejections",
    roles: CARRIERS,
    body: ApprovalBody,
    handle: approvals.postRejection,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/signing-requests/{id}/cancellation",
    roles: ["wallet-service"],
    handle: approvals.postCancellation,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/signing-requests/{id}/receipt",
    roles: ["wallet-service", "approver", "auditor"],
    handle: log.getReceipt,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/openings",
    roles: ["approver", "policy-officer", "auditor"],
    handle: log.listOpenings,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/evaluations",
    roles: ["wallet-service", "policy-officer", "auditor"],
    body: EvaluationBody,
    dryRun: true,
    handle: rest.postEvaluation,
  }),
  route({ method: "GET", path: "/v1/clients/{client}/keys", roles: READERS, handle: rest.listKeys }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/keys",
    roles: ["operator"],
    body: KeyBody,
    handle: rest.postKey,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/keys/{key}/state",
    roles: ["operator"],
    body: KeyStateBody,
    handle: rest.postKeyState,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/attestation",
    roles: ["operator", "policy-officer", "auditor", "secured-party"],
    handle: rest.getAttestation,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/pin",
    roles: ["operator"],
    body: PinBody,
    handle: rest.postPin,
  }),
  route({ method: "GET", path: "/v1/clients/{client}/policy", roles: READERS, handle: rest.getPolicy }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/policy/versions",
    roles: READERS,
    handle: rest.listPolicyVersions,
  }),
  route({
    method: "GET",
    path: "/v1/clients/{client}/decisions",
    roles: ["policy-officer", "auditor"],
    handle: listDecisions,
  }),
  route({
    method: "PUT",
    path: "/v1/clients/{client}/policy",
    roles: ["policy-officer"],
    body: PolicyBody,
    handle: rest.putPolicy,
  }),
  route({ method: "GET", path: "/v1/clients/{client}/freeze", roles: READERS, handle: getFreezes }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/freeze",
    roles: PERSONS,
    body: FreezeBody,
    handle: postFreeze,
  }),
  route({
    method: "POST",
    path: "/v1/clients/{client}/unfreeze",
    roles: ["policy-officer"],
    body: UnfreezeBody,
    whileFrozen: true,
    handle: postUnfreeze,
  }),
  route({
    method: "GET",
    path: "/v1/clients",
    roles: ["operator", "policy-officer", "auditor"],
    handle: rest.listClients,
  }),
  route({ method: "POST", path: "/v1/clients", roles: ["operator"], body: ClientBody, handle: rest.postClient }),
  route({
    method: "POST",
    path: "/v1/clock",
    roles: ["policy-officer"],
    body: ClockBody,
    handle: rest.postClock,
  }),
  route({ method: "GET", path: "/v1/log/openings", roles: ["auditor"], handle: log.listOpenings }),
  { method: "GET", path: "/v1/log/checkpoint", roles: "anyone", handle: log.getCheckpoint },
  { method: "GET", path: "/v1/log/tile/{path*}", roles: "anyone", handle: log.getTile },
];
