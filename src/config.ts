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

const Environment = z.record(z.string(), z.string()).default({}).describe("what the library wants in its environment");

/** The gateway token's PIN: exactly one way to it. */
const BootSecret = z.union([
  z.strictObject({ file: z.string() }),
  z.strictObject({ descriptor: z.int().min(3).max(255) }),
  z.strictObject({ credential: z.string().regex(/^[A-Za-z0-9._-]{1,64}$/) }),
]);

const Host = z
  .string()
  .regex(/^[A-Za-z0-9./:_-]+$/, "expected a host name, an address, or the folder of a Unix socket");

/** How a PostgreSQL server is reached. Passwords stand in a file, never here and in no argument. */
export const PostgresStore = z
  .strictObject({
    host: Host.describe("name or address; or the absolute path of the folder of its Unix socket"),
    port: z.int().min(1).max(65_535).default(5432),
    database: z.string().min(1),
    user: z.string().min(1),
    passwordFile: z.string().optional(),
    tls: z
      .strictObject({ ca: z.string().optional(), cert: z.string().optional(), key: z.string().optional() })
      .optional()
      .describe("PEM files; certificates are always verified"),
    unencrypted: z.literal(true).optional().describe("over TCP without TLS: what is asked and answered can be changed"),
    readers: z.int().min(1).max(100).default(8).describe("connections for reads, beside the one that writes"),
  })
  .refine(({ host, tls, unencrypted }) => host.startsWith("/") || (tls === undefined) === (unencrypted === true), {
    message: "expected `tls` for a server that is reached over TCP",
    path: ["tls"],
  });
export type PostgresStore = z.infer<typeof PostgresStore>;

/** Of gateways whose clock tests may move: it begins the name, which is the first line of each of their checkpoints. */
export const TEST_NAME = "test-";

/** `portcullis.yaml`: one schema, read once. Paths are relative to the file. */
const Config = z
  .strictObject({
    gateway: GatewayName.describe("name of this gateway: in every caller's signature, and origin of the log"),
    hsm: z.strictObject({
      module: z.string().describe("the vendor's PKCS#11 library"),
      environment: Environment,
      sessionsPerToken: z.int().min(1).max(256).default(8),
      signers: z
        .int()
        .min(0)
        .max(64)
        .default(3)
        .describe("processes that sign for the vault, each one signature at a time; 0: the vault's own threads do"),
      queueLimit: z.int().min(1).max(10_000).default(256).describe("signatures that may wait for a session, per token"),
      logToken: TokenRef,
      gatewayToken: TokenRef,
      own: z
        .strictObject({ module: z.string(), environment: Environment })
        .optional()
        .describe("another library for `logToken` and `gatewayToken`"),
      soPinShares: z
        .tuple([z.string(), z.string()])
        .optional()
        .describe("two folders for the shares of new tokens' SO PINs; without it they are not kept"),
      hangSeconds: z
        .int()
        .min(1)
        .max(600)
        .default(5)
        .describe("a call that takes longer ends the process that made it"),
    }),
    store: z
      .strictObject({ sqlite: z.string().optional(), postgres: PostgresStore.optional() })
      .refine(({ sqlite, postgres }) => (sqlite === undefined) !== (postgres === undefined), {
        message: "expected either `sqlite` or `postgres`",
      }),
    log: z
      .strictObject({
        anchor: z.string().optional().describe("file that keeps the newest checkpoint; outside the store's folder"),
        witnesses: z
          .string()
          .optional()
          .describe("C2SP tlog-policy file: which witnesses the edge asks, and how many cosignatures are enough"),
      })
      .default({}),
    clock: z
      .strictObject({
        gapHours: z
          .number()
          .positive()
          .max(24 * 366)
          .default(1)
          .describe("how long the log may have been silent at a start before an officer has to confirm the clock"),
        test: z
          .string()
          .optional()
          .describe("a file with the milliseconds by which time is moved: for gateways in tests, named `test-…`"),
      })
      .prefault({}),
    vault: z.strictObject({
      socket: z.string().describe("Unix socket between edge and vault; its folder is all that they share"),
      bootSecret: BootSecret.describe("where the gateway token's PIN is read"),
      unpaid: z
        .strictObject({
          requestsPerMinute: z.int().min(1).max(1_000_000).default(600),
          bytesPerMinute: z
            .int()
            .min(4 * 1024 * 1024)
            .max(1024 * 1024 * 1024)
            .default(8 * 1024 * 1024),
        })
        .prefault({})
        .describe("how many denied and pending requests of one caller are recorded, and bytes of their bodies"),
    }),
    edge: z.strictObject({
      listen: z
        .string()
        .regex(/^[^:]+:[0-9]{1,5}$/, "expected `host:port`")
        .default("127.0.0.1:8420"),
      admin: z
        .string()
        .regex(/^[^:]+:[0-9]{1,5}$/, "expected `host:port`")
        .optional()
        .describe("where /metrics is; without it nowhere"),
      user: z.string().default("portcullis-edge").describe("as root, the edge runs under this user"),
      tls: z
        .strictObject({
          cert: z.string(),
          key: z.string(),
          clientCa: z.string().exactOptional().describe("who has no certificate of this authority does not come in"),
        })
        .optional(),
      hosts: z
        .array(z.string().regex(/^[a-z0-9.-]{1,253}$/, "expected a host name in lower case"))
        .default([])
        .describe("names that callers use for this gateway, beside its addresses and `localhost`"),
      requestsPerSecond: z.int().min(1).max(1_000_000).default(10_000).describe("of one address"),
      readsPerSecond: z
        .int()
        .min(100)
        .max(1_000_000)
        .default(1000)
        .describe("calls of one address that a chain node answers; each of a batch counts"),
      log: z.enum(["debug", "info", "warn", "error", "silent"]).default("warn"),
      bodyBytes: z
        .int()
        .min(1024)
        .max(4 * 1024 * 1024)
        .default(256 * 1024),
      inFlight: z.int().min(1).max(10_000).default(1024),
      nodes: z
        .record(z.string().regex(/^eip155:[1-9][0-9]{0,15}$/, "expected a chain such as `eip155:1`"), z.url())
        .default({})
        .describe(
          "a chain node's JSON-RPC for each chain: fills what was left out, takes what was signed, answers reads",
        ),
    }),
  })
  .refine(({ gateway, clock }) => clock.test === undefined || gateway.startsWith(TEST_NAME), {
    message: `expected a gateway whose name begins with \`${TEST_NAME}\`: no other's clock can be moved`,
    path: ["clock", "test"],
  });
