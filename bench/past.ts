import { randomBytes } from "node:crypto";
import { claimId, type Claim } from "../src/domain/intent.ts";
import type { Json } from "../src/domain/json.ts";
import type { CallerName, ClientId } from "../src/domain/names.ts";
import type { RequestId } from "../src/domain/request.ts";
import { appendLeaf, type LeafContent } from "../src/vault/log.ts";
import type { RequestRow, StoreTransaction } from "../src/vault/ports.ts";
import { readRecord, withOutcome, withRecord, type RequestRecord } from "../src/vault/record.ts";
import { settle } from "../src/vault/reserve.ts";
import type { TestVault } from "../test/support/vault.ts";

/*
 * Years of a gateway's life in a minute: requests that look like one that was really made, written by the functions that
 * write real ones, without what costs time there (the caller's signature, the decision, the HSM).
 */

/** Requests written in one transaction. */
const GROUP = 250;
const DAY_MS = 86_400_000;
/** Nonces that no request of a bench comes to. */
const FIRST_NONCE = 2n ** 40n;

type Template = { readonly row: RequestRow; readonly record: RequestRecord; readonly signed: LeafContent };

/**
 * @param idempotencyKey of a request that was signed
 * @param requests so many like it, of which `inWindow` fall into the last day; the clock ends a day after the others
 */
export async function addPast(
  vault: TestVault,
  { idempotencyKey, requests, inWindow }: { idempotencyKey: string; requests: number; inWindow: number },
  progress: (text: string) => void,
): Promise<void> {
  const template = await templateFrom(vault, idempotencyKey);
  for (let n = 0; n < requests; n += GROUP) {
    if (n % 50_000 === 0) progress(`a past: ${2 * n} leaves`);
    const isLast = n >= requests - inWindow;
    const perRequest = isLast ? (DAY_MS * 0.9) / inWindow : (10 * DAY_MS) / (requests - inWindow);
    if (isLast && n - GROUP < requests - inWindow) vault.clock.now += DAY_MS;
    await vault.store.write(async (transaction) => {
      for (let k = n; k < Math.min(n + GROUP, requests); k++) await addRequest(transaction, vault, template, k);
    });
    vault.clock.now += Math.ceil(perRequest * GROUP);
  }
}

async function templateFrom({ store }: TestVault, idempotencyKey: string): Promise<Template> {
  return store.read(async (reader) => {
    const row = (await reader.requestByIdempotencyKey("acme" as ClientId, "payouts" as CallerName, idempotencyKey))!;
    const record = readRecord(row);
    const { opening } = (await reader.leaf(record.outcomeLeaf!.index))!;
    const {
      type: _t,
      index: _i,
      at: _a,
      client: _c,
      number: _n,
      previous: _p,
      ...signed
    } = JSON.parse(opening) as {
      [member: string]: unknown;
    };
    return { row, record, signed };
  });
}

async function addRequest(
  transaction: StoreTransaction,
  { gateway: { directory } }: TestVault,
  { row, record, signed }: Template,
  n: number,
): Promise<void> {
  const client = directory.get(row.client);
  const at = await transaction.now();
  const id = `${at.toString(16).padStart(12, "0")}${randomBytes(10).toString("hex")}` as RequestId;
  const { intent, decision, unsigned, digest, payloadType, evidence } = record as Required<RequestRecord>;
  const [claim] = (intent as unknown as { claims: [Claim] }).claims;
  const own = { ...claim, nonce: (FIRST_NONCE + BigInt(n)).toString() } as unknown as Claim;
  const asked = withRecord(
    { ...row, id, idempotencyKey: `past-${n}`, submittedAt: at, decisionLeaf: null, decision: null },
    { payloadType, evidence },
  );
  const change: Partial<RequestRecord> = {
    intent: { ...(intent as object), claims: [own] } as unknown as Json,
    decision,
    unsigned,
    digest,
    authorizedAt: at,
  };
  const authorized = await settle(transaction, { client, request: asked }, "authorized", change);
  const leaf = authorized.decisionLeaf!;
  for (const { counter, amount } of decision.charges)
    await transaction.addSpend(counter, { at, leaf, amount: BigInt(amount) });
  await transaction.insertClaim(claimId(own), id);
  await transaction.setNextNonce(claim.account, BigInt(claim.nonce) + 1n);
  const {
    at: changedAt,
    opening: _,
    ...outcomeLeaf
  } = await appendLeaf(transaction, client.row, "signed", {
    ...signed,
    request: id,
    authorized: leaf,
  });
  const { result } = record as Required<RequestRecord>;
  await transaction.recordOutcome(withOutcome(authorized, { state: "signed", changedAt }, { outcomeLeaf, result }));
}
