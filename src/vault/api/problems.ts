import type { Problem } from "../../domain/api.ts";
import { GatewayError } from "../../domain/errors.ts";
import { RPC_ERROR } from "../../domain/rpc.ts";
import type { StoredProblem } from "../record.ts";
import { storedProblem } from "../record.ts";
import { PROBLEMS, type ProblemCode } from "./problem-list.ts";

/* HTTP statuses stand in `problem-list.ts` alone. A code that is not listed there refuses what the payload says: 422. */
const UNLISTED = 422;

export const statusOf = (code: string): number => PROBLEMS[code as ProblemCode]?.status ?? UNLISTED;

/** What a program that speaks JSON-RPC is told: whether it may repeat itself, and whether it was the call's own fault. */
export function rpcCodeOf(code: string): number {
  const { status, again } = PROBLEMS[code as ProblemCode] ?? { status: UNLISTED, again: "final" };
  if (again === "yes") return RPC_ERROR.later;
  return again === "final" || status === 403 || status === 409 ? RPC_ERROR.rejected : RPC_ERROR.invalidParams;
}

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

const INTERNAL = { code: "internal-error", detail: "something went wrong inside the gateway", facts: {} };

/** Whatever went wrong, as an answer: our own errors by their code, everything else without a word of its insides. */
export function problemOfError(error: unknown): Problem {
  if (error instanceof GatewayError && statusOf(error.code) !== 500) return problemOf(storedProblem(error));
  return problemOf(INTERNAL);
}
