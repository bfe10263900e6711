import { existsSync } from "node:fs";
import SqliteDatabase, { type Database } from "better-sqlite3";
import { GatewayError } from "../../domain/errors.ts";
import { MIGRATIONS } from "./migrations.ts";

/** Opens the file for a vault of its own, and brings its schema up to this version's. */
export function openDatabase(path: string): Database {
  let database: Database | undefined;
  try {
    database = new SqliteDatabase(path, { timeout: 5000 });
    // One file, one vault: a second one would decide beside the first's memory. The lock ends with the process.
    database.pragma("locking_mode = EXCLUSIVE");
    database.pragma("journal_mode = WAL");
    // COMMIT leaves the syncing of the log to `WalSync`; checkpoints and the log's restart are still synced by SQLite.
    database.pragma("synchronous = NORMAL");
    database.pragma("wal_autocheckpoint = 8000"); // pages: a checkpoint stops the vault, so it comes seldom
    database.pragma("foreign_keys = ON");
    database.pragma("trusted_schema = OFF");
    migrate(database);
    return database;
  } catch (error) {
    database?.close(); // or its lock would outlive the attempt
    if (error instanceof GatewayError) throw error;
    throw new GatewayError("store-unavailable", `cannot open the store \`${path}\`: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function migrate(database: Database): void {
  // IMMEDIATE: of two starts at the same instant one waits for the other and then finds nothing to do.
  database
    .transaction(() => {
      const version = database.pragma("user_version", { simple: true }) as number;
      if (version > MIGRATIONS.length) {
        throw new GatewayError("store-too-new", `expected a schema up to ${MIGRATIONS.length}, found ${version}`, {
          hint: "this store was written by a newer Portcullis: use that one",
        });
      }
      for (const step of MIGRATIONS.slice(version)) database.exec(step);
      database.pragma(`user_version = ${MIGRATIONS.length}`);
    })
    .immediate();
}

/** @throws {GatewayError} `store-unavailable`: no command makes a store that `init` did not make */
function requireThere(path: string): void {
  if (!existsSync(path))
    throw new GatewayError("store-unavailable", `expected a store at \`${path}\`, found none`, {
      hint: "`portcullis init` makes it",
    });
}

const schemaOf = (database: Database): number => database.pragma("user_version", { simple: true }) as number;

/** What every start does as well: one file has one vault, and it migrates its own. */
export function migrateSqlite(path: string): { from: number; to: number } {
  requireThere(path);
  const from = inFile(path, schemaOf);
  openDatabase(path).close();
  return { from, to: MIGRATIONS.length };
}

export function sqliteStatus(path: string) {
  requireThere(path);
  return inFile(path, (database) => {
    const found = schemaOf(database);
    const last =
      found === 0 ? undefined : database.prepare("SELECT idx, at FROM leaves ORDER BY idx DESC LIMIT 1").get();
    const { idx, at } = (last ?? { idx: -1, at: null }) as { idx: number; at: number | null };
    return {
      store: "sqlite" as const,
      schema: { found, expected: MIGRATIONS.length },
      usable: found <= MIGRATIONS.length,
      reasons:
        found <= MIGRATIONS.length
          ? []
          : [{ code: "store-too-new", message: `expected a schema up to ${MIGRATIONS.length}, found ${found}` }],
      log: { leaves: idx + 1, lastAt: at === null ? null : new Date(at).toISOString() },
    };
  });
}

/** Reads beside nobody: a running vault keeps the file for itself. */
function inFile<T>(path: string, read: (database: Database) => T): T {
  let database: Database | undefined;
  try {
    database = new SqliteDatabase(path, { readonly: true, timeout: 1000 });
    return read(database);
  } catch (error) {
    throw new GatewayError("store-unavailable", `cannot read the store \`${path}\`: ${(error as Error).message}`, {
      cause: error,
      hint: "a vault that runs keeps the file for itself: stop it first",
    });
  } finally {
    database?.close();
  }
}
