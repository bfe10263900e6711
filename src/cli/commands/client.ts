import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { asOption, clientOf, clientOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output, table } from "../output.ts";

type KeyView = {
  name: string;
  state: string;
  purpose: string;
  accounts: string[];
  usable: boolean;
  refused?: { detail: string };
};
type ClientView = {
  client: string;
  status: string;
  available: boolean;
  token: { serial: string };
  keys: string[];
  policy: { version: number } | null;
};

/** `client …` and `key …`: what an operator does, by the API like everybody else. */
export function clientCommands(program: Command): void {
  const client = program.command("client").description("clients: whose assets these are; one token each");
  client
    .command("add <id>")
    .description("make a client with a token of its own")
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (id: string, options: CommonOptions) => {
      const added = await gatewayOf(options).call<{ token: { label: string; serial: string } }>("POST", "/v1/clients", {
        body: { client: id },
        idempotencyKey: randomUUID(),
      });
      output(options.json).result(
        added,
        `client ${id} has token ${added.token.label} (serial ${added.token.serial})\nnext: portcullis key create NAME --client ${id} --chain eip155:1`,
      );
    });
  client
    .command("list")
    .description("all clients, with token, keys and active policy")
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (options: CommonOptions) => {
      const { clients } = await gatewayOf(options).get<{ clients: ClientView[] }>("/v1/clients");
      const rows = clients.map(({ client: id, status, available, token, keys, policy }) => [
        id,
        status,
        available ? `token ${token.serial}` : "token unavailable",
        policy ? `policy ${policy.version}` : "no policy",
        keys.join(", ") || "no keys",
      ]);
      output(options.json).result(
        { clients },
        rows.length > 0 ? table(rows) : "no clients yet: `portcullis client add ID`",
      );
    });

  const key = program.command("key").description("keys: born in the client's token, never outside it");
  key
    .command("create <name>")
    .description("have the client's token make a key pair")
    .requiredOption("--chain <id...>", "EVM chains on which it lives for ever, e.g. eip155:1")
    .option("--purpose <purpose>", "transactions, or raw for raw digests only", "transactions")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (name: string, options: CommonOptions & { chain: string[]; purpose: string }) => {
      const gateway = gatewayOf(options);
      const made = await gateway.call<KeyView>("POST", `/v1/clients/${clientOf(gateway, options)}/keys`, {
        body: { name, chains: options.chain, purpose: options.purpose },
        idempotencyKey: randomUUID(),
      });
      output(options.json).result(
        made,
        `key ${made.name}\n${made.accounts.map((account) => `  ${account}`).join("\n")}`,
      );
    });
  key
    .command("list")
    .description("a client's keys, with addresses and state")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (options: CommonOptions) => {
      const gateway = gatewayOf(options);
      const listed = await gateway.get<{ keys: KeyView[] }>(`/v1/clients/${clientOf(gateway, options)}/keys`);
      const rows = listed.keys.map(({ name, state, purpose, usable, refused, accounts }) => [
        name,
        usable ? state : `REFUSED: ${refused?.detail ?? state}`,
        purpose,
        accounts.join(" "),
      ]);
      output(options.json).result(
        listed,
        rows.length > 0 ? table(rows) : "no keys yet: `portcullis key create NAME --chain eip155:1`",
      );
    });
}
