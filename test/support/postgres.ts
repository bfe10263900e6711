import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { PostgresOptions } from "../../src/adapters/postgres/session.ts";
import { childrenOf, isRunning } from "./processes.ts";

/*
 * A real PostgreSQL server of the test's own: its folder under the temporary one, a Unix socket and no port. It ends with
 * the process that started it.
 */

/** Where Debian keeps the programs of each version; elsewhere they are on the PATH. */
const DEBIAN = "/usr/lib/postgresql";

function program(name: string): string {
  const versions = existsSync(DEBIAN) ? readdirSync(DEBIAN).sort((a, b) => Number(b) - Number(a)) : [];
  return versions.map((version) => join(DEBIAN, version, "bin", name)).find(existsSync) ?? name;
}

/** The server refuses to run as root: then it runs as the user that Debian's package made for it. */
function serverUser(): { uid: number; gid: number } | Record<string, never> {
  if (process.getuid?.() !== 0) return {};
  const id = (flag: string) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
  return { uid: id("-u"), gid: id("-g") };
}

const OWNER = "portcullis";
const PORT = 5432;

/** Ends the server when whoever started it is gone, however it went: its end of the pipe closes. */
const KEEPER = '"$0" "$@" <&- & read -r _; kill -QUIT $!; wait $!';

const killIfThere = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
};

export class PostgresServer {
  readonly folder: string;
  readonly #user = serverUser();
  #keeper: ChildProcess | undefined;
  #databases = 0;

  private constructor(folder: string) {
    this.folder = folder;
  }

