import { Option, type Command } from "commander";
import { GatewayError } from "../../domain/errors.ts";
import { CallerName, ROLES } from "../../domain/names.ts";
import { newCaller, readGatewayFile, writeCallerFile, type CallerAlgorithm } from "../../sdk/caller-file.ts";
import { jsonOption, type CommonOptions } from "../options.ts";
import { output } from "../output.ts";

/** `caller keygen`: a caller's key is made where the caller is; the gateway learns the public half from the policy. */
export function callerCommands(program: Command): void {
  program
    .command("caller")
    .description("identities that call the gateway")
    .command("keygen <name>")
    .description("make a caller's key pair and its caller file")
    .requiredOption("--gateway <file>", "gateway.json, as `portcullis init` wrote it")
    .option("--client <id>", "the client that the caller belongs to")
    .addOption(
      new Option("--algorithm <name>", "of the key pair").choices(["ed25519", "ecdsa-p256"]).default("ed25519"),
    )
    .addOption(
      new Option("--role <role>", "of the lines for the policy document that are printed")
        .choices(ROLES)
        .default("wallet-service"),
    )
    .option("--out <file>", "where to write the caller file (0600); default NAME.json")
    .addOption(jsonOption())
    .action(
      (
        name: string,
        options: CommonOptions & { gateway: string; algorithm: CallerAlgorithm; role: string; out?: string },
      ) => {
        if (!CallerName.safeParse(name).success)
          throw new GatewayError("usage", "expected a name of 1 to 24 characters of `a-z`, `0-9` and `-`");
        const path = options.out ?? `${name}.json`;
        const caller = newCaller(readGatewayFile(options.gateway), name, options.client, options.algorithm);
        writeCallerFile(path, caller);
        output(options.json).result(
          { file: path, caller: name, publicKey: caller.publicKey },
          `${path} holds the private key of ${name}: keep it where ${name} runs, nowhere else\nfor the policy document, under \`callers\`:\n  ${name}: { role: ${options.role}, keys: ["${caller.publicKey}"] }`,
        );
      },
    );
}
