import type { RowStore } from "../../vault/ports.ts";
import { asGatewayError } from "./errors.ts";
import { GroupCommit } from "./group-commit.ts";
import { clusterOf, HEAD, headOf, historyText, requireDurable } from "./head.ts";
import { requireMigrated } from "./migrate.ts";
import { snapshotReader } from "./reader.ts";
import { Readers } from "./readers.ts";
import { Session, type PostgresOptions } from "./session.ts";

const PATIENCE_MS = 5_000;

/**
 * The store that many vaults share. Its schema is made by `migratePostgres`, never from here.
 * @param clock of tests, ms; by default the database's
 * @throws {GatewayError} `store-too-new`, `store-too-old`, `store-not-durable`, `store-unavailable`
 */
export async function openPostgresStore(options: PostgresOptions, clock?: () => number): Promise<RowStore> {
  const { patienceMs = PATIENCE_MS } = options;
  const connect = () => connectChecked(options);
  const first = await connect();
  await first.close();
  const group = new GroupCommit(connect, patienceMs, clock);
  const readers = new Readers(connect, patienceMs, options.readers);
  return {
    history: {
      read: () =>
        readers.use(async (session) => {
          const head = headOf(await session.run(HEAD).catch(refuse));
          return { writtenIn: historyText(head), found: historyText(session.cluster!) };
        }),
      adopt: (found, work) => group.run(work, {}, found),
    },
    write: (work, expected = {}) => group.run(work, expected),
    read: (work) =>
      readers.use(async (session) => {
        try {
          // One snapshot for the whole of it: what is committed, as one moment shows it.
          const begun = session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
          begun.catch(() => undefined);
          return await work(snapshotReader((text, ...values) => session.run(text, values).catch(refuse), clock));
        } finally {
          if (!session.isLost) await session.run("ROLLBACK").catch(() => session.abandon());
        }
      }),
    close: async () => {
      await group.close();
      await readers.close();
    },
  };
}

const refuse = (error: unknown): never => {
  throw asGatewayError(error);
};

/**
 * Every connection may meet another server than the one before it: each is asked who it is. What there is can be read
 * in any history; whether it is the log's own is asked under the log's lock, before anything is written.
 */
async function connectChecked(options: PostgresOptions): Promise<Session> {
  const session = await Session.open(options);
  try {
    await requireMigrated(session);
    const head = headOf(await session.run(HEAD));
    requireDurable(head);
    session.cluster = await clusterOf(session);
    return session;
  } catch (error) {
    session.abandon();
    throw asGatewayError(error);
  }
}
