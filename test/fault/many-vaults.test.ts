import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { PostgresStore } from "../../src/config.ts";
import { KillableVault, type Connection, type RunningProcess, type SocketAnswer } from "../support/killable-vault.ts";
import { checkLog, leavesOf, type CheckedLeaf } from "../support/log-check.ts";
import { PostgresServer } from "../support/postgres.ts";
import { textbookRoot } from "../support/textbook-tree.ts";
import {
  assertKnown,
  assertLimits,
  assertOnce,
  assertVerifies,
  CAP,
  FEE,
  FOUNDING,
  furnish,
  GATEWAY,
  isUnderWay,
  Load,
  post,
  type Signed,
} from "../support/withdrawals.ts";

// Goal: any number of vaults share one database and one HSM, and are as one: no limit is exceeded, no nonce used twice, no
// request answered in two ways (I5, I6, I12), and the log has one order without gaps (I9); also when the database goes away
// and comes back under their hands.
// Method: three vaults in processes of their own, one SoftHSM folder, a real PostgreSQL; 64 callers race for one thing, in
// parallel over all three. Then the database is restarted, killed and its connections are cut while withdrawals go on.

const SOAK = process.env["SOAK"] !== undefined;
const VAULTS = [1, 2, 3];
const CALLERS = 64;
const RESTARTS = SOAK ? 20 : 3;
const CUTS = SOAK ? 200 : 12;
const KILLS = SOAK ? 300 : 3;

