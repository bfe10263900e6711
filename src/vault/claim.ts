import { randomUUID } from "node:crypto";
import type { Filling } from "../chains/evm/fields.ts";
import { drawnBy, touchedBy, type Holdings, type Touched } from "../custody/liens.ts";
import { formatAmount } from "../domain/amount.ts";
import type { Payload, SigningRequestBody } from "../domain/api.ts";
import type { Account } from "../domain/chain.ts";
import type {
  Charge,
  CounterId,
  Decision,
  DecisionFacts,
  LienFinding,
  Reason,
  SubAccountFinding,
} from "../domain/decision.ts";
import { GatewayError } from "../domain/errors.ts";
import { claimId, type Claim, type Intent } from "../domain/intent.ts";
import type { CallerName, ClientId } from "../domain/names.ts";
import { isFinal, type RequestId } from "../domain/request.ts";
import { chargesOf } from "../policy/charges.ts";
import { evaluate, type EvaluateOptions } from "../policy/evaluate.ts";
import { subAccountFor } from "../policy/omnibus.ts";
import { countingApprovals, type RecordedApproval } from "./approvals.ts";
import type { ClientEntry, HouseEntry } from "./directory.ts";
import type { ReadPayload, Understood } from "./payloads.ts";
import type { KeyRow, RequestRow, StoreReader } from "./ports.ts";
import { authorizationOf, readRecord, withRecord } from "./record.ts";
import { coveredBy, replacedBy, replacedNonce } from "./replacement.ts";

/* Steps 2 and 3 of sign.ts, in parts: which request this is, which facts it meets, what is decided. */

/** Who asks, as `vault/auth` proved it, and for what. */
export type Submission = {
  readonly client: ClientId;
  readonly caller: CallerName;
  readonly idempotencyKey: string;
  /** SHA-256 of the raw body, hex. */
  readonly bodyHash: string;
  readonly body: SigningRequestBody;
  /** The caller's signature with what it covers: stays beside the decision. */
  readonly evidence: Readonly<Record<string, string>>;
  /** For fields that the body left out; never believed further than the policy allows. */
  readonly assist?: Filling;
  /** Of a batch: the request that keeps the evidence for all of them, once there is one. */
  readonly carrier?: { id?: RequestId };
};

/** Bytes and digest of the `authorized` leaf: they stand for as long as the request does. */
export type Authorization = { readonly unsigned: Uint8Array; readonly digest32: Uint8Array };

export type Claimed = { readonly row: RequestRow; readonly authorization?: Authorization };

/** A request under decision: whose, with what, for what. */
export type Situation = Understood & {
  readonly client: ClientEntry;
  readonly house: HouseEntry;
  readonly key: KeyRow;
  readonly request: RequestRow;
  /** As the caller wrote it. */
  readonly payload: Payload;
  /** Whose place it would take, the latest first. */
  readonly replaced: readonly RequestRow[];
  /** For fields that it left out. */
  readonly assist?: Filling | undefined;
};

/** A request not signed this long after its authorization is decided again at the new time (DESIGN section 3). */
export const AUTHORIZATION_VALID_MS = 60_000;

/**
 * I6: same caller, key and body → the same request.
 * @throws {GatewayError} `idempotency-mismatch` for another body
 */
export async function findRequest(reader: StoreReader, submission: Submission): Promise<RequestRow | undefined> {
  const row = await reader.requestByIdempotencyKey(submission.client, submission.caller, submission.idempotencyKey);
  if (row && row.bodyHash !== submission.bodyHash) {
    throw new GatewayError("idempotency-mismatch", "this idempotency key was used with another body", {
      facts: { requestId: row.id },
      hint: "a key belongs to one body for ever: send the first body again, or use a new key for a new withdrawal",
    });
  }
  return row;
}

/** What a known request already stands for: its final answer, or an authorization that is still young. */
export function standing(row: RequestRow, now: number): Claimed | undefined {
  if (isFinal(row.state)) return { row };
  if (row.state !== "authorized") return undefined;
  const { authorizedAt, unsigned, digest } = readRecord(row);
  if (now - authorizedAt! > AUTHORIZATION_VALID_MS) return undefined;
  return { row, authorization: { unsigned: Buffer.from(unsigned!, "hex"), digest32: Buffer.from(digest!, "hex") } };
}

