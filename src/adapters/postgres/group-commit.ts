import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { GatewayError } from "../../domain/errors.ts";
import type { Expected, RowTransaction } from "../../vault/ports.ts";
import { asGatewayError, isConsequence, isConstraintViolation, isRolledBack } from "./errors.ts";
import { clusterFrom, headOf, LOCK_HEAD, requireDurable, requireSameCluster, requireSchema } from "./head.ts";
import { Memory } from "./memory.ts";
import { prefetch } from "./prefetch.ts";
import type { Row, Session } from "./session.ts";
import { Broken, GroupTransaction } from "./transaction.ts";

type Work = (transaction: RowTransaction) => Promise<unknown>;
type Job = {
  readonly work: Work;
  readonly expected: Expected;
  /** The history that becomes the log's own with this work, which is a group by itself. */
  readonly adopts: string | undefined;
  readonly since: number;
  readonly resolve: (value: never) => void;
  readonly reject: (error: unknown) => void;
};
type Outcome = { readonly job: Job; readonly value?: unknown; readonly error?: unknown; readonly failed: boolean };

/** As many as share one COMMIT at the most: bounds how long the first waits for the last, and others for the lock. */
const GROUP_MAX = 256;

const NEXT_VERSION = `WITH next AS (UPDATE head SET version = $1 RETURNING version)
  INSERT INTO commits (version, writer) SELECT version, $2 FROM next`;

const RETRY_MS = { first: 20, longest: 500 } as const;

/** A work's own write was refused: which one's is found out by running them one by one. */
class Refused extends Error {}
/** COMMIT was sent and its answer never came. */
class Unknown extends Error {}

/** Old COMMITs nobody can still ask for; swept when so many are new. */
const COMMITS_KEPT = 10_000;

/**
 * The one that writes: works of one moment share one transaction under the log's lock and one COMMIT; each sees what
 * those before it did. Nobody is answered before COMMIT is. Where nothing was committed for sure they run again, until
 * their patience ends; where COMMIT's answer was lost, the database is asked which it was before anything else.
 */
export class GroupCommit {
  readonly #connect: () => Promise<Session>;
  readonly #patienceMs: number;
  readonly #clock: (() => number) | undefined;
  readonly #memory = new Memory();
  readonly #queue: Job[] = [];
  #session: Session | undefined;
  #running: Promise<void> | undefined;
  #retryMs: number = RETRY_MS.first;

  constructor(connect: () => Promise<Session>, patienceMs: number, clock: (() => number) | undefined) {
    this.#connect = connect;
    this.#patienceMs = patienceMs;
    this.#clock = clock;
  }

