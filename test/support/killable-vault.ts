import { spawn, type ChildProcess, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectSocket, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { parse, stringify } from "yaml";
import { writeConfig } from "../../src/cli/founding.ts";
import type { PostgresStore } from "../../src/config.ts";
import { found } from "../../src/main.ts";
import { AnswerVerifier } from "../../src/sdk/answers.ts";
import { GatewayClient } from "../../src/sdk/client.ts";
import type { CallerFile, GatewayFile } from "../../src/sdk/caller-file.ts";
import { encodeFrame, readFrames, type AnswerHead, type Frame } from "../../src/vault/protocol.ts";
import { logIn, logInPostgres, type LogRows } from "./log-check.ts";
import type { Place } from "./places.ts";
import { bundleVault, vaultProgram } from "./vault-bundle.ts";

/*
 * Vaults in processes of their own, on SoftHSM and a store that outlive them, reached by frames on their sockets. One on
 * SQLite; any number on PostgreSQL.
 */

export type SocketAnswer = {
  readonly status: number;
  readonly head: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly json: Record<string, unknown>;
};

export type RunningProcess = {
  readonly child: ChildProcess;
  /** The next request that comes to this place takes the process with it. */
  readonly arm: (place: Place) => Promise<void>;
  /** Resolves when the process is gone; `kill` makes it so. */
  readonly ended: Promise<void>;
  readonly kill: () => Promise<void>;
};

export class KillableVault {
  readonly folder: string;
  readonly #bundle: string;
  readonly #gateway: GatewayFile;
  readonly #postgres: PostgresStore | undefined;

  private constructor(folder: string, bundle: string, gateway: GatewayFile, postgres: PostgresStore | undefined) {
    this.folder = folder;
    this.#bundle = bundle;
    this.#gateway = gateway;
    this.#postgres = postgres;
  }

  /** Tokens, store, leaf 0 and configuration, as `init` makes them. */
  static async founded(
    name: string,
    house: { entry: string; files: Record<string, string> },
    postgres?: PostgresStore,
  ): Promise<KillableVault> {
    const folder = mkdtempSync(join(tmpdir(), "portcullis-crash-"));
    mkdirSync(join(folder, "run"));
    const store = postgres ? { postgres } : {};
    const founded = await found({ gateway: name, vaultFolder: join(folder, "vault"), ...house, ...store });
    writeConfig(join(folder, "portcullis.yaml"), { name, listen: "127.0.0.1:0", founded, ...store });
    const gateway = { gateway: name, url: "http://127.0.0.1", answersKey: founded.answersKey };
    return new KillableVault(folder, await bundleVault("killable"), gateway, postgres);
  }

  /** The same configuration for each, but for what is a vault's own: its socket, its anchor. */
  #configOf(number: number): string {
    const path = join(this.folder, `portcullis-${number}.yaml`);
    const document = parse(readFileSync(join(this.folder, "portcullis.yaml"), "utf8")) as Record<string, object>;
    // Under load most of what a short limit counts is denied: the bound on denials per minute is another test's.
    const unpaid = { requestsPerMinute: 1_000_000, bytesPerMinute: 1024 ** 3 };
    const vault = { ...document["vault"], socket: this.socketOf(number), unpaid };
    const hsm = { ...document["hsm"], signers: 1 }; // what starts again and again starts few
    writeFileSync(path, stringify({ ...document, hsm, vault, log: { anchor: `./${number}.anchor` } }));
    return path;
  }

  socketOf(number = 1): string {
    return join(this.folder, "run", `vault-${number}.sock`);
  }

  /** For a command that speaks to the vault's socket. @returns path of a caller file */
  callerFile(caller: CallerFile): string {
    const path = join(this.folder, `${caller.caller}.json`);
    writeFileSync(path, JSON.stringify({ ...caller, ...this.#gateway }), { mode: 0o600 });
    return path;
  }

  /** The log as those who are dead have left it. */
  async log(): Promise<LogRows> {
    if (!this.#postgres) return logIn(join(this.folder, "vault", "portcullis.db"));
    return logInPostgres(this.#postgres);
  }

  async start(number = 1): Promise<RunningProcess> {
    const child = spawn(
      process.execPath,
      ["--enable-source-maps", vaultProgram(this.#bundle), this.#configOf(number)],
      {
        // What it says when the database is away is expected; it stands in a file for whoever looks for a fault.
        stdio: ["pipe", "pipe", this.#postgres ? openSync(join(this.folder, `vault-${number}.log`), "a") : "inherit"],
      },
    ) as ChildProcessByStdio<Writable, Readable, null>;
    const lines = createInterface({ input: child.stdout });
    const ended = once(child, "exit").then(() => undefined);
    const line = (): Promise<string> =>
      Promise.race([
        once(lines, "line").then(([text]) => text as string),
        ended.then(() => Promise.reject(new Error(`the vault ended before it said so`))),
      ]);
    await line();
    return {
      child,
      ended,
      arm: async (place) => {
        const armed = line();
        child.stdin.write(`${place}\n`);
        await armed;
      },
      kill: async () => {
        child.kill("SIGKILL");
        await ended;
      },
    };
  }

  connect(number = 1): Promise<Connection> {
    return Connection.to(this.socketOf(number), this.#gateway);
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
    rmSync(this.#bundle, { recursive: true, force: true });
  }
}

/** Where the connection broke: the vault may have done everything or nothing. */
export class ConnectionLost extends Error {}

/** One connection to the vault's socket; repeats nothing, and believes signed answers only. */
export class Connection {
  readonly #socket: Socket;
  readonly #verifier: AnswerVerifier;
  readonly #gateway: GatewayFile;
  readonly #waiting = new Map<number, (answer: Frame<AnswerHead> | undefined) => void>();
  #nextId = 1;

  static async to(path: string, gateway: GatewayFile): Promise<Connection> {
    const socket = connectSocket(path);
    await once(socket, "connect");
    return new Connection(socket, gateway);
  }

  private constructor(socket: Socket, gateway: GatewayFile) {
    this.#socket = socket;
    this.#gateway = gateway;
    this.#verifier = new AnswerVerifier(gateway);
    readFrames<AnswerHead>(socket, (answer) => this.#waiting.get(answer.head.id)?.(answer));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#waiting.forEach((settle) => settle(undefined)));
  }

  /** @throws {ConnectionLost} */
  async send(
    caller: CallerFile,
    method: string,
    target: string,
    body?: unknown,
    idempotencyKey?: string,
  ): Promise<SocketAnswer> {
    const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body));
    const client = new GatewayClient({ ...caller, ...this.#gateway });
    const { headers, signature } = client.signRequest(method, target, bytes, idempotencyKey);
    const id = this.#nextId++;
    const answer = await new Promise<Frame<AnswerHead> | undefined>((resolve) => {
      this.#waiting.set(id, resolve);
      if (this.#socket.destroyed) resolve(undefined);
      else this.#socket.write(encodeFrame({ id, method, target, headers }, bytes));
    });
    this.#waiting.delete(id);
    if (!answer) throw new ConnectionLost("the vault went away");
    const { head } = answer;
    this.#verifier.verify(
      { status: head.status, headers: head.headers, body: answer.body },
      { label: "sig1", base64: signature },
    );
    const body_ = Buffer.from(answer.body);
    return {
      status: head.status,
      head: head.headers,
      body: body_,
      json: JSON.parse(body_.toString("utf8")) as Record<string, unknown>,
    };
  }

  close(): void {
    this.#socket.destroy();
  }
}
