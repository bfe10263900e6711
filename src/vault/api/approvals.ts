import type { ApprovalView } from "../../domain/api.ts";
import type { ApprovalBody, Verdict } from "../../domain/approval.ts";
import { asJson } from "../../domain/json.ts";
import type { RequestId } from "../../domain/request.ts";
import { cancelRequest, decideRequest, waitingNow, type Waiting } from "../decide-request.ts";
import { requireCurrent } from "../directory.ts";
import { readRecord } from "../record.ts";
import { readOwn, viewNow } from "./rest.ts";
import type { Answer, Call } from "./routes.ts";

/* What people are asked, and what they answer. */

const iso = (at: number): string => new Date(at).toISOString();

export async function getApprovals(call: Call): Promise<Answer> {
  const { gateway, client: id } = call;
  const row = await readOwn(call, call.parameters["id"] as RequestId);
  if (row.state !== "pending")
    return { status: 200, body: { request: await viewNow(gateway, row) } satisfies ApprovalView };
  const [client, house] = [gateway.directory.get(id), gateway.directory.house];
  const waiting = await gateway.store.read(async (reader) => {
    await requireCurrent(reader, client, house);
    return waitingNow(reader, { client, house }, row);
  });
  const body: ApprovalView = { request: await viewNow(gateway, row), waiting: shownWaiting(gateway.name, waiting) };
  return { status: 200, body };
}

function shownWaiting(
  origin: string,
  { situation, decision, intentHash, approvals }: Waiting,
): NonNullable<ApprovalView["waiting"]> {
  const { client, key, payload, intent } = situation;
  const { missing, expiresAt, breakGlass } = decision;
  return {
    origin,
    payload,
    filling: readRecord(situation.request).filling ?? {},
    accounts: key.accounts,
    chains: key.chains,
    intent: asJson(intent),
    intentHash,
    policy: client.policy!.hash,
    outcome: decision.outcome,
    reasons: decision.reasons.map(asJson),
    missing: missing.approvals.map((place) => ({ ...place, from: stillAsked(situation, place.group, approvals) })),
    ...(missing.notBefore === undefined ? {} : { notBefore: iso(missing.notBefore) }),
    ...(expiresAt === undefined ? {} : { expires: iso(expiresAt) }),
    ...(breakGlass === undefined ? {} : { breakGlass }),
    approvals: approvals.map(({ person, at, counts }) => ({ person, at: iso(at), counts })),
  };
}

/** Members who count for this caller and have not approved. */
function stillAsked(
  { client, request }: Waiting["situation"],
  group: string,
  approvals: Waiting["approvals"],
): readonly string[] {
  const { groups, callers } = client.policy!;
  const out = callers.get(request.caller)?.operatedBy ?? new Set();
  const done = new Set(approvals.filter(({ counts }) => counts).map(({ person }) => person));
  return [...(groups.get(group) ?? [])].filter((person) => !out.has(person) && !done.has(person));
}

async function decided(call: Call<ApprovalBody>, verdict: Verdict): Promise<Answer> {
  const { gateway, client, caller, parameters, body } = call;
  await readOwn(call, parameters["id"] as RequestId);
  const target = { client, id: parameters["id"] as RequestId };
  const row = await decideRequest(gateway, target, verdict, body, caller.name);
  gateway.changed.notify(row);
  return { status: 201, body: await viewNow(gateway, row) };
}

export const postApproval = (call: Call<ApprovalBody>): Promise<Answer> => decided(call, "approve");
export const postRejection = (call: Call<ApprovalBody>): Promise<Answer> => decided(call, "reject");

export async function postCancellation({ gateway, client, caller, parameters }: Call): Promise<Answer> {
  const target = { client, id: parameters["id"] as RequestId, caller: caller.name };
  const row = await cancelRequest(gateway, target);
  gateway.changed.notify(row);
  return { status: 200, body: await viewNow(gateway, row) };
}
