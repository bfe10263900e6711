import { execFile, spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";

export const PROGRAM = fileURLToPath(new URL("../../bin/portcullis.js", import.meta.url));

export type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** Runs a command to its end, as from a shell; does not throw when it ends with another code than 0. */
export function run(args: readonly string[], options: { cwd?: string; env?: NodeJS.ProcessEnv } = {}): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], { ...options, timeout: 240_000 }, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code ?? -1) : 0, stdout, stderr });
    });
  });
}

export type Started<Ready> = {
  /** What the program said when it was ready. */
  readonly ready: Ready;
  readonly process: ChildProcessByStdio<null, Readable, Readable>;
  /** SIGTERM, and waits for the end. @returns the exit code, or the signal that ended it */
  readonly stop: () => Promise<number | string>;
};

/** Starts a command that serves, and waits for its ready line (`--json`). */
export async function start<Ready>(args: readonly string[], options: { cwd?: string } = {}): Promise<Started<Ready>> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { ...options, stdio: ["ignore", "pipe", "pipe"] });
  const said: string[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk.toString()));
  const exited = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  const failed = exited.then(() => Promise.reject(new Error(`it ended before it was ready: ${said.join("")}`)));
  failed.catch(() => undefined);
  const [line] = await Promise.race([
    once(createInterface({ input: child.stdout }), "line") as Promise<[string]>,
    failed,
  ]);
  return {
    ready: JSON.parse(line) as Ready,
    process: child,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
      const [code, signal] = await exited;
      return code ?? signal!;
    },
  };
}
