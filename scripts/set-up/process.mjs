import { spawn } from "node:child_process";
import { constants } from "node:os";

const running = new Set();
const whenStopped = new Set();

/**
 * Runs a program to its end. Never throws: a program that cannot be started has code 127.
 * @returns {{code: number, output: string}} stdout and stderr in the order they came
 */
export function run(program, args, { cwd, env, timeoutMs } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd,
      env,
      stdio: ["ignore", "pipe", "pipe"],
      timeout: timeoutMs,
      killSignal: "SIGKILL",
    });
    running.add(child);
    const chunks = [];
    child.stdout.on("data", (chunk) => chunks.push(chunk));
    child.stderr.on("data", (chunk) => chunks.push(chunk));
    const end = (code, more = "") => {
      running.delete(child);
      resolve({ code, output: Buffer.concat(chunks).toString("utf8") + more });
    };
    child.on("error", (error) => end(127, error.message));
    child.on("close", (code, signal) =>
      end(code ?? 128 + constants.signals[signal], signal ? `\nended by ${signal}` : ""),
    );
  });
}

/** @returns a function that takes the clean-up off again */
export function whenStoppedDo(cleanUp) {
  if (whenStopped.size === 0) for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, stop);
  whenStopped.add(cleanUp);
  return () => {
    whenStopped.delete(cleanUp);
    // From here on the signals belong to what runs next in this process.
    if (whenStopped.size === 0) for (const signal of ["SIGINT", "SIGTERM"]) process.removeListener(signal, stop);
  };
}

function stop(signal) {
  for (const child of running) child.kill(signal);
  for (const cleanUp of whenStopped) cleanUp();
  process.stderr.write(`set-up: stopped by ${signal}\n`);
  process.exit(128 + constants.signals[signal]);
}
