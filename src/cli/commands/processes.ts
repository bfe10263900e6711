import { once } from "node:events";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "commander";
import { GatewayName, readConfig, TEST_NAME, type PostgresStore } from "../../config.ts";
import { GatewayError, quoted } from "../../domain/errors.ts";
import { newCaller, writeCallerFile, type GatewayFile } from "../../sdk/caller-file.ts";
import { connect } from "../../sdk/client.ts";
import { foundingHousePolicy, writeConfig } from "../founding.ts";
import { FOUNDING_TOKENS, type Adoption, type Host } from "../host.ts";
import { postgresOption } from "../postgres-option.ts";
import { asOption, configOption, jsonOption, type CommonOptions } from "../options.ts";
import { output } from "../output.ts";
import { readPinFile } from "../pin-file.ts";
import { readPolicyFiles } from "../policy-files.ts";
import { startProxy } from "../proxy.ts";

/** `init`, `serve`, `vault`, `proxy`, `status`: the processes and how they begin. */
export function processCommands(program: Command, host: Host): void {
  program
    .command("init")
    .description("begin: tokens, store, genesis leaf, configuration, founding officer and operator")
    .requiredOption("--name <name>", "name of this gateway, in every signature: give staging another one")
    .option("--dir <folder>", "where everything goes", ".")
    .option("--listen <host:port>", "where the edge listens", "127.0.0.1:8420")
    .option("--house <file>", "founding house policy; by default one is written, with fresh keys for its two callers")
    .option("--module <path>", "the HSM's PKCS#11 library; by default SoftHSM is set up in the folder")
    .option("--module-env <name=value...>", "what that library wants in its environment", [])
    .option(
      "--adopt <token=label:pinfile...>",
      "with --module: tokens made by the HSM's administrators, for `gateway`, `log` and `house`",
      [],
    )
    .option(
      "--so-pin-shares <folders>",
      "keep the new tokens' SO PINs as two shares: two folders, `A,B`, for two persons",
    )
    .addOption(postgresOption())
    .option("--discard-so-pin", "keep no SO PIN of the new tokens: nobody can ever set another user PIN with it")
    .addOption(jsonOption())
    .action(async (options: CommonOptions & InitOptions) => {
      const made = await initialise(host, options);
      output(options.json).result(made, initText(made));
    });

  program
    .command("serve")
    .description("run edge and vault under one supervisor")
    .addOption(configOption())
    .addOption(jsonOption())
    .action(async (options: CommonOptions & { config: string }) => {
      const serving = await host.serve(resolve(options.config));
      output(options.json).result(
        { ready: true, url: serving.url, isolation: serving.isolation, pids: serving.pids() },
        `listening on ${serving.url}, isolation: ${serving.isolation}`,
      );
      await untilTold();
      await serving.stop();
    });

  program
    .command("vault")
    .description("run the vault alone: for a user or container of its own")
    .addOption(configOption())
    .option("--isolation <text>", "as the supervisor found it", "as arranged outside (the edge is run apart)")
    .option("--socket-group <gid>", "group that may reach the socket", Number)
    .option("--supervised", "end with the process that started this one", false)
    .action(async (options: { config: string; isolation: string; socketGroup?: number; supervised: boolean }) => {
      const { config, isolation, socketGroup } = options;
      const vault = await host.runVault({
        configPath: config,
        isolation,
        ...(socketGroup === undefined ? {} : { socketGroup }),
      });
      process.stdout.write(`${JSON.stringify({ ready: "vault" })}\n`);
      await untilTold(options.supervised);
      await vault.stop();
    });

  program
    .command("edge")
    .description("run the edge alone: for a user or container of its own")
    .addOption(configOption())
    .action(async ({ config }: { config: string }) => {
      await host.runEdge(config);
    });

  program
    .command("proxy")
    .description("sign and forward for programs on this machine that cannot sign")
    .option("--port <port>", "on loopback; 0 takes a free one", Number, 8421)
    .addOption(asOption().makeOptionMandatory())
    .addOption(jsonOption())
    .action(async (options: CommonOptions & { as: string; port: number }) => {
      const proxy = await startProxy(connect(options.as), options.port);
      output(options.json).result(
        { ready: true, url: proxy.url },
        `signing for whoever reaches ${proxy.url} on this machine`,
      );
      await untilTold();
      await proxy.stop();
    });

  program
    .command("status")
    .description("is the gateway ready, and how is it walled")
    .option("--url <url>", "of the edge; by default as `--config` says")
    .addOption(configOption())
    .addOption(jsonOption())
    .action(async ({ url, config, json }: { url?: string; config: string; json: boolean }) => {
      const status = await readiness(url ?? urlFrom(config));
      const lines = [
        `${status.gateway}: ${status.status}`,
        `isolation: ${status.isolation}`,
        `clients: ${status.clients.available} of ${status.clients.all} available`,
        ...(status.frozen > 0 ? [`FROZEN: ${status.frozen} of ${status.clients.all}`] : []),
        ...status.integrity.map((client) => `  ${client}: STOPPED, the store was changed`),
        ...status.unavailable.map(({ client, ckr }) => `  ${client}: token unavailable, ${ckr}`),
      ];
      output(json).result(status, lines.join("\n"));
    });
}

