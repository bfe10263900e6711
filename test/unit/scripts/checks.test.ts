// Goal: the set-up does what is missing and nothing else.
// Method: its checks are pure; machines, trees and environments are given as data.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  aptCommand,
  buildIsCurrent,
  COMPILERS,
  filesBelow,
  inputsHash,
  missingPackages,
  npmEnvironment,
  PURPOSES,
  SOFTHSM_MODULES,
  STAMP,
  treeDiffers,
} from "../../../scripts/set-up/checks.mjs";
import { isAtLeast } from "../../../scripts/set-up/node-version.mjs";

describe("set-up: Node's version", () => {
  for (const [version, minimum, expected] of [
    ["20.19.0", "20.19", true],
    ["20.20.2", "20.19", true],
    ["22.1.0", "20.19", true],
    ["20.18.3", "20.19", false],
    ["18.20.0", "20.19", false],
    ["9.99.0", "20.19", false],
    ["20.9.1", "20.19", false],
  ] as const) {
    it(`${version} is ${expected ? "" : "not "}at least ${minimum}`, () =>
      assert.equal(isAtLeast(version, minimum), expected));
  }
});

describe("set-up: system packages", () => {
  const machine = (files: string[], platform: NodeJS.Platform = "linux") => ({
    path: "/usr/local/bin:/usr/bin",
    platform,
    exists: (path: string) => files.includes(path),
  });
  const softhsm = "/usr/lib/softhsm/libsofthsm2.so";

  it("an empty machine needs SoftHSM to run", () => {
    assert.deepEqual(missingPackages(PURPOSES["run"]!.system, machine([])), ["softhsm2"]);
  });
  it("a module that is there asks for no package, whoever put it there", () => {
    assert.deepEqual(missingPackages(PURPOSES["run"]!.system, machine([softhsm])), []);
    assert.deepEqual(missingPackages(PURPOSES["run"]!.system, machine(["/usr/local/lib/softhsm/libsofthsm2.so"])), []);
  });
  it("the module is looked for where the gateway looks for it", () => {
    const source = readFileSync(new URL("../../../src/adapters/pkcs11/softhsm.ts", import.meta.url), "utf8");
    assert.deepEqual(
      [...source.matchAll(/^ {2}"(\/.*libsofthsm2\.so)",$/gm)].map(([, path]) => path),
      SOFTHSM_MODULES,
    );
  });
  it("tests need more than running does", () => {
    const missing = missingPackages(PURPOSES["test"]!.system, machine([softhsm]));
    assert.deepEqual(missing, [
      "chromium",
      "gcc",
      "golang-go",
      "golang-golang-x-mod-dev",
      "libc6-dev",
      "make",
      "opensc",
      "openssh-client",
      "p11-kit",
      "postgresql",
      "python3",
      "python3-cryptography",
    ]);
  });
  it("compiling an addon needs a C++ compiler as well, and each package is named once", () => {
    const missing = missingPackages([...PURPOSES["test"]!.system, ...COMPILERS], machine([softhsm]));
    assert.deepEqual(missing, [
      "chromium",
      "g++",
      "gcc",
      "golang-go",
      "golang-golang-x-mod-dev",
      "libc6-dev",
      "make",
      "opensc",
      "openssh-client",
      "p11-kit",
      "postgresql",
      "python3",
      "python3-cryptography",
    ]);
  });
  it("a compiler without the C library's headers is no compiler", () => {
    assert.deepEqual(missingPackages(["cc"], machine(["/usr/bin/gcc"])), ["gcc", "libc6-dev"]);
    assert.deepEqual(missingPackages(["cc"], machine(["/usr/bin/gcc", "/usr/include/stdio.h"])), []);
    assert.deepEqual(missingPackages(["cc"], machine(["/usr/bin/cc"], "darwin")), []);
  });
  it("a program counts only in a folder of PATH", () => {
    assert.deepEqual(missingPackages(["make"], machine(["/opt/bin/make"])), ["make"]);
  });
  it("the command that a person is asked to run names exactly the packages", () => {
    assert.equal(
      aptCommand(["opensc", "softhsm2"]),
      "sudo apt-get update && sudo apt-get install -y --no-install-recommends opensc softhsm2",
    );
  });
});

