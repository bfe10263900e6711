import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { GatewayError } from "./domain/errors.ts";

const TokenRef = z.strictObject({ label: z.string(), serial: z.string() });

/** In every caller's signature, and origin of the log. */
export const GatewayName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9.-]{0,62}$/, "expected lower-case letters, digits, `.` and `-`");

/** `portcullis.yaml`: one schema, read once. Paths are relative to the file. */
const Config = z.strictObject({
  gateway: GatewayName.describe("name of this gateway: in every caller's signature, and origin of the log"),
  hsm: z.strictObject({
    module: z.string().describe("the vendor's PKCS#11 library"),
    environment: z.record(z.string(), z.string()).default({}).describe("what the library wants in its environment"),
    sessionsPerToken: z.int().min(1).max(256).default(8),
    queueLimit: z.int().min(1).max(10_000).default(256).describe("signatures that may wait for a session, per token"),
    logToken: TokenRef,
    gatewayToken: TokenRef,
  }),
  store: z.strictObject({ sqlite: z.string() }),
  log: z
    .strictObject({
      anchor: z.string().optional().describe("file that keeps the newest checkpoint; outside the store's folder"),
    })
    .default({}),
  vault: z.strictObject({
    socket: z.string().describe("Unix socket between edge and vault; its folder is all that they share"),
    secrets: z.string().describe("folder of the tokens' PINs, mode 0700"),
  }),
  edge: z.strictObject({
    listen: z
      .string()
      .regex(/^[^:]+:[0-9]{1,5}$/, "expected `host:port`")
      .default("127.0.0.1:8420"),
    user: z.string().default("portcullis-edge").describe("as root, the edge runs under this user"),
    tls: z.strictObject({ cert: z.string(), key: z.string() }).optional(),
    bodyBytes: z
      .int()
      .min(1024)
      .max(4 * 1024 * 1024)
      .default(256 * 1024),
    inFlight: z.int().min(1).max(10_000).default(1024),
  }),
});
type Written = z.infer<typeof Config>;
export type Config = Omit<Written, "log"> & { readonly log: { readonly anchor: string } };

/** @throws {GatewayError} `config-invalid`, naming the field */
export function readConfig(path: string): Config {
  const config = parseConfig(path, readText(path));
  const base = dirname(resolve(path));
  const at = (file: string) => resolve(base, file);
  const environment = Object.fromEntries(
    Object.entries(config.hsm.environment).map(([name, value]) => [name, value.startsWith("./") ? at(value) : value]),
  );
  const tls = config.edge.tls && { cert: at(config.edge.tls.cert), key: at(config.edge.tls.key) };
  return {
    ...config,
    hsm: {
      ...config.hsm,
      module: config.hsm.module.startsWith("./") ? at(config.hsm.module) : config.hsm.module,
      environment,
    },
    store: { sqlite: at(config.store.sqlite) },
    log: { anchor: at(config.log.anchor ?? join(dirname(config.store.sqlite), "..", `${config.gateway}.anchor`)) },
    vault: { socket: at(config.vault.socket), secrets: at(config.vault.secrets) },
    edge: { ...config.edge, ...(tls ? { tls } : {}) },
  };
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new GatewayError("config-missing", `cannot read \`${path}\`: ${(error as Error).message}`, {
      hint: "`portcullis init` writes one; `--config FILE` names another",
    });
  }
}

function parseConfig(path: string, text: string): Written {
  let document: unknown;
  try {
    document = parse(text, { strict: true, uniqueKeys: true });
  } catch (error) {
    throw new GatewayError("config-invalid", `\`${path}\` is no YAML: ${(error as Error).message}`);
  }
  const parsed = Config.safeParse(document);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new GatewayError("config-invalid", `\`${path}\`, \`${issue!.path.join(".")}\`: ${issue!.message}`, {
    hint: "portcullis.example.yaml shows every field",
  });
}
