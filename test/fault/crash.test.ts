import assert from "node:assert/strict";
import { sign as signText } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Transaction } from "ethers";
import { policySigningText } from "../../src/domain/api.ts";
import { newCaller, privateKeyOf, type CallerFile } from "../../src/sdk/caller-file.ts";
import { compilers } from "../../src/vault/policies.ts";
import {
  ConnectionLost,
  KillableVault,
  type Connection,
  type RunningProcess,
  type SocketAnswer,
} from "../support/killable-vault.ts";
import { checkLog, leavesOf, logIn, type CheckedLeaf } from "../support/log-check.ts";
import { PLACES, type Place } from "../support/places.ts";
import { CHAIN, REQUESTS, acmePolicy, filesFor, housePolicy, transferBody } from "../support/vault.ts";

// Goal: no crash may leave a signature that the log does not know about (I4), a limit that was exceeded or a spend that
// was forgotten (I5), or a request with two answers (I6).
// Method: a vault in a process of its own, on SoftHSM and SQLite, killed with SIGKILL: at each of the seven steps, inside
// their two transactions, and at random moments under load; then restarted on what it left. The log is checked by other
// code, signatures are read by ethers.

const SOAK = process.env["SOAK"] !== undefined;
const KILLS = SOAK ? 300 : 40;
const GATEWAY = "crash-test";
const WINDOW_S = 5;
const CAP = 600;
const FEE = 1;

const people = Object.fromEntries(
  ["officer", "operator", "payouts"].map((name) => [
    name,
    newCaller({ gateway: GATEWAY, url: "http://127.0.0.1", answersKey: `ed25519:${"A".repeat(43)}=` }, name),
  ]),
) as Record<"officer" | "operator" | "payouts", CallerFile>;

const callersOf = (roles: Partial<Record<keyof typeof people, string>>) =>
  Object.fromEntries(
    Object.entries(roles).map(([name, role]) => [
      name,
      { role, keys: [people[name as keyof typeof people].publicKey] },
    ]),
  );

const house = { ...housePolicy, callers: callersOf({ officer: "policy-officer", operator: "operator" }) };
const policy = {
  ...acmePolicy,
  callers: callersOf({ payouts: "wallet-service" }),
  limits: {
    lifelong: { sum: "ETH", max: "1000000", window: { rolling: "300d" } },
    short: { sum: "ETH", max: String(CAP), window: { rolling: `${WINDOW_S}s` } },
  },
};

/** Client, key and policy, by the API, as operator and officer would. */
async function furnish(connection: Connection): Promise<void> {
  const done = (answer: SocketAnswer) => assert.ok(answer.status < 300, answer.body.toString());
  done(await connection.send(people.operator, "POST", "/v1/clients", { client: "acme" }, "client"));
  const key = { name: "hot-1", chains: [CHAIN] };
  done(await connection.send(people.operator, "POST", "/v1/clients/acme/keys", key, "key"));
  const files = filesFor(policy);
  const { version, hash } = compilers.client(files);
  const text = policySigningText({ origin: GATEWAY, client: "acme", version, hash, previousHash: null });
  const signature = signText(null, Buffer.from(text), privateKeyOf(people.officer)).toString("base64");
  const body = { ...files, signatures: [{ person: "officer", signature }] };
  done(await connection.send(people.officer, "PUT", "/v1/clients/acme/policy", body, "policy"));
}

const post = (connection: Connection, key: string, value: number) =>
  connection.send(people.payouts, "POST", REQUESTS, transferBody(value), key);

/** What the vault itself says has been counted for ever. */
async function counted(connection: Connection): Promise<number> {
  const answer = await connection.send(people.payouts, "POST", "/v1/clients/acme/evaluations", transferBody(1));
  const { decision } = answer.json as unknown as { decision: { limits: { limit: string; spent: string }[] } };
  return Number(decision.limits.find(({ limit }) => limit === "lifelong")!.spent);
}

type Signed = { readonly id: string; readonly result: { signedTransaction: string; transactionHash: string } };

