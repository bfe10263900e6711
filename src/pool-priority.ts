import { readdirSync } from "node:fs";
import { stat } from "node:fs/promises";
import { constants, getPriority, setPriority } from "node:os";

/** Low enough that the thread which answers goes first, high enough that the pool still gets what is left. */
const LOWER_BY = 10;

/**
 * Lets the main thread go before libuv's pool where processors are short: a signature that SoftHSM computes takes a third
 * of a millisecond of one, while the thread that decides, records and answers for everybody waits. An HSM of its own
 * needs none of it, and a system without /proc does without.
 * @returns the threads of the pool, by Linux's ids
 */
export async function yieldToMainThread(poolSize: number): Promise<number[]> {
  await stat("/"); // libuv starts all of its threads with the first job, and Node has started its own before
  const threads = poolThreads(poolSize);
  // On Linux, of one thread. From where the operator has put the process: nobody but root may go up again.
  const nice = Math.min(getPriority() + LOWER_BY, constants.priority.PRIORITY_LOW);
  for (const thread of threads) setPriority(thread, nice);
  return threads;
}

/** The youngest ones: nothing starts threads after the pool but workers, and the vault has none. */
function poolThreads(poolSize: number): number[] {
  try {
    const threads = readdirSync("/proc/self/task").map(Number);
    return threads
      .sort((a, b) => a - b)
      .slice(-poolSize)
      .filter((thread) => thread !== process.pid);
  } catch {
    return [];
  }
}