function urlFrom(configPath: string): string {
  if (!existsSync(configPath)) return "http://127.0.0.1:8420";
  const { listen, tls } = readConfig(configPath).edge;
  return `${tls ? "https" : "http"}://${listen}`;
}

type Readiness = {
  status: string;
  gateway: string;
  isolation: string;
  clients: { available: number; all: number };
  frozen: number;
  unavailable: { client: string; ckr: string }[];
  integrity: string[];
};

async function readiness(url: string): Promise<Readiness> {
  const response = await fetch(new URL("/readyz", url)).catch((error: unknown) => {
    throw new GatewayError("gateway-unreachable", `cannot reach \`${url}\``, { cause: error });
  });
  if (!response.ok) throw new GatewayError("not-ready", `\`${url}\` is not ready (${response.status})`);
  return (await response.json()) as Readiness;
}

/** SIGTERM or SIGINT; supervised processes also end when the one that started them is gone. */
export async function untilTold(supervised = false): Promise<void> {
  const parent = process.ppid;
  const orphaned = new Promise<void>((done) => {
    if (supervised) setInterval(() => process.ppid !== parent && done(), 500).unref();
  });
  const told = Promise.race([once(process, "SIGTERM"), once(process, "SIGINT"), orphaned]);
  // A terminal and systemd tell every process of the group, the supervisor then tells its own again: the second word must
  // not end what the first one has begun, or the store is left as after a crash.
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => undefined);
  await told;
}

type InitOptions = {
  readonly name: string;
  readonly dir: string;
  readonly listen: string;
  readonly house?: string;
  readonly module?: string;
  readonly moduleEnv: readonly string[];
  readonly adopt: readonly string[];
  readonly soPinShares?: string;
  readonly discardSoPin?: boolean;
  readonly postgres?: PostgresStore;
};

export type Initialised = {
  readonly config: string;
  readonly gatewayFile: string;
  readonly callers: readonly string[];
  readonly gateway: GatewayFile;
};

/** Everything of a new gateway in one folder. @throws {GatewayError} `already-initialised` */
async function initialise(host: Host, options: InitOptions): Promise<Initialised> {
  const { dir, listen, house, postgres } = options;
  const name = gatewayName(options.name);
  const adopt = adoptionOf(options);
  const soPinShares = soPinSharesOf(options);
  const folder = resolve(dir);
  const configPath = join(folder, "portcullis.yaml");
  if (existsSync(configPath))
    throw new GatewayError("already-initialised", `\`${configPath}\` exists already: nothing was changed`);
  mkdirSync(join(folder, "callers"), { recursive: true, mode: 0o700 });
  const people =
    house === undefined
      ? ["officer", "operator"].map((person) =>
          newCaller({ gateway: name, url: `http://${listen}`, answersKey: NOT_YET }, person),
        )
      : [];
  const policy = house === undefined ? foundingHousePolicy(people) : readPolicyFiles(house);
  const founded = await host.found({
    gateway: name,
    vaultFolder: join(folder, "vault"),
    ...policy,
    ...(adopt ? { adopt } : {}),
    ...(soPinShares ? { soPinShares } : {}),
    ...(postgres ? { postgres } : {}),
  });
  const { answersKey, statementKey } = founded;
  const gateway: GatewayFile = { gateway: name, url: `http://${listen}`, answersKey, statementKey };
  const callers = people.map((person) => {
    const path = join(folder, "callers", `${person.caller}.json`);
    writeCallerFile(path, { ...person, ...gateway });
    return path;
  });
  for (const [path, text] of Object.entries(policy.files))
    if (house === undefined) writeIfMissing(join(folder, "policies", path), text);
  const gatewayFile = join(folder, "gateway.json");
  writeFileSync(gatewayFile, `${JSON.stringify(gateway, undefined, 2)}\n`);
  writeConfig(configPath, {
    name,
    listen,
    founded,
    ...(soPinShares ? { soPinShares } : {}),
    ...(postgres ? { postgres } : {}),
  });
  return { config: configPath, gatewayFile, callers, gateway };
}

