import { spawn, type ChildProcess } from "node:child_process";
import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Config } from "./config.ts";
import { GatewayError } from "./domain/errors.ts";
import { keepRunning } from "./keep-running.ts";
import { witnessesIn } from "./witness-file.ts";

/*
 * One small process that starts vault and edge, and starts them again. It holds no PIN, opens no socket and reads
 * nothing that either of them says but the line by which they are ready.
 */

export type EdgeUser = { readonly name: string; readonly uid: number; readonly gid: number };

/** The wall between edge and vault is a wall between users (DESIGN section 2). */
export type Isolation = { readonly user: EdgeUser | undefined; readonly text: string };

/**
 * As root the edge gets a user of its own; otherwise both run as whoever started them, and everybody is told.
 * @param userNames the first of them that exists is taken
 * @throws {GatewayError} `edge-user-missing`
 */
export function isolationFor(userNames: readonly string[]): Isolation {
  if (process.getuid?.() !== 0) return { user: undefined, text: "none (edge and vault share a user)" };
  const user = userNames.map(findUser).find((found) => found !== undefined);
  if (user) return { user, text: `users (edge runs as ${user.name})` };
  throw new GatewayError("edge-user-missing", `expected a user \`${userNames[0]}\` for the edge, found none`, {
    hint: `useradd --system --no-create-home --shell /usr/sbin/nologin ${userNames[0]}`,
  });
}

function findUser(name: string): EdgeUser | undefined {
  try {
    const id = (flag: string) =>
      Number(execFileSync("id", [flag, name], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));
    return { name, uid: id("-u"), gid: id("-g") };
  } catch {
    return undefined;
  }
}

export type Running = {
  /** Where the edge listens. */
  readonly url: string;
  readonly pids: () => { readonly vault: number | undefined; readonly edge: number | undefined };
  readonly stop: () => Promise<void>;
};

const here = dirname(fileURLToPath(import.meta.url));

/**
 * Starts both and resolves when both are ready. From then on either is restarted with back-off when it ends; a new
 * vault is started only after the old process is reaped and those that signed for it are ended, so that there are never
 * two.
 * @param configPath of portcullis.yaml
 * @param program what runs `vault --config FILE`: by default this package's own
 */
export async function supervise(
  configPath: string,
  config: Config,
  isolation: Isolation,
  program = [join(here, "..", "bin", "portcullis.js")],
): Promise<Running> {
  const secret = "descriptor" in config.vault.bootSecret ? config.vault.bootSecret.descriptor : undefined;
  closeInherited(secret);
  const edgeBundle = prepareRunFolder(config, isolation);
  const vault = keepRunning("vault", () =>
    spawn(
      process.execPath,
      [
        YOUNG_GENERATION,
        ...program,
        "vault",
        "--config",
        configPath,
        "--supervised",
        "--isolation",
        isolation.text,
        ...socketGroup(isolation),
      ],
      {
        stdio: ["ignore", "pipe", "inherit", ...passedOn(secret)],
        detached: true, // with the processes that sign for it a group of its own: none of them outlives it
        // Where the pool's threads sign, one signature at a time each; must be set before Node starts.
        env: {
          ...process.env,
          UV_THREADPOOL_SIZE: process.env["UV_THREADPOOL_SIZE"] ?? String(poolThreads(config)),
        },
      },
    ),
  );
  await vault.ready;
  let port = Number(config.edge.listen.split(":")[1]);
  const edge = keepRunning("edge", () => startEdge(edgeBundle, edgeOptions(config, port), isolation, secret));
  const bound = await edge.ready.catch(async (error: unknown) => {
    await vault.stop(); // a gateway starts whole or not at all
    throw error;
  });
  port = bound.port ?? port; // a restarted edge comes back where callers know it
  const { host, tls } = edgeOptions(config, port);
  return {
    url: `${tls ? "https" : "http"}://${host}:${port}`,
    pids: () => ({ vault: vault.pid(), edge: edge.pid() }),
    stop: async () => {
      await edge.stop(); // first the door, so that requests under way still find the vault
      await vault.stop();
    },
  };
}

/** Hundreds of requests on their way outlive V8's own 16 MiB, and would be copied twice: a tenth of a batch's time. */
const YOUNG_GENERATION = "--max-semi-space-size=32";

const poolThreads = ({ hsm }: Config): number => (hsm.signers > 0 ? 4 : Math.max(4, hsm.sessionsPerToken));

/** The boot secret's descriptor, at the number that the vault's configuration names; nothing at those below. */
const passedOn = (descriptor: number | undefined, as: "inherit" | "ignore" = "inherit"): ("inherit" | "ignore")[] =>
  descriptor === undefined
    ? []
    : Array.from({ length: descriptor - 2 }, (_, index) => (index === descriptor - 3 ? as : "ignore"));

