import assert from "node:assert/strict";
import type { PostgresStore } from "../../src/config.ts";
import { KillableVault, type Connection, type RunningProcess, type SocketAnswer } from "../support/killable-vault.ts";
import { PostgresServer } from "../support/postgres.ts";
import { FOUNDING, furnish, GATEWAY, people, post } from "../support/withdrawals.ts";

// Goal: an administrator of the database who changes rows under a vault that runs has nothing signed by it (I19).
// Method: a real vault on a real PostgreSQL. One row is changed, and the vault is made to read it again as if another vault
// had written since; then a withdrawal is asked for. What was changed is put back before the next.

describe("a database that is changed under a running vault", function () {
  let postgres: PostgresServer;
  let database: PostgresStore;
  let vault: KillableVault;
  let running: RunningProcess | undefined;
  let connection: Connection;
  let keys = 0;

  /** All of it at one moment of the vault's, which appends checkpoints and heartbeats at times of its own. */
  const sql = (...texts: string[]) =>
    postgres.as(database.database, async (client) => {
      await client.query("SET search_path TO portcullis; SET session_replication_role = replica");
      await client.query("BEGIN; SELECT FROM head FOR UPDATE");
      for (const text of [...texts, "COMMIT"]) await client.query(text);
    });
  const start = async () => {
    running = await vault.start();
    connection = await vault.connect();
  };
  const stop = async () => {
    connection?.close();
    await running?.kill();
    running = undefined;
  };
  const signed = () =>
    postgres.as(database.database, async (client) => {
      const { rows } = await client.query(
        `SELECT count(*) FROM portcullis.leaves WHERE opening LIKE '{"type":"signed"%'`,
      );
      return Number((rows as { count: string }[])[0]!.count);
    });
  const withdraw = (key = `withdrawal-${keys++}`, fields: Record<string, string> = {}) =>
    post(connection, key, 1, fields);

  before(async () => {
    postgres = await PostgresServer.started();
    database = await postgres.database();
    vault = await KillableVault.founded(GATEWAY, FOUNDING, database);
    await start();
    await furnish(connection);
    for (const key of ["first", "second"]) assert.equal((await withdraw(key)).status, 201);
  });
  after(async () => {
    await stop();
    vault?.remove();
    await postgres?.remove();
  });

  const CASES: readonly (readonly [what: string, table: string, change: string, ask: () => Promise<SocketAnswer>])[] = [
    ["spent sums are zero", "spend", "UPDATE spend SET amount = 0, total = 0", () => withdraw()],
    ["the next nonce is lowered", "nonces", "UPDATE nonces SET next = 0", () => withdraw()],
    ["a request is gone", "requests", "DELETE FROM requests", () => withdraw("first")],
    [
      "a public key is another",
      "keys",
      "UPDATE keys SET public_key = decode(repeat('04', 65), 'hex')",
      () => withdraw(),
    ],
    [
      "a client's last leaf is gone",
      "leaves",
      "DELETE FROM leaves WHERE idx = (SELECT max(idx) FROM leaves)",
      () => withdraw(),
    ],
  ];

  for (const [what, table, change, ask] of CASES) {
    it(`${what}: integrity, and nothing is signed`, async () => {
      const before = await signed();
      assert.ok(before >= 2);
      await sql(
        `CREATE TABLE kept AS TABLE ${table}`,
        change,
        "UPDATE head SET version = version + 1",
        "UPDATE clients SET revision = revision + 1",
      );
      for (let n = 0; n < 2; n++) {
        const { status, json } = await ask();
        assert.deepEqual([status, json["code"]], [503, "integrity"], JSON.stringify(json));
      }
      assert.ok((await signed()) <= before);
      await stop();
      await sql(`DELETE FROM ${table}`, `INSERT INTO ${table} TABLE kept`, "DROP TABLE kept");
      await start();
      assert.equal((await withdraw()).status, 201, "put back, it goes on");
    });
  }

  it("the sealed PINs of two clients are swapped: a vault that starts logs in to neither, and signs for neither", async () => {
    const other = await connection.send(people.operator, "POST", "/v1/clients", { client: "blue" }, "blue");
    assert.equal(other.status, 201);
    await stop();
    const swap = `UPDATE pins SET sealed = other.sealed FROM pins AS other
      WHERE (pins.name, other.name) IN (('acme', 'blue'), ('blue', 'acme'))`;
    await sql(swap);
    await start();
    const before = await signed();
    const { status, json } = await withdraw();
    assert.deepEqual([status, json["code"]], [503, "seal-broken"], JSON.stringify(json));
    assert.equal(await signed(), before);
    await stop();
    await sql(swap);
    await start();
    assert.equal((await withdraw()).status, 201, "put back, it goes on");
  });

  it("a freeze that is taken out of its row", async () => {
    const frozen = await connection.send(people.operator, "POST", "/v1/clients/acme/freeze", {}, "freeze");
    assert.equal(frozen.status, 201);
    await sql(
      "UPDATE clients SET status = 'active', freezes = '[]', revision = revision + 1 WHERE id = 'acme'",
      "UPDATE head SET version = version + 1",
    );
    const { status, json } = await withdraw();
    assert.deepEqual([status, json["code"]], [503, "integrity"]);
    await stop();
    await start();
    // Of whom not even the callers are known, nobody is proven: the answer is bound to no request.
    await assert.rejects(withdraw(), /integrity/, "nor by a vault that starts then");
  });
});
