import type { GatewayError } from "../domain/errors.ts";
import type { Claimed } from "./claim.ts";
import type { ClientEntry } from "./directory.ts";
import { appendLeaf } from "./log.ts";
import type { RequestRow, StoreTransaction } from "./ports.ts";
import { attemptsOf, readRecord, withRecord, type RequestRecord } from "./record.ts";

/*
 * Every use of a key stands in the log before it begins: an `authorized` leaf is an attempt, and each time that a young
 * authorization is taken up again there is an `attempted` leaf. So that spend can be given back, an attempt that
 * certainly made no signature is in the log as `unsigned`; of all others the outcome is unknown.
 */

/** Part of step 2: an authorization that still stands is taken up again, over the same bytes. */
export async function attemptAgain(
  transaction: StoreTransaction,
  client: ClientEntry,
  { row, authorization }: Claimed,
): Promise<Claimed> {
  const attempts = attemptsOf(readRecord(row)).made + 1;
  const said = { request: row.id, authorized: row.decisionLeaf, attempt: attempts };
  await appendLeaf(transaction, client.row, "attempted", said);
  return { row: await recount(transaction, row, { attempts }), ...(authorization ? { authorization } : {}) };
}

/**
 * Step 5 has failed without a signature. A request that has ended meanwhile stays as it ended.
 * @param attempted the row as this attempt found or made it
 */
export async function recordUnsigned(
  transaction: StoreTransaction,
  client: ClientEntry,
  attempted: RequestRow,
  { code }: GatewayError,
): Promise<void> {
  const row = await transaction.request(attempted.client, attempted.id);
  if (row?.state !== "authorized") return;
  const attempt = attemptsOf(readRecord(attempted)).made;
  const said = { request: row.id, authorized: attempted.decisionLeaf, attempt, code };
  await appendLeaf(transaction, client.row, "unsigned", said);
  await recount(transaction, row, { unsignedAttempts: attemptsOf(readRecord(row)).unsigned + 1 });
}

async function recount(
  transaction: StoreTransaction,
  row: RequestRow,
  change: Pick<RequestRecord, "attempts" | "unsignedAttempts">,
): Promise<RequestRow> {
  const counted = withRecord(row, { ...readRecord(row), ...change });
  await transaction.updateRequest(counted);
  return counted;
}
