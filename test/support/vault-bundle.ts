import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

/**
 * `vault-process.ts` as one file, and beside it the program that signs, as they stand in `dist`: one file is started in a
 * third of the time of many.
 * @returns the folder, of this process alone; whoever asked for it removes it
 */
export async function bundleVault(name: string, plugins: Plugin[] = []): Promise<string> {
  const outdir = fileURLToPath(new URL(`../../build/test/${name}-${process.pid}`, import.meta.url));
  mkdirSync(outdir, { recursive: true });
  const source = (path: string) => fileURLToPath(new URL(path, import.meta.url));
  await build({
    entryPoints: {
      "vault-process": source("./vault-process.ts"),
      signer: source("../../src/adapters/pkcs11/signer.ts"),
    },
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    packages: "external",
    outdir,
    logLevel: "error",
    plugins,
  });
  return outdir;
}

export const vaultProgram = (bundle: string): string => join(bundle, "vault-process.js");
