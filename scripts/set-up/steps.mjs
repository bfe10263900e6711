import { accessSync, constants, existsSync, mkdirSync, readFileSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ADDONS, brokenAddons } from "./addons.mjs";
import { build } from "./build.mjs";
import {
  aptCommand,
  buildIsCurrent,
  checkoutDiffers,
  COMPILERS,
  missingPackages,
  npmEnvironment,
  PURPOSES,
} from "./checks.mjs";
import { isHeld, takeLock } from "./lock.mjs";
import { guarded, run } from "./process.mjs";
import { explain, say, SetUpError } from "./say.mjs";

export const ROOT = resolve(fileURLToPath(import.meta.url), "../../..");
const EDGE_USER = "portcullis-edge";
const APT = "/usr/bin/apt-get";

const isRoot = () => process.getuid?.() === 0;
const seconds = (since) => `${((Date.now() - since) / 1000).toFixed(1)} s`;

/** @returns true when all is in place; on an expected failure says what is wrong and returns false */
export async function setUp(purpose, root = ROOT) {
  const startedAt = Date.now();
  try {
    say(`Node.js ${process.versions.node}`);
    const lock = join(root, "build/set-up.lock");
    const seen = await look(purpose, root);
    // Where nothing is to do nothing is written: a user who may only read the checkout can start what another set up.
    if (isDone(seen) && !isHeld(lock)) {
      await carryOut(seen, purpose, root);
    } else {
      requireInstallable(seen.system);
      // Seen again under the lock: another set-up may have done it all meanwhile.
      await locked(lock, root, async () => carryOut(await look(purpose, root), purpose, root));
    }
    say(`done in ${seconds(startedAt)}`);
    return true;
  } catch (error) {
    process.stderr.write(explain(error));
    return false;
  }
}

/** Everything that can be seen without changing anything. */
async function look(purpose, root) {
  const needs = PURPOSES[purpose];
  const buildMissing = needs.build && !buildIsCurrent(root);
  // What only runs needs no compiler and no test runner; what builds, tests or checks does.
  const dev = purpose !== "run" || buildMissing;
  const treeDifference = checkoutDiffers(root, { dev });
  const broken = needs.addons && treeDifference === undefined ? await brokenAddons(root) : [];
  const compiles = treeDifference !== undefined || broken.length > 0;
  return {
    system: [...needs.system, ...(compiles ? COMPILERS : [])],
    userMissing: needs.edgeUser && isRoot() && process.platform === "linux" && !(await hasUser()),
    treeDifference,
    broken,
    buildMissing,
  };
}

const missing = (names) => missingPackages(names, { path: process.env.PATH ?? "", platform: process.platform });

const isDone = (seen) =>
  missing(seen.system).length === 0 &&
  !seen.userMissing &&
  seen.treeDifference === undefined &&
  seen.broken.length === 0 &&
  !seen.buildMissing;

async function locked(path, root, act) {
  try {
    accessSync(root, constants.W_OK);
    mkdirSync(dirname(path), { recursive: true });
    accessSync(dirname(path), constants.W_OK);
  } catch (error) {
    throw new SetUpError(`user \`${userInfo().username}\` may not write to ${root} (${error.code})`, {
      hint: "run the set-up as the owner of this folder, or work in a clone of your own",
    });
  }
  const lock = await takeLock(path, {
    onWait: (holder) =>
      say(`another set-up of this folder is at work${holder ? ` (process ${holder.pid})` : ""}: waiting for it`),
  });
  await guarded(act, { onChange: lock.setGroups, cleanUp: lock.release });
}

/** The steps in their order, each with its line. */
async function carryOut(seen, purpose, root) {
  const needs = PURPOSES[purpose];
  if (seen.system.length > 0) await installPackages(seen.system);
  if (needs.edgeUser) await makeEdgeUser(seen.userMissing);
  await installTree(seen.treeDifference, root);
  if (needs.addons) await mendAddons(seen.treeDifference === undefined ? seen.broken : await brokenAddons(root), root);
  if (needs.build) await makeBuild(seen.buildMissing, root);
}

/** @throws {SetUpError} with what a person has to do, where this process cannot install what is missing */
function requireInstallable(names) {
  const packages = missing(names);
  if (packages.length === 0) return;
  if (!existsSync(APT)) {
    throw new SetUpError(`these are missing on this machine: ${packages.join(", ")} (Debian's names)`, {
      hint: "install them with this system's package manager (SoftHSM 2 is `softhsm` in Fedora, Alpine and Homebrew), then run this again",
    });
  }
  if (!isRoot()) {
    throw new SetUpError(
      `system packages are missing: ${packages.join(" ")}. Run this, then the same command again:\n\n    ${aptCommand(packages)}\n`,
    );
  }
}

async function installPackages(names) {
  const packages = missing(names);
  if (packages.length === 0) return say("system packages: all there");
  requireInstallable(names);
  const startedAt = Date.now();
  say(`system packages: installing ${packages.join(" ")}`);
  const output = await aptInstall(packages);
  const still = missing(names);
  if (still.length > 0) throw new SetUpError(`apt-get did not bring ${still.join(" ")}`, { output });
  say(`system packages: installed in ${seconds(startedAt)}`);
}

