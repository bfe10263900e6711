import { spawn } from "node:child_process";
import { constants } from "node:os";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"];
/** The children under way, each with whether it must be left to its end. */
const running = new Map();
const whenStopped = new Set();
const whenChanged = new Set();
const tellGroups = () => whenChanged.forEach((tell) => tell([...running.keys()].map((child) => child.pid)));

/**
 * Runs a program to its end. Never throws: a program that cannot be started has code 127.
 * The program leads a process group of its own, so that what it started in turn (npm's compilers) can be stopped with it.
 * @param leave if a signal stops this process, let the program finish (apt: half an installation is worse than a late one)
 * @returns {{code: number, output: string}} stdout and stderr in the order they came
 */
export function run(program, args, { cwd, env, timeoutMs, leave = false } = {}) {
  return new Promise((resolve) => {
    const stdio = ["ignore", "pipe", "pipe"];
    const child = spawn(program, args, { cwd, env, stdio, detached: true, timeout: timeoutMs, killSignal: "SIGKILL" });
    if (child.pid !== undefined) {
      running.set(child, leave);
      tellGroups();
    }
    const chunks = [];
    child.stdout.on("data", (chunk) => chunks.push(chunk));
    child.stderr.on("data", (chunk) => chunks.push(chunk));
    const end = (code, more = "") => {
      if (running.delete(child)) tellGroups();
      resolve({ code, output: Buffer.concat(chunks).toString("utf8") + more });
    };
    child.on("error", (error) => end(127, error.message));
    child.on("close", (code, signal) =>
      end(code ?? 128 + constants.signals[signal], signal ? `\nended by ${signal}` : ""),
    );
  });
}

/**
 * While `act` runs: `onChange` is told which process groups run, and a signal ends this process after its programs and
 * after `cleanUp`. Afterwards signals belong to what runs next in this process.
 */
export async function guarded(act, { onChange, cleanUp }) {
  whenChanged.add(onChange);
  whenStopped.add(cleanUp);
  for (const signal of SIGNALS) if (!process.listeners(signal).includes(onSignal)) process.on(signal, onSignal);
  try {
    return await act();
  } finally {
    whenChanged.delete(onChange);
    whenStopped.delete(cleanUp);
    cleanUp();
  }
}

/**
 * Never taken off again: a signal that came while the last step kept this thread busy would find nobody and be lost,
 * with whoever sent it waiting for ever. What runs next has listeners of its own; until then the default holds.
 */
function onSignal(signal) {
  if (whenStopped.size === 0) {
    if (process.listenerCount(signal) === 1) process.exit(128 + constants.signals[signal]);
    return;
  }
  for (const [child, leave] of running) if (!leave) killGroup(child.pid);
  for (const cleanUp of whenStopped) cleanUp();
  process.stderr.write(`set-up: stopped by ${signal}\n`);
  process.exit(128 + constants.signals[signal]);
}

/** Not with SIGTERM: npm waits for its scripts then, and goes on. What it leaves half done the next set-up does again. */
function killGroup(pid) {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It ended by itself.
  }
}