  /** @param settings of postgresql.conf, beside its defaults */
  static async started(settings: Readonly<Record<string, string>> = {}): Promise<PostgresServer> {
    const server = new PostgresServer(mkdtempSync(join(tmpdir(), "portcullis-pg-")));
    if (server.#user.uid !== undefined) chownSync(server.folder, server.#user.uid, server.#user.gid);
    const flags = ["-D", server.#data, "-U", OWNER, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"];
    execFileSync(program("initdb"), flags, { ...server.#user, cwd: server.folder, stdio: "ignore" });
    server.set({ listen_addresses: "''", unix_socket_directories: `'${server.folder}'`, max_connections: "60" });
    server.set({ shared_buffers: "32MB", logging_collector: "off", log_min_messages: "fatal", ...settings });
    await server.start();
    return server;
  }

  /** A standby that follows this server, with a folder of its own; it serves nobody who writes until it is promoted. */
  async standby(): Promise<PostgresServer> {
    const server = new PostgresServer(mkdtempSync(join(tmpdir(), "portcullis-pg-")));
    if (server.#user.uid !== undefined) chownSync(server.folder, server.#user.uid, server.#user.gid);
    const from = ["-h", this.folder, "-p", String(PORT), "-U", OWNER];
    const flags = ["-D", server.#data, "-R", "-X", "stream", "-c", "fast", "--no-sync"];
    execFileSync(program("pg_basebackup"), [...from, ...flags], {
      ...server.#user,
      cwd: server.folder,
      stdio: "ignore",
    });
    server.set({ unix_socket_directories: `'${server.folder}'` });
    await server.start();
    return server;
  }

  /** From now on it is a primary, in a history of its own. */
  async promote(): Promise<void> {
    await this.as("postgres", (client) => client.query("SELECT pg_promote(true, 30)"));
  }

  get #data(): string {
    return join(this.folder, "data");
  }

  /** The postmaster's process. */
  get pid(): number {
    return Number(readFileSync(join(this.#data, "postmaster.pid"), "utf8").split("\n")[0]);
  }

  /** Counts from the next start, or reload, on. */
  set(settings: Readonly<Record<string, string>>): void {
    const lines = Object.entries(settings).map(([name, value]) => `${name} = ${value}\n`);
    appendFileSync(join(this.#data, "postgresql.conf"), lines.join(""));
  }

  async start(): Promise<void> {
    this.#keeper = spawn("/bin/sh", ["-c", KEEPER, program("postgres"), "-D", this.#data, "-p", String(PORT)], {
      ...this.#user,
      cwd: this.folder,
      stdio: ["pipe", "ignore", "ignore"],
    });
    await this.#untilItAnswers();
  }

  /** By attempts, not by the clock: whoever asks may be the one that stood still. */
  async #untilItAnswers(): Promise<void> {
    for (let left = 1_500; ; left--, await sleep(20)) {
      try {
        return await this.as("postgres", () => Promise.resolve());
      } catch (error) {
        if (left === 0) throw error;
      }
    }
  }

  reload(): void {
    process.kill(this.pid, "SIGHUP");
  }

  /** SIGINT: a fast, orderly shutdown. SIGKILL takes the postmaster only: its children notice and end. */
  async stop(signal: "SIGINT" | "SIGKILL" | "SIGQUIT" = "SIGINT"): Promise<void> {
    if (!this.#keeper) return;
    const { pid } = this;
    if (signal === "SIGKILL") process.kill(pid, "SIGSTOP"); // from here on it has no further children
    // Those that outlive their postmaster keep its shared memory, and the next one would not start.
    const all = [pid, ...childrenOf(pid)];
    process.kill(pid, signal);
    // It stays a zombie for as long as its keeper listens to us.
    for (const deadline = Date.now() + 30_000; all.some(isRunning) && Date.now() < deadline;) await sleep(5);
    const gone = once(this.#keeper, "exit");
    this.#keeper.stdin!.end();
    await gone;
    this.#keeper = undefined;
  }

  /** As when the machine's memory runs out: every process of the server at one instant. */
  async kill(): Promise<void> {
    process.kill(this.pid, "SIGSTOP"); // or it would see its children die, and begin anew
    for (const child of childrenOf(this.pid)) killIfThere(child);
    await this.stop("SIGKILL");
  }

  /** One that serves a connection: the postmaster then ends all of them, and recovers from the log by itself. */
  async killBackend(applicationName: string): Promise<void> {
    await this.as("postgres", async (client) => {
      const { rows } = await client.query<{ pid: number }>(
        "SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY random() LIMIT 1",
        [applicationName],
      );
      if (rows.length === 0) return;
      const ended = new Promise<void>((end) => client.once("end", end)); // ours as well: then the postmaster has seen it
      rows.forEach(({ pid }) => killIfThere(pid));
      await ended;
    });
    await this.#untilItAnswers();
  }

  async restart(signal: "SIGINT" | "SIGKILL" | "SIGQUIT" = "SIGINT"): Promise<void> {
    await this.stop(signal);
    await this.start();
  }

  /** Runs what an administrator would, on a connection of its own. */
  async as<T>(database: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ host: this.folder, port: PORT, user: OWNER, database });
    client.on("error", () => undefined);
    try {
      await client.connect();
      return await work(client);
    } finally {
      await client.end().catch(() => undefined);
    }
  }

  /** Runs one of PostgreSQL's own programs on a database. @returns what it wrote */
  run(name: string, { database }: PostgresOptions, args: readonly string[], input?: Buffer): Buffer {
    const all = ["-h", this.folder, "-p", String(PORT), "-U", OWNER, ...args, "-d", database];
    return execFileSync(program(name), all, { input: input ?? "", maxBuffer: 64 * 1024 * 1024 });
  }

  /** An empty database. */
  async database(): Promise<PostgresOptions> {
    const database = `test_${++this.#databases}`;
    await this.as("postgres", (client) => client.query(`CREATE DATABASE ${database}`));
    return { host: this.folder, port: PORT, database, user: OWNER, readers: 4 };
  }

  async remove(): Promise<void> {
    await this.stop("SIGQUIT");
    rmSync(this.folder, { recursive: true, force: true });
  }
}
