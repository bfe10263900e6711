import { createHash } from "node:crypto";
import { asJson, encodeJson } from "../../domain/json.ts";
import { isFinal } from "../../domain/request.ts";
import type { Submission } from "../claim.ts";
import type { RequestRow } from "../ports.ts";
import type { Call } from "./routes.ts";

/*
 * Programs that speak to a node send no idempotency key, and repeat themselves: what they ask is the key (decision 74).
 */

/** What the same call gets: the first one's answer, then for a day the word that it was made already. */
const SAME_ANSWER_MS = 10 * 60_000;
const DUPLICATE_MS = 24 * 3_600_000;

export type Asking = {
  readonly call: Call;
  /** Its place in a batch, which divides the idempotency key that came with the body. */
  readonly place?: number | undefined;
  readonly method: string;
  /** Before anything was filled in. */
  readonly body: Submission["body"];
  /** The same again does no harm: it is never a duplicate. */
  readonly repeatable?: true;
};

/** @see known is the request that this call has made already */
export type Asked = { readonly submission: Submission; readonly known?: RequestRow };
export type Duplicate = { readonly duplicate: RequestRow };

/**
 * The key that came with the body; without one the call's own, the hash of {caller, client, method, what was asked before
 * anything was filled in}, counted on when a day has gone by, or when the last one ended without a signature.
 */
export async function submissionFor({ call, place, method, body, repeatable }: Asking): Promise<Asked | Duplicate> {
  const { client, caller, evidence, idempotencyKey } = call;
  const bodyHash = sha256(encodeJson({ caller: caller.name, client, method, body: asJson(body) }));
  const common = { client, caller: caller.name, bodyHash, body, evidence };
  if (idempotencyKey !== "") {
    const given = place === undefined ? idempotencyKey : `${idempotencyKey}/${place}`;
    const [row] = await requestBy(call, given);
    return asked({ ...common, idempotencyKey: given }, row);
  }
  for (let count = 0; ; count += 1) {
    const submission = { ...common, idempotencyKey: `rpc-${bodyHash}-${count}` };
    const [row, now] = await requestBy(call, submission.idempotencyKey);
    if (!row || !isFinal(row.state)) return asked(submission, row);
    const ageMs = now - row.submittedAt;
    if (ageMs < SAME_ANSWER_MS) return asked(submission, row);
    if (row.state !== "signed" || ageMs >= SAME_ANSWER_MS + DUPLICATE_MS) continue;
    return repeatable ? asked(submission, row) : { duplicate: row };
  }
}

export const isDuplicate = (outcome: Asked | Duplicate): outcome is Duplicate => "duplicate" in outcome;

const asked = (submission: Submission, known: RequestRow | undefined): Asked => ({
  submission,
  ...(known ? { known } : {}),
});

const requestBy = ({ gateway: { store }, client, caller }: Call, key: string) =>
  store.read(
    async (reader) => [await reader.requestByIdempotencyKey(client, caller.name, key), await reader.now()] as const,
  );

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
