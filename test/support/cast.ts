import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const PROGRAM = join(dirname(createRequire(import.meta.url).resolve("@foundry-rs/cast/package.json")), "bin.mjs");

/**
 * Foundry's command line, to its end. The package's starter ends with 0 whatever became of it: what failed is known by
 * what it says.
 */
export async function cast(...args: readonly string[]): Promise<string> {
  const ran = await promisify(execFile)(process.execPath, [PROGRAM, ...args], { timeout: 240_000 });
  if (/^Error/m.test(ran.stderr)) throw new Error(ran.stderr);
  return ran.stdout.trim();
}
