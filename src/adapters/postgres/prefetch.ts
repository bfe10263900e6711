import type { Expected } from "../../vault/ports.ts";
import { idempotencyIndex, type Memory } from "./memory.ts";
import { REQUESTS, requestRow } from "./rows.ts";
import type { Row, Session } from "./session.ts";

/** Asked for in the flight of the lock, so that no work waits for an answer of its own. */
export type Prefetch = {
  readonly answers: readonly Promise<Row[]>[];
  /** Once all are there: what they say goes into the memory. */
  readonly into: (memory: Memory, answers: readonly Row[][]) => void;
};

/** Asks for all that the works of a group said they would ask for. */
export function prefetch(session: Session, expected: readonly Expected[]): Prefetch {
  const requests = expected.flatMap((each) => each.requests ?? []);
  const claims = expected.flatMap((each) => each.claims ?? []);
  return {
    answers: [
      requests.length === 0
        ? Promise.resolve([])
        : session.run(
            `${REQUESTS} JOIN unnest($1::text[], $2::text[], $3::text[]) AS asked (client, caller, idempotency_key)
               ON (requests.client, requests.caller, requests.idempotency_key)
                  = (asked.client, asked.caller, asked.idempotency_key)`,
            [
              requests.map(({ client }) => client),
              requests.map(({ caller }) => caller),
              requests.map(({ idempotencyKey }) => idempotencyKey),
            ],
          ),
      claims.length === 0
        ? Promise.resolve([])
        : session.run("SELECT claim, request FROM claims WHERE claim = ANY ($1::text[])", [claims]),
    ],
    into: (memory, [requestRows = [], claimRows = []]) => {
      for (const { client, caller, idempotencyKey } of requests)
        memory.requestsByKey.set(idempotencyIndex(client, caller, idempotencyKey), undefined);
      for (const row of requestRows.map(requestRow))
        memory.requestsByKey.set(idempotencyIndex(row.client, row.caller, row.idempotencyKey), row);
      for (const claim of claims) memory.claims.set(claim, undefined);
      for (const row of claimRows) memory.claims.set(row["claim"]!, row["request"]);
    },
  };
}
