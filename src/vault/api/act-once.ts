import { createHash } from "node:crypto";
import { encodeJson } from "../../domain/json.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { Act } from "../ports.ts";
import { attemptName } from "../sign.ts";
import type { Answer, Call } from "./routes.ts";

/*
 * I6 for what is no signing request: the same caller, idempotency key and request get the answer of the first one, from
 * any vault (decision 119). A refusal did nothing, and leaves the key free.
 */

/** @throws {GatewayError} `request-in-progress`, `idempotency-mismatch`; what the act throws */
export async function actOnce(call: Call, target: string, act: () => Promise<Answer>): Promise<Answer> {
  const { attempts, store, fault } = call.gateway;
  const asked = actOf(call, target);
  const attempt = `act ${attemptName(asked)}`;
  if (attempts.has(attempt)) throw underWay();
  attempts.add(attempt);
  try {
    const known = await store.read((reader) => reader.answer(asked));
    if (known) return { status: known.status, body: JSON.parse(known.body) };
    const answer = await act();
    const kept = { status: answer.status, body: encodeJson(answer.body) };
    // It is done, and answered, whether or not that can be remembered.
    await store.write((transaction) => transaction.insertAnswer(asked, kept)).catch(fault);
    return answer;
  } finally {
    attempts.delete(attempt);
  }
}

const underWay = () =>
  new GatewayError("request-in-progress", "another attempt with this idempotency key is under way", {
    hint: "wait for its answer, or send the same request again a moment later",
  });

/** @param target with its method */
const actOf = ({ client, caller, idempotencyKey, bodyHash }: Call, target: string): Act => ({
  client,
  caller: caller.name,
  idempotencyKey,
  asked: createHash("sha256").update(`${target}\n${bodyHash}`).digest("hex"),
});