/** @param evidence what stays beside the decision */
export function newRequest(
  submission: Submission,
  { policy }: Pick<ClientEntry, "policy">,
  now: number,
  evidence = submission.evidence,
): RequestRow {
  const { body, caller } = submission;
  // Whose it is stands from now on, whatever a later policy binds its caller to.
  const subAccount = policy ? subAccountFor(policy, caller, body.subAccount) : body.subAccount;
  const row: Omit<RequestRow, "record" | "outcome"> = {
    id: requestId(now),
    client: submission.client,
    caller: submission.caller,
    key: body.key,
    idempotencyKey: submission.idempotencyKey,
    bodyHash: submission.bodyHash,
    state: "pending",
    submittedAt: now,
    changedAt: now,
    reference: body.reference ?? null,
    decisionLeaf: null,
    decision: null,
  };
  return withRecord(row, {
    payloadType: body.payload.type,
    ...(body.reference === undefined ? {} : { reference: body.reference }),
    ...(body.notAfter === undefined ? {} : { notAfter: Date.parse(body.notAfter) }),
    ...(body.replaces === undefined ? {} : { replaces: body.replaces as RequestId }),
    ...(subAccount === undefined ? {} : { subAccount }),
    evidence,
  });
}

/**
 * The signed bytes of a batch are kept once: by the request that was recorded first, and named by the others. Asked in
 * the transaction that names it, since the one that recorded it may have been undone.
 */
export async function evidenceFor(reader: StoreReader, submission: Submission): Promise<Submission["evidence"]> {
  const { client, carrier, evidence } = submission;
  const isKept = carrier?.id !== undefined && (await reader.requestStanding(client, carrier.id)) !== undefined;
  return isKept ? { batch: carrier.id! } : evidence;
}

/** Those of the same batch that come after it keep its name instead of the bytes. */
export function carrying({ carrier }: Submission, claimed: Claimed): Claimed {
  if (carrier && readRecord(claimed.row).evidence["batch"] === undefined) carrier.id = claimed.row.id;
  return claimed;
}

/** Sorts by time, as cursors want it; 80 random bits, so that nobody guesses another's. */
function requestId(now: number): RequestId {
  const uuid = randomUUID(); // its first and its last group are random throughout
  return `${now.toString(16).padStart(12, "0")}${uuid.slice(0, 8)}${uuid.slice(-12)}` as RequestId;
}

/** The nonce that the caller left out is the next of its account, as this transaction sees it; it never skips (I12). */
async function understandNow(
  reader: StoreReader,
  request: RequestRow,
  payload: ReadPayload,
  assist: Filling,
): Promise<Understood> {
  const { unsigned } = readRecord(request);
  // Decided again: the bytes of the first authorization stand, or the second would be another transaction.
  if (unsigned !== undefined) return payload.understandBytes(Buffer.from(unsigned, "hex"));
  const { nonceOf } = payload;
  if (nonceOf === undefined) return payload.understand(assist);
  const nonce = (await replacedNonce(reader, request)) ?? (await freeNonce(reader, nonceOf, assist.nonce));
  return payload.understand({ ...assist, nonce });
}

/** @throws {GatewayError} what the decoder refuses; `not-replaceable` */
export async function understandReplacing(
  reader: StoreReader,
  request: RequestRow,
  payload: ReadPayload,
  assist: Filling = {},
): Promise<Understood & Pick<Situation, "replaced">> {
  const understood = await understandNow(reader, request, payload, assist);
  return { ...understood, replaced: await replacedBy(reader, request, understood) };
}

/**
 * The lowest from the count on that nobody has claimed: some may have been named ahead of it.
 * @param first where counting begins for an account that nothing was signed for yet
 */
async function freeNonce(reader: StoreReader, account: Account, first = 0n): Promise<bigint> {
  let nonce = (await reader.nextNonce(account)) ?? first;
  while ((await reader.claimedBy(claimId({ kind: "evm-nonce", account, nonce }))) !== undefined) nonce += 1n;
  return nonce;
}

