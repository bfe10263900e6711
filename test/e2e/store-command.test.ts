import assert from "node:assert/strict";
import { join } from "node:path";
import Database from "better-sqlite3";
import type { PostgresOptions } from "../../src/adapters/postgres/session.ts";
import { KillableVault } from "../support/killable-vault.ts";
import { PostgresServer } from "../support/postgres.ts";
import { run } from "../support/program.ts";
import { FOUNDING, GATEWAY } from "../support/withdrawals.ts";

// Goal: an administrator of the database sees what a vault would make of it, and brings its schema up to date, without a
// vault; a store of a newer version is left as it is.
// Method: the commands as they are typed, on a founded gateway's configuration and both stores.

type Status = {
  readonly usable: boolean;
  readonly schema: { readonly found: number; readonly expected: number };
  readonly reasons: readonly { readonly code: string }[];
  readonly log?: { readonly leaves: number };
};

describe("portcullis store", function () {
  const command = async <T>(vault: KillableVault, name: string) => {
    const { code, stdout } = await run(["store", name, "--config", join(vault.folder, "portcullis.yaml"), "--json"]);
    return { code, said: JSON.parse(stdout) as T };
  };
  const status = async (vault: KillableVault) => {
    const { code, said } = await command<Status>(vault, "status");
    const { usable, schema, reasons, log } = said;
    return { code, usable, schema, reasons: reasons.map((reason) => reason.code), leaves: log?.leaves };
  };
  type Migrated = { readonly from: number; readonly to: number; readonly error?: { readonly code: string } };
  const migrate = (vault: KillableVault) => command<Migrated>(vault, "migrate");

  it("on SQLite: usable as `init` left it, nothing to migrate; of a newer version refused, and left alone", async () => {
    const vault = await KillableVault.founded(GATEWAY, FOUNDING);
    try {
      const { schema, ...found } = await status(vault);
      assert.deepEqual(found, { code: 0, usable: true, reasons: [], leaves: 1 });
      assert.deepEqual(await migrate(vault), { code: 0, said: { from: schema.expected, to: schema.expected } });
      const database = new Database(join(vault.folder, "vault", "portcullis.db"));
      database.pragma(`user_version = ${schema.expected + 1}`);
      database.close();
      const newer = await status(vault);
      assert.deepEqual([newer.code, newer.usable, newer.reasons], [1, false, ["store-too-new"]]);
      const { code, said } = await migrate(vault);
      assert.deepEqual(
        [code, said.error!.code, (await status(vault)).schema.found],
        [1, "store-too-new", schema.expected + 1],
      );
    } finally {
      vault.remove();
    }
  });

  describe("on PostgreSQL", () => {
    let postgres: PostgresServer;
    let database: PostgresOptions;
    let vault: KillableVault;
    before(async () => {
      postgres = await PostgresServer.started();
      database = await postgres.database();
      vault = await KillableVault.founded(GATEWAY, FOUNDING, database);
    });
    after(async () => {
      vault?.remove();
      await postgres?.remove();
    });
    const sql = (text: string) => postgres.as(database.database, (client) => client.query(text));

    it("usable as `init` left it", async () => {
      const { schema, ...found } = await status(vault);
      assert.deepEqual(found, { code: 0, usable: true, reasons: [], leaves: 1 });
      assert.equal(schema.found, schema.expected);
    });

    it("of a newer version refused, and left alone", async () => {
      await sql("UPDATE portcullis.head SET schema = schema + 1");
      const newer = await status(vault);
      const { code, said } = await migrate(vault);
      assert.deepEqual([newer.code, newer.reasons, code, said.error!.code], [1, ["store-too-new"], 1, "store-too-new"]);
      await sql("UPDATE portcullis.head SET schema = schema - 1");
      assert.equal((await status(vault)).usable, true);
    });

    it("a setting by which COMMITs could be lost is named", async () => {
      await sql(`ALTER DATABASE ${database.database} SET synchronous_commit = off`);
      const found = await status(vault);
      assert.deepEqual([found.code, found.reasons], [1, ["store-not-durable"]]);
      await sql(`ALTER DATABASE ${database.database} RESET synchronous_commit`);
    });

    it("an empty database is refused, and migrated by one of two that do it at once", async () => {
      await sql("DROP SCHEMA portcullis CASCADE");
      const { code, reasons, schema } = await status(vault);
      assert.deepEqual([code, reasons, schema.found], [1, ["store-too-old"], 0]);
      const both = await Promise.all([migrate(vault), migrate(vault)]);
      const { expected } = schema;
      assert.deepEqual(
        both.map(({ said }) => [said.from, said.to]).sort(([a], [b]) => a! - b!),
        [
          [0, expected],
          [expected, expected],
        ],
      );
      const { usable, leaves } = await status(vault);
      assert.deepEqual([usable, leaves], [true, 0]);
    });
  });
});
