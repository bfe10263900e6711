import { GatewayError } from "../domain/errors.ts";
import { claimId, intentFromJson } from "../domain/intent.ts";
import type { CallerName, ClientId } from "../domain/names.ts";
import { isFinal, type RequestId } from "../domain/request.ts";
import { AUTHORIZATION_VALID_MS } from "./claim.ts";
import type { ClientEntry } from "./directory.ts";
import type { RequestRow, StoreTransaction } from "./ports.ts";
import { authorizationOf, finalProblem, readRecord, settlementOf, type Settlement } from "./record.ts";
import { handOver } from "./replacement.ts";
import { settle } from "./reserve.ts";
import { attemptName, type SignDependencies } from "./sign.ts";

/*
 * Requests left between steps 4 and 7. Their own caller finishes them by asking again; where nobody does, an operator
 * ends them as `failed`. Nothing is signed here, and a signature that some vault is still making is destroyed by step 7.
 */

/**
 * Ends a request that stands `authorized` without an outcome. One that has ended is returned as it is.
 * @throws {GatewayError} `request-not-found`; `request-in-progress` while it may still be finished by itself
 */
export async function settleRequest(
  { store, directory, attempts }: Pick<SignDependencies, "store" | "directory" | "attempts">,
  clientId: ClientId,
  id: RequestId,
  by: CallerName,
): Promise<RequestRow> {
  const client = directory.get(clientId);
  return store.write(async (transaction) => {
    const request = await transaction.request(clientId, id);
    if (!request) {
      throw new GatewayError(
        "request-not-found",
        `expected a signing request of client \`${clientId}\`, found no \`${id}\``,
      );
    }
    if (isFinal(request.state)) return request;
    requireLeft(request, await transaction.now(), attempts);
    return end(transaction, client, request, by);
  });
}

/** @throws {GatewayError} `request-in-progress` */
function requireLeft(request: RequestRow, now: number, attempts: ReadonlySet<string>): void {
  const inProgress = (message: string, hint: string) =>
    new GatewayError("request-in-progress", message, { facts: { requestId: request.id }, hint });
  if (request.state !== "authorized") {
    throw inProgress(
      `expected a request that stands as authorized, found one that is ${request.state}`,
      "it has reserved nothing: there is nothing to settle",
    );
  }
  if (attempts.has(attemptName(request)))
    throw inProgress("an attempt of this request is under way in this vault", "ask again when it has ended");
  if (now - authorizationOf(request).at > AUTHORIZATION_VALID_MS) return;
  throw inProgress(
    `expected an authorization older than ${AUTHORIZATION_VALID_MS / 1000} s: its caller may still finish this one`,
    "ask again a minute after its authorization",
  );
}

const WHY: Readonly<Record<Settlement, string>> = {
  "given-back": "it was ended by an operator; no signature was made, and its spend and nonce are free again",
  counted:
    "it was ended by an operator; whether a signature was made is not known, so its spend and nonce stay taken, and none ever leaves the gateway",
};

async function end(
  transaction: StoreTransaction,
  client: ClientEntry,
  request: RequestRow,
  by: CallerName,
): Promise<RequestRow> {
  const spend = (await isForgotten(transaction, request)) ? "counted" : settlementOf(readRecord(request));
  if (spend === "given-back") await giveBack(transaction, request);
  const problem = finalProblem(new GatewayError("settled", WHY[spend], { facts: { spend } }));
  return settle(transaction, { client, request }, "failed", { problem }, { spend, by });
}

/** Authorized before a restore: what the log says of its attempts may not be all, and one may have been signed since. */
async function isForgotten(transaction: StoreTransaction, request: RequestRow): Promise<boolean> {
  const { at } = authorizationOf(request);
  return (await transaction.recoveries()).some((each) => each.lost === "unknown" && at < each.at);
}

/** What was claimed can be claimed anew; that the spend counts no more, as if it had never been, is said by the leaf. */
async function giveBack(transaction: StoreTransaction, request: RequestRow): Promise<void> {
  const { intent, replaces } = readRecord(request);
  for (const claim of intentFromJson(intent).claims) {
    // A replacement that was never made: the nonce is the replaced transaction's, as it was before.
    if (replaces !== undefined && (await handOver(transaction, claim, request.id, replaces))) continue;
    if ((await transaction.claimedBy(claimId(claim))) !== request.id) continue;
    await transaction.removeClaim(claimId(claim));
    const next = await transaction.nextNonce(claim.account);
    // A chain takes an account's nonces in their order: the gap would hold up all that follow.
    await transaction.setNextNonce(claim.account, next === undefined || claim.nonce < next ? claim.nonce : next);
  }
}
