import type { Decision } from "../domain/decision.ts";
import { addressOf } from "../domain/chain.ts";
import type { GatewayError } from "../domain/errors.ts";
import { claimId } from "../domain/intent.ts";
import { asJson, type Json } from "../domain/json.ts";
import type { RequestState } from "../domain/request.ts";
import type { Claimed, Situation } from "./claim.ts";
import type { ClientEntry } from "./directory.ts";
import { appendLeaf, type LeafType } from "./log.ts";
import { encodeSignedPayload, type Understood } from "./payloads.ts";
import type { RequestRow, StoreTransaction } from "./ports.ts";
import { denialProblem, finalProblem, readRecord, recordedDecision, withRecord, type RequestRecord } from "./record.ts";
import type { RecoverableSignature } from "./verify.ts";

/* Steps 4 and 7 of sign.ts, in parts: a decision, then an outcome, each in one transaction with its leaf. */

/** The decision becomes a row, a leaf and, if it allows, a reservation in every limit that counts it. */
export async function reserve(
  transaction: StoreTransaction,
  situation: Situation,
  understood: Understood,
  decision: Decision,
): Promise<Claimed> {
  const { request, intent } = situation;
  const decided = { intent: asJson(intent), decision: recordedDecision(decision) };
  switch (decision.outcome) {
    case "deny":
      return {
        row: await settle(transaction, situation, denialOf(request, decision), {
          ...decided,
          problem: denialProblem(decision),
        }),
      };
    case "needs-approval":
      return { row: await wait(transaction, situation, decided) };
    case "allow":
      return authorize(transaction, situation, understood, { ...decided, charges: decision.charges });
    default:
      return decision.outcome satisfies never;
  }
}

/** What was decided over, and how, as it is recorded. */
type Decided = { readonly intent: Json; readonly decision: Decision };

/**
 * Where a denial leads. What was authorized once ends as `failed`: the spend stays counted, since nobody can show that
 * no signature was made.
 */
function denialOf(request: RequestRow, decision: Decision): "denied" | "failed" | "expired" {
  if (request.state === "authorized") return "failed";
  return decision.reasons.some((reason) => reason.code === "approvals-expired") ? "expired" : "denied";
}

async function wait(transaction: StoreTransaction, situation: Situation, decided: Decided): Promise<RequestRow> {
  const { request } = situation;
  // An authorization that now needs people is over: its caller asks anew, with a new key.
  if (request.state === "authorized") {
    return settle(transaction, situation, "failed", { ...decided, problem: denialProblem(decided.decision) });
  }
  const before = readRecord(request).decision;
  const unchanged = before !== undefined && JSON.stringify(before.missing) === JSON.stringify(decided.decision.missing);
  return unchanged ? request : settle(transaction, situation, "pending", decided);
}

async function authorize(
  transaction: StoreTransaction,
  situation: Situation,
  understood: Understood,
  { charges, ...decided }: Decided & Pick<Decision, "charges">,
): Promise<Claimed> {
  const { request, intent } = situation;
  const [unsigned, digest] = [understood.unsigned, understood.digest32].map((bytes) =>
    Buffer.from(bytes).toString("hex"),
  ) as [string, string];
  // Decided again: the spend moves to the new moment, so that no window that is still to come counts less.
  if (request.state === "authorized") await transaction.removeSpend(request.id);
  const authorizedAt = await transaction.now();
  const row = await settle(transaction, situation, "authorized", {
    ...decided,
    unsigned,
    digest,
    authorizedAt,
  });
  const leaf = readRecord(row).decisionLeaf!.index;
  for (const { counter, amount } of charges) {
    await transaction.addSpend(counter, { at: authorizedAt, leaf, request: row.id, amount });
  }
  if (request.state !== "authorized") {
    for (const claim of intent.claims)
      await transaction.insertClaim(claimId(claim), claim.account, claim.nonce, row.id);
  }
  return { row, authorization: understood };
}

/**
 * A payload that cannot be decoded is a denial of its own kind: final for its idempotency key, and in the log. One that
 * was authorized, and that a later policy's registry no longer reads, fails: its spend stays counted.
 */
export const refuse = (
  transaction: StoreTransaction,
  client: ClientEntry,
  request: RequestRow,
  error: GatewayError,
): Promise<RequestRow> =>
  settle(transaction, { client, request }, request.state === "authorized" ? "failed" : "denied", {
    problem: finalProblem(error),
  });

/** Writes leaf and row of a decision. */
async function settle(
  transaction: StoreTransaction,
  { client, request }: Pick<Situation, "client" | "request">,
  state: RequestState & LeafType,
  change: Partial<RequestRecord>,
): Promise<RequestRow> {
  const record = { ...readRecord(request), ...change };
  const { at, ...decisionLeaf } = await appendLeaf(transaction, client.row, state, {
    request: request.id,
    caller: request.caller,
    key: request.key,
    bodyHash: request.bodyHash,
    intent: record.intent,
    decision: record.decision,
    problem: record.problem,
    digest: record.digest,
  });
  return store(transaction, request, state, at, { ...record, decisionLeaf });
}

async function store(
  transaction: StoreTransaction,
  request: RequestRow,
  state: RequestState,
  at: number,
  record: RequestRecord,
): Promise<RequestRow> {
  const row = withRecord({ ...request, state, changedAt: at }, record);
  if (readRecord(request).decisionLeaf === undefined) await transaction.insertRequest(row);
  else await transaction.updateRequest(row.id, row);
  return row;
}

/**
 * Step 7. The first recorded signature is the request's only one (I7): whoever comes second gets the first one's row,
 * and its own signature is forgotten here.
 */
export async function recordSignature(
  transaction: StoreTransaction,
  client: ClientEntry,
  request: RequestRow,
  unsigned: Uint8Array,
  signature: RecoverableSignature,
): Promise<RequestRow> {
  const stored = (await transaction.request(client.row.id, request.id))!;
  if (stored.state !== "authorized") return stored;
  // Mostly the row that step 4 wrote: then it need not be read again from its text.
  const current = stored.record === request.record ? request : stored;
  const record = readRecord(current);
  const signed = encodeSignedPayload(unsigned, signature);
  const { account } = record.intent as { account: string };
  const result = { address: addressOf(account as never), digest: `0x${record.digest!}`, ...signed };
  const { at, ...outcomeLeaf } = await appendLeaf(transaction, client.row, "signed", {
    request: request.id,
    authorized: record.decisionLeaf!.index,
    digest: record.digest,
    transactionHash: signed.transactionHash,
    signature: signed.signature,
  });
  return store(transaction, current, "signed", at, { ...record, result, outcomeLeaf });
}