/** I4: the log of a dead vault knows every signature that it gave away, with an authorization before it. */
function assertKnown(leaves: readonly CheckedLeaf[], returned: readonly Signed[]): void {
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

/** I5, by a plain list: no window of the short limit above its cap, no denial of what fits, no nonce twice. */
function assertLimits(leaves: readonly CheckedLeaf[]): void {
  type Entry = { request: unknown; at: number; value: number };
  let list: Entry[] = [];
  const nonces = new Map<string, unknown>();
  for (const { opening, at } of leaves) {
    if (opening.type !== "authorized" && opening.type !== "denied") continue;
    const { request } = opening;
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

describe("crashes", function () {
  this.timeout(SOAK ? 3_600_000 : 180_000);
  let vault: KillableVault;
  let running: RunningProcess;
  let connection: Connection;

  const restart = async (): Promise<void> => {
    connection?.close();
    running = await vault.start();
    connection = await vault.connect();
  };
  before(async () => {
    vault = await KillableVault.founded(GATEWAY, {
      entry: "house.yaml",
      files: { "house.yaml": JSON.stringify({ ...house, use: [] }) },
    });
    await restart();
    await furnish(connection);
  });
  after(async () => {
    connection?.close();
    await running?.kill();
    vault?.remove();
  });

  /** Which leaf of the request a vault that died there has left. */
  const LEFT: Record<Place, string[]> = {
    Understand: [],
    Claim: [],
    Decide: [],
    "before COMMIT of Reserve": [],
    Reserve: ["authorized"],
    Sign: ["authorized"],
    Verify: ["authorized"],
    "before COMMIT of Record": ["authorized"],
    Record: ["authorized", "signed"],
  };
  for (const place of PLACES) {
    it(`killed at ${place}: the same request again finishes it, once`, async () => {
      const [key, value] = [`killed-at-${PLACES.indexOf(place)}`, 10];
      const countedBefore = await counted(connection);
      const leavesBefore = checkLog(logIn(vault.storePath)).length;
      await running.arm(place);
      await assert.rejects(post(connection, key, value), ConnectionLost);
      await running.ended;
      const left = checkLog(logIn(vault.storePath)).slice(leavesBefore);
      assert.deepEqual(
        left.map(({ opening }) => opening.type),
        LEFT[place],
      );

      await restart();
      const spent = left.length > 0 ? value + FEE : 0;
      assert.equal(await counted(connection), countedBefore + spent, "I5: what was authorized is counted");
      const [first, second] = [await post(connection, key, value), await post(connection, key, value)];
      assert.equal(first.status, 201, first.body.toString());
      assert.deepEqual(second.body, first.body, "I6: a retry gets the same bytes");
      assert.equal(await counted(connection), countedBefore + value + FEE, "I5: counted once");
      const changed = await post(connection, key, value + 1);
      assert.deepEqual([changed.status, changed.json["code"]], [422, "idempotency-mismatch"]);

      const log = checkLog(logIn(vault.storePath));
      assertKnown(log, [first.json as unknown as Signed]);
      assertLimits(log);
      const ofIt = log.filter(({ opening }) => opening["request"] === first.json["id"]);
      assert.deepEqual(
        ofIt.map(({ opening }) => opening.type),
        ["authorized", "signed"],
        "one authorization, one signature",
      );
    });
  }

  it(`killed ${KILLS} times at random moments under load`, async () => {
    const load = new Load(() => connection);
    const workers = Array.from({ length: 6 }, () => load.work());
    const killing = async (): Promise<void> => {
      for (let kill = 0; kill < KILLS; kill++) {
        await sleep(20 + Math.random() * 150);
        await running.kill();
        // Whatever the dead vault gave away was read before its connection's end is seen.
        await sleep(0);
        // The log only grows, so a later look sees what an earlier one would have; in a soak it gets long.
        if (!SOAK || kill % 20 === 0) {
          const left = checkLog(logIn(vault.storePath));
          assertKnown(left, load.signed);
          assertLimits(left);
        }
        await restart();
      }
    };
    await Promise.race([killing(), Promise.all(workers)])
      .then(() => load.stop())
      .then(() => Promise.all(workers))
      .catch((error: unknown) => {
        load.abandon();
        throw error;
      });

    const log = checkLog(logIn(vault.storePath));
    assertKnown(log, load.signed);
    assertLimits(log);
    for (const type of ["authorized", "signed"]) {
      const requests = leavesOf(log, type).map(({ opening }) => opening["request"]);
      assert.equal(new Set(requests).size, requests.length, `no request is ${type} twice`);
    }
    assert.ok(load.signed.length > KILLS / 4, `only ${load.signed.length} were signed`);
    assert.ok(load.interrupted > KILLS / 4, `only ${load.interrupted} were under way when a vault died`);
    await load.repeatAll();
  });
});

/** Callers that repeat themselves under the same key until they have a final answer. */
class Load {
  readonly signed: Signed[] = [];
  interrupted = 0;
  readonly #connection: () => Connection;
  readonly #final = new Map<string, { value: number; answer: SocketAnswer }>();
  #nextKey = 0;
  #stopped = false;
  #abandoned = false;

  constructor(connection: () => Connection) {
    this.#connection = connection;
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
      const key = `load-${this.#nextKey++}`;
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
        if (answer.status !== 202 && answer.status !== 409) return answer;
      } catch (error) {
        if (!(error instanceof ConnectionLost) || this.#abandoned) throw error;
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
