import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { Transaction } from "ethers";
import { policySigningText } from "../../src/domain/api.ts";
import { newCaller, type CallerFile } from "../../src/sdk/caller-file.ts";
import type { Report } from "../../src/cli/log/verify.ts";
import { AUTHORIZATION_VALID_MS } from "../../src/vault/claim.ts";
import { compilers } from "../../src/vault/compilers.ts";
import { exportedBy, verified } from "./exported-log.ts";
import { ConnectionLost, type Connection, type SocketAnswer } from "./killable-vault.ts";
import { leavesOf, type CheckedLeaf } from "./log-check.ts";
import { signedBy } from "./officers.ts";
import { CHAIN, REQUESTS, acmePolicy, filesFor, housePolicy, transferBody } from "./vault.ts";

/*
 * Withdrawals of one client, asked for again and again until they have a final answer, and what must be true of the log
 * and of the answers whatever happened meanwhile.
 */

export const GATEWAY = "crash-test";
export const WINDOW_S = 5;
export const CAP = 600;
export const FEE = 1;

export const people = Object.fromEntries(
  ["officer", "operator", "auditor", "payouts"].map((name) => [
    name,
    newCaller({ gateway: GATEWAY, url: "http://127.0.0.1", answersKey: `ed25519:${"A".repeat(43)}=` }, name),
  ]),
) as Record<"officer" | "operator" | "auditor" | "payouts", CallerFile>;

const callersOf = (roles: Partial<Record<keyof typeof people, string>>) =>
  Object.fromEntries(
    Object.entries(roles).map(([name, role]) => [
      name,
      { role, keys: [people[name as keyof typeof people].publicKey] },
    ]),
  );

const house = {
  ...housePolicy,
  callers: callersOf({ officer: "policy-officer", operator: "operator", auditor: "auditor" }),
};
export const policy = {
  ...acmePolicy,
  callers: callersOf({ payouts: "wallet-service" }),
  limits: {
    lifelong: { sum: "ETH", max: "1000000", window: { rolling: "300d" } },
    short: { sum: "ETH", max: String(CAP), window: { rolling: `${WINDOW_S}s` } },
  },
};

/** The founding house policy, as `init` takes it. */
export const FOUNDING = { entry: "house.yaml", files: { "house.yaml": JSON.stringify({ ...house, use: [] }) } };

/** Client, key and policy, by the API, as operator and officer would. */
const done = (answer: SocketAnswer) => assert.ok(answer.status < 300, answer.body.toString());

export async function furnish(connection: Connection): Promise<void> {
  done(await connection.send(people.operator, "POST", "/v1/clients", { client: "acme" }, "client"));
  const key = { name: "hot-1", chains: [CHAIN] };
  done(await connection.send(people.operator, "POST", "/v1/clients/acme/keys", key, "key"));
  await applyTo(connection, policy);
}

export async function applyTo(connection: Connection, document: object): Promise<void> {
  const files = filesFor(document);
  const { version, hash } = compilers.client(files);
  const active = await connection.send(people.officer, "GET", "/v1/clients/acme/policy");
  const previousHash = active.status === 404 ? null : (active.json["hash"] as string);
  const text = policySigningText({ origin: GATEWAY, client: "acme", version, hash, previousHash });
  const body = { ...files, signatures: [signedBy(people.officer, text)] };
  done(await connection.send(people.officer, "PUT", "/v1/clients/acme/policy", body, `policy-${hash}`));
}

/** The same without the long limit, which no restore would leave room in. */
export const shortenLimits = (connection: Connection): Promise<void> =>
  applyTo(connection, { ...policy, version: "2", limits: { short: policy.limits.short } });

export const post = (connection: Connection, key: string, value: number, fields: Record<string, string> = {}) =>
  connection.send(people.payouts, "POST", REQUESTS, transferBody(value, fields), key);

/** Not final: under way, authorized and not yet recorded, or certainly not begun. */
export const isUnderWay = ({ status, head }: SocketAnswer): boolean => {
  if (status === 503) assert.equal(head["retry-after"], "1");
  return [202, 409, 503].includes(status);
};

/** What the vault itself says has been counted for ever. */
export async function counted(connection: Connection): Promise<number> {
  const answer = await connection.send(people.payouts, "POST", "/v1/clients/acme/evaluations", transferBody(1));
  const { decision } = answer.json as unknown as { decision: { limits: { limit: string; spent: string }[] } };
  return Number(decision.limits.find(({ limit }) => limit === "lifelong")!.spent);
}

const isCovered = (report: Report | undefined): boolean =>
  report !== undefined && report.newest?.size === report.leaves;

/** What an auditor who exports the log of the running vault finds: nothing (I5, I9), under a checkpoint of all of it. */
export async function assertVerifies(connection: Connection): Promise<void> {
  const get = async <T>(target: string): Promise<T> => (await connection.send(people.auditor, "GET", target)).json as T;
  let report: Report | undefined;
  for (let n = 0; n < 100 && !isCovered(report); n++) {
    if (n > 0) await sleep(200); // a vault that was killed keeps its turn for a few seconds
    report = verified(await exportedBy({ get }));
  }
  assert.deepEqual([report?.findings, report?.notChecked.length], [[], 1], JSON.stringify(report));
  assert.ok(report!.limitsHeld > 0 && report!.signatures > 0 && report!.checkpoints > 0);
}

