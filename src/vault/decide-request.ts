import { isDeepStrictEqual } from "node:util";
import type { Filling } from "../chains/evm/fields.ts";
import { SigningRequestBody } from "../domain/api.ts";
import type { ApprovalBody, Verdict } from "../domain/approval.ts";
import type { Decision, Missing } from "../domain/decision.ts";
import { GatewayError } from "../domain/errors.ts";
import { asJson } from "../domain/json.ts";
import type { CallerName, ClientId, KeyName } from "../domain/names.ts";
import type { RequestId } from "../domain/request.ts";
import { contentOf, countingApprovals, intentHash, readDecision, type RecordedApproval } from "./approvals.ts";
import { tellBreakGlass } from "./break-glass.ts";
import { decide, loadFacts, understandReplacing, type Situation } from "./claim.ts";
import { requireCurrent, type ClientEntry, type Directory, type HouseEntry } from "./directory.ts";
import { readPayload } from "./payloads.ts";
import type { KeyRow, RequestRow, Store, StoreReader, StoreTransaction } from "./ports.ts";
import { finalProblem, readRecord, recordedDecision } from "./record.ts";
import { isLapsed, settle } from "./reserve.ts";

/*
 * Between `pending` and the caller's next POST: people approve or reject, the caller takes its request back. Nothing is
 * signed, reserved or counted here; the POST decides everything again.
 */

type Dependencies = { readonly store: Store; readonly directory: Directory; readonly name: string };

/** A request that waits, as it would be decided at this moment. */
export type Waiting = {
  readonly situation: Situation;
  readonly decision: Decision;
  readonly intentHash: string;
  /** Of these the record knows; whether each counts now. */
  readonly approvals: readonly (RecordedApproval & { readonly counts: boolean })[];
  readonly now: number;
};

/** @throws {GatewayError} `request-decided`, or why it cannot be understood any more */
export async function waitingNow(
  reader: StoreReader,
  { client, house }: { readonly client: ClientEntry; readonly house: HouseEntry },
  request: RequestRow,
): Promise<Waiting> {
  if (request.state !== "pending") {
    throw new GatewayError("request-decided", `expected a request that waits, found one that is ${request.state}`, {
      facts: { requestId: request.id, state: request.state },
    });
  }
  const key = keyOf(client, request.key);
  const { payload: asked, filling = {}, approvals = [] } = readRecord(request);
  const { payload } = SigningRequestBody.parse({ key: request.key, payload: asked });
  const read = readPayload(payload, { key, registry: client.policy!.registry });
  const situation = {
    client,
    house,
    key,
    request,
    payload,
    ...(await understandReplacing(reader, request, read, fillingFrom(filling))),
  };
  const facts = await loadFacts(reader, situation);
  const now = await reader.now();
  const counting = new Set(countingApprovals(situation, approvals, now).map(({ person }) => person));
  return {
    situation,
    decision: await decide(reader, situation, facts),
    intentHash: intentHash(situation),
    approvals: approvals.map((approval) => ({ ...approval, counts: counting.has(approval.person) })),
    now,
  };
}

const fillingFrom = (filling: Readonly<Record<string, string>>): Filling =>
  Object.fromEntries(Object.entries(filling).map(([name, value]) => [name, BigInt(value)]));

/** Whether it can sign at the moment is asked when it has to: people may decide while its token is away. */
function keyOf(client: ClientEntry, name: KeyName): KeyRow {
  const key = client.keys.get(name);
  if (key) return key;
  throw client.refusedKeys.get(name) ?? new GatewayError("key-not-found", `expected a key, found no \`${name}\``);
}

/** @throws {GatewayError} `request-not-found` */
async function requestOf(reader: StoreReader, client: ClientId, id: RequestId): Promise<RequestRow> {
  const request = await reader.request(client, id);
  if (request) return request;
  throw new GatewayError("request-not-found", `expected a signing request of client \`${client}\`, found no \`${id}\``);
}

/**
 * Records what a person decided. One rejection ends the request; an approval is one of those that are still missing.
 * @param by who brought it: anybody of the client's may, since the signature says whose it is
 * @throws {GatewayError} a code of its own for every reason why it does not count
 */
