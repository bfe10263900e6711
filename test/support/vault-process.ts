import { createInterface } from "node:readline";
import Database from "better-sqlite3";
import pg from "pg";
import { readConfig } from "../../src/config.ts";
import { startVault } from "../../src/main.ts";
import type { SignStep } from "../../src/vault/sign.ts";
import type { Place } from "./places.ts";

/*
 * The vault as a process that can be told where to die. Argument: the configuration. Lines on stdin name a place; the
 * next request that comes there takes the process with it, as a power cut would: SIGKILL, no handler, no flush.
 */

let armed: Place | undefined;
let lastStep: SignStep | undefined;

const die = (): void => void process.kill(process.pid, "SIGKILL");

/** The only transaction that follows the decision is the reservation's, the only one after the check is the record's. */
const COMMITS: Partial<Record<SignStep, Place>> = {
  Decide: "before COMMIT of Reserve",
  Verify: "before COMMIT of Record",
};

const atCommit = (): void => {
  if (armed && lastStep && COMMITS[lastStep] === armed) die();
};

/** SQLite's statements are prepared through this prototype: the COMMIT of the store meets us here. */
type Prepare = (this: Database.Database, sql: string) => Database.Statement;
const prototype = Database.prototype as unknown as { prepare: Prepare };
const prepare = prototype.prepare;
prototype.prepare = function (sql) {
  const statement = prepare.call(this, sql);
  if (sql !== "COMMIT") return statement;
  return {
    run: () => {
      atCommit();
      return statement.run();
    },
  } as unknown as Database.Statement;
};

/** PostgreSQL's pass through this one: everything before COMMIT is on its way by then. */
type Query = (this: pg.Client, config: { text?: string }, ...others: unknown[]) => unknown;
const client = pg.Client.prototype as unknown as { query: Query };
const query = client.query;
client.query = function (config, ...others) {
  if (config.text === "COMMIT") atCommit();
  return query.call(this, config, ...others);
};

const stepDone = (step: SignStep): void => {
  lastStep = step;
  if (armed === step) die();
};

const vault = await startVault({
  config: readConfig(process.argv[2]!),
  isolation: "none (a test)",
  stepDone,
  snapshotLeaves: 20, // so that vaults that die soon begin with one, and die while they write one
});
process.stdout.write("ready\n");
createInterface({ input: process.stdin })
  .on("line", (line) => {
    armed = line as Place;
    process.stdout.write(`armed ${line}\n`);
  })
  .on("close", () => void vault.stop());
