import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { PostgresStore } from "../../src/config.ts";
import { newCaller } from "../../src/sdk/caller-file.ts";
import {
  ConnectionLost,
  KillableVault,
  type Connection,
  type RunningProcess,
  type SocketAnswer,
} from "../support/killable-vault.ts";
import { pledgeBody } from "../support/liens.ts";
import { checkLog } from "../support/log-check.ts";
import type { Place } from "../support/places.ts";
import { PostgresServer } from "../support/postgres.ts";
import { newKey, REQUESTS, transferBody, watched } from "../support/vault.ts";
import {
  applyTo,
  assertVerifies,
  FEE,
  FOUNDING,
  furnish,
  GATEWAY,
  isUnderWay,
  people,
  policy,
} from "../support/withdrawals.ts";

// Goal: what is one sub-account's pays for no other, also where three vaults decide at the same moment, or one of them
// dies between two steps of a withdrawal (I13).
// Method: three vaults in processes of their own on one PostgreSQL and one SoftHSM folder; withdrawals of both sub-accounts
// and a lien on one race over all three, then one dies. The leaves are added up here by a plain list.

const SOAK = process.env["SOAK"] !== undefined;
const VAULTS = [1, 2, 3];
const CALLERS = SOAK ? 120 : 30;
const PAID = 29;
const TAKEN = PAID + FEE;
/** Of each sub-account, for ever: more than alpha has, less than beta has. */
const MAX = CALLERS * 20;
const LIEN = 4 * TAKEN;
const HELD = { alpha: CALLERS * 15, beta: CALLERS * 40 };
type Name = keyof typeof HELD;

const DEATHS: readonly Place[] = ["before COMMIT of Reserve", "Reserve", "Sign", "before COMMIT of Record"];

