import { Command, CommanderError } from "commander";
import { GatewayError } from "../domain/errors.ts";
import { approvalCommands } from "./commands/approval.ts";
import { assetCommands } from "./commands/assets.ts";
import { callerCommands } from "./commands/caller.ts";
import { clockCommands } from "./commands/clock.ts";
import { clientCommands } from "./commands/client.ts";
import { decodeCommand } from "./commands/decode.ts";
import { devCommand } from "./commands/dev.ts";
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
import { EXIT, printError } from "./output.ts";

export async function runCli(argv: string[], host: Host): Promise<void> {
  const program = new Command("portcullis")
    .description("Signing gateway for those who hold crypto assets for others")
    .showHelpAfterError("(run with --help for the usage)")
    // An option behind a subcommand is that subcommand's own, also where its parent has one of the same name.
    .enablePositionalOptions()
    .exitOverride();
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
  inherit(program);
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    // Commander has printed its own usage errors already.
    if (!(error instanceof CommanderError)) printError(error, argv.includes("--json"));
  }
}

/** Subcommands end by throwing as well, so that exit codes have one place. */
function inherit(command: Command): void {
  for (const child of command.commands) {
    child.copyInheritedSettings(command);
    inherit(child);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  return error instanceof GatewayError && error.code === "usage" ? EXIT.usage : EXIT.refused;
}
