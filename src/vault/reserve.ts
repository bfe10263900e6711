import { hash } from "node:crypto";
import type { Decision } from "../domain/decision.ts";
import { contentOf } from "./approvals.ts";
import { tellBreakGlass } from "./break-glass.ts";
import { addressOf } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import { claimId, type Intent } from "../domain/intent.ts";
import { asJson, type Json } from "../domain/json.ts";
import type { RequestState } from "../domain/request.ts";
import type { Claimed, Situation } from "./claim.ts";
import type { ClientEntry } from "./directory.ts";
import { appendLeaf, type LeafContent, type LeafType } from "./log.ts";
import { encodeSignedPayload, type Understood } from "./payloads.ts";
import type { RequestRow, StoreTransaction } from "./ports.ts";
import {
  attemptsOf,
  authorizationOf,
  denialProblem,
  finalProblem,
  readRecord,
  recordedDecision,
  withOutcome,
  withRecord,
  type RequestRecord,
} from "./record.ts";
import { handOver } from "./replacement.ts";
import type { VerifiedSignature } from "./verify.ts";

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
  if (unchanged) return request;
  const row = await settle(transaction, situation, "pending", {
    ...decided,
    payload: situation.payload,
    ...(situation.assist === undefined ? {} : { filling: asJson(situation.assist) as Record<string, string> }),
  });
  await tellBreakGlass(transaction, situation.client, row, "pending");
  return row;
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
  // Decided again: the new leaf says that the spend stands at its moment alone, so that no window to come counts less.
  const authorizedAt = await transaction.now();
  const before = readRecord(request);
  const change = {
    ...decided,
    unsigned,
    digest,
    authorizedAt,
    // Decided again is another attempt: what came of those before it may still be unknown.
    ...(request.state === "authorized" ? { attempts: attemptsOf(before).made + 1 } : {}),
  };
  const said = before.approvals === undefined ? {} : { content: contentOf(situation) };
  const row = await settle(transaction, situation, "authorized", change, said);
  for (const { counter, amount } of charges) {
    await transaction.addSpend(counter, { ...authorizationOf(row), amount });
  }
  if (request.state !== "authorized") for (const claim of intent.claims) await take(transaction, claim, row);
  await tellBreakGlass(transaction, situation.client, row, "authorized");
  return { row, authorization: understood };
}

/**
 * What may be spent once is this request's from now on. The account's count goes on by one only where it stands: whoever
 * names a nonce far ahead leaves a gap, and those that the vault fills in close it (I12).
 */
async function take(
  transaction: StoreTransaction,
  claim: Intent["claims"][number],
  request: RequestRow,
): Promise<void> {
  const { replaces } = readRecord(request);
  if (replaces !== undefined && (await handOver(transaction, claim, replaces, request.id))) return;
  // Decided: whoever holds it signed the very authorization that is carried here.
  if (claim.authorization !== undefined && (await transaction.claimedBy(claimId(claim))) !== undefined) return;
  await transaction.insertClaim(claimId(claim), request.id);
  const { account, nonce } = claim;
  // Of an account that was not born here nobody knows what came before: its first claim begins the count.
  let next = (await transaction.nextNonce(account)) ?? nonce;
  // Those that were named ahead of the count, or were below it when it went back, are passed over here once and for all.
  while (next < nonce && (await transaction.claimedBy(claimId({ ...claim, nonce: next }))) !== undefined) next += 1n;
  await transaction.setNextNonce(account, next === nonce ? nonce + 1n : next);
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

export const isLapsed = (request: RequestRow, now: number): boolean => now > (readRecord(request).notAfter ?? Infinity);

const LAPSED = { authorized: "failed", pending: "expired" } as const;

/**
 * Its caller wants nothing signed for it any more. What was authorized fails, and its spend stays counted.
 * @param request new, or as it stands; one that has ended meanwhile stays as it ended
 */
export async function lapse(
  transaction: StoreTransaction,
  client: ClientEntry,
  request: RequestRow,
): Promise<RequestRow> {
  const isNew = request.decisionLeaf === null;
  const row = isNew ? request : (await transaction.request(request.client, request.id))!;
  if (!isNew && row.state !== "authorized" && row.state !== "pending") return row;
  const state = isNew ? "denied" : LAPSED[row.state as keyof typeof LAPSED];
  const at = new Date(readRecord(row).notAfter!).toISOString();
  const problem = finalProblem(new GatewayError("request-expired", `nothing is signed for this request after ${at}`));
  return settle(transaction, { client, request: row }, state, { problem });
}

/** Of what the caller signed. Some ways in know a request again by less than that: then the row's is another. */
const bodyHashOf = ({ bodyHash }: RequestRow, { evidence }: RequestRecord): string =>
  evidence["body"] === undefined ? bodyHash : hash("sha256", evidence["body"], "hex");

/** Writes leaf and row of a decision. @param said what the leaf says besides @param type where it is not the state's own */
export async function settle(
  transaction: StoreTransaction,
  { client, request }: Pick<Situation, "client" | "request">,
  state: RequestState & LeafType,
  change: Partial<RequestRecord>,
  said: LeafContent = {},
  type: LeafType = state,
): Promise<RequestRow> {
  const record = { ...readRecord(request), ...change };
  const { at, opening, ...decisionLeaf } = await appendLeaf(transaction, client.row, type, {
    request: request.id,
    replaces: record.replaces,
    caller: request.caller,
    idempotencyKey: request.idempotencyKey,
    key: request.key,
    subAccount: record.subAccount,
    bodyHash: bodyHashOf(request, record),
    intent: record.intent,
    decision: record.decision,
    problem: record.problem,
    notAfter: record.notAfter,
    digest: record.digest,
    ...said,
  });
  const row = withRecord(
    { ...request, state, changedAt: at, decisionLeaf: decisionLeaf.index, decision: opening },
    { ...record, decisionLeaf },
  );
  if (request.decisionLeaf === null) await transaction.insertRequest(row);
  else await transaction.updateRequest(row);
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
  signature: VerifiedSignature,
): Promise<RequestRow> {
  const { id } = client.row;
  const standing = (await transaction.requestStanding(id, request.id))!;
  // Mostly what step 4 wrote: then it need not be read again from its texts.
  const isAsWritten = standing.decisionLeaf === request.decisionLeaf && attemptsOf(readRecord(request)).made === 1;
  const current = isAsWritten ? request : (await transaction.request(id, request.id))!;
  if (standing.state !== "authorized") return (await transaction.request(id, request.id))!;
  const record = readRecord(current);
  const signed = encodeSignedPayload(record.payloadType, unsigned, signature);
  const { account } = record.intent as { account: string };
  const result = { address: addressOf(account as never), digest: `0x${record.digest!}`, ...signed };
  const { at, opening, ...outcomeLeaf } = await appendLeaf(transaction, client.row, "signed", {
    request: request.id,
    authorized: record.decisionLeaf!.index,
    digest: record.digest,
    transactionHash: signed.transactionHash,
    signature: signed.signature,
  });
  const row = withOutcome(current, { state: "signed", changedAt: at }, { outcomeLeaf, result });
  await transaction.recordOutcome(row);
  return row;
}