/** Checked before anything is made: the name stands in leaf 0 for ever. */
function gatewayName(name: string): string {
  if (name.startsWith(TEST_NAME)) {
    throw new GatewayError("usage", `expected a name that does not begin with \`${TEST_NAME}\``, {
      hint: "it marks gateways whose clock can be moved: `portcullis dev --clock now` makes one",
    });
  }
  if (GatewayName.safeParse(name).success) return name;
  throw new GatewayError(
    "usage",
    `expected a gateway name of lower-case letters, digits, \`.\` and \`-\`, found ${quoted(name)}`,
  );
}

/** `--adopt log=LABEL:PINFILE`, once for each token by which a gateway begins. @throws {GatewayError} `usage` */
function adoptionOf({ module, moduleEnv, adopt }: InitOptions): Adoption | undefined {
  if (module === undefined && adopt.length === 0) return undefined;
  const given = new Map(adopt.map((text) => readPair("--adopt", text)));
  const tokens = FOUNDING_TOKENS.map((name) => {
    const match = /^(.+):([^:]+)$/.exec(given.get(name) ?? "");
    if (!match) throw new GatewayError("usage", `expected \`--adopt ${name}=LABEL:PINFILE\`, found none`);
    return [name, { label: match[1]!, pin: readPinFile(match[2]!) }] as const;
  });
  if (module === undefined) throw new GatewayError("usage", "expected `--module PATH` beside `--adopt`");
  return {
    modulePath: resolve(module),
    environment: Object.fromEntries(moduleEnv.map((text) => readPair("--module-env", text))),
    tokens: Object.fromEntries(tokens) as Adoption["tokens"],
  };
}

/**
 * Whoever has a token's SO PIN can set its user PIN: what becomes of it is said by whoever begins a gateway.
 * @throws {GatewayError} `usage`
 */
function soPinSharesOf({ soPinShares, discardSoPin, adopt }: InitOptions): [string, string] | undefined {
  const makesTokens = adopt.length === 0;
  if ((soPinShares !== undefined) === (discardSoPin === true) && (makesTokens || discardSoPin)) {
    throw new GatewayError("usage", "expected either `--so-pin-shares A,B` or `--discard-so-pin`", {
      hint: "an SO PIN can set a token's user PIN: two persons keep a share each, or nobody keeps it",
    });
  }
  if (soPinShares === undefined) return undefined;
  const folders = soPinShares.split(",").map((folder) => resolve(folder));
  if (folders.length === 2 && folders[0] !== folders[1]) return [folders[0]!, folders[1]!];
  throw new GatewayError("usage", "expected two folders, `--so-pin-shares A,B`: one for each of two persons");
}

function readPair(option: string, text: string): readonly [string, string] {
  const match = /^([^=]+)=(.+)$/.exec(text);
  if (!match) throw new GatewayError("usage", `expected \`${option}\` as \`name=value\`, found ${quoted(text)}`);
  return [match[1]!, match[2]!];
}

/** Replaced as soon as the log token has made its keys. */
const NOT_YET = `ed25519:${Buffer.alloc(32).toString("base64")}`;

function writeIfMissing(path: string, text: string): void {
  mkdirSync(join(path, ".."), { recursive: true });
  if (!existsSync(path)) writeFileSync(path, text);
  else if (readFileSync(path, "utf8") !== text) process.stderr.write(`${path} was left as it is\n`);
}

const initText = ({ config, gatewayFile, callers }: Initialised): string =>
  [
    `wrote ${config}`,
    `wrote ${gatewayFile}: give it to everybody who calls this gateway`,
    ...callers.map((path) => `wrote ${path}: a private key; move it to the person it belongs to`),
    "next: portcullis serve, then portcullis client add ID --as callers/operator.json",
  ].join("\n");
