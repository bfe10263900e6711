import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync } from "node:fs";
import { createInterface } from "node:readline";
import type { Plugin } from "esbuild";
import { bundleVault, vaultProgram } from "./vault-bundle.ts";

/*
 * The vault with one guard lifted, for one proof: it takes keys whose bytes came from outside, so that a test knows what
 * to look for in its memory. It exists in a bundle of the test's own only.
 */

const GUARD = /export function checkAttributes\([^{]*\{/;

const WITHOUT_GUARD: Plugin = {
  name: "without the guard",
  setup: (plugins) =>
    plugins.onLoad({ filter: /adapters\/pkcs11\/attributes\.ts$/ }, ({ path }) => {
      const source = readFileSync(path, "utf8");
      if (!GUARD.test(source)) throw new Error("expected the guard `checkAttributes`");
      return { contents: source.replace(GUARD, (head) => `${head} return;`), loader: "ts" };
    }),
};

export type UnguardedVault = { readonly pid: number; readonly stop: () => Promise<void> };

export async function startUnguardedVault(configPath: string): Promise<UnguardedVault> {
  const bundle = await bundleVault("unguarded", [WITHOUT_GUARD]);
  const program = vaultProgram(bundle);
  const child: ChildProcess = spawn(process.execPath, [program, configPath], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const ready = once(createInterface({ input: child.stdout! }), "line");
  await Promise.race([ready, ended.then(() => Promise.reject(new Error("the vault ended before it was ready")))]);
  return {
    pid: child.pid!,
    stop: async () => {
      child.stdin!.end();
      await ended;
      rmSync(bundle, { recursive: true, force: true });
    },
  };
}
