import type { Database } from "better-sqlite3";

type Job = { run: () => Promise<unknown>; resolve: (value: never) => void; reject: (error: unknown) => void };
type Outcome = { job: Job; value?: unknown; error?: unknown; failed: boolean };

/** How many turns of the event loop works gather for, while the disk is busy anyway. */
const GATHERING_TURNS = 4;
/**
 * As many as share one COMMIT at the most: bounds how long the first waits for the last. Signers have what the first are
 * about to sign while the next are decided (decision 127).
 */
const GROUP_MAX = 12;

export type Durability = {
  /** Something that was written is gone again: whoever remembers it must forget it. */
  readonly onUndone: () => void;
  /** Whether anything was written since it was told to forget. */
  readonly writes: { readonly any: () => boolean; readonly forget: () => void };
  /** Resolves when everything that was committed so far is on the disk. */
  readonly durable: () => Promise<void>;
};

/**
 * Runs the jobs of one moment in one transaction: one sync serves them all, and each sees what those before it did.
 * A job that throws is undone alone; jobs may run twice for it. Nobody is answered before what was committed is durable; the next group
 * runs meanwhile. When COMMIT fails, all of the group fail with its error and nothing of them is left.
 */
export function groupCommit(
  database: Database,
  { onUndone, writes, durable }: Durability,
): {
  run: <T>(job: () => Promise<T>) => Promise<T>;
  idle: () => Promise<void>;
} {
  const [begin, commit, rollback] = ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"].map((sql) => database.prepare(sql));
  const [save, release, undo] = ["SAVEPOINT job", "RELEASE job", "ROLLBACK TO job"].map((sql) => database.prepare(sql));
  const queue: Job[] = [];
  let running: Promise<void> | undefined;
  const unanswered = new Set<Promise<void>>();

  /** @returns undefined if the job failed after it had written: then nothing of the group may stand */
  async function attempt(job: Job): Promise<Outcome | undefined> {
    writes.forget();
    try {
      return { job, value: await job.run(), failed: false };
    } catch (error) {
      return writes.any() ? undefined : { job, error, failed: true };
    }
  }

  /** The same for a group in which a job failed half-way: each is undone alone, for the price of two statements each. */
  async function attemptAlone(job: Job): Promise<Outcome> {
    save!.run();
    try {
      return { job, value: await job.run(), failed: false };
    } catch (error) {
      undo!.run();
      onUndone();
      return { job, error, failed: true };
    } finally {
      release!.run();
    }
  }

  async function runAll(group: Job[]): Promise<Outcome[]> {
    const outcomes: Outcome[] = [];
    begin!.run();
    for (const job of group) {
      const outcome = await attempt(job);
      if (!outcome) return runAgain(group);
      outcomes.push(outcome);
    }
    return outcomes;
  }

  async function runAgain(group: Job[]): Promise<Outcome[]> {
    rollback!.run();
    onUndone();
    begin!.run();
    const outcomes: Outcome[] = [];
    for (const job of group) outcomes.push(await attemptAlone(job));
    return outcomes;
  }

  async function commitGroup(group: Job[]): Promise<void> {
    let outcomes: Outcome[];
    try {
      outcomes = await runAll(group);
      commit!.run();
    } catch (error) {
      if (database.inTransaction) rollback!.run();
      onUndone();
      for (const job of group) job.reject(error);
      return;
    }
    const answered = durable()
      .then(
        () => outcomes.forEach(answer),
        (error: unknown) => group.forEach((job) => job.reject(error)),
      )
      .finally(() => unanswered.delete(answered));
    unanswered.add(answered);
  }

  const answer = ({ job, value, error, failed }: Outcome): void => {
    if (failed) job.reject(error);
    else job.resolve(value as never);
  };

  /**
   * One turn of the event loop lets everything that has just arrived join the group. While an earlier group is synced,
   * this one could not be: a few turns more make it larger, and one COMMIT of twelve works costs two thirds of two of six.
   */
  async function gather(): Promise<void> {
    await new Promise(setImmediate);
    for (let turn = 1; turn < GATHERING_TURNS && unanswered.size > 0; turn++) await new Promise(setImmediate);
  }

  async function drain(): Promise<void> {
    do {
      await gather();
      await commitGroup(queue.splice(0, GROUP_MAX));
    } while (queue.length > 0);
    running = undefined;
  }

  return {
    run: (job) =>
      new Promise((resolve, reject) => {
        queue.push({ run: job, resolve: resolve, reject });
        running ??= drain();
      }),
    idle: async () => {
      while (running ?? unanswered.size > 0) await Promise.all([running, ...unanswered]);
    },
  };
}