  run(work: Work, expected: Expected, adopts?: string): Promise<never> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ work, expected, adopts, since: performance.now(), resolve, reject });
      this.#running ??= this.#drain();
    });
  }

  /** Waits for all works under way. */
  async close(): Promise<void> {
    while (this.#running) await this.#running;
    await this.#session?.close();
  }

  async #drain(): Promise<void> {
    // One turn of the event loop lets everything that has just arrived join the group.
    await new Promise(setImmediate);
    while (this.#queue.length > 0) await this.#settle(this.#nextGroup());
    this.#running = undefined;
  }

  #nextGroup(): Job[] {
    const alone = this.#queue.findIndex(({ adopts }) => adopts !== undefined);
    return this.#queue.splice(0, alone === -1 ? GROUP_MAX : Math.min(Math.max(alone, 1), GROUP_MAX));
  }

  async #settle(group: Job[]): Promise<void> {
    try {
      const outcomes = await this.#attempt(group, false).catch((error: unknown) => {
        if (error instanceof Refused) return this.#attempt(group, true);
        throw error;
      });
      this.#retryMs = RETRY_MS.first;
      outcomes.forEach(answer);
    } catch (error) {
      await this.#failed(group, error);
    }
  }

  /** Nothing of the group is committed, or nobody can say. */
  async #failed(group: Job[], error: unknown): Promise<void> {
    if (error instanceof Unknown) {
      const unknown = new GatewayError("outcome-unknown", "the database was lost while it committed", {
        hint: "send the same request again, with the same idempotency key: it finishes what was begun",
        cause: error.cause,
      });
      return group.forEach((job) => job.reject(unknown));
    }
    const reason = asGatewayError(error);
    const isOver = (job: Job) => !isPassing(reason) || performance.now() - job.since > this.#patienceMs;
    group.filter(isOver).forEach((job) => job.reject(reason));
    this.#queue.unshift(...group.filter((job) => !isOver(job)));
    await sleep(this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS.longest);
  }

  /** @param alone each work under a savepoint of its own: dearer, and one that is refused disturbs no other */
  async #attempt(group: Job[], alone: boolean): Promise<Outcome[]> {
    const session = await this.#writer();
    try {
      const { transaction, version } = await this.#begin(session, group);
      const outcomes: Outcome[] = [];
      let wrote = false;
      for (const job of group) {
        transaction.beginWork();
        outcomes.push(alone ? await attemptAlone(session, transaction, job) : await attempt(transaction, job));
        wrote ||= transaction.wrote;
      }
      // What was only read needs no COMMIT, and no disk.
      if (wrote) await this.#commit(session, transaction, version);
      else await session.run("ROLLBACK");
      return outcomes;
    } catch (error) {
      this.#memory.forget();
      if (error instanceof Refused && !session.isLost) await session.run("ROLLBACK");
      else this.#giveUp(session);
      throw error;
    } finally {
      this.#memory.forgetGroup();
    }
  }

  async #writer(): Promise<Session> {
    if (this.#session && !this.#session.isLost) return this.#session;
    this.#memory.forget(); // whatever was in mind, another connection may meet another state
    return (this.#session = await this.#connect());
  }

  #giveUp(session: Session): void {
    session.abandon();
    if (this.#session === session) this.#session = undefined;
  }

  /** One flight: the lock, the time, what the works will ask for. */
  async #begin(session: Session, group: Job[]): Promise<{ transaction: GroupTransaction; version: number }> {
    const begun = [session.run("BEGIN"), session.run(LOCK_HEAD)];
    const ahead = prefetch(
      session,
      group.map(({ expected }) => expected),
    );
    const [, locked, ...fetched] = await allOf([...begun, ...ahead.answers]);
    const head = headOf(locked!);
    requireSchema(head.schema);
    requireDurable(head);
    const adopts = group[0]!.adopts;
    requireSameCluster(adopts === undefined ? head : clusterFrom(adopts), session.cluster!);
    if (this.#memory.version !== head.version) this.#memory.forget(); // another vault wrote since
    this.#memory.version = head.version;
    ahead.into(this.#memory, fetched);
    const now = this.#clock ? this.#clock() : (locked![0]!["now"]! as number);
    const transaction = new GroupTransaction(session, this.#memory, now);
    if (adopts !== undefined) transaction.adopt(session.cluster!);
    return { transaction, version: head.version };
  }

  /** Everything in one flight; the server answers COMMIT with what became of it. */
  async #commit(session: Session, transaction: GroupTransaction, version: number): Promise<void> {
    const writer = randomUUID();
    const next = version + 1;
    const written = transaction.flush();
    const heard = [
      session.run(NEXT_VERSION, [next, writer]),
      ...(next % COMMITS_KEPT === 0
        ? [session.run("DELETE FROM commits WHERE version <= $1", [next - COMMITS_KEPT])]
        : []),
      session.commit(),
    ];
    const [commit] = (await Promise.allSettled(heard)).slice(-1);
    if (commit!.status === "rejected") {
      const reason: unknown = commit!.reason;
      if (isUndone(reason)) await written.catch(refusedWhere);
      if (isUndone(reason) || !(await this.#wasCommitted(session, next, writer, reason))) throw reason;
    }
    this.#memory.version = next;
  }

  /** Asks a new connection, under the lock: the old one's transaction is over then, one way or the other. */
  async #wasCommitted(lost: Session, version: number, writer: string, cause: unknown): Promise<boolean> {
    this.#giveUp(lost);
    this.#memory.forget();
    const deadline = performance.now() + this.#patienceMs;
    for (let waitMs: number = RETRY_MS.first; ; waitMs = Math.min(waitMs * 2, RETRY_MS.longest)) {
      const session = await this.#connect().catch(() => undefined);
      try {
        if (session) {
          const [, head, found] = await allOf([
            session.run("BEGIN"),
            session.run(LOCK_HEAD),
            session.run("SELECT writer FROM commits WHERE version = $1", [version]),
            session.run("ROLLBACK"),
          ]);
          requireSameCluster(headOf(head!), session.cluster!);
          this.#session = session;
          return found![0]?.["writer"] === writer;
        }
      } catch {
        session?.abandon();
      }
      if (performance.now() > deadline) throw new Unknown("nobody can say whether it was committed", { cause });
      await sleep(waitMs);
    }
  }
}

/** May be over in a moment; what an operator has to do something about is not. */
const isPassing = (error: GatewayError): boolean => error.code === "store-unavailable";

/** The server says that nothing of the transaction was kept. */
const isUndone = (error: unknown): boolean =>
  error instanceof GatewayError || isConstraintViolation(error) || isConsequence(error) || isRolledBack(error);

/** All were sent; waits for all, and fails as the first that failed. */
async function allOf(answers: Promise<Row[]>[]): Promise<Row[][]> {
  const heard = await Promise.allSettled(answers);
  const failed = heard.find((outcome) => outcome.status === "rejected");
  if (failed) throw failed.reason;
  return heard.map((outcome) => (outcome as PromiseFulfilledResult<Row[]>).value);
}

/** @throws {Refused} where a row of somebody's may not be; else what the database said */
function refusedWhere(error: unknown): never {
  const cause = error instanceof Broken ? error.cause : error;
  if (isConstraintViolation(cause)) throw new Refused("a row may not be", { cause });
  throw cause;
}

async function attempt(transaction: GroupTransaction, job: Job): Promise<Outcome> {
  try {
    const value = await job.work(transaction.port);
    transaction.requireWhole();
    return { job, value, failed: false };
  } catch (error) {
    if (transaction.isBroken) refusedWhere(transaction.failure);
    // Some of it may have been sent already, among what others wrote.
    if (transaction.wrote) throw new Refused("a work failed half-way", { cause: error });
    return { job, error, failed: true };
  }
}

async function attemptAlone(session: Session, transaction: GroupTransaction, job: Job): Promise<Outcome> {
  await session.run("SAVEPOINT work");
  try {
    const value = await job.work(transaction.port);
    await transaction.flush();
    await session.run("RELEASE SAVEPOINT work");
    return { job, value, failed: false };
  } catch (error) {
    const cause = transaction.isBroken ? transaction.failure : error;
    if (transaction.isBroken && !isConstraintViolation(cause)) throw cause;
    await transaction.forgetWork();
    await session.run("ROLLBACK TO SAVEPOINT work");
    return { job, error: isConstraintViolation(cause) ? asGatewayError(cause) : cause, failed: true };
  }
}

const answer = ({ job, value, error, failed }: Outcome): void => {
  if (failed) job.reject(error);
  else job.resolve(value as never);
};
