import type { Command } from "commander";
import { policyFileCommands } from "./policy-on-files.ts";
import { policyGatewayCommands } from "./policy-on-gateway.ts";
import { policyInitCommand } from "./policy-init.ts";

/** `policy …`: files are written, checked and compared here, on any machine; they get authority by `apply` alone. */
export function policyCommands(program: Command): void {
  const policy = program.command("policy").description("policies: who may move what, where, how much");
  policyInitCommand(policy);
  policyFileCommands(policy);
  policyGatewayCommands(policy);
}