describe("set-up: npm packages", () => {
  const lock = {
    packages: {
      "": { version: "0.1.0" },
      "node_modules/a": { version: "1.0.0", integrity: "sha512-a" },
      "node_modules/a/node_modules/b": { version: "2.0.0", integrity: "sha512-b" },
      "node_modules/tool": { version: "3.0.0", integrity: "sha512-t", dev: true },
      "node_modules/a-darwin": { version: "1.0.0", integrity: "sha512-d", optional: true },
    },
  };
  const without = (tree: object, ...paths: string[]) =>
    Object.fromEntries(Object.entries(tree).filter(([path]) => !paths.includes(path)));
  const here = without(lock.packages, "", "node_modules/a-darwin");
  const all = { dev: true, exists: () => true };

  it("what npm installs for this platform is as the lock says", () => {
    assert.equal(treeDiffers(lock, { packages: here }, all), undefined);
  });
  it("nothing installed", () => assert.match(treeDiffers(lock, undefined, all)!, /nothing is installed/));
  it("one package missing", () => {
    const rest = without(here, "node_modules/a/node_modules/b");
    assert.equal(treeDiffers(lock, { packages: rest }, all), "node_modules/a/node_modules/b is missing");
  });
  it("another version", () => {
    const installed = { ...here, "node_modules/a": { version: "0.9.0", integrity: "sha512-a" } };
    assert.equal(treeDiffers(lock, { packages: installed }, all), "node_modules/a is 0.9.0, not 1.0.0");
  });
  it("the same version with other bytes", () => {
    const installed = { ...here, "node_modules/a": { version: "1.0.0", integrity: "sha512-x" } };
    assert.match(treeDiffers(lock, { packages: installed }, all)!, /not what package-lock.json names/);
  });
  it("a package that the lock does not know", () => {
    const installed = { ...here, "node_modules/evil": { version: "1.0.0" } };
    assert.equal(treeDiffers(lock, { packages: installed }, all), "node_modules/evil is not in package-lock.json");
  });
  it("a folder that somebody removed", () => {
    assert.equal(
      treeDiffers(lock, { packages: here }, { dev: true, exists: (path) => path !== "node_modules/tool" }),
      "node_modules/tool was removed",
    );
  });
  it("without packages for development: enough to run, not to build", () => {
    const production = without(here, "node_modules/tool");
    assert.equal(treeDiffers(lock, { packages: production }, { dev: false, exists: () => true }), undefined);
    assert.equal(treeDiffers(lock, { packages: production }, all), "node_modules/tool is missing");
  });
});

describe("set-up: npm's environment", () => {
  it("neither the outer npm's settings nor the shell's decide what is installed", () => {
    const env = npmEnvironment(
      {
        PATH: "/bin",
        NODE_ENV: "production",
        npm_config_json: "true",
        NPM_CONFIG_OMIT: "dev",
        npm_config_registry: "kept",
      },
      { headers: undefined, cache: undefined },
    );
    assert.deepEqual(env, {
      PATH: "/bin",
      npm_config_registry: "kept",
      npm_config_build_from_source: "better-sqlite3",
      JOBS: "max",
    });
  });
  it("addons are compiled on every processor, unless somebody chose otherwise", () => {
    assert.equal(npmEnvironment({ JOBS: "1" }, { headers: undefined, cache: undefined })["JOBS"], "1");
  });
  it("headers that came with Node are used, unless somebody chose others", () => {
    assert.equal(npmEnvironment({}, { headers: "/usr", cache: undefined })["npm_config_nodedir"], "/usr");
    const chosen = npmEnvironment({ npm_config_nodedir: "/mine" }, { headers: "/usr", cache: undefined });
    assert.equal(chosen["npm_config_nodedir"], "/mine");
  });
  it("a cache that can be written replaces one that cannot", () => {
    const env = npmEnvironment(
      { npm_config_cache: "/nonexistent/.npm" },
      { headers: undefined, cache: "/var/cache/npm" },
    );
    assert.equal(env["npm_config_cache"], "/var/cache/npm");
  });
});

describe("set-up: the build's stamp", () => {
  let root: string;
  const write = (path: string, text: string) => {
    mkdirSync(join(root, path, ".."), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "portcullis set-up "));
    for (const name of ["package-lock.json", "package.json", "tsconfig.json", "tsconfig.build.json"]) write(name, "{}");
    write("scripts/set-up/build.mjs", "");
    write("src/a.ts", "1");
    write("src/deep/b.sql", "2");
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it("files below a folder come sorted, in all its folders", () => {
    assert.deepEqual(filesBelow(root, "src"), ["src/a.ts", "src/deep/b.sql"]);
    assert.deepEqual(filesBelow(root, "nowhere"), []);
  });
  it("no dist is not current; one with this stamp is", () => {
    assert.equal(buildIsCurrent(root), false);
    write(`dist/${STAMP}`, inputsHash(root));
    assert.equal(buildIsCurrent(root), true);
  });
  for (const [name, change] of [
    ["a changed source", () => write("src/a.ts", "3")],
    ["a new source", () => write("src/c.ts", "")],
    ["a source moved with its text", () => (rmSync(join(root, "src/a.ts")), write("src/z.ts", "1"))],
    ["a changed file that is copied", () => write("src/deep/b.sql", "")],
    ["another setting of the compiler", () => write("tsconfig.json", "{ }")],
    ["other packages", () => write("package-lock.json", "{ }")],
  ] as [string, () => void][]) {
    it(`${name} makes dist stale`, () => {
      write(`dist/${STAMP}`, inputsHash(root));
      change();
      assert.equal(buildIsCurrent(root), false);
    });
  }
});
