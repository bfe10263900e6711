import { randomUUID, sign } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { parseAddress } from "../../chains/evm/address.ts";
import { policySigningText, type PolicyBody } from "../../domain/api.ts";
import { addressOf, type Account } from "../../domain/chain.ts";
import { GatewayError, quoted } from "../../domain/errors.ts";
import { HOUSE } from "../../domain/names.ts";
import { compileClient, type CompiledPolicy } from "../../policy/compile.ts";
import type { ClientPolicy } from "../../policy/document.ts";
import { parsePolicy, policyHash } from "../../policy/parse.ts";
import { policyJsonSchema } from "../../policy/schema.ts";
import { requireSupported } from "../../policy/supported.ts";
import { runTests } from "../../policy/test-runner.ts";
import { privateKeyOf } from "../../sdk/caller-file.ts";
import { RefusedError, type GatewayClient } from "../../sdk/client.ts";
import { asOption, clientOf, clientOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output } from "../output.ts";
import { readPolicyFiles } from "../policy-files.ts";

type Active = {
  version: number;
  hash: string;
  appliedAt: string;
  leaf: number;
  entry: string;
  files: Record<string, string>;
};

/** `policy …`: files are checked here, on any machine; they get authority by `apply` alone. */
export function policyCommands(program: Command): void {
  const policy = program.command("policy").description("policies: who may move what, where, how much");
  policy
    .command("check <file>")
    .description("read a policy document as the vault would")
    .addOption(jsonOption())
    .action((file: string, options: CommonOptions) => {
      const checked = check(file);
      output(options.json).result(
        checked,
        `${file}: no findings\n  ${checked.client}, version ${checked.version}, ${checked.hash}`,
      );
    });
  policy
    .command("sign <file>")
    .description("sign a policy as a policy officer, for `apply` by another")
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (file: string, options: CommonOptions) => {
      const gateway = gatewayOf(options);
      const { text, signature } = await signPolicy(gateway, file);
      output(options.json).result(
        { person: gateway.caller.caller, signature, text },
        `${text}\n${gateway.caller.caller}:${signature}`,
      );
    });
  policy
    .command("apply <file>")
    .description("make a policy the active one, with your signature as a policy officer")
    .option("--signature <person:signature...>", "signatures of other officers, as `policy sign` prints them", [])
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (file: string, options: CommonOptions & { signature: string[] }) => {
      const applied = await applyPolicyFile(gatewayOf(options), file, options.signature);
      output(options.json).result(
        applied,
        `${applied.client}: version ${applied.version} is active\n  ${applied.hash}, leaf ${applied.leaf}`,
      );
    });
  policy
    .command("show")
    .description("what is active, since when")
    .option("--at-version <number>", "an older version")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (options: CommonOptions & { atVersion?: string }) => {
      const gateway = gatewayOf(options);
      const query = options.atVersion === undefined ? "" : `?version=${encodeURIComponent(options.atVersion)}`;
      const active = await gateway.get<Active>(`/v1/clients/${clientOf(gateway, options)}/policy${query}`);
      output(options.json).result(
        active,
        `# version ${active.version}, ${active.hash}\n# applied ${active.appliedAt}, leaf ${active.leaf}\n${active.files[active.entry] ?? ""}`,
      );
    });
  policy
    .command("schema")
    .description("the JSON Schema of policy documents, for editors")
    .option("--out <file>", "write it there")
    .action(({ out }: { out?: string }) => {
      if (out === undefined) process.stdout.write(policyJsonSchema());
      else writeFileSync(out, policyJsonSchema());
    });
}

/** The chain's own rule for addresses; the vault applies the same. */
export const checkAccount = (account: string): void => void parseAddress(addressOf(account as Account));

function check(file: string): { client: string; version: number; hash: string } & Pick<PolicyBody, "entry" | "files"> {
  const { entry, files } = readPolicyFiles(file);
  const resolved = requireSupported(parsePolicy(entry, new Map(Object.entries(files)), checkAccount));
  const { document } = resolved;
  if (document.kind === "ClientPolicy") requireTestsPass(document, compileClient(resolved));
  const client = document.kind === "ClientPolicy" ? document.client : HOUSE;
  return { client, version: Number(document.version), hash: policyHash(resolved), entry, files };
}

/** A document's own tests say what its authors meant. @throws {GatewayError} `policy-test-failed` */
function requireTestsPass(document: ClientPolicy, compiled: CompiledPolicy): void {
  const failed = runTests(document, compiled).results.filter(({ passed }) => !passed);
  if (failed.length === 0) return;
  const texts = failed.map(({ name, failures }) => `${quoted(name)}: ${failures.join("; ")}`);
  throw new GatewayError(
    "policy-test-failed",
    `${failed.length} of the document's own tests failed: ${texts.join(" · ")}`,
    {
      facts: { failed: failed.map(({ name, failures }) => ({ name, failures })) },
    },
  );
}

async function signPolicy(gateway: GatewayClient, file: string) {
  const { client, version, hash, entry, files } = check(file);
  const previous = await activePolicy(gateway, client);
  if (previous && previous.version >= version) {
    throw new GatewayError(
      "policy-conflict",
      `expected a version above ${previous.version}, which is active, found ${version}`,
      {
        hint: "raise `version` in the document",
      },
    );
  }
  const text = policySigningText({
    origin: gateway.caller.gateway,
    client,
    version,
    hash,
    previousHash: previous?.hash ?? null,
  });
  const signature = sign(null, Buffer.from(text), privateKeyOf(gateway.caller)).toString("base64");
  return { client, entry, files, text, signature };
}

async function activePolicy(gateway: GatewayClient, client: string): Promise<Active | undefined> {
  try {
    return await gateway.get<Active>(`/v1/clients/${client}/policy`);
  } catch (error) {
    if (error instanceof RefusedError && error.code === "policy-not-found") return undefined;
    throw error;
  }
}

export async function applyPolicyFile(
  gateway: GatewayClient,
  file: string,
  others: readonly string[] = [],
): Promise<Active & { client: string }> {
  const { client, entry, files, signature } = await signPolicy(gateway, file);
  const signatures = [{ person: gateway.caller.caller, signature }, ...others.map(readSignature)];
  const body = { entry, files, signatures };
  return gateway.call("PUT", `/v1/clients/${client}/policy`, { body, idempotencyKey: randomUUID() });
}

function readSignature(text: string): { person: string; signature: string } {
  const match = /^([a-z0-9-]{1,24}):(.+)$/.exec(text);
  if (!match) throw new GatewayError("usage", "expected `--signature` as `person:signature`");
  return { person: match[1]!, signature: match[2]! };
}
