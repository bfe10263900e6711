import type { ChildProcess } from "node:child_process";
import { GatewayError } from "./domain/errors.ts";
import { readReadyLine, type ReadyLine } from "./ready-line.ts";

const BACKOFF_MS = { first: 200, longest: 10_000 } as const;

/** A process that ran this long was well: its next restart begins with the shortest wait again. */
const WELL_AFTER_MS = 60_000;

/** How long an orderly stop may take before it is ended by force. */
const STOP_WITHIN_MS = 20_000;

export type Kept = {
  readonly ready: Promise<ReadyLine>;
  readonly pid: () => number | undefined;
  readonly stop: () => Promise<void>;
};

/**
 * Starts a child, and again with back-off when it has ended. INVARIANT: `start` is called only when the child before is
 * reaped and what it left of its process group is killed.
 * @param name what the child's ready line says
 * @param start with `detached`: the child leads a process group of its own
 */
export function keepRunning(name: string, start: () => ChildProcess): Kept {
  let stopping = false;
  let child: ChildProcess | undefined;
  let ended: Promise<void> = Promise.resolve();
  let delayMs: number = BACKOFF_MS.first;
  let onReady: (line: ReadyLine) => void;
  let onFailure: (error: Error) => void;
  const ready = new Promise<ReadyLine>((resolve, reject) => ([onReady, onFailure] = [resolve, reject]));
  let everReady = false;

  const run = (): void => {
    const startedAt = Date.now();
    child = start();
    const running = child;
    readReadyLine(running.stdout!, (line) => {
      if (line?.ready !== name) {
        process.stderr.write(`portcullis: expected the ${name} to say that it is ready, found something else\n`);
        return void running.kill("SIGKILL");
      }
      everReady = true;
      onReady(line);
    });
    ended = new Promise((resolve) => {
      const onEnd = (code: number | string | null, signal: NodeJS.Signals | null = null): void => {
        resolve();
        endGroup(running.pid);
        if (stopping) return;
        // What has never run is misconfigured: the reason stands on stderr, and trying again would only repeat it.
        if (!everReady)
          return onFailure(
            new GatewayError("start-failed", `the ${name} ended before it was ready (${signal ?? code})`),
          );
        delayMs = Date.now() - startedAt > WELL_AFTER_MS ? BACKOFF_MS.first : Math.min(delayMs * 2, BACKOFF_MS.longest);
        process.stderr.write(
          `portcullis: the ${name} ended (${signal ?? code}); it is started again in ${delayMs} ms\n`,
        );
        setTimeout(() => !stopping && run(), delayMs);
      };
      // A program that cannot be started has no exit, and its signals no error of ours.
      if (running.pid === undefined) running.once("error", ({ message }) => onEnd(message));
      else running.once("exit", onEnd).on("error", () => undefined);
    });
  };
  run();
  return {
    ready,
    pid: () => child?.pid,
    stop: async () => {
      stopping = true;
      if (child?.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      const force = setTimeout(() => child?.kill("SIGKILL"), STOP_WITHIN_MS);
      await ended;
      clearTimeout(force);
    },
  };
}

/**
 * A vault that was killed may leave a signer that hangs in the HSM's module: logged in, with orders that nobody waits for.
 * At once after the leader was reaped, so that its number cannot be another group's yet.
 */
function endGroup(leader: number | undefined): void {
  if (leader === undefined) return;
  try {
    process.kill(-leader, "SIGKILL");
  } catch {
    // As it should be: nobody was left.
  }
}
