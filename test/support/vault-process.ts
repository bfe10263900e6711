import { createInterface } from "node:readline";
import Database from "better-sqlite3";
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

/** Statements are prepared through this prototype: the COMMIT of the store meets us here. */
type Prepare = (this: Database.Database, sql: string) => Database.Statement;
const prototype = Database.prototype as unknown as { prepare: Prepare };
const prepare = prototype.prepare;
prototype.prepare = function (sql) {
  const statement = prepare.call(this, sql);
  if (sql !== "COMMIT") return statement;
  return {
    run: () => {
      if (armed && lastStep && COMMITS[lastStep] === armed) die();
      return statement.run();
    },
  } as unknown as Database.Statement;
};

const stepDone = (step: SignStep): void => {
  lastStep = step;
  if (armed === step) die();
};

const vault = await startVault({ config: readConfig(process.argv[2]!), isolation: "none (a test)", stepDone });
process.stdout.write("ready\n");
createInterface({ input: process.stdin })
  .on("line", (line) => {
    armed = line as Place;
    process.stdout.write(`armed ${line}\n`);
  })
  .on("close", () => void vault.stop());
