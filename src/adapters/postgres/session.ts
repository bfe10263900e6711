import { readFile } from "node:fs/promises";
import type { Duplex } from "node:stream";
import pg from "pg";
import { GatewayError } from "../../domain/errors.ts";
import { asGatewayError } from "./errors.ts";
import type { Cluster } from "./head.ts";

export type PostgresOptions = {
  /** A name or address, or the absolute path of the folder of the server's Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  /** File with the password; read at every connection, so that it can be changed beside a running vault. */
  readonly passwordFile?: string | undefined;
  /** PEM files. Certificates are always verified, against the system's authorities where `ca` is left out. */
  readonly tls?: { readonly [file in "ca" | "cert" | "key"]?: string | undefined } | undefined;
  /** Connections for reads, beside the one that writes. */
  readonly readers: number;
  /** How long a work waits for a database that is away before its caller learns of it. */
  readonly patienceMs?: number;
};

export type Row = Record<string, never>;

/** How long the server may work on one statement, or wait for the log's lock. */
const STATEMENT_MS = 10_000;
/** A vault that hangs holding the log's lock loses it then. */
const IDLE_IN_TRANSACTION_MS = 10_000;
/** After this an answer does not come any more: the connection is given up. */
const SILENCE_MS = 15_000;
const CONNECT_MS = 5_000;

/**
 * Every question has an index that answers it. Statements are prepared when a store is new and its tables are empty, and
 * a plan made then would read a whole table for each group until somebody has counted its rows.
 */
const ALWAYS_BY_INDEX = ["seqscan", "bitmapscan", "hashjoin", "mergejoin"].map((plan) => `enable_${plan}=off`);
const OPTIONS = ["search_path=portcullis,pg_catalog", "client_min_messages=error", "jit=off", ...ALWAYS_BY_INDEX]
  .map((setting) => `-c ${setting}`)
  .join(" ");

const INT8 = 20;
const types = {
  getTypeParser: ((oid: number, format?: "text") =>
    oid === INT8 ? Number : (pg.types.getTypeParser(oid, format) as unknown)) as typeof pg.types.getTypeParser,
};

const names = new Map<string, string>();
/** Every text is prepared once per connection, under a name of its own. */
function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) names.set(text, (name = `s${names.size}`));
  return name;
}

/** One connection, pipelined: statements leave at once and are answered in their order. */
export class Session {
  /** Whose server it speaks to, as it said at the beginning. */
  cluster: Cluster | undefined;
  readonly #client: pg.Client;
  #isFilling = false;
  #lost: Error | undefined;

  private constructor(client: pg.Client) {
    this.#client = client;
    client.on("error", (error) => (this.#lost ??= error));
    client.on("end", () => (this.#lost ??= new Error("the connection ended")));
  }

  /** @throws {GatewayError} `store-unavailable` */
  static async open(options: PostgresOptions): Promise<Session> {
    const { host, port, database, user, passwordFile, tls } = options;
    const ssl = tls ? await tlsFrom(tls) : false;
    const client = new pg.Client({
      host,
      port,
      database,
      user,
      password: () => passwordFrom(passwordFile),
      ssl,
      types,
      pipeline: true,
      keepAlive: true,
      application_name: "portcullis",
      connectionTimeoutMillis: CONNECT_MS,
      query_timeout: SILENCE_MS,
      statement_timeout: STATEMENT_MS,
      lock_timeout: STATEMENT_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_MS,
      options: OPTIONS,
    });
    const session = new Session(client);
    try {
      await client.connect();
      return session;
    } catch (error) {
      session.abandon();
      throw asGatewayError(error);
    }
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  async run(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    this.#fill();
    const result = await this.#client.query<Row>({ name: nameOf(text), text, values: values as unknown[] });
    return result.rows;
  }

  /** Several statements in one text, without parameters. */
  async script(text: string): Promise<void> {
    await this.#client.query(text);
  }

  /** @throws if the server ended the transaction otherwise: after a failed statement COMMIT means ROLLBACK */
  async commit(): Promise<void> {
    this.#fill();
    const { command } = await this.#client.query({ name: nameOf("COMMIT"), text: "COMMIT" });
    if (command !== "COMMIT") throw new GatewayError("store-unavailable", "the database rolled the transaction back");
  }

  /** What is said in one turn leaves in one system call: each of them costs as much as the statement that it carries. */
  #fill(): void {
    if (this.#isFilling) return;
    this.#isFilling = true;
    const stream = streamOf(this.#client);
    stream.cork();
    process.nextTick(() => {
      this.#isFilling = false;
      stream.uncork();
    });
  }

  async close(): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }

  /** Without a word to the server: it may not listen any more. */
  abandon(): void {
    this.#lost ??= new Error("the connection was given up");
    streamOf(this.#client).destroy();
  }
}

/** Another one after TLS has begun: it is asked for each time. */
const streamOf = (client: pg.Client): Duplex =>
  (client as unknown as { readonly connection: { readonly stream: Duplex } }).connection.stream;

/** Read at every connection, so that certificates can be renewed beside a running vault. */
async function tlsFrom(files: NonNullable<PostgresOptions["tls"]>) {
  try {
    const texts = Object.entries(files).map(async ([name, file]) => [name, await readFile(file!, "utf8")] as const);
    return { ...(Object.fromEntries(await Promise.all(texts)) as typeof files), rejectUnauthorized: true };
  } catch (error) {
    throw asGatewayError(error);
  }
}

async function passwordFrom(file: string | undefined): Promise<string> {
  if (file !== undefined) return (await readFile(file, "utf8")).trimEnd();
  throw new GatewayError("store-unavailable", "the database asks for a password, and none is configured", {
    hint: "`store.postgres.passwordFile` in portcullis.yaml names the file that holds it",
  });
}