type Written = z.infer<typeof Config>;
export type StoreConfig = { readonly sqlite: string } | { readonly postgres: PostgresStore };
export type Config = Omit<Written, "log" | "store"> & {
  readonly store: StoreConfig;
  readonly log: { readonly anchor: string; readonly witnesses?: string };
};

/** @throws {GatewayError} `config-invalid`, naming the field */
export function readConfig(path: string): Config {
  const config = parseConfig(path, readText(path));
  const base = dirname(resolve(path));
  const at = (file: string) => resolve(base, file);
  const beside = (value: string) => (value.startsWith("./") ? at(value) : value);
  const library = <L extends { module: string; environment: Record<string, string> }>(given: L): L => ({
    ...given,
    module: beside(given.module),
    environment: Object.fromEntries(Object.entries(given.environment).map(([name, value]) => [name, beside(value)])),
  });
  const { own, soPinShares } = config.hsm;
  const { bootSecret } = config.vault;
  const { tls: written } = config.edge;
  const tls = written && {
    cert: at(written.cert),
    key: at(written.key),
    ...(written.clientCa === undefined ? {} : { clientCa: at(written.clientCa) }),
  };
  return {
    ...config,
    hsm: {
      ...library(config.hsm),
      ...(own ? { own: library(own) } : {}),
      ...(soPinShares ? { soPinShares: [at(soPinShares[0]), at(soPinShares[1])] } : {}),
    },
    store: storeAt(config.store, at),
    log: {
      anchor: at(config.log.anchor ?? anchorBeside(config)),
      ...(config.log.witnesses === undefined ? {} : { witnesses: at(config.log.witnesses) }),
    },
    clock: { ...config.clock, ...(config.clock.test === undefined ? {} : { test: at(config.clock.test) }) },
    vault: {
      ...config.vault,
      socket: at(config.vault.socket),
      bootSecret: "file" in bootSecret ? { file: at(bootSecret.file) } : bootSecret,
    },
    edge: { ...config.edge, ...(tls ? { tls } : {}) },
  };
}

/** A server has no folder here: then the anchor stands beside the configuration. */
const anchorBeside = ({ gateway, store }: Written): string =>
  join(store.sqlite === undefined ? "." : join(dirname(store.sqlite), ".."), `${gateway}.anchor`);

function storeAt({ sqlite, postgres }: Written["store"], at: (file: string) => string): StoreConfig {
  if (postgres === undefined) return { sqlite: at(sqlite!) };
  const { passwordFile, tls } = postgres;
  return {
    postgres: {
      ...postgres,
      ...(passwordFile === undefined ? {} : { passwordFile: at(passwordFile) }),
      ...(tls ? { tls: Object.fromEntries(Object.entries(tls).map(([name, file]) => [name, at(file!)])) } : {}),
    },
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