describe("sub-accounts on three vaults", function () {
  this.timeout(SOAK ? 3_600_000 : 600_000);
  const caller = (name: string) =>
    newCaller({ gateway: GATEWAY, url: "http://127.0.0.1", answersKey: `ed25519:${"A".repeat(43)}=` }, name);
  const [watcher, lender] = [caller("watcher"), caller("lender")];
  let postgres: PostgresServer;
  let database: PostgresStore;
  let vaults: KillableVault;
  const running: RunningProcess[] = [];
  const connections: Connection[] = [];
  let policyHash: string;
  let own: string;
  let onChain = 0;

  const start = async (number: number): Promise<void> => {
    running[number] = await vaults.start(number);
    connections[number] = await vaults.connect(number);
  };
  const applied = async (version: string, max: number): Promise<void> => {
    const callers = {
      ...policy.callers,
      watcher: { role: "observer", keys: [watcher.publicKey] },
      lender: { role: "secured-party", keys: [lender.publicKey] },
    };
    const limits = { each: { sum: "ETH", max: String(max), window: { rolling: "300d" }, per: "sub-account" } };
    await applyTo(connections[1]!, {
      ...policy,
      version,
      callers,
      limits,
      omnibus: { subAccounts: Object.keys(HELD) },
    });
  };

  before(async () => {
    postgres = await PostgresServer.started();
    database = await postgres.database();
    vaults = await KillableVault.founded(GATEWAY, FOUNDING, database);
    await start(1);
    await furnish(connections[1]!);
    await applied("2", MAX);
    for (const number of VAULTS.slice(1)) await start(number);
    policyHash = (await connections[1]!.send(people.officer, "GET", "/v1/clients/acme/policy")).json["hash"] as string;
    const { json } = await connections[1]!.send(people.payouts, "GET", "/v1/clients/acme/keys");
    own = (json["keys"] as { accounts: [string] }[])[0]!.accounts[0];
  });
  after(async () => {
    connections.forEach((connection) => connection.close());
    await Promise.all(running.map((vault) => vault.kill()));
    vaults?.remove();
    await postgres?.remove();
  });

  let turn = 0;
  const anyVault = (): Connection => connections[VAULTS[turn++ % VAULTS.length]!]!;

  const observe = async (body: object): Promise<void> => {
    const target = "/v1/clients/acme/observations";
    const { status, body: said } = await connections[2]!.send(watcher, "POST", target, body, newKey());
    assert.equal(status, 201, said.toString());
  };
  /** Nothing is mined here: the accounts hold all that ever came in. */
  const arrive = async (subAccount: Name, amount: number): Promise<void> => {
    const { what, deposit } = watched.deposit(own, amount);
    await observe({ what, deposit: { ...deposit, subAccount } });
    onChain += amount;
    await observe(watched.balance(onChain));
  };
  const pay = (connection: Connection, subAccount: Name, key: string, value = PAID): Promise<SocketAnswer> =>
    connection.send(people.payouts, "POST", REQUESTS, { ...transferBody(value), subAccount }, key);
  const pledge = (subAccount: Name, amount: number): Promise<SocketAnswer> => {
    const fields = { origin: GATEWAY, client: "acme", subAccount, lien: "loan", asset: "ETH", policy: policyHash };
    const signed = pledgeBody({ ...fields, amount: String(amount), party: lender, officers: [people.officer] });
    return anyVault().send(people.officer, "POST", "/v1/clients/acme/liens", { ...signed, subAccount }, newKey());
  };
  const final = async (send: () => Promise<SocketAnswer>): Promise<SocketAnswer> => {
    for (;;) {
      const answer = await send();
      if (!isUnderWay(answer)) return answer;
      await sleep(20);
    }
  };
  const outcome = ({ status, json }: SocketAnswer): unknown =>
    status === 201 ? "signed" : json["code"] === "denied-by-policy" ? json["reason"] : json["code"];

  /** Its lien, if it was placed, names itself first. */
  const isShort = (reason: unknown): boolean => reason === "sub-account-short" || reason === "breaks-lien";

  /** At every leaf: what came in for a sub-account covers what was authorized of it and its lien. @returns what is left of each */
  async function leftOfEach(): Promise<Record<Name, number>> {
    const left: Record<Name, number> = { alpha: 0, beta: 0 };
    const pledged: Record<Name, number> = { alpha: 0, beta: 0 };
    const whose = new Map<unknown, Name>();
    for (const { opening, index } of checkLog(await vaults.log())) {
      const { type, request } = opening;
      const deposit = opening["deposit"] as { amount: string; subAccount: Name } | undefined;
      if (type === "observed" && deposit) left[deposit.subAccount] += Number(deposit.amount);
      if (type === "authorized" && !whose.has(request)) {
        const name = opening["subAccount"] as Name;
        const { operations } = opening["intent"] as { operations: [{ amount: string }] };
        left[name] -= Number(operations[0].amount) + FEE;
        whose.set(request, name);
      }
      if (type === "lien-placed") pledged[opening["subAccount"] as Name] = Number(opening["amount"]);
      for (const name of ["alpha", "beta"] as const)
        assert.ok(left[name] >= pledged[name], `leaf ${index}: ${left[name]} of ${name}, ${pledged[name]} pledged`);
    }
    return { alpha: left.alpha - pledged.alpha, beta: left.beta - pledged.beta };
  }

  it("withdrawals of both and a lien on one race over all three: each ends at its own, the one at what it has, the other at its limit", async () => {
    await arrive("alpha", HELD.alpha);
    await arrive("beta", HELD.beta);
    const paying = (name: Name) =>
      Array.from({ length: CALLERS }, (_, n) => final(() => pay(anyVault(), name, `race-${name}-${n}`)));
    const [lien, ...paid] = await Promise.all([pledge("alpha", LIEN), ...paying("alpha"), ...paying("beta")]);
    const [alpha, beta] = [paid.slice(0, CALLERS).map(outcome), paid.slice(CALLERS).map(outcome)];
    const signed = (outcomes: unknown[]) => outcomes.filter((each) => each === "signed").length;

    const pledged = lien.status === 201 ? LIEN : 0;
    assert.ok(pledged || outcome(lien) === "not-enough-free", lien.body.toString());
    assert.deepEqual(
      [signed(alpha), signed(beta)],
      [Math.floor((HELD.alpha - pledged) / TAKEN), Math.floor(MAX / TAKEN)],
    );
    const others = (outcomes: unknown[]) => [...new Set(outcomes.filter((each) => each !== "signed"))];
    assert.ok(others(alpha).every(isShort), others(alpha).join());
    assert.deepEqual(others(beta), ["over-limit"]);
    assert.deepEqual(await leftOfEach(), {
      alpha: HELD.alpha - pledged - signed(alpha) * TAKEN,
      beta: HELD.beta - signed(beta) * TAKEN,
    });
  });

  it("a vault that dies at any place of a withdrawal has taken nothing of the other's", async () => {
    await applied("3", 1_000_000);
    for (const [n, place] of DEATHS.entries()) {
      await arrive("alpha", TAKEN);
      const before = await leftOfEach();
      await running[1]!.arm(place);
      await assert.rejects(pay(connections[1]!, "alpha", `killed-${n}`), ConnectionLost);
      await running[1]!.ended;
      // The others meanwhile: one wei more than is left is denied, though beta's would pay for it.
      const { alpha, beta } = await leftOfEach();
      assert.equal(beta, before.beta);
      const short = await final(() => pay(connections[2]!, "alpha", `short-${n}`, alpha + 1 - FEE));
      assert.ok(isShort(outcome(short)), short.body.toString());
      const other = await final(() => pay(connections[3]!, "beta", `other-${n}`));
      assert.equal(outcome(other), "signed", other.body.toString());
      await start(1);
      const again = await final(() => pay(connections[1]!, "alpha", `killed-${n}`));
      assert.equal(outcome(again), "signed", again.body.toString());
      assert.deepEqual(await leftOfEach(), { alpha: before.alpha - TAKEN, beta: before.beta - TAKEN });
    }
  });

  it("`log verify` counts each ledger anew and finds nothing", async () => assertVerifies(connections[2]!));
});
