import { GatewayError } from "../../domain/errors.ts";
import { asGatewayError } from "./errors.ts";
import { clusterOf, requireSchema } from "./head.ts";
import { MIGRATIONS } from "./migrations.ts";
import { Session, type PostgresOptions } from "./session.ts";

/** Any number, the same in every version: whoever migrates waits for whoever does it already. */
const MIGRATION_LOCK = 7_078_210_016;

/** The schema that is there; 0 where there is none. */
export async function schemaVersion(session: Session): Promise<number> {
  const [there] = await session.run("SELECT to_regclass('portcullis.head') IS NOT NULL AS there");
  if (!there!["there"]) return 0;
  const [head] = await session.run("SELECT schema FROM portcullis.head");
  return head!["schema"]!;
}

/**
 * Brings the schema up to this version's, in one transaction: of two at the same instant one waits for the other and then
 * finds nothing to do, and a group that is being written is waited for as well.
 * @returns the schema that was there, and the one that is there now
 * @throws {GatewayError} `store-too-new`, `store-unavailable`
 */
export async function migratePostgres(options: PostgresOptions): Promise<{ from: number; to: number }> {
  const session = await Session.open(options);
  try {
    const cluster = await clusterOf(session);
    await session.run("BEGIN");
    await session.run("SELECT pg_advisory_xact_lock($1)", [MIGRATION_LOCK]);
    const from = await schemaVersion(session);
    if (from > MIGRATIONS.length) requireSchema(from);
    if (from === 0) await session.script("CREATE SCHEMA IF NOT EXISTS portcullis");
    else await session.run("SELECT schema FROM head FOR UPDATE");
    for (const step of MIGRATIONS.slice(from)) await session.script(step);
    if (from === 0)
      await session.run("INSERT INTO head (schema, version, system_identifier, timeline) VALUES (0, 0, $1, $2)", [
        cluster.systemIdentifier,
        cluster.timeline,
      ]);
    await session.run("UPDATE head SET schema = $1", [MIGRATIONS.length]);
    await session.commit();
    return { from, to: MIGRATIONS.length };
  } catch (error) {
    throw asGatewayError(error);
  } finally {
    await session.close();
  }
}

/** @throws {GatewayError} `store-not-initialised`, `store-too-old`, `store-too-new` */
export async function requireMigrated(session: Session): Promise<void> {
  const schema = await schemaVersion(session);
  if (schema === 0)
    throw new GatewayError("store-too-old", "expected the schema of Portcullis in this database, found none", {
      hint: "`portcullis init` or `portcullis store migrate` makes it",
    });
  requireSchema(schema);
}
