import { run } from "./process.mjs";

/**
 * The native modules, each with the least that proves it works. Each is opened in a process of its own: one that is
 * built for another Node may end its process.
 */
export const ADDONS = {
  "better-sqlite3": `new (require("better-sqlite3"))(":memory:").close()`,
  pkcs11js: `new (require("pkcs11js").PKCS11)()`,
  // The addon itself: the package's main file would fall back to JavaScript without a word.
  secp256k1: `require("secp256k1/bindings").publicKeyCreate(new Uint8Array(32).fill(1), true)`,
};

/** @returns the addons that do not open, each with what it said */
export async function brokenAddons(root) {
  const results = await Promise.all(
    Object.entries(ADDONS).map(async ([name, code]) => {
      const { code: exit, output } = await run(process.execPath, ["--input-type=commonjs", "-e", code], {
        cwd: root,
        timeoutMs: 30_000,
      });
      return exit === 0 ? undefined : { name, reason: reasonIn(output) };
    }),
  );
  return results.filter((broken) => broken !== undefined);
}

/** The line that names the error, out of a stack trace. */
const reasonIn = (output) => {
  const lines = output.split("\n").map((line) => line.trim());
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? lines.find((line) => line !== "") ?? "it says nothing";
};
