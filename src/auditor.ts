import { evmChainReader } from "./adapters/evm-node/reader.ts";
import { evidenceCommands } from "./cli/commands/evidence.ts";
import { liabilitiesCommands } from "./cli/commands/liabilities.ts";
import { logCommands } from "./cli/commands/log.ts";
import { proveControlCommands } from "./cli/commands/prove-control.ts";
import { segregationCommands } from "./cli/commands/segregation.ts";
import { statementCommands } from "./cli/commands/statement.ts";
import { newProgram, runProgram } from "./cli/run-program.ts";

/*
 * Entry of `dist/portcullis-audit.cjs`: the auditor's commands in one file that needs Node.js and nothing else, so that who
 * checks a custodian installs nothing of the custodian's.
 */

const program = newProgram("portcullis-audit", "Checks what a Portcullis gateway says, without believing it");
evidenceCommands(program);
logCommands(program, { readChain: evmChainReader });
statementCommands(program);
segregationCommands(program);
proveControlCommands(program);
liabilitiesCommands(program);
void runProgram(program, process.argv);
