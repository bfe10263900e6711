import { GatewayError } from "../domain/errors.ts";
import { attemptAgain, recordUnsigned, withhold } from "./attempts.ts";
import {
  carrying,
  decide,
  evidenceFor,
  findRequest,
  loadFacts,
  newRequest,
  standing,
  understandReplacing,
  type Claimed,
  type Situation,
  type Submission,
} from "./claim.ts";
import type { KeyName } from "../domain/names.ts";
import { requireCurrent, type ClientEntry, type Directory } from "./directory.ts";
import { freezeOf, isFrozenSince } from "./frozen.ts";
import { readPayload, type ReadPayload } from "./payloads.ts";
import { mintPermit } from "./permit.ts";
import type { KeyRow, RequestRow, Store, StoreTransaction, Token } from "./ports.ts";
import { isLapsed, lapse, recordSignature, refuse, reserve } from "./reserve.ts";
import { readRecord } from "./record.ts";
import type { UnpaidRequests } from "./unpaid.ts";
import { verifySignature } from "./verify.ts";

/*
 * The life of a signing request: seven steps, in this order, for every kind of payload and every way in. The headings
 * of docs/life-of-a-signing-request.md are the numbered comments below.
 */

export const SIGN_STEPS = ["Understand", "Claim", "Decide", "Reserve", "Sign", "Verify", "Record"] as const;
export type SignStep = (typeof SIGN_STEPS)[number];

export type SignDependencies = {
  readonly store: Store;
  readonly directory: Directory;
  /** Attempts under way in this vault, by idempotency key (I6). */
  readonly attempts: Set<string>;
  /** Bounds what callers make it record without an authorization. */
  readonly unpaid: UnpaidRequests;
  /** Called when a step is done; the crash tests end the process here. */
  readonly stepDone?: (step: SignStep) => void;
  /** Told of every authorization whose outcome could not be recorded, for the operator's log. */
  readonly unfinished?: (row: RequestRow, cause: unknown) => void;
};

/**
 * Makes, finishes or repeats one signing request.
 * @returns its row: final, or `pending`, or `authorized` where the outcome is not recorded yet (the same call again
 * finishes it)
 * @throws {GatewayError} `request-in-progress`, `idempotency-mismatch`, `too-many-denied`, `key-not-found`, `key-refused`, or why the store
 * or the token is unavailable: then nothing was authorized
 */
export async function sign(dependencies: SignDependencies, submission: Submission): Promise<RequestRow> {
  const attempt = attemptName(submission);
  if (dependencies.attempts.has(attempt)) {
    throw new GatewayError("request-in-progress", "another attempt with this idempotency key is under way", {
      hint: "wait for its answer, or send the same request again a moment later",
    });
  }
  dependencies.attempts.add(attempt);
  try {
    return await runSteps(dependencies, submission);
  } finally {
    dependencies.attempts.delete(attempt);
  }
}

/** Attempts under way are known by it. */
export const attemptName = (of: Pick<RequestRow, "client" | "caller" | "idempotencyKey">): string =>
  `${of.client}/${of.caller}/${of.idempotencyKey}`;

