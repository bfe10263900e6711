import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { ConnectionLost, KillableVault, type Connection, type RunningProcess } from "../support/killable-vault.ts";
import { checkLog } from "../support/log-check.ts";
import { PLACES, type Place } from "../support/places.ts";
import { PostgresServer } from "../support/postgres.ts";
import {
  assertKnown,
  assertLimits,
  assertOnce,
  assertVerifies,
  counted,
  FEE,
  FOUNDING,
  furnish,
  GATEWAY,
  Load,
  post,
  type Signed,
} from "../support/withdrawals.ts";

// Goal: no crash may leave a signature that the log does not know about (I4), a limit that was exceeded or a spend that
// was forgotten (I5), or a request with two answers (I6).
// Method: a vault in a process of its own, on SoftHSM and each of the stores, killed with SIGKILL: at each of the seven steps, inside
// their two transactions, and at random moments under load; then restarted on what it left. The log is checked by other
// code, signatures are read by ethers.

const SOAK = process.env["SOAK"] !== undefined;
const KILLS_ON = { SQLite: SOAK ? 300 : 40, PostgreSQL: SOAK ? 300 : 20 };
for (const on of ["SQLite", "PostgreSQL"] as const)
  describe(`crashes, on ${on}`, function () {
    this.timeout(SOAK ? 3_600_000 : 1_200_000);
    const KILLS = KILLS_ON[on];
    let postgres: PostgresServer | undefined;
    let vault: KillableVault;
    let running: RunningProcess;
    let connection: Connection;

    const restart = async (): Promise<void> => {
      connection?.close();
      running = await vault.start();
      connection = await vault.connect();
    };
    before(async () => {
      if (on === "PostgreSQL") postgres = await PostgresServer.started();
      vault = await KillableVault.founded(GATEWAY, FOUNDING, await postgres?.database());
      await restart();
      await furnish(connection);
    });
    after(async () => {
      connection?.close();
      await running?.kill();
      vault?.remove();
      await postgres?.remove();
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
        const leavesBefore = checkLog(await vault.log()).length;
        await running.arm(place);
        await assert.rejects(post(connection, key, value), ConnectionLost);
        await running.ended;
        // A heartbeat comes at its own time.
        const left = checkLog(await vault.log())
          .slice(leavesBefore)
          .filter(({ opening }) => opening.type !== "heartbeat");
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

        const log = checkLog(await vault.log());
        assertKnown(log, [first.json as unknown as Signed]);
        assertLimits(log);
        const ofIt = log.filter(({ opening }) => opening["request"] === first.json["id"]);
        assert.deepEqual(
          ofIt.map(({ opening }) => opening.type),
          [
            ...new Set([
              ...LEFT[place],
              ...(LEFT[place].at(-1) === "authorized" ? ["attempted"] : ["authorized"]),
              "signed",
            ]),
          ],
          "one authorization, one signature; what was left is another attempt",
        );
      });
    }

    it(`killed ${KILLS} times at random moments under load`, async () => {
      const load = new Load(() => connection);
      const workers = Array.from({ length: 6 }, () => load.work());
      const killing = async (): Promise<void> => {
        // A busy machine may not come to sign anything between two kills: then there are more of them.
        for (let kill = 0; kill < KILLS || load.signed.length <= KILLS / 4; kill++) {
          await sleep(20 + Math.random() * 150);
          await running.kill();
          // Whatever the dead vault gave away was read before its connection's end is seen.
          await sleep(0);
          // The log only grows, so a later look sees what an earlier one would have; in a soak it gets long.
          if (!SOAK || kill % 20 === 0) {
            const left = checkLog(await vault.log());
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

      const log = checkLog(await vault.log());
      assertKnown(log, load.signed);
      assertLimits(log);
      assertOnce(log);
      assert.ok(load.signed.length > KILLS / 4, `only ${load.signed.length} were signed`);
      assert.ok(load.interrupted > KILLS / 4, `only ${load.interrupted} were under way when a vault died`);
      await load.repeatAll();
    });

    it("`log verify` passes on all of it", async () => assertVerifies(connection));
  });
