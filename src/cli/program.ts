import { approvalCommands } from "./commands/approval.ts";
import { assetCommands } from "./commands/assets.ts";
import { callerCommands } from "./commands/caller.ts";
import { clockCommands } from "./commands/clock.ts";
import { clientCommands } from "./commands/client.ts";
import { decodeCommand } from "./commands/decode.ts";
import { devCommand } from "./commands/dev.ts";
import { evidenceCommands } from "./commands/evidence.ts";
import { freezeCommands } from "./commands/freeze.ts";
import { governanceCommands } from "./commands/governance.ts";
import { liabilitiesCommands } from "./commands/liabilities.ts";
import { logCommands } from "./commands/log.ts";
import { notifyCommand } from "./commands/notify.ts";
import { policyCommands } from "./commands/policy.ts";
import { processCommands } from "./commands/processes.ts";
import { reconcileCommand } from "./commands/reconcile.ts";
import { recoverCommand } from "./commands/recover.ts";
import { requestCommands } from "./commands/request.ts";
import { lienCommands } from "./commands/lien.ts";
import { returnAssetsCommand } from "./commands/return-assets.ts";
import { proveControlCommands } from "./commands/prove-control.ts";
import { segregationCommands } from "./commands/segregation.ts";
import { statementCommands } from "./commands/statement.ts";
import { storeCommands } from "./commands/store.ts";
import type { Host } from "./host.ts";
import { newProgram, runProgram } from "./run-program.ts";

/** As package.json has it: a test compares. No file is read for it, so that bundles need none beside them. */
const VERSION = "0.1.0";

export async function runCli(argv: string[], host: Host): Promise<void> {
  const program = newProgram("portcullis", "Signing gateway for those who hold crypto assets for others").version(
    VERSION,
  );
  processCommands(program, host);
  devCommand(program, host);
  storeCommands(program, host);
  clientCommands(program);
  callerCommands(program);
  policyCommands(program);
  requestCommands(program);
  freezeCommands(program, host);
  approvalCommands(program);
  notifyCommand(program);
  governanceCommands(program);
  recoverCommand(program, host);
  logCommands(program, host);
  assetCommands(program);
  clockCommands(program);
  decodeCommand(program);
  reconcileCommand(program, host);
  statementCommands(program);
  lienCommands(program);
  returnAssetsCommand(program, host);
  proveControlCommands(program);
  segregationCommands(program);
  liabilitiesCommands(program);
  evidenceCommands(program);
  await runProgram(program, argv);
}
