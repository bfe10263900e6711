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

/**
 * Attempts of one request that follow each other as fast as its caller asks; from then on there is a pause between them,
 * or a service that asks on and on while its token is away would fill the log.
 */
const ATTEMPTS_AT_ONCE = 5;
const ATTEMPT_PAUSE_MS = 1_000;

/**
 * Part of step 2: an authorization that still stands is taken up again, over the same bytes.
 * @returns no authorization where it is too soon: the request is answered as it stands
 */
export async function attemptAgain(
  transaction: StoreTransaction,
  client: ClientEntry,
  { row, authorization }: Claimed,
): Promise<Claimed> {
  const [record, now] = [readRecord(row), await transaction.now()];
  const { made } = attemptsOf(record);
  const lastAt = Math.max(record.authorizedAt!, record.attemptedAt ?? 0);
  if (made >= ATTEMPTS_AT_ONCE && now - lastAt < ATTEMPT_PAUSE_MS) return { row };
  const attempts = made + 1;
  const said = { request: row.id, authorized: row.decisionLeaf, attempt: attempts };
  await appendLeaf(transaction, client.row, "attempted", said);
  return {
    row: await recount(transaction, row, { attempts, attemptedAt: now }),
    ...(authorization ? { authorization } : {}),
  };
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

/**
 * Step 7, of what was frozen while the key was used: the signature is destroyed, and the log says so. Its spend stays
 * counted. The request stands as authorized: once it is unfrozen, its caller's same request makes another attempt.
 */
export async function withhold(
  transaction: StoreTransaction,
  client: ClientEntry,
  attempted: RequestRow,
): Promise<RequestRow> {
  const row = (await transaction.request(attempted.client, attempted.id))!;
  if (row.state !== "authorized") return row;
  const attempt = attemptsOf(readRecord(attempted)).made;
  await appendLeaf(transaction, client.row, "withheld", {
    request: row.id,
    authorized: attempted.decisionLeaf,
    attempt,
  });
  return row;
}

async function recount(
  transaction: StoreTransaction,
  row: RequestRow,
  change: Pick<RequestRecord, "attempts" | "attemptedAt" | "unsignedAttempts">,
): Promise<RequestRow> {
  const counted = withRecord(row, { ...readRecord(row), ...change });
  await transaction.updateRequest(counted);
  return counted;
}