async function runSteps(
  { store, directory, unpaid, stepDone, unfinished }: SignDependencies,
  submission: Submission,
): Promise<RequestRow> {
  const client = directory.get(submission.client);
  const caller = `${submission.client}/${submission.caller}`;
  const house = directory.house;
  // A finished request is answered again whatever has become of its key since: the refusal waits for step 2.
  const signer = await refusalOr(async () => {
    requireUnfrozen({ client, house }, { key: submission.body.key, caller: submission.caller });
    return usableKey(client, submission.body.key);
  });

  // 1. Understand: bytes become an intent and a digest; what cannot be decoded is refused.
  const payload =
    signer instanceof GatewayError ? signer : await refusalOr(async () => read(submission, client, signer.key));
  stepDone?.("Understand");

  let begun: RequestRow | undefined;
  const claim = async (transaction: StoreTransaction): Promise<Claimed> => {
    // 2. Claim: one request per idempotency key, one transaction at a time; the facts are read inside it.
    await requireCurrent(transaction, client, house);
    const known = await findRequest(transaction, submission);
    const found = known && standing(known, await transaction.now());
    if (found && !found.authorization) return found;
    if (signer instanceof GatewayError) {
      // Step 4 has committed: whatever keeps the key from signing now, the request stands, and no 503 may deny that.
      if (known?.state === "authorized") return { row: known };
      throw signer;
    }
    if (known?.state !== "authorized") unpaid.requireRoom(caller);
    const request =
      known ?? newRequest(submission, client, await transaction.now(), await evidenceFor(transaction, submission));
    begun = request;
    if (isLapsed(request, await transaction.now())) return { row: await lapse(transaction, client, request) };
    if (found) return attemptAgain(transaction, client, found);
    const understood =
      payload instanceof GatewayError
        ? payload
        : await refusalOr(() => understandReplacing(transaction, request, payload, submission.assist));
    if (understood instanceof GatewayError) return { row: await refuse(transaction, client, request, understood) };
    const { payload: asked } = submission.body;
    const situation: Situation = {
      client,
      house,
      key: signer.key,
      request,
      payload: asked,
      assist: submission.assist,
      ...understood,
    };
    const facts = await loadFacts(transaction, situation);
    stepDone?.("Claim");

    // 3. Decide: default deny; any deny wins; an error or a missing fact denies.
    const decision = await decide(transaction, situation, facts);
    stepDone?.("Decide");

    // 4. Reserve: what the decision allows is counted and in the log before anything is signed.
    return reserve(transaction, situation, understood, decision);
  };
  const claims = payload instanceof GatewayError ? [] : payload.claims;
  const claimed = await store
    .write(async (transaction) => carrying(submission, await claim(transaction)), { requests: [submission], claims })
    .catch((error: unknown) => ({ row: outcomeUnknown(error, begun) }));
  const { row, authorization }: Claimed = claimed;
  // Answered as it stands, it has cost nothing: a service that repeats itself while its token is away is not shut out.
  const isRecorded = begun !== undefined && row !== begun;
  if (isRecorded && !authorization) unpaid.count(caller, readRecord(row).evidence["body"]?.length ?? 0);
  if (!authorization || signer instanceof GatewayError) return row;
  const { unsigned, digest32 } = authorization;
  const { key, token } = signer;
  const permit = mintPermit({ client: client.row.id, keyId: key.id, digest32 });
  stepDone?.("Reserve");

  try {
    // 5. Sign: the only line that touches a client's key, outside any transaction.
    const signature64 = await token
      .sign({ id: key.id, label: key.name, curve: key.curve, publicKey: key.publicKey }, permit)
      .catch(async (error: unknown) => {
        await noteUnsigned(store, client, row, error);
        throw error;
      });
    stepDone?.("Sign");

    // 6. Verify: under the stored public key, over that digest, by another library than the HSM's.
    const signature = verifySignature(key, signature64, digest32);
    stepDone?.("Verify");

    // 7. Record: the outcome is durable before the signature leaves the vault; the first recorded one is the only one.
    const recorded = await store.write(async (transaction) => {
      // I16: whoever froze it meanwhile has been answered, or will be after this transaction.
      if (await isFrozenSince(transaction, { client, house }, row)) return withhold(transaction, client, row);
      // The signature is destroyed: whoever set the time may have begun anew.
      if (isLapsed(row, await transaction.now())) return lapse(transaction, client, row);
      return recordSignature(transaction, client, row, unsigned, signature);
    });
    stepDone?.("Record");
    return recorded;
  } catch (error) {
    // The authorization stands and so does its spend: the same request again finishes it. Nothing of the signature is kept.
    unfinished?.(row, error);
    return row;
  }
}

/**
 * The store was lost while it committed, and nobody can say whether step 4 happened: then nothing is signed, and nothing
 * is said of a decision, only which request it is. The same call again finds out and goes on.
 */
function outcomeUnknown(error: unknown, begun: RequestRow | undefined): RequestRow {
  if (error instanceof GatewayError && error.code === "outcome-unknown" && begun)
    return { ...begun, state: "authorized" };
  throw error;
}

/** Where this cannot be written, the attempt's outcome stays unknown, and its spend counted. */
async function noteUnsigned(store: Store, client: ClientEntry, row: RequestRow, error: unknown): Promise<void> {
  if (!(error instanceof GatewayError) || error.facts["unsigned"] !== true) return;
  await store.write((transaction) => recordUnsigned(transaction, client, row, error)).catch(() => undefined);
}

/** @throws {GatewayError} `key-not-found`, `key-disabled`, or why key or token cannot be used: nothing is recorded yet */
export function usableKey(client: ClientEntry, name: KeyName): { key: KeyRow; token: Token } {
  const refused = client.refusedKeys.get(name);
  if (refused) throw refused;
  const key = client.keys.get(name);
  if (!key) {
    throw new GatewayError("key-not-found", `expected a key of client \`${client.row.id}\`, found \`${name}\``, {
      hint: `\`portcullis key list --client ${client.row.id}\` shows its keys`,
    });
  }
  if (key.state !== "active")
    throw new GatewayError("key-disabled", `expected an active key, found one that is ${key.state}`);
  if (!client.token) throw client.tokenError!;
  return { key, token: client.token };
}

/** @throws {GatewayError} `client-frozen` */
export function requireUnfrozen(
  { client, house }: Pick<Situation, "client" | "house">,
  asked: Pick<RequestRow, "key" | "caller">,
): void {
  const frozen = freezeOf({ client: client.row, house: house.row }, asked);
  if (frozen) throw frozen;
}

const read = ({ body }: Submission, client: ClientEntry, key: KeyRow): ReadPayload =>
  readPayload(body.payload, { key, registry: client.policy!.registry });

/** A refusal of the decoder is an answer to be recorded, not a fault to be thrown. */
async function refusalOr<T>(attempt: () => Promise<T>): Promise<T | GatewayError> {
  try {
    return await attempt();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
}
