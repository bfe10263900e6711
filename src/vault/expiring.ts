import { asJson } from "../domain/json.ts";
import { GatewayError } from "../domain/errors.ts";
import { waitingNow } from "./decide-request.ts";
import { freshly, requireCurrent, type Directory } from "./directory.ts";
import type { RequestRow, Store, StoreTransaction } from "./ports.ts";
import { denialProblem, recordedDecision } from "./record.ts";
import { isLapsed, lapse, settle } from "./reserve.ts";

/*
 * A request whose time is over is written down as `expired`, also where nobody asks for it again: an alarm that was raised
 * has an end in the log. Nothing else is ever decided here, and nothing that is would be signed.
 */

type Dependencies = { readonly store: Store; readonly directory: Directory };

/** @returns those that have expired now */
export async function expireDue({ store, directory }: Dependencies): Promise<RequestRow[]> {
  const expired: RequestRow[] = [];
  for (const due of await store.read((reader) => reader.lapsed())) {
    const row = await freshly(directory, () =>
      store.write((transaction) => expireOne(transaction, directory, due)),
    ).catch(leave);
    if (row) expired.push(row);
  }
  return expired;
}

/** What cannot be decided at present (its key, its client's rows) is tried again; the others do not wait for it. */
function leave(error: unknown): undefined {
  if (!(error instanceof GatewayError)) throw error;
}

async function expireOne(
  transaction: StoreTransaction,
  directory: Directory,
  { client: id, id: requestId }: Pick<RequestRow, "client" | "id">,
): Promise<RequestRow | undefined> {
  const [client, house] = [directory.get(id), directory.house];
  await requireCurrent(transaction, client, house);
  const request = await transaction.request(id, requestId);
  if (request?.state !== "pending") return undefined;
  if (isLapsed(request, await transaction.now())) return lapse(transaction, client, request);
  const { situation, decision } = await waitingNow(transaction, { client, house }, request);
  // A policy that was applied since may give it more time: then it waits for its caller as before.
  if (decision.outcome !== "deny") return undefined;
  return settle(transaction, situation, "expired", {
    intent: asJson(situation.intent),
    decision: recordedDecision(decision),
    problem: denialProblem(decision),
  });
}