/** Reads what the decision may depend on; a fact that is not there is left out, and denies. */
export async function loadFacts(
  reader: StoreReader,
  situation: Situation,
  approvals: readonly RecordedApproval[] = readRecord(situation.request).approvals ?? [],
): Promise<DecisionFacts> {
  const { client, house, key, request, intent, replaced } = situation;
  const now = await reader.now();
  const base = {
    now,
    client: client.row.id,
    caller: request.caller,
    key: key.name,
    subAccount: readRecord(request).subAccount,
    owners: await reader.owners(accountsOf(intent)),
  };
  const policies = { client: client.policy!, house: house.policy };
  const whole = chargesOf(policies, intent, base);
  const covered = replaced.length > 0 ? await coveredBy(reader, replaced, whole) : undefined;
  const charges = covered ? chargesOf(policies, intent, { ...base, covered }) : whole;
  const spent = new Map<CounterId, bigint>();
  for (const charge of charges) {
    const known = await spentByOthers(reader, charge, request);
    spent.set(charge.counter, isKnown(charge, house) ? known : atLeast(capOf(situation, charge), known));
  }
  return {
    ...base,
    ...(covered ? { covered } : {}),
    keyPurpose: key.purpose,
    submittedAt: request.submittedAt,
    approvals: countingApprovals(situation, approvals, now),
    heldSince: client.heldSince,
    spent,
  };
}

/** A window that reaches back before a restore counts as full: what was spent in it may be forgotten (I5, I19). */
const isKnown = ({ windowStartsAt }: Charge, { restoredAt }: HouseEntry): boolean =>
  restoredAt === undefined || windowStartsAt >= restoredAt;

const capOf = ({ client, house }: Situation, { of, limit }: Charge): bigint =>
  (of === "house" ? house.policy : client.policy!).limits.find(({ name }) => name === limit)!.max;

const atLeast = (least: bigint, value: bigint): bigint => (value > least ? value : least);

/** When an authorization is decided again, its own reservation is not counted against it. */
async function spentByOthers(reader: StoreReader, charge: Charge, request: RequestRow): Promise<bigint> {
  const spent = await reader.spent(charge.counter, charge.windowStartsAt);
  if (request.state !== "authorized") return spent;
  const own = authorizationOf(request);
  return own.at > charge.windowStartsAt ? spent - (await reader.spentAt(charge.counter, own)) : spent;
}

/** Every account whose owner a decision may ask for. */
export const accountsOf = (intent: Intent): Account[] => [
  ...new Set([
    intent.account,
    ...intent.operations.flatMap((operation) =>
      "to" in operation ? [operation.from, operation.to] : [operation.from],
    ),
  ]),
];

/** A transaction that carries an authorization uses the nonce up that signing exactly that authorization claimed. */
async function signedSameAuthorization(
  reader: StoreReader,
  { client }: RequestRow,
  { authorization }: Claim,
  holder: RequestId,
): Promise<boolean> {
  if (authorization === undefined) return false;
  const signer = await reader.request(client, holder);
  const digest = signer && readRecord(signer).digest;
  return digest !== undefined && `0x${digest}` === authorization;
}

/** The policy's decision, and the denials that no policy can lift: of what is pledged, and of what was spent already. */
export async function decide(
  reader: StoreReader,
  situation: Situation,
  facts: DecisionFacts,
  options: EvaluateOptions = {},
): Promise<Decision> {
  const { client, house, intent, request } = situation;
  const evaluated = evaluate({ client: client.policy!, house: house.policy }, intent, facts, options);
  const decision = await withHoldings(reader, situation, facts, evaluated);
  for (const claim of intent.claims) {
    const holder = await reader.claimedBy(claimId(claim));
    // That it may take the holder's place was found out when it was understood.
    if (holder === undefined || holder === request.id || holder === situation.replaced[0]?.id) continue;
    if (await signedSameAuthorization(reader, request, claim, holder)) continue;
    const detail = `nonce ${claim.nonce} of this account is already authorized for request \`${holder}\``;
    return {
      ...decision,
      outcome: "deny",
      reasons: [{ code: "conflict", claim: claimId(claim), detail }, ...decision.reasons],
    };
  }
  return decision;
}

