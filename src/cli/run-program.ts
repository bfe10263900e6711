import { Command, CommanderError } from "commander";
import { GatewayError } from "../domain/errors.ts";
import { EXIT, printError } from "./output.ts";
import { VERSION } from "./version.ts";

export const newProgram = (name: string, description: string): Command =>
  new Command(name)
    .description(description)
    .version(VERSION)
    .showHelpAfterError("(run with --help for the usage)")
    // An option behind a subcommand is that subcommand's own, also where its parent has one of the same name.
    .enablePositionalOptions()
    .exitOverride();

/** Runs what the arguments name; errors are printed, and become the exit code. */
export async function runProgram(program: Command, argv: string[]): Promise<void> {
  inherit(program);
  process.stdout.on("error", outputFailed);
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    // Commander has printed its own usage errors already.
    if (!(error instanceof CommanderError)) printError(error, argv.includes("--json"));
  }
}

/** Whoever has read enough, as `head` does, takes nothing from the verdict; what could not be written is a failure. */
function outputFailed(error: NodeJS.ErrnoException): void {
  if (error.code === "EPIPE") return;
  process.stderr.write(`output-failed: cannot write the result: ${error.message}\n`);
  process.exitCode = EXIT.refused;
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