export async function decideRequest(
  { store, directory, name }: Dependencies,
  target: { readonly client: ClientId; readonly id: RequestId },
  verdict: Verdict,
  body: ApprovalBody,
  by: CallerName,
): Promise<RequestRow> {
  const [client, house] = [directory.get(target.client), directory.house];
  return store.write(async (transaction) => {
    await requireCurrent(transaction, client, house);
    const request = await requestOf(transaction, target.client, target.id);
    const waiting = await waitingNow(transaction, { client, house }, request);
    const { now, decision } = waiting;
    if (decision.reasons.some(({ code }) => code === "approvals-expired") || isLapsed(request, now))
      throw new GatewayError("request-expired", "the request has lapsed: nobody can decide about it any more");
    const latest = decision.expiresAt ?? Infinity;
    const { person, proof } = readDecision(waiting.situation, body, { origin: name, verdict, now, latest });
    const content = contentOf(waiting.situation);
    const said = { person, text: body.text, signature: body.signature, provenBy: proof.key, by, content };
    return verdict === "reject"
      ? reject(transaction, waiting, said)
      : approve(transaction, waiting, { person, at: now, text: body.text, signature: body.signature }, said);
  });
}

type Said = { readonly person: CallerName; readonly [field: string]: unknown };

async function reject(transaction: StoreTransaction, { situation }: Waiting, said: Said): Promise<RequestRow> {
  const problem = finalProblem(
    new GatewayError("rejected", `\`${said.person}\` has rejected this request`, { facts: { person: said.person } }),
  );
  return settle(transaction, situation, "rejected", { problem }, said);
}

async function approve(
  transaction: StoreTransaction,
  waiting: Waiting,
  approval: RecordedApproval,
  said: Said,
): Promise<RequestRow> {
  const { situation, approvals, decision } = waiting;
  const before = approvals.find(({ person, counts }) => counts && person === approval.person);
  // The same act again, by whoever got no answer: not a second one.
  if (before?.text === approval.text && isDeepStrictEqual(before.signature, approval.signature))
    return situation.request;
  if (before) {
    throw new GatewayError("approval-repeated", `\`${approval.person}\` has approved already, and counts once`);
  }
  requireAsked(decision);
  const kept = approvals.filter(({ person }) => person !== approval.person).map(({ counts: _, ...rest }) => rest);
  const all = [...kept, approval];
  const facts = await loadFacts(transaction, situation, all);
  const after = await decide(transaction, situation, facts);
  if (missingPersons(after.missing) >= missingPersons(decision.missing)) {
    throw new GatewayError("approval-not-asked", `nothing is missing of a group that \`${approval.person}\` is in`);
  }
  const change = { intent: asJson(situation.intent), decision: recordedDecision(after), approvals: all };
  const row = await settle(transaction, situation, "pending", change, said, "approved");
  await tellBreakGlass(transaction, situation.client, row, "approved");
  return row;
}

/** @throws {GatewayError} `approval-not-needed`, `denied-now` */
function requireAsked({ outcome, reasons, missing }: Decision): void {
  if (outcome === "deny") {
    const [reason] = reasons;
    throw new GatewayError("denied-now", "the policy would deny this request now, whoever approves it", {
      facts: { reason: reason?.code, ...(reason && "detail" in reason ? { detail: reason.detail } : {}) },
    });
  }
  if (missing.approvals.length === 0) {
    throw new GatewayError("approval-not-needed", "everybody who has to approve has done so");
  }
}

const missingPersons = ({ approvals }: Missing): number =>
  approvals.reduce((sum, { have, need }) => sum + need - have, 0);

/** The caller takes its own request back while it waits. */
export async function cancelRequest(
  { store, directory }: Dependencies,
  target: { readonly client: ClientId; readonly id: RequestId; readonly caller: CallerName },
): Promise<RequestRow> {
  const client = directory.get(target.client);
  return store.write(async (transaction) => {
    const request = await requestOf(transaction, target.client, target.id);
    if (request.caller !== target.caller)
      throw new GatewayError("request-not-found", `expected a request of \`${target.caller}\`, found no such one`);
    if (request.state === "cancelled") return request;
    if (request.state !== "pending") {
      throw new GatewayError("request-decided", `expected a request that waits, found one that is ${request.state}`, {
        facts: { requestId: request.id, state: request.state },
      });
    }
    const problem = finalProblem(new GatewayError("cancelled", "its caller has taken this request back"));
    return settle(transaction, { client, request }, "cancelled", { problem });
  });
}
