// Goal: after a failover of PostgreSQL nothing is written before officers say so; where nothing was lost the gateway goes
// on as it was, and where the newest checkpoint is missing nobody's word makes it so (I15, I19).
// Method: two vaults, a primary and a standby, both real; the primary is killed under load and the standby promoted, once
// while it was synchronous, once while it had fallen behind.
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { postgresStatus } from "../../src/adapters/postgres/status.ts";
import type { PostgresStore } from "../../src/config.ts";
import type { RecoveryView } from "../../src/domain/recovery.ts";
import { KillableVault, type Connection, type RunningProcess, type SocketAnswer } from "../support/killable-vault.ts";
import { checkLog, leavesOf } from "../support/log-check.ts";
import { PostgresServer } from "../support/postgres.ts";
import { eventually } from "../support/processes.ts";
import { run } from "../support/program.ts";
import {
  assertKnown,
  assertVerifies,
  FOUNDING,
  furnish,
  GATEWAY,
  Load,
  people,
  post,
  type Signed,
} from "../support/withdrawals.ts";

describe("a failover of PostgreSQL", function () {
  let folder: string;
  let database: PostgresStore;
  let primary: PostgresServer;
  const servers: PostgresServer[] = [];
  let vaults: KillableVault;
  const running: RunningProcess[] = [];
  const connections: Connection[] = [];
  let keys = 0;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-failover-"));
    servers.push((primary = await PostgresServer.started()));
    pointTo(primary);
    database = { ...(await primary.database()), host: join(folder, "now") };
    vaults = await KillableVault.founded(GATEWAY, FOUNDING, database);
    await restart([1]);
    await furnish(connections[0]!);
    await restart([1, 2]);
  });
  after(async () => {
    connections.forEach((connection) => connection.close());
    await Promise.all(running.map((vault) => vault.kill()));
    vaults?.remove();
    for (const server of servers) await server.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Ends all that run, and starts these, one by one: SoftHSM's tokens are not for several that log in at one instant. */
  async function restart(numbers: readonly number[]): Promise<void> {
    connections.splice(0).forEach((connection) => connection.close());
    for (const vault of running.splice(0)) await vault.kill();
    for (const number of numbers) {
      running.push(await vaults.start(number));
      connections.push(await vaults.connect(number));
    }
  }

  /** One address for whichever server it is: as a name in DNS, or an address that moves. */
  function pointTo(server: PostgresServer): void {
    symlinkSync(server.folder, join(folder, "next"));
    renameSync(join(folder, "next"), join(folder, "now"));
  }
  const withdraw = (connection = connections[0]!): Promise<SocketAnswer> => post(connection, `failover-${keys++}`, 1);
  const codeOf = async (connection: Connection) => {
    const { status, json } = await withdraw(connection);
    return status === 201 ? "signed" : (json["code"] as string);
  };
  const untilAll = (code: string) =>
    eventually(`every vault says ${code}`, async () =>
      (await Promise.all(connections.map(codeOf))).every((each) => each === code),
    );
  const anchored = (number: number): number => {
    const path = join(vaults.folder, `${number}.anchor`);
    return existsSync(path) ? Number(readFileSync(path, "utf8").split("\n")[1]) : 0;
  };
  const recover = (flag: string) =>
    run(["recover", flag, "--as", vaults.callerFile(people.officer), "--socket", vaults.socketOf(1), "--json"]);
  const state = async () => (await connections[0]!.send(people.officer, "GET", "/v1/recovery")).json as RecoveryView;
  /** Of each standby that is sent what is written, how. */
  const followers = async (): Promise<string[]> => {
    const { rows } = await primary.as("postgres", (client) =>
      client.query<{ sync_state: string }>("SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'"),
    );
    return rows.map(({ sync_state }) => sync_state);
  };
  async function replaceBy(standby: PostgresServer): Promise<void> {
    await primary.stop("SIGQUIT").catch(() => undefined);
    await standby.promote();
    pointTo((primary = standby));
    await untilAll("store-moved");
  }

  it("to a synchronous standby: nothing is written before the officers say so, then all goes on, nothing lost", async () => {
    const standby = await primary.standby();
    servers.push(standby);
    primary.set({ synchronous_standby_names: "'*'" });
    primary.reload();
    await eventually("the standby is synchronous", async () => (await followers()).includes("sync"));
    const load = new Load(() => connections[keys++ % 2]!, "sync");
    const workers = Array.from({ length: 4 }, () => load.work());
    await sleep(500); // until every backend has read that it waits for the standby
    await eventually("it signs", () => load.signed.length > 4);
    await primary.stop("SIGQUIT");
    load.stop();
    await standby.promote();
    pointTo((primary = standby));
    standby.set({ synchronous_standby_names: "''" });
    standby.reload();
    await untilAll("store-moved");
    assert.equal((await postgresStatus(database)).reasons[0]?.code, "store-moved");
    const { history, writtenIn, refused } = await state();
    assert.equal(refused, "store-moved");
    assert.notEqual(history, writtenIn);
    const leaves = checkLog(await vaults.log()).length;
    await sleep(1_500); // longer than checkpoints take to come
    assert.equal(checkLog(await vaults.log()).length, leaves, "nothing was written");

    const recovered = await recover("--after-failover");
    assert.equal(recovered.code, 0, recovered.stdout);
    await Promise.all(workers);
    await eventually("every vault signs", async () =>
      (await Promise.all(connections.map(codeOf))).every((code) => code === "signed"),
    );
    const log = checkLog(await vaults.log());
    assertKnown(log, load.signed);
    assert.deepEqual([leavesOf(log, "restored").length, leavesOf(log, "frozen").length], [1, 0]);
    await load.repeatAll();
    await assertVerifies(connections[0]!);
  });

  it("is not said again of a server that has not moved", async () => {
    const refused = await recover("--after-failover");
    assert.deepEqual([refused.code, /not-moved/.test(refused.stdout)], [1, true], refused.stdout);
  });

  it("to a standby that lacks what was promised: it is a restore, whatever the officers would rather say", async () => {
    const standby = await primary.standby();
    servers.push(standby);
    await standby.stop();
    const lost: Signed[] = [];
    for (let n = 0; n < 3; n++) lost.push((await withdraw()).json as unknown as Signed);
    const last = checkLog(await vaults.log()).length;
    await eventually("both anchors hold what will be lost", () => [1, 2].every((number) => anchored(number) >= last));
    await primary.stop("SIGQUIT");
    await standby.start();
    await replaceBy(standby);
    const unwilling = await recover("--after-restore");
    assert.deepEqual([unwilling.code, /start every vault anew/.test(unwilling.stdout)], [1, true], unwilling.stdout);
    await restart([1, 2]);
    const wrong = await recover("--after-failover");
    assert.deepEqual([wrong.code, /promise-broken/.test(wrong.stdout)], [1, true], wrong.stdout);
    assert.equal(await codeOf(connections[0]!), "store-moved");
    const recovered = await recover("--after-restore");
    assert.equal(recovered.code, 0, recovered.stdout);
    await untilAll("client-frozen");
    await eventually("the log is above what was promised", () => anchored(1) > last);
    await assertVerifies(connections[0]!);
  });

  it("a vault that starts on a server that has moved waits for the officers as well", async () => {
    const standby = await primary.standby();
    servers.push(standby);
    await eventually("both anchors are one", () => anchored(1) === anchored(2));
    await restart([]);
    await eventually("the standby follows", async () => (await followers()).length > 0);
    await primary.stop("SIGINT"); // orderly: the standby has everything
    await standby.promote();
    pointTo((primary = standby));
    await restart([1]);
    assert.equal(await codeOf(connections[0]!), "store-moved");
    assert.equal((await recover("--after-failover")).code, 0);
    assert.equal(await codeOf(connections[0]!), "client-frozen", "what was frozen before still is");
    await assertVerifies(connections[0]!);
  });
});