async function aptInstall(packages) {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  // Somebody else's apt may be at work: wait for it instead of failing.
  const wait = ["-o", "DPkg::Lock::Timeout=300"];
  const update = await run(APT, ["update", "-q", ...wait], { env, leave: true });
  // An old list may still do; if not, the installation says so.
  if (update.code !== 0) say("system packages: the package lists could not be renewed, trying with those at hand");
  const install = await run(APT, ["install", "-y", "-q", "--no-install-recommends", ...wait, ...packages], {
    env,
    leave: true,
  });
  return (update.code === 0 ? "" : update.output) + install.output;
}

/** From the file, not from `id`: an outage of a directory service must not make a second user. */
async function hasUser() {
  try {
    if (new RegExp(`^${EDGE_USER}:`, "m").test(readFileSync("/etc/passwd", "utf8"))) return true;
  } catch {
    // No such file here: ask the system.
  }
  return (await run("id", ["-u", EDGE_USER])).code === 0;
}

async function makeEdgeUser(missing) {
  if (!isRoot())
    return say(`user ${EDGE_USER}: not needed (started by another user than root, edge and vault share that user)`);
  if (!missing) return say(`user ${EDGE_USER}: there`);
  const { code, output } = await run(
    "useradd",
    ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", EDGE_USER],
    {
      env: { ...process.env, PATH: `${process.env.PATH ?? ""}:/usr/sbin:/sbin` },
    },
  );
  if (code === 0 || (await hasUser())) return say(`user ${EDGE_USER}: made`);
  // Not fatal: without this user the gateway runs, and says of itself that edge and vault are not kept apart.
  say(`user ${EDGE_USER}: could not be made (${output.trim()}); edge and vault will share a user`);
}

async function installTree(difference, root) {
  if (difference === undefined) return say("npm packages: as package-lock.json says");
  const startedAt = Date.now();
  say(`npm packages: ${difference}; installing (compiles native addons: a minute or two)`);
  // Packages for development too, whatever NODE_ENV says: the build needs them.
  const { code, output } = await npm(["ci", "--include=dev", "--no-audit", "--no-fund"], root);
  if (code !== 0) {
    throw new SetUpError("`npm ci` failed", {
      output,
      hint: "`npm ci` needs npm's registry, and a C++ compiler, make and Python 3 for two of the packages",
    });
  }
  say(`npm packages: installed in ${seconds(startedAt)}`);
}

/** npm may have left a native addon uncompiled without a word: scripts off by a setting, or blocked by default. */
async function mendAddons(broken, root) {
  for (const { name } of broken) {
    const startedAt = Date.now();
    say(`native addons: ${name} is not built, building it (its own install script is allowed to run, no other)`);
    const { output } = await npm(["rebuild", name, "--ignore-scripts=false", "--foreground-scripts"], root);
    const still = (await brokenAddons(root)).find((other) => other.name === name);
    if (still !== undefined) {
      throw new SetUpError(`the native addon \`${name}\` does not open: ${still.reason}`, {
        output,
        hint: `it is compiled here: that needs a C++ compiler, make, Python 3, the headers of Node.js ${process.versions.node}, and for some a path without spaces`,
      });
    }
    say(`native addons: ${name} built in ${seconds(startedAt)}`);
  }
  say(`native addons: ${Object.keys(ADDONS).join(", ")} open`);
}

async function makeBuild(missing, root) {
  if (!missing) return say("build: current");
  const startedAt = Date.now();
  await build(root);
  say(`build: dist made in ${seconds(startedAt)}`);
}

function npm(args, root) {
  const cache = process.env.npm_config_cache ?? join(homedir(), ".npm");
  const env = npmEnvironment(process.env, {
    headers: nodeHeaders(),
    cache: canBeWritten(cache) ? undefined : join(root, "build/npm-cache"),
  });
  const all = [...args, "--loglevel=error", "--json=false"];
  // The npm that runs us, if any: it may not be on the PATH.
  const self = process.env.npm_execpath;
  if (self !== undefined && basename(self) === "npm-cli.js" && existsSync(self))
    return run(process.execPath, [self, ...all], { cwd: root, env });
  return run("npm", all, { cwd: root, env });
}

/** Headers that came with this very Node; then nothing has to be downloaded to compile. */
function nodeHeaders() {
  const prefix = join(dirname(process.execPath), "..");
  try {
    const text = readFileSync(join(prefix, "include/node/node_version.h"), "utf8");
    const part = (name) => new RegExp(`#define NODE_${name}_VERSION (\\d+)`).exec(text)?.[1];
    return `${part("MAJOR")}.${part("MINOR")}.${part("PATCH")}` === process.versions.node ? prefix : undefined;
  } catch {
    return undefined;
  }
}

/** Some users have no home: whether this path, or the first folder above it that exists, can be written. */
function canBeWritten(path) {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch (error) {
    return error.code === "ENOENT" && dirname(path) !== path && canBeWritten(dirname(path));
  }
}