function startEdge(
  bundle: string,
  options: ReturnType<typeof edgeOptions>,
  { user }: Isolation,
  secret: number | undefined,
): ChildProcess {
  const child = spawn(process.execPath, [bundle, JSON.stringify({ ...options, supervised: true })], {
    // Not our own stderr: that may be a terminal, into which its holder can type, or a log file.
    // The boot secret's descriptor is open here, for vaults to come: the edge finds nothing at that number.
    stdio: ["ignore", "pipe", "pipe", ...passedOn(secret, "ignore")],
    detached: true, // a session of its own, so that our terminal is not its terminal
    env: {}, // nothing of ours: no PIN's path, no vendor's variable
    cwd: "/",
    ...(user ? { uid: user.uid, gid: user.gid } : {}),
  });
  // What an edge that was taken over prints may hold no control sequence.
  child.stderr!.setEncoding("utf8").on("data", (text: string) => {
    process.stderr.write(text.replace(/[^\P{C}\n\t]/gu, "\ufffd"));
  });
  return child;
}

/** A file's flags as /proc tells them: the descriptor is closed when another program is executed. */
const CLOSE_ON_EXEC = 0o2000000;

/**
 * Whoever started us may have left descriptors open, and those would pass to edge and vault. Ours are all
 * close-on-exec; what is not came from outside.
 */
function closeInherited(except: number | undefined): void {
  if (process.platform !== "linux") return;
  for (const name of readdirSync("/proc/self/fd").filter((each) => Number(each) > 2 && Number(each) !== except)) {
    try {
      const [, flags] = /^flags:\s*([0-7]+)$/m.exec(readFileSync(`/proc/self/fdinfo/${name}`, "utf8"))!;
      if ((parseInt(flags!, 8) & CLOSE_ON_EXEC) === 0) closeSync(Number(name));
    } catch {
      // the one through which the folder was read: it is closed already
    }
  }
}

const socketGroup = ({ user }: Isolation): string[] => (user ? ["--socket-group", String(user.gid)] : []);

function addressOf(text: string): { host: string; port: number } {
  const [host, port] = text.split(":");
  return { host: host!, port: Number(port) };
}

/** What the edge is told: nothing of the vault but the socket. */
export const edgeOptions = (config: Config, port = Number(config.edge.listen.split(":")[1])) => ({
  socket: config.vault.socket,
  host: config.edge.listen.split(":")[0]!,
  port,
  ...(config.edge.admin === undefined ? {} : { admin: addressOf(config.edge.admin) }),
  ...(config.edge.tls ? { tls: config.edge.tls } : {}),
  log: config.edge.log,
  limits: {
    bodyBytes: config.edge.bodyBytes,
    inFlight: config.edge.inFlight,
    requestsPerSecond: config.edge.requestsPerSecond,
    readsPerSecond: config.edge.readsPerSecond,
    hosts: config.edge.hosts,
  },
  nodes: config.edge.nodes,
  witnesses: (witnessesIn(config)?.witnesses ?? []).flatMap(({ name, url }) =>
    url === undefined ? [] : [{ name, url }],
  ),
});

/**
 * The socket's folder, and in it the edge's program in one file: the edge's user may read neither our checkout nor
 * anything else of ours.
 */
function prepareRunFolder(config: Config, { user }: Isolation): string {
  const folder = dirname(config.vault.socket);
  mkdirSync(folder, { recursive: true, mode: 0o750 });
  const bundle = join(folder, "edge.cjs");
  copyFileSync(join(here, "..", "dist", "edge.cjs"), bundle);
  chmodSync(bundle, 0o640);
  if (user) {
    chownSync(folder, 0, user.gid);
    chownSync(bundle, 0, user.gid);
  }
  chmodSync(folder, user ? 0o750 : 0o700);
  if (user) requirePassage(folder);
  return bundle;
}

/** The edge's user must pass through every folder above its own: into them it needs no more than to pass. */
function requirePassage(folder: string): void {
  for (let above = dirname(folder); above !== dirname(above); above = dirname(above)) {
    if ((statSync(above).mode & 0o001) !== 0) continue;
    throw new GatewayError(
      "folder-closed",
      `expected a folder that the edge's user can pass through, found \`${above}\``,
      {
        hint: `chmod o+x ${above}`,
      },
    );
  }
}

/** The gateway was built: the edge's bundle is there. */
export function requireBuilt(): void {
  if (existsSync(join(here, "..", "dist", "edge.cjs"))) return;
  throw new GatewayError("not-built", "expected `dist/edge.cjs`, found none", { hint: "run `npm run build` first" });
}
