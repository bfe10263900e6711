import type { Problem } from "../../domain/api.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { StoredProblem } from "../record.ts";
import { storedProblem } from "../record.ts";

/**
 * The only place that knows HTTP statuses. A code that is not listed refuses what the payload says: 422.
 */
const STATUS: Readonly<Record<string, number>> = {
  "invalid-body": 400,
  "invalid-parameter": 400,
  "idempotency-key-missing": 400,
  "idempotency-key-invalid": 400,
  "signature-missing": 401,
  "signature-malformed": 401,
  "signature-components": 401,
  "signature-algorithm": 401,
  "signature-stale": 401,
  "signature-invalid": 401,
  "wrong-gateway": 401,
  "digest-mismatch": 401,
  "unknown-caller": 401,
  "denied-by-policy": 403,
  "not-permitted": 403,
  "caller-frozen": 403,
  "policy-signatures": 403,
  "officer-signatures": 403,
  rejected: 403,
  "approval-by-frozen": 403,
  "approval-by-initiator": 403,
  "approval-by-operator": 403,
  "approval-expired": 403,
  "approval-for-another-client": 403,
  "approval-for-another-gateway": 403,
  "approval-for-another-intent": 403,
  "approval-for-another-request": 403,
  "approval-not-asked": 403,
  "approval-outlives-request": 403,
  "approval-person-unknown": 403,
  "approval-under-another-policy": 403,
  "approval-verdict-differs": 403,
  "person-signature-invalid": 403,
  "wrong-namespace": 403,
  "not-found": 404,
  "client-not-found": 404,
  "key-not-found": 404,
  "caller-not-found": 404,
  "request-not-found": 404,
  "policy-not-found": 404,
  "method-not-allowed": 405,
  "request-in-progress": 409,
  settled: 409,
  cancelled: 409,
  "approval-not-needed": 409,
  "approval-repeated": 409,
  "denied-now": 409,
  "request-decided": 409,
  "request-expired": 409,
  "client-exists": 409,
  "key-exists": 409,
  "key-disabled": 409,
  "token-exists": 409,
  "token-in-use": 409,
  "policy-conflict": 409,
  "client-frozen": 409,
  "not-frozen": 409,
  "clock-differs": 409,
  "idempotency-mismatch": 422,
  "too-many-denied": 429,
  "internal-error": 500,
  "hsm-busy": 503,
  "hsm-unavailable": 503,
  "key-refused": 503,
  "pin-incorrect": 503,
  "pin-locked": 503,
  "pin-missing": 503,
  "pin-refused": 503,
  "seal-broken": 503,
  "store-rolled-back": 503,
  "store-unavailable": 503,
  "store-moved": 503,
  "store-not-durable": 503,
  "store-too-new": 503,
  "store-too-old": 503,
  "store-fault": 503,
  "outcome-unknown": 503,
  "checkpoint-pending": 503,
  "token-not-found": 503,
  "vault-busy": 503,
  "clock-unconfirmed": 503,
  "not-ready": 503,
};

const UNLISTED = 422;

export const statusOf = (code: string): number => STATUS[code] ?? UNLISTED;

/** By status: when to ask again, in seconds. */
export const RETRY_AFTER_S: Readonly<Record<number, number>> = { 429: 60, 503: 1 };

/** RFC 9457. `type` names the code and needs no host. */
export function problemOf(problem: StoredProblem, requestId?: string): Problem {
  const { code, detail, hint, facts } = problem;
  return {
    ...(facts as Record<string, unknown>),
    type: `urn:portcullis:problem:${code}`,
    title: code.replaceAll("-", " "),
    status: statusOf(code),
    code,
    detail,
    ...(hint === undefined ? {} : { hint }),
    ...(requestId === undefined ? {} : { requestId }),
  };
}

/** Whatever went wrong, as an answer: our own errors by their code, everything else without a word of its insides. */
export function problemOfError(error: unknown): Problem {
  if (error instanceof GatewayError) return problemOf(storedProblem(error));
  return problemOf({ code: "internal-error", detail: "something went wrong inside the gateway", facts: {} });
}
