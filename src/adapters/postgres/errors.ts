import { DatabaseError } from "pg";
import { GatewayError } from "../../domain/errors.ts";

/** Classes of SQLSTATE (PostgreSQL 15, appendix A), and single ones of other classes. */
const CONSTRAINT = "23";
/** Rolled back by the server for reasons of its own: serialization failure, deadlock. */
const ROLLED_BACK = "40";
/** The statement itself is wrong: a fault of ours, or rights that are missing. */
const WRONG_STATEMENT = "42";
const TRANSACTION_ABORTED = "25P02";

const stateOf = (error: unknown): string => (error instanceof DatabaseError ? (error.code ?? "") : "");

/** A row that may not be: the work that wrote it fails, and no other. */
export const isConstraintViolation = (error: unknown): boolean => stateOf(error).startsWith(CONSTRAINT);

/** Said of every statement after the one that failed: it tells nothing. */
export const isConsequence = (error: unknown): boolean => stateOf(error) === TRANSACTION_ABORTED;

/** May be well at once: nothing of the transaction has happened. */
export const isRolledBack = (error: unknown): boolean => stateOf(error).startsWith(ROLLED_BACK);

/** What the server refused or could not do, as callers learn it. A lost connection and a fault of the wire count too. */
export function asGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error;
  const state = stateOf(error);
  const { message } = error as Error;
  if (state.startsWith(WRONG_STATEMENT))
    return new GatewayError("store-fault", `the database does not know what it was asked: ${message} (${state})`, {
      cause: error,
      hint: "`portcullis store status` compares the schema; the vault's role needs the rights in docs/operations.md",
    });
  return new GatewayError("store-unavailable", `the database refused: ${message}${state === "" ? "" : ` (${state})`}`, {
    cause: error,
    facts: state === "" ? {} : { sqlState: state },
  });
}
