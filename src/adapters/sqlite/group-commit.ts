import type { Database } from "better-sqlite3";

type Job = { run: () => Promise<unknown>; resolve: (value: never) => void; reject: (error: unknown) => void };
type Outcome = { job: Job; value?: unknown; error?: unknown; failed: boolean };

/** As many as share one COMMIT at the most: bounds how long the first waits for the last. */
const GROUP_MAX = 256;

/**
 * Runs the jobs of one moment in one transaction: one fsync serves them all, and each sees what those before it did.
 * A job that throws is undone alone (SAVEPOINT). Nobody is answered before COMMIT has returned; when COMMIT fails, all
 * of the group fail with its error and nothing of them is left.
 */
export function groupCommit(
  database: Database,
  /** Something that was written is gone again: whoever remembers it must forget it. */
  onUndone: () => void,
): {
  run: <T>(job: () => Promise<T>) => Promise<T>;
  idle: () => Promise<void>;
} {
  const [begin, commit, rollback] = ["BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"].map((sql) => database.prepare(sql));
  const [save, release, undo] = ["SAVEPOINT job", "RELEASE job", "ROLLBACK TO job"].map((sql) => database.prepare(sql));
  const queue: Job[] = [];
  let running: Promise<void> | undefined;

  async function attempt(job: Job): Promise<Outcome> {
    save!.run();
    try {
      const value = await job.run();
      release!.run();
      return { job, value, failed: false };
    } catch (error) {
      undo!.run();
      onUndone();
      release!.run();
      return { job, error, failed: true };
    }
  }

  async function commitGroup(group: Job[]): Promise<void> {
    const outcomes: Outcome[] = [];
    try {
      begin!.run();
      for (const job of group) outcomes.push(await attempt(job));
      commit!.run();
    } catch (error) {
      if (database.inTransaction) rollback!.run();
      onUndone();
      for (const job of group) job.reject(error);
      return;
    }
    for (const { job, value, error, failed } of outcomes) {
      if (failed) job.reject(error);
      else job.resolve(value as never);
    }
  }

  async function drain(): Promise<void> {
    // One turn of the event loop lets everything that has just arrived join the group.
    await new Promise(setImmediate);
    while (queue.length > 0) await commitGroup(queue.splice(0, GROUP_MAX));
    running = undefined;
  }

  return {
    run: (job) =>
      new Promise((resolve, reject) => {
        queue.push({ run: job, resolve: resolve, reject });
        running ??= drain();
      }),
    idle: async () => {
      while (running) await running;
    },
  };
}
