import { Worker } from "node:worker_threads";

/*
 * Ends this process when it hangs: a call into the HSM's module that does not come back cannot be taken back, neither on
 * the thread pool nor on the main thread. Whoever started the vault starts it again, and the log knows what was under way.
 */

const BEAT_MS = 250;

/** What is late at one beat may be the resume of a machine that slept. */
const LATE_BEATS = 2;

/** Counts its own beats, not the time: a process that was stopped as a whole does not hang. */
const WATCHER = `
  const { workerData: { shared, beatsMax, beatMs, said } } = require("node:worker_threads");
  const beat = new Int32Array(shared);
  let last = 0, missed = 0;
  setInterval(() => {
    const now = Atomics.load(beat, 0);
    missed = now === last ? missed + 1 : 0;
    last = now;
    if (missed <= beatsMax) return;
    require("node:fs").writeSync(2, said);
    process.kill(process.pid, "SIGKILL");
  }, beatMs);
`;

/**
 * @param limitMs a call, or the main thread, that takes longer ends the process
 * @param oldestMs age of the oldest call under way on the thread pool
 * @param ending told before the end where there is a main thread to tell it; must not wait for anything
 * @returns stops watching
 */
export function watch(limitMs: number, oldestMs: () => number, ending: (ageMs: number) => void): () => Promise<void> {
  const shared = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  const beat = new Int32Array(shared);
  const said = `{"process":"vault","what":"hang","message":"the main thread has not answered for ${limitMs} ms"}\n`;
  const workerData = { shared, beatsMax: Math.ceil(limitMs / BEAT_MS), beatMs: BEAT_MS, said };
  const watcher = new Worker(WATCHER, { eval: true, workerData, stdin: false });
  watcher.unref();
  let late = 0;
  const timer = setInterval(() => {
    Atomics.add(beat, 0, 1);
    const ageMs = oldestMs();
    late = ageMs > limitMs ? late + 1 : 0;
    if (late < LATE_BEATS) return;
    ending(ageMs);
    // An orderly exit would wait for the very thread that hangs.
    process.kill(process.pid, "SIGKILL");
  }, BEAT_MS);
  timer.unref();
  return async () => {
    clearInterval(timer);
    await watcher.terminate();
  };
}