export type Signed = { readonly id: string; readonly result: { signedTransaction: string; transactionHash: string } };

/** I4: the log of a dead vault knows every signature that it gave away, with an authorization before it. */
export function assertKnown(leaves: readonly CheckedLeaf[], returned: readonly Signed[]): void {
  const outcomes = new Map(leavesOf(leaves, "signed").map((leaf) => [leaf.opening["request"], leaf]));
  for (const { id, result } of returned) {
    const outcome = outcomes.get(id);
    assert.ok(outcome, `a signature of request ${id} left the vault, and its log does not know`);
    assert.equal(outcome.opening["transactionHash"], Transaction.from(result.signedTransaction).hash);
    const authorization = leaves[outcome.opening["authorized"] as number]!;
    assert.ok(authorization.index < outcome.index);
    assert.deepEqual(
      [authorization.opening.type, authorization.opening["request"], authorization.opening["digest"]],
      ["authorized", id, outcome.opening["digest"]],
    );
  }
}

/** One signature; one authorization as well, unless it was left for a minute and decided again at its new time. */
export function assertOnce(leaves: readonly CheckedLeaf[]): void {
  const signed = leavesOf(leaves, "signed").map(({ opening }) => opening["request"]);
  assert.equal(new Set(signed).size, signed.length, "no request is signed twice");
  const authorizedAt = new Map<unknown, number>();
  for (const { opening, at } of leavesOf(leaves, "authorized")) {
    const { request } = opening;
    const since = at - (authorizedAt.get(request) ?? -Infinity);
    assert.ok(since > AUTHORIZATION_VALID_MS, `request ${String(request)} is authorized again after ${since} ms`);
    authorizedAt.set(request, at);
  }
}

/** I5, by a plain list: no window of the short limit above its cap, no denial of what fits, no nonce twice. */
export function assertLimits(leaves: readonly CheckedLeaf[]): void {
  type Entry = { request: unknown; at: number; value: number };
  let list: Entry[] = [];
  const nonces = new Map<string, unknown>();
  for (const { opening, at } of leaves) {
    if (opening.type !== "authorized" && opening.type !== "denied") continue;
    const { request } = opening;
    // Denied for its nonce, whatever there is left of the limit.
    if ((opening["problem"] as { facts?: { reason?: string } } | undefined)?.facts?.reason === "conflict") continue;
    const intent = opening["intent"] as { operations: [{ amount: string }]; claims: [{ nonce: string }] };
    const others = list.filter((entry) => entry.request !== request);
    const spent = others.filter((entry) => entry.at > at - WINDOW_S * 1000).reduce((sum, { value }) => sum + value, 0);
    const value = Number(intent.operations[0].amount) + FEE;
    assert.equal(spent + value <= CAP, opening.type === "authorized", `spent ${spent}, ${value} more: ${opening.type}`);
    if (opening.type === "denied") continue;
    list = [...others, { request, at, value }];
    const { nonce } = intent.claims[0];
    assert.equal(nonces.get(nonce) ?? request, request, `nonce ${nonce} is authorized twice`);
    nonces.set(nonce, request);
  }
}

/** A machine that stood still for a minute: what was signed before that is refused unread, by nobody's signed answer. */
const isStale = (error: unknown): boolean => String(error).includes("problem:signature-stale");

/** Callers that repeat themselves under the same key until they have a final answer. */
export class Load {
  readonly signed: Signed[] = [];
  interrupted = 0;
  readonly #connection: () => Connection;
  readonly #name: string;
  readonly #final = new Map<string, { value: number; answer: SocketAnswer }>();
  #nextKey = 0;
  #stopped = false;
  #abandoned = false;

  /** @param name begins every idempotency key: two loads of one store have two */
  constructor(connection: () => Connection, name = "load") {
    this.#connection = connection;
    this.#name = name;
  }

  /** Workers end with the request that they have. */
  stop(): void {
    this.#stopped = true;
  }

  /** Workers end at once. */
  abandon(): void {
    this.#stopped = this.#abandoned = true;
  }

  async work(): Promise<void> {
    while (!this.#stopped) {
      const key = `${this.#name}-${this.#nextKey++}`;
      const value = 5 + (this.#nextKey % 30);
      const answer = await this.#untilFinal(key, value);
      this.#final.set(key, { value, answer });
      if (answer.status === 201) this.signed.push(answer.json as unknown as Signed);
      else assert.deepEqual([answer.status, answer.json["code"]], [403, "denied-by-policy"], answer.body.toString());
    }
  }

  async #untilFinal(key: string, value: number): Promise<SocketAnswer> {
    for (;;) {
      try {
        const answer = await post(this.#connection(), key, value);
        if (!isUnderWay(answer)) return answer;
        await sleep(answer.status === 503 ? 20 : 0);
      } catch (error) {
        if (!(error instanceof ConnectionLost || isStale(error)) || this.#abandoned) throw error;
        this.interrupted += 1;
        await sleep(20);
      }
    }
  }

  /** I6, for everything that was asked. */
  async repeatAll(): Promise<void> {
    for (const [key, { value, answer }] of this.#final) {
      assert.deepEqual((await post(this.#connection(), key, value)).body, answer.body, key);
      const changed = await post(this.#connection(), key, value + 1);
      assert.deepEqual([changed.status, changed.json["code"]], [422, "idempotency-mismatch"]);
    }
  }
}
