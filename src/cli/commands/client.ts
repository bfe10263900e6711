import { randomUUID } from "node:crypto";
import { Option, type Command } from "commander";
import { CURVES } from "../../domain/api.ts";
import { GatewayError } from "../../domain/errors.ts";
import { asOption, clientOf, clientOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output, table } from "../output.ts";
import { readPinFile } from "../pin-file.ts";
import { attestCommand } from "./statement.ts";

type KeyView = {
  name: string;
  state: string;
  purpose: string;
  curve: string;
  accounts: string[];
  usable: boolean;
  refused?: { detail: string };
};
type ClientView = {
  client: string;
  status: string;
  freezes: { target: string }[];
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
    .description("make a client with a token of its own, or give it one that the HSM's administrators made")
    .option("--token <label>", "adopt this token: empty, or with keys that prove themselves")
    .option("--pin-file <file>", "with --token: its user PIN; replaced at once by one that nobody knows")
    .option("--chain <id...>", "with --token: EVM chains on which keys in it live for ever", [])
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (id: string, options: CommonOptions & AdoptOptions) => {
      const adopt = adoptionOf(options);
      const added = await gatewayOf(options).call<AddedClient>("POST", "/v1/clients", {
        body: { client: id, ...(adopt ? { adopt } : {}) },
        idempotencyKey: randomUUID(),
      });
      output(options.json).result(
        added,
        `client ${id} has token ${added.token.label} (serial ${added.token.serial})\n${keptText(added)}next: portcullis key create NAME --client ${id} --chain eip155:1`,
      );
    });
  client
    .command("list")
    .description("all clients, with token, keys and active policy")
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (options: CommonOptions) => {
      const { clients, house } = await gatewayOf(options).get<{
        clients: ClientView[];
        house: Pick<ClientView, "status">;
      }>("/v1/clients");
      const rows = clients.map(({ client: id, status, freezes, available, token, keys, policy }) => [
        id,
        freezes.length > 0 ? `FROZEN: ${freezes.map(({ target }) => target).join(", ")}` : status,
        available ? `token ${token.serial}` : "token unavailable",
        policy ? `policy ${policy.version}` : "no policy",
        keys.join(", ") || "no keys",
      ]);
      const listed = rows.length > 0 ? table(rows) : "no clients yet: `portcullis client add ID`";
      output(options.json).result(
        { clients, house },
        house.status === "active" ? listed : `EVERYBODY IS FROZEN: the house is ${house.status}\n${listed}`,
      );
    });

  client
    .command("rotate-pin <id>")
    .description("give the client's token a new random PIN")
    .addOption(asOption())
    .addOption(jsonOption())
    .action((id: string, options: CommonOptions) => changePin(id, options, {}));
  client
    .command("set-pin <id>")
    .description("take the PIN that the HSM's administrators have set")
    .requiredOption("--pin-file <file>", "the PIN")
    .addOption(asOption())
    .addOption(jsonOption())
    .action((id: string, options: CommonOptions & { pinFile: string }) =>
      changePin(id, options, { pin: readPinFile(options.pinFile) }),
    );

  const key = program.command("key").description("keys: born in the client's token, never outside it");
  key
    .command("create <name>")
    .description("have the client's token make a key pair")
    .option("--chain <id...>", "EVM chains on which it lives for ever, e.g. eip155:1; none for raw digests", [])
    .addOption(
      new Option("--purpose <purpose>", "raw: it signs digests whose meaning nobody here knows, and nothing else")
        .choices(["transactions", "raw"])
        .default("transactions"),
    )
    .addOption(
      new Option("--curve <curve>", "p256 and ed25519 for raw digests only").choices(CURVES).default("secp256k1"),
    )
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (name: string, options: CommonOptions & { chain: string[]; purpose: string; curve: string }) => {
      const gateway = gatewayOf(options);
      const made = await gateway.call<KeyView>("POST", `/v1/clients/${clientOf(gateway, options)}/keys`, {
        body: { name, chains: options.chain, purpose: options.purpose, curve: options.curve },
        idempotencyKey: randomUUID(),
      });
      output(options.json).result(
        made,
        `key ${made.name} (${made.curve})\n${made.accounts.map((account) => `  ${account}`).join("\n")}`,
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
      const rows = listed.keys.map(({ name, state, purpose, curve, usable, refused, accounts }) => [
        name,
        usable ? state : `REFUSED: ${refused?.detail ?? state}`,
        purpose,
        curve,
        accounts.join(" "),
      ]);
      output(options.json).result(
        listed,
        rows.length > 0 ? table(rows) : "no keys yet: `portcullis key create NAME --chain eip155:1`",
      );
    });
  attestCommand(key);
  for (const [verb, state] of [
    ["disable", "disabled"],
    ["retire", "retired"],
  ] as const) {
    key
      .command(`${verb} <name>`)
      .description(`take a key out of use: it is ${state} for ever, and stays in its token`)
      .addOption(clientOption())
      .addOption(asOption())
      .addOption(jsonOption())
      .action(async (name: string, options: CommonOptions) => {
        const gateway = gatewayOf(options);
        const target = `/v1/clients/${clientOf(gateway, options)}/keys/${encodeURIComponent(name)}/state`;
        const ended = await gateway.call<KeyView>("POST", target, { body: { state }, idempotencyKey: randomUUID() });
        output(options.json).result(ended, `key ${ended.name} is ${ended.state}`);
      });
  }
}

type AddedClient = {
  readonly token: { readonly label: string; readonly serial: string };
  readonly pinKept?: { readonly detail: string };
};
type AdoptOptions = { readonly token?: string; readonly pinFile?: string; readonly chain: readonly string[] };

const keptText = ({ pinKept }: AddedClient): string =>
  pinKept === undefined ? "" : `the PIN that you gave still stands: ${pinKept.detail}\n`;

/** @throws {GatewayError} `usage` */
function adoptionOf({ token, pinFile, chain }: AdoptOptions) {
  if (token === undefined && pinFile === undefined && chain.length === 0) return undefined;
  if (token === undefined || pinFile === undefined)
    throw new GatewayError("usage", "expected `--token LABEL` and `--pin-file FILE` together");
  return { label: token, pin: readPinFile(pinFile), chains: chain };
}

async function changePin(id: string, options: CommonOptions, body: { readonly pin?: string }): Promise<void> {
  const target = `/v1/clients/${encodeURIComponent(id)}/pin`;
  const changed = await gatewayOf(options).call<{ version: number }>("POST", target, {
    body,
    idempotencyKey: randomUUID(),
  });
  output(options.json).result(changed, `client ${id}: PIN version ${changed.version} is sealed in the store`);
}
