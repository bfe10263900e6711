import { setTimeout as sleep } from "node:timers/promises";
import type { Problem, SigningRequestView } from "../domain/api.ts";
import { BATCH_MAX } from "../domain/request.ts";

/** What became of one request of a batch: signed, waiting, or refused by `problem`. */
export type BatchItem = {
  readonly status: number;
  /** Absent where nothing of it was recorded. */
  readonly request?: SigningRequestView;
  readonly problem?: Problem;
};

/** As the gateway answers it. */
export type BatchAnswer = { readonly status: number; readonly body: SigningRequestView | Problem };

/**
 * Asks for many in parts that the gateway takes, each under a key of its own, and asks a part again while what became of
 * one of its requests may still change by that: those that have ended are answered as they were.
 * @param ask sends one part under its idempotency key
 * @returns in the order of the requests
 */
export async function askInParts(
  ask: (requests: readonly unknown[], idempotencyKey: string) => Promise<readonly BatchAnswer[]>,
  requests: readonly unknown[],
  idempotencyKey: string,
  delaysMs: readonly number[],
): Promise<BatchItem[]> {
  const items: BatchItem[] = [];
  for (let from = 0; from < requests.length; from += BATCH_MAX) {
    const key = requests.length <= BATCH_MAX ? idempotencyKey : `${idempotencyKey}.${from / BATCH_MAX}`;
    const part = requests.slice(from, from + BATCH_MAX);
    let answers = await ask(part, key);
    for (const delayMs of delaysMs) {
      if (!answers.some(mayChange)) break;
      await sleep(delayMs);
      answers = await ask(part, key);
    }
    items.push(...answers.map(itemOf));
  }
  return items;
}

const isProblem = ({ status }: BatchAnswer): boolean => status >= 400;

/** Not what people have to do first: that takes longer than anybody repeats himself for. */
const mayChange = (answer: BatchAnswer): boolean =>
  answer.status === 503 ||
  (isProblem(answer)
    ? (answer.body as Problem).code === "request-in-progress"
    : (answer.body as SigningRequestView).state === "authorized");

function itemOf(answer: BatchAnswer): BatchItem {
  const { status, body } = answer;
  if (!isProblem(answer)) return { status, request: body as SigningRequestView };
  const { request, ...problem } = body as Problem & { readonly request?: SigningRequestView };
  return { status, problem, ...(request === undefined ? {} : { request }) };
}
