import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/*
 * The vault with one guard lifted, for one proof: it takes keys whose bytes came from outside, so that a test knows what
 * to look for in its memory. It exists in a bundle of the test's own only.
 */

const BUNDLE = fileURLToPath(new URL(`../../build/test/unguarded-vault-${process.pid}.mjs`, import.meta.url));
const GUARD = /export function checkAttributes\([^{]*\{/;

async function bundle(): Promise<void> {
  mkdirSync(dirname(BUNDLE), { recursive: true });
  await build({
    entryPoints: [fileURLToPath(new URL("vault-process.ts", import.meta.url))],
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    outfile: BUNDLE,
    logLevel: "error",
    plugins: [
      {
        name: "without the guard",
        setup: (plugins) =>
          plugins.onLoad({ filter: /adapters\/pkcs11\/attributes\.ts$/ }, ({ path }) => {
            const source = readFileSync(path, "utf8");
            if (!GUARD.test(source)) throw new Error("expected the guard `checkAttributes`");
            return { contents: source.replace(GUARD, (head) => `${head} return;`), loader: "ts" };
          }),
      },
    ],
  });
}

export type UnguardedVault = { readonly pid: number; readonly stop: () => Promise<void> };

export async function startUnguardedVault(configPath: string): Promise<UnguardedVault> {
  await bundle();
  const child: ChildProcess = spawn(process.execPath, [BUNDLE, configPath], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const ready = once(createInterface({ input: child.stdout! }), "line");
  await Promise.race([ready, ended.then(() => Promise.reject(new Error("the vault ended before it was ready")))]);
  return {
    pid: child.pid!,
    stop: async () => {
      child.stdin!.end();
      await ended;
      rmSync(BUNDLE, { force: true });
    },
  };
}
