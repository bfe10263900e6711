import type { BatchBody } from "../../domain/api.ts";
import { GatewayError } from "../../domain/errors.ts";
import { StaleDirectory } from "../directory.ts";
import type { RequestRow } from "../ports.ts";
import { sign } from "../sign.ts";
import { filledFor, unfilled, unfilledAnswer, type Filled } from "./filling.ts";
import { problemOfError } from "./problems.ts";
import { answerOf, shownAt } from "./rest.ts";
import type { Answer, Call } from "./routes.ts";

/*
 * Many signing requests under one signature of their caller. Each is a request of its own: decided, recorded, signed and
 * answered as if it had come alone; what they share is a round trip, a commit, and the caller's signature as evidence.
 */

export async function postBatch(call: Call<BatchBody>): Promise<Answer> {
  const { requests } = call.body;
  const filled = await Promise.all(
    requests.map((body, n) => filledFor(call, body, itemKey(call.idempotencyKey, n), n)),
  );
  // Asked before anything is done, so that they are decided in their order.
  if (call.asksNodes && filled.some(({ missing }) => missing))
    return unfilledAnswer(filled.map(({ missing }) => missing));
  const carrier: Carrier = {};
  const settled = await Promise.allSettled(filled.map((each, index) => signItem(call, index, each, carrier)));
  // All have ended: those that were decided are answered as they were when all is asked again.
  for (const item of settled)
    if (item.status === "rejected" && item.reason instanceof StaleDirectory) throw item.reason;
  const answers = await Promise.all(settled.map((item) => itemAnswer(call, item)));
  return { status: 200, body: { answers: answers.map(({ status, body }) => ({ status, body })) } };
}

/** The request of the batch that keeps the caller's signed bytes for all of them. */
type Carrier = { id?: RequestRow["id"] };

/** A blank stands in no caller's own key: an item's is nobody else's. */
const itemKey = (batchKey: string, index: number): string => `${batchKey} ${index}`;

async function signItem(
  call: Call<BatchBody>,
  index: number,
  { missing, ...filled }: Filled,
  carrier: Carrier,
): Promise<RequestRow> {
  if (missing) throw unfilled(missing);
  const { gateway, client, caller, bodyHash, body, evidence } = call;
  const idempotencyKey = itemKey(call.idempotencyKey, index);
  const submission = { client, caller: caller.name, idempotencyKey, bodyHash, body: body.requests[index]!, evidence };
  const row = await sign(gateway, { ...submission, ...filled, carrier });
  gateway.changed.notify(row);
  return row;
}

async function itemAnswer({ gateway }: Call, item: PromiseSettledResult<RequestRow>): Promise<Answer> {
  if (item.status === "fulfilled") return answerOf(item.value, await shownAt(gateway, item.value));
  if (!(item.reason instanceof GatewayError)) gateway.fault(item.reason);
  const problem = problemOfError(item.reason);
  return { status: problem.status, body: problem };
}
