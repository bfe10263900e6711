import type { Expected } from "../../vault/ports.ts";
import { binaryArray } from "./binary-array.ts";
import { idempotencyIndex, type Memory } from "./memory.ts";
import { ASKED, REQUESTS, requestRow } from "./rows.ts";
import type { Row, Session } from "./session.ts";

/** Asked for in the flight of the lock, so that no work waits for an answer of its own. */
export type Prefetch = {
  readonly answers: readonly Promise<Row[]>[];
  /** Once all are there: what they say goes into the memory. */
  readonly into: (memory: Memory, answers: readonly Row[][]) => void;
};

const asIndexed = ({ client, caller, idempotencyKey }: NonNullable<Expected["requests"]>[number]): string =>
  idempotencyIndex(client, caller, idempotencyKey);

/** Asks for all that the works of a group said they would ask for. */
export function prefetch(session: Session, expected: readonly Expected[]): Prefetch {
  const requests = expected.flatMap((each) => each.requests ?? []).map(asIndexed);
  const claims = expected.flatMap((each) => each.claims ?? []);
  return {
    answers: [
      requests.length === 0
        ? Promise.resolve([])
        : session.run(`${REQUESTS} WHERE ${ASKED} = ANY ($1::text[])`, [binaryArray("text", requests)]),
      claims.length === 0
        ? Promise.resolve([])
        : session.run("SELECT claim, request FROM claims WHERE claim = ANY ($1::text[])", [
            binaryArray("text", claims),
          ]),
    ],
    into: (memory, [requestRows = [], claimRows = []]) => {
      for (const asked of requests) memory.requestsByKey.set(asked, undefined);
      for (const row of requestRows.map(requestRow)) memory.requestsByKey.set(asIndexed(row), row);
      for (const claim of claims) memory.claims.set(claim, undefined);
      for (const row of claimRows) memory.claims.set(row["claim"]!, row["request"]);
    },
  };
}
