import type { Payload, Problem, SigningRequestView } from "../domain/api.ts";
import type { Decision, Reason } from "../domain/decision.ts";
import { GatewayError } from "../domain/errors.ts";
import { asJson, type Json } from "../domain/json.ts";
import type { SubAccountName } from "../domain/names.ts";
import type { RequestId, RequestState } from "../domain/request.ts";
import type { RecordedApproval } from "./approvals.ts";
import type { Authorized, LeafRef, RequestRow } from "./ports.ts";

/** A problem as it is kept: without the status, which belongs to HTTP. */
export type StoredProblem = {
  readonly code: string;
  readonly detail: string;
  readonly hint?: string;
  readonly facts: Json;
};

/** What ending a request without a signature does to what it reserved. */
export type Settlement = "given-back" | "counted";

/** Everything about a signing request that no query asks for: what its row's texts say together. */
export type RequestRecord = {
  readonly payloadType: string;
  readonly reference?: string;
  /** Ms since 1970: nothing is signed for it after that. */
  readonly notAfter?: number;
  readonly replaces?: RequestId;
  /** Of an omnibus client: whose assets it moves. */
  readonly subAccount?: SubAccountName;
  /** The caller's signed request, so that an auditor sees that the client's own service asked. */
  readonly evidence: Readonly<Record<string, string>>;
  /** Of a request that waits or has waited: it is read again whenever somebody decides about it. */
  readonly payload?: Payload;
  /** What was filled in for fields that the payload left out: when it is signed, they are filled anew. */
  readonly filling?: Readonly<Record<string, string>>;
  readonly approvals?: readonly RecordedApproval[];
  readonly intent?: Json;
  /** As `recordedDecision` made it: JSON throughout. */
  readonly decision?: Decision;
  readonly problem?: StoredProblem;
  /** Hex of the authorized bytes and their digest: they stand, whatever is asked later. */
  readonly unsigned?: string;
  readonly digest?: string;
  readonly authorizedAt?: number;
  /** How often the key was about to be used for this request, each time with a leaf; one unless it says more. */
  readonly attempts?: number;
  /** When the last one began that took an authorization up again. */
  readonly attemptedAt?: number;
  /** Of all, the attempts of which a leaf says that no signature was made. */
  readonly unsignedAttempts?: number;
  readonly decisionLeaf?: LeafRef;
  readonly outcomeLeaf?: LeafRef;
  readonly result?: NonNullable<SigningRequestView["result"]>;
};

/** Records of rows that this process wrote or read already: the next step of the same request needs no parser. */
const known = new WeakMap<object, RequestRecord>();

/** Amounts become texts once, and not again for each of row, leaf and answer. */
export const recordedDecision = (decision: Decision): Decision => asJson(decision) as unknown as Decision;

/** The row with these texts, and its record ready to be read. */
export function withRecord(row: Omit<RequestRow, "record" | "outcome">, record: RequestRecord): RequestRow {
  const { payloadType, reference, evidence, unsigned, authorizedAt, decisionLeaf, outcomeLeaf, result } = record;
  const { attempts, attemptedAt, unsignedAttempts, payload, filling, approvals, notAfter, replaces, subAccount } =
    record;
  const recovery = { attempts, attemptedAt, unsignedAttempts };
  const asked = {
    payloadType,
    reference,
    evidence,
    notAfter,
    replaces,
    subAccount,
    payload,
    filling,
    approvals,
    unsigned,
    authorizedAt,
    ...recovery,
  };
  const changed = {
    ...row,
    record: JSON.stringify({ ...asked, decisionLeaf }),
    outcome: outcomeLeaf === undefined ? null : JSON.stringify({ outcomeLeaf, result }),
  };
  known.set(changed, record);
  return changed;
}

/** The same request with its outcome: what was asked and decided is not written again. */
export function withOutcome(
  row: RequestRow,
  change: Pick<RequestRow, "state" | "changedAt">,
  outcome: Required<Pick<RequestRecord, "outcomeLeaf" | "result">>,
): RequestRow & { readonly outcome: string } {
  const changed = { ...row, ...change, outcome: JSON.stringify(outcome) };
  known.set(changed, { ...readRecord(row), ...outcome });
  return changed;
}

/** Amounts inside come back as texts: a record is shown, never calculated with. */
export function readRecord(row: RequestRow): RequestRecord {
  let record = known.get(row);
  if (!record) known.set(row, (record = parseRecord(row)));
  return record;
}

function parseRecord({ record, decision, outcome }: RequestRow): RequestRecord {
  const { intent, decision: decided, problem, digest } = JSON.parse(decision ?? "{}") as Partial<RequestRecord>;
  const found = {
    ...(JSON.parse(record) as Pick<RequestRecord, "payloadType" | "evidence">),
    ...(outcome === null ? {} : (JSON.parse(outcome) as Partial<RequestRecord>)),
  };
  const inLeaf = Object.entries({ intent, decision: decided, problem, digest }).filter(
    ([, value]) => value !== undefined,
  );
  return { ...found, ...Object.fromEntries(inLeaf) };
}

/** Where the spend of an authorized request is counted. */
export const authorizationOf = (request: RequestRow): Authorized => ({
  at: readRecord(request).authorizedAt!,
  leaf: request.decisionLeaf!,
});

export const attemptsOf = ({ attempts, unsignedAttempts }: RequestRecord): { made: number; unsigned: number } => ({
  made: attempts ?? 1,
  unsigned: unsignedAttempts ?? 0,
});