describe("three vaults on one PostgreSQL", function () {
  this.timeout(SOAK ? 3_600_000 : 600_000);
  let postgres: PostgresServer;
  let database: PostgresStore;
  let vaults: KillableVault;
  const running: RunningProcess[] = [];
  const connections: Connection[] = [];

  before(async () => {
    postgres = await PostgresServer.started();
    database = await postgres.database();
    vaults = await KillableVault.founded(GATEWAY, FOUNDING, database);
    // One by one: SoftHSM's tokens are not for several processes that log in at the same instant.
    for (const number of VAULTS) {
      running.push(await vaults.start(number));
      connections.push(await vaults.connect(number));
      if (number === 1) await furnish(connections[0]!);
    }
  });
  after(async () => {
    connections.forEach((connection) => connection.close());
    await Promise.all(running.map((vault) => vault.kill()));
    vaults?.remove();
    await postgres?.remove();
  });

  let turn = 0;
  const anyVault = (): Connection => connections[turn++ % connections.length]!;

  async function untilFinal(send: (connection: Connection) => Promise<SocketAnswer>): Promise<SocketAnswer> {
    for (;;) {
      const answer = await send(anyVault());
      if (!isUnderWay(answer)) return answer;
      await sleep(10);
    }
  }
  const race = (send: (connection: Connection, caller: number) => Promise<SocketAnswer>): Promise<SocketAnswer[]> =>
    Promise.all(Array.from({ length: CALLERS }, (_, caller) => untilFinal((connection) => send(connection, caller))));
  const signedOf = (answers: SocketAnswer[]): Signed[] =>
    answers.filter(({ status }) => status === 201).map(({ json }) => json as unknown as Signed);

  /** What holds for every log, whoever wrote it. */
  async function checkedLog(signed: readonly Signed[]): Promise<CheckedLeaf[]> {
    const log = checkLog(await vaults.log());
    assertKnown(log, signed);
    assertLimits(log);
    assertOnce(log);
    return log;
  }

  it(`${CALLERS} callers with one idempotency key: one request, one signature, one answer for all`, async () => {
    const answers = await race((connection) => post(connection, "the-one-key", 10));
    for (const answer of answers) assert.deepEqual([answer.status, answer.body], [201, answers[0]!.body]);
    const log = await checkedLog(signedOf(answers));
    assert.deepEqual([leavesOf(log, "authorized").length, leavesOf(log, "signed").length], [1, 1]);
  });

  it(`${CALLERS} callers with one nonce: one is signed, the others are told whose it is`, async () => {
    const answers = await race((connection, caller) => post(connection, `nonce-${caller}`, 1, { nonce: "1" }));
    const [signed, ...others] = answers.toSorted((a, b) => a.status - b.status);
    assert.equal(signed!.status, 201, signed!.body.toString());
    for (const { status, json } of others) assert.deepEqual([status, json["reason"]], [403, "conflict"]);
    await checkedLog(signedOf(answers));
  });

  it(`${CALLERS} callers at one limit: exactly what it permits is signed, under nonces without a gap`, async () => {
    const value = 99;
    const before = leavesOf(checkLog(await vaults.log()), "authorized").length;
    const answers = await race((connection, caller) => post(connection, `limit-${caller}`, value));
    const log = await checkedLog(signedOf(answers));
    const authorized = leavesOf(log, "authorized");
    const fit = Math.floor(CAP / (value + FEE));
    assert.ok(authorized.length - before >= fit - 1, `only ${authorized.length - before} were authorized`);
    assert.equal(signedOf(answers).length, authorized.length - before);
    const nonces = authorized.map(
      ({ opening }) => (opening["intent"] as { claims: [{ nonce: string }] }).claims[0].nonce,
    );
    assert.deepEqual(
      nonces.map(Number).toSorted((a, b) => a - b),
      nonces.map((_, n) => n),
    );
  });

  it(`goes on by itself when PostgreSQL is restarted or killed, ${RESTARTS} times under load`, async () => {
    const interrupting = async (): Promise<void> => {
      for (let restart = 0; restart < RESTARTS; restart++) {
        await sleep(300 + Math.random() * 500);
        await postgres.restart((["SIGINT", "SIGKILL", "SIGQUIT"] as const)[restart % 3]);
      }
      await sleep(300);
    };
    await underLoad(interrupting);
  });

  it(`goes on by itself when PostgreSQL is killed with SIGKILL, ${KILLS} times at random moments under load`, async () => {
    const ways = [() => postgres.kill(), () => postgres.stop("SIGKILL"), () => postgres.killBackend("portcullis")];
    const killing = async (signed: readonly Signed[]): Promise<void> => {
      for (let kill = 0; kill < KILLS; kill++) {
        await sleep(100 + Math.random() * 400);
        await ways[kill % 3]!();
        if (kill % 3 < 2) await postgres.start();
        // Whatever was given away before the kill is there after it; the log only grows, so in a soak a few looks do.
        const before = [...signed];
        if (!SOAK || kill % 20 === 0) await checkedLog(before);
      }
    };
    await underLoad(killing);
  });

  it(`goes on by itself when connections are cut, ${CUTS} times under load`, async () => {
    const cutting = async (): Promise<void> => {
      for (let cut = 0; cut < CUTS; cut++) {
        await sleep(30 + Math.random() * 80);
        await postgres.as(database.database, (client) =>
          client.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portcullis' ORDER BY random() LIMIT 2",
          ),
        );
      }
    };
    await underLoad(cutting);
  });

  async function underLoad(disturb: (signed: readonly Signed[]) => Promise<void>): Promise<void> {
    const load = new Load(anyVault, `load-${turn}`);
    const workers = Array.from({ length: 9 }, () => load.work());
    const enough = async (): Promise<void> => {
      await disturb(load.signed);
      // That it goes on is the point, and not how fast a busy machine is: the test's own time limit is the bound.
      while (load.signed.length <= 10) await sleep(50);
    };
    await Promise.race([enough(), Promise.all(workers)])
      .then(() => load.stop())
      .then(() => Promise.all(workers))
      .catch((error: unknown) => {
        load.abandon();
        throw error;
      });
    await checkedLog(load.signed);
    assert.ok(load.signed.length > 10, `only ${load.signed.length} were signed`);
    await load.repeatAll();
    for (const vault of running) assert.equal(vault.child.exitCode, null, "no vault has ended");
  }

  it("every checkpoint is over a beginning of the one log, by whichever vault it was signed", async () => {
    await sleep(2_500);
    const { leaves } = await vaults.log();
    const hashes = leaves.map(({ hash }) => hash);
    const rows = await postgres.as(database.database, async (client) => {
      const { rows } = await client.query<{ size: string; root: Buffer }>(
        "SELECT * FROM portcullis.checkpoints ORDER BY size",
      );
      return rows;
    });
    assert.ok(rows.length > 3, `only ${rows.length} checkpoints`);
    for (const { size, root } of rows)
      assert.deepEqual(root, Buffer.from(textbookRoot(hashes.slice(0, Number(size)))), `checkpoint ${size}`);
  });

  it("`log verify` passes on all of it", async () => assertVerifies(anyVault()));
});
