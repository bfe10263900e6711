// Goal: `npm ci` works from a fresh clone, on every platform and with whatever registry npm is set to.
// Method: npm leaves entries out of the lock file when it writes it beside an installed tree, or when its registry lacks a
// package for another platform; `npm ci` then refuses the whole file. So each package that is named must have its entry.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

type Entry = {
  version?: string;
  resolved?: string;
  integrity?: string;
  dependencies?: Record<string, string>;
  optionalDependencies?: Record<string, string>;
  os?: string[];
};
const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../../${name}`, import.meta.url), "utf8")) as unknown;
const lock = read("package-lock.json") as { packages: Record<string, Entry> };
const entries = Object.entries(lock.packages);

/** As Node resolves: the nearest `node_modules` above the package that asks. */
function entryFor(name: string, from: string): Entry | undefined {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf("node_modules/") - 1))) {
    const found = lock.packages[`${folder === "" ? "" : `${folder}/`}node_modules/${name}`];
    if (found !== undefined || folder === "") return found;
  }
}

describe("package-lock.json", () => {
  it("holds an entry for each package that one of its packages names, for other platforms too", () => {
    const missing = entries.flatMap(([path, { dependencies, optionalDependencies }]) =>
      Object.keys({ ...dependencies, ...optionalDependencies })
        .filter((name) => entryFor(name, path) === undefined)
        .map((name) => `${name}, named by ${path}`),
    );
    assert.deepEqual(missing, []);
  });

  it("names no host", () => {
    assert.deepEqual(
      entries.filter(([, { resolved }]) => resolved !== undefined),
      [],
    );
  });

  it("pins the bytes of whatever is installed on Linux x64", () => {
    // anvil's and cast's packages for four other platforms could not be had when the lock was made; they are for tests only.
    const unpinned = entries
      .filter(([path, { integrity }]) => path !== "" && integrity === undefined)
      .map(([path]) => path);
    assert.deepEqual(unpinned, [
      "node_modules/@foundry-rs/anvil-darwin-amd64",
      "node_modules/@foundry-rs/anvil-darwin-arm64",
      "node_modules/@foundry-rs/anvil-linux-arm64",
      "node_modules/@foundry-rs/anvil-win32-amd64",
      "node_modules/@foundry-rs/cast-darwin-amd64",
      "node_modules/@foundry-rs/cast-darwin-arm64",
      "node_modules/@foundry-rs/cast-linux-arm64",
      "node_modules/@foundry-rs/cast-win32-amd64",
    ]);
  });

  it("holds what package.json asks for, each at one exact version", () => {
    const { dependencies, devDependencies } = read("package.json") as Record<string, Record<string, string>>;
    for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
      assert.equal(lock.packages[`node_modules/${name}`]?.version, version, name);
    }
  });
});