/** Spend goes back only where the log shows of every attempt that no signature was made: one of unknown outcome counts. */
export function settlementOf(record: RequestRecord): Settlement {
  const { made, unsigned } = attemptsOf(record);
  return unsigned === made ? "given-back" : "counted";
}

export const storedProblem = (error: GatewayError): StoredProblem => ({
  code: error.code,
  detail: error.message,
  ...(error.hint === undefined ? {} : { hint: error.hint }),
  facts: asJson(error.facts),
});

const FINAL = "this answer is final for its idempotency key: ask again with a new one";

/** What the decoder refuses ends the request as a denial does. */
export function finalProblem(error: GatewayError): StoredProblem {
  const { hint, ...problem } = storedProblem(error);
  return { ...problem, hint: hint === undefined ? FINAL : `${hint}; ${FINAL}` };
}

/** The reasons that deny, the one first that a person would name first. */
const TELLING: readonly Reason["code"][] = [
  "conflict",
  "breaks-lien",
  "sub-account",
  "sub-account-short",
  "rule-denied",
  "foreign-account",
  "address-cooling-off",
  "no-rule-allows",
  "over-limit",
  "over-fee-cap",
  "no-fee-cap",
  "approvals-expired",
  "empty-intent",
  "rule-failed",
  "missing-fact",
  "evaluation-failed",
];

export function denialProblem(decision: Decision): StoredProblem {
  const reason = TELLING.flatMap((code) => decision.reasons.filter((candidate) => candidate.code === code))[0];
  const detail =
    reason === undefined
      ? "the policy denies this"
      : "detail" in reason
        ? `${"limit" in reason ? `limit \`${reason.limit}\`: ` : ""}${reason.detail}`
        : `rule \`${reason.rule}\` denies this`;
  return {
    code: "denied-by-policy",
    detail,
    hint: `${FINAL}; what would be allowed: POST …/evaluations`,
    facts: { reason: reason?.code ?? "denied" },
  };
}

/** `pending` says what is missing; once nothing is and the delay is over, the same POST signs: `ready`; too late: `expired`. */
function shownState(row: RequestRow, record: RequestRecord, now: number): RequestState {
  const { decision, notAfter = Infinity } = record;
  if (row.state !== "pending" || !decision) return row.state;
  const { outcome, missing, expiresAt = Infinity } = decision;
  if (expiresAt <= now || now > notAfter) return "expired";
  const isOver = missing.approvals.length === 0 && (missing.notBefore ?? Infinity) <= now;
  return outcome === "allow" || isOver ? "ready" : "pending";
}

const HINTS: Partial<Record<RequestState, string>> = {
  pending: "when nothing is missing any more, send the same POST with the same idempotency key again: it will sign",
  ready: "send the same POST with the same idempotency key again: it will sign",
  authorized: "the outcome is not recorded yet: send the same POST with the same idempotency key again",
};

/** A decision as people read it: times in ISO 8601, nothing of what the vault reserves. */
export function shownDecision({ charges, ...decision }: Decision): Json {
  const { missing, expiresAt } = decision;
  const iso = (at: number) => new Date(at).toISOString();
  return {
    ...decision,
    missing: { ...missing, ...(missing.notBefore === undefined ? {} : { notBefore: iso(missing.notBefore) }) },
    ...(expiresAt === undefined ? {} : { expiresAt: iso(expiresAt) }),
  };
}

const shownApproval = ({ person, at }: RecordedApproval) => ({ person, at: new Date(at).toISOString() });

/** What recovery goes by: how long it has stood, what was tried, and what ending it now would do. */
function shownAuthorization(record: RequestRecord): NonNullable<SigningRequestView["authorization"]> | undefined {
  if (record.authorizedAt === undefined) return undefined;
  const { made, unsigned } = attemptsOf(record);
  return { at: new Date(record.authorizedAt).toISOString(), attempts: made, unsigned, settling: settlementOf(record) };
}

/** A row as its caller sees it. Depends on row and time alone: every retry of a finished request reads the same. */
export function viewOf(
  row: RequestRow,
  now: number,
  asProblem: (problem: StoredProblem) => Problem,
): SigningRequestView {
  const record = readRecord(row);
  const state = shownState(row, record, now);
  const hint = HINTS[state];
  const authorization = state === "authorized" ? shownAuthorization(record) : undefined;
  return {
    id: row.id,
    client: row.client,
    caller: row.caller,
    key: row.key,
    ...(record.subAccount === undefined ? {} : { subAccount: record.subAccount }),
    state,
    submittedAt: new Date(row.submittedAt).toISOString(),
    changedAt: new Date(row.changedAt).toISOString(),
    ...(record.reference === undefined ? {} : { reference: record.reference }),
    ...(record.notAfter === undefined ? {} : { notAfter: new Date(record.notAfter).toISOString() }),
    ...(record.replaces === undefined ? {} : { replaces: record.replaces }),
    ...(record.intent === undefined ? {} : { intent: record.intent }),
    ...(record.decision === undefined ? {} : { decision: shownDecision(record.decision) }),
    ...(record.approvals === undefined ? {} : { approvals: record.approvals.map(shownApproval) }),
    ...(authorization === undefined ? {} : { authorization }),
    ...(record.problem === undefined ? {} : { problem: asProblem(record.problem) }),
    ...(record.result === undefined ? {} : { result: record.result }),
    leaves: {
      ...(record.decisionLeaf === undefined ? {} : { decision: record.decisionLeaf }),
      ...(record.outcomeLeaf === undefined ? {} : { outcome: record.outcomeLeaf }),
    },
    ...(hint === undefined ? {} : { hint }),
  };
}