/** What is pledged, or another sub-account's, is taken by nobody: asked only where there is either. */
async function withHoldings(
  reader: StoreReader,
  situation: Situation,
  facts: DecisionFacts,
  decision: Decision,
): Promise<Decision> {
  const { row, policy } = situation.client;
  const holdings = await reader.holdings(row.id, policy!.subAccounts && "always");
  if (!holdings) return decision;
  const checked = policy!.subAccounts ? withSubAccount(holdings, situation, facts, decision) : decision;
  return withLiens(holdings, situation, facts, checked);
}

/** One sub-account never spends another's (I8: also where what is there is not known). */
function withSubAccount(
  holdings: Holdings,
  { client, intent, request, replaced }: Situation,
  { subAccount, owners }: DecisionFacts,
  decision: Decision,
): Decision {
  if (subAccount === undefined) return decision; // its policy has denied what moves anything
  const other = replaced.find((row) => readRecord(row).subAccount !== subAccount);
  if (other) {
    const detail = `request \`${other.id}\`, which it replaces, is not one of \`${subAccount}\``;
    return denied(decision, [{ code: "sub-account", detail }]);
  }
  const except = new Set([request, ...replaced].map(({ id }) => id));
  const isOwn = (account: Account): boolean => owners.get(account) === client.row.id;
  const shown = [...drawnBy(intent, isOwn)].map(([asset, requested]) => {
    const available = holdings.availableTo(subAccount, asset, except);
    const holds = available !== "none" && requested <= available;
    return { subAccount, asset, holds, ...shownAmounts({ asset, requested, available }, client) };
  });
  return denied({ ...decision, subAccount: shown }, shown.filter(({ holds }) => !holds).map(shortOf));
}

const shortOf = ({ subAccount, asset, requested, available }: SubAccountFinding): Reason => {
  const detail = `${requested} ${asset} would leave, ${available} ${asset} is \`${subAccount}\`'s and free`;
  return { code: "sub-account-short", subAccount, detail };
};

const denied = (decision: Decision, reasons: readonly Reason[]): Decision =>
  reasons.length === 0
    ? decision
    : { ...decision, outcome: "deny", missing: { approvals: [] }, reasons: [...reasons, ...decision.reasons] };

/** A lien that would be broken denies (I8: also where what is there is not known). */
function withLiens(
  holdings: Holdings,
  { client, intent, request, replaced }: Situation,
  { owners }: DecisionFacts,
  decision: Decision,
): Decision {
  // Of the transactions with one nonce one is mined: a replacement takes what they hold already.
  const except = new Set([request, ...replaced].map(({ id }) => id));
  const isOwn = (account: Account): boolean => owners.get(account) === client.row.id;
  const touched = touchedBy(intent, holdings.encumbered(except), isOwn);
  const shown = touched.map((each) => shownLien(each, client));
  return denied({ ...decision, liens: shown }, shown.filter(({ holds }) => !holds).map(brokenBy));
}

const shownLien = ({ liens, holds, ...touched }: Touched, client: ClientEntry): LienFinding => ({
  asset: touched.asset,
  liens,
  holds,
  ...shownAmounts(touched, client),
});

function shownAmounts(
  { asset, requested, available }: Pick<Touched, "asset" | "requested" | "available">,
  { policy }: ClientEntry,
): Pick<LienFinding, "requested" | "available"> {
  const decimals = policy!.registry.bySymbol.get(asset)?.decimals ?? 0;
  const text = (amount: bigint): string =>
    amount < 0n ? `-${formatAmount(-amount, decimals)}` : formatAmount(amount, decimals);
  return {
    requested: requested === "unbounded" ? requested : text(requested),
    available: available === "none" ? available : text(available),
  };
}

function brokenBy({ asset, liens, requested, available }: LienFinding): Reason {
  const which = liens.map((lien) => `\`${lien}\``).join(", ");
  const what = requested === "unbounded" ? "what no amount bounds" : `${requested} ${asset}`;
  const detail = `${what} would leave, ${available} ${asset} is free of lien ${which}`;
  return { code: "breaks-lien", liens, detail };
}
