import { createHash } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { delimiter, join, relative, sep } from "node:path";

/*
 * What is there and what is missing. Nothing in this file changes anything.
 */

/**
 * What each purpose needs.
 * `system`: programs of the operating system; `tree`: npm packages (`all`, or `production` where that is enough);
 * `addons`, `build`: compiled and in place.
 */
export const PURPOSES = {
  run: { system: ["softhsm"], edgeUser: true, addons: true, build: true },
  test: {
    system: [
      "softhsm",
      "opensc",
      "p11-kit",
      "postgresql",
      "cc",
      "make",
      "python3",
      "cryptography",
      "go",
      "go-tlog",
      "ssh",
      "chromium",
    ],
    edgeUser: true,
    addons: true,
    build: true,
  },
  build: { system: [], edgeUser: false, addons: true, build: true },
  check: { system: [], edgeUser: false, addons: false, build: false },
};

/** What node-gyp needs to compile an addon. */
export const COMPILERS = ["cc", "c++", "make", "python3"];

/** Where `src/adapters/pkcs11/softhsm.ts` looks. */
export const SOFTHSM_MODULES = [
  "/usr/lib/softhsm/libsofthsm2.so",
  "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
  "/usr/lib64/pkcs11/libsofthsm2.so",
  "/usr/lib64/softhsm/libsofthsm2.so",
  "/usr/lib/pkcs11/libsofthsm2.so",
  "/usr/local/lib/softhsm/libsofthsm2.so",
  "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/** Where `test/support/postgres.ts` looks; the PostgreSQL of each version has a folder of its own in Debian. */
export const POSTGRES_SERVERS = [
  ...[15, 16, 17, 18].map((version) => `/usr/lib/postgresql/${version}/bin/postgres`),
  "/usr/bin/postgres",
  "/usr/local/bin/postgres",
  "/opt/homebrew/bin/postgres",
];

/**
 * Each thing is looked for by what is used of it, not by a package's name: other distributions name packages otherwise.
 * gcc only recommends libc6-dev, without which it compiles nothing.
 */
const SYSTEM = {
  softhsm: { debian: ["softhsm2"], files: SOFTHSM_MODULES },
  opensc: { debian: ["opensc"], programs: ["pkcs11-tool"] },
  "p11-kit": { debian: ["p11-kit"], programs: ["p11-kit"] },
  postgresql: { debian: ["postgresql"], files: POSTGRES_SERVERS },
  cc: { debian: ["gcc", "libc6-dev"], programs: ["cc", "gcc"], headers: ["/usr/include/stdio.h"] },
  "c++": { debian: ["g++"], programs: ["c++", "g++"] },
  make: { debian: ["make"], programs: ["make"] },
  ssh: { debian: ["openssh-client"], programs: ["ssh-keygen"] },
  // Its authenticators make the WebAuthn assertions of the tests.
  chromium: { debian: ["chromium"], programs: ["chromium"] },
  python3: { debian: ["python3"], programs: ["python3"] },
  // The programs of docs/calling.md, which a test runs.
  cryptography: {
    debian: ["python3-cryptography"],
    files: ["/usr/lib/python3/dist-packages/cryptography/__init__.py"],
  },
  go: { debian: ["golang-go"], programs: ["go"] },
  // Another implementation of the log's formats: what it accepts is not only our own opinion. Half a megabyte.
  "go-tlog": {
    debian: ["golang-golang-x-mod-dev"],
    files: ["/usr/share/gocode/src/golang.org/x/mod/sumdb/tlog/tlog.go"],
  },
};

/**
 * @param exists tells whether a file is there
 * @returns the Debian packages that would bring what is missing, each once, sorted
 */
export function missingPackages(names, { path, platform, exists = existsSync }) {
  const folders = [...path.split(delimiter), "/usr/sbin", "/sbin"].filter((folder) => folder !== "");
  const hasProgram = (program) => folders.some((folder) => exists(join(folder, program)));
  const isThere = ({ files, programs, headers }) =>
    (files === undefined || files.some(exists)) &&
    (programs === undefined || programs.some(hasProgram)) &&
    (headers === undefined || platform !== "linux" || headers.every(exists));
  return [...new Set(names.filter((name) => !isThere(SYSTEM[name])).flatMap((name) => SYSTEM[name].debian))].sort();
}

/** The one command a person runs when this process may not. */
export const aptCommand = (packages) =>
  `sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages.join(" ")}`;

/**
 * Holds what is installed against what the lock file says.
 * @param lock package-lock.json; @param installed node_modules/.package-lock.json, which npm writes last
 * @param dev whether packages for development must be there
 * @returns the first difference as a sentence, or undefined if there is none
 */
export function treeDiffers(lock, installed, { dev, exists }) {
  if (installed === undefined) return "nothing is installed, or an installation was cut off";
  for (const [path, wanted] of Object.entries(lock.packages)) {
    if (path === "" || wanted.link) continue;
    const found = installed.packages[path];
    if (found === undefined) {
      // For another platform, or nice to have: npm itself leaves these out.
      if (wanted.optional || wanted.devOptional || (wanted.dev && !dev)) continue;
      return `${path} is missing`;
    }
    if (found.version !== wanted.version) return `${path} is ${found.version}, not ${wanted.version}`;
    if (found.integrity !== wanted.integrity) return `${path} is not what package-lock.json names`;
    if (!exists(path)) return `${path} was removed`;
  }
  const extra = Object.keys(installed.packages).find((path) => lock.packages[path] === undefined);
  return extra === undefined ? undefined : `${extra} is not in package-lock.json`;
}

export function readJson(path) {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    if (error.code === "ENOENT" || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** `treeDiffers` on the files of a checkout. */
export function checkoutDiffers(root, { dev }) {
  const lock = readJson(join(root, "package-lock.json"));
  if (lock === undefined) return "package-lock.json cannot be read";
  return treeDiffers(lock, readJson(join(root, "node_modules/.package-lock.json")), {
    dev,
    exists: (path) => existsSync(join(root, path, "package.json")),
  });
}

/** Every file below a folder, sorted, as paths from `root` with forward slashes. */
export function filesBelow(root, folder) {
  const top = join(root, folder);
  if (!existsSync(top)) return [];
  return readdirSync(top, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      relative(root, join(entry.parentPath ?? entry.path, entry.name))
        .split(sep)
        .join("/"),
    )
    .sort();
}

/** One hash over names and bytes of all that the build reads: the sources, how they are compiled, and with what. */
export function inputsHash(root) {
  const settings = [
    "package-lock.json",
    "package.json",
    "tsconfig.json",
    "tsconfig.build.json",
    "scripts/set-up/build.mjs",
  ];
  const hash = createHash("sha256");
  for (const path of [...filesBelow(root, "src"), ...settings]) {
    const bytes = readFileSync(join(root, path));
    // Lengths first: two files must not read as one.
    hash.update(`${path.length}:${path}${bytes.length}:`).update(bytes);
  }
  return hash.digest("hex");
}

/** In dist, written before dist gets its name. */
export const STAMP = ".inputs";

export function buildIsCurrent(root) {
  const stamp = join(root, "dist", STAMP);
  return existsSync(stamp) && readFileSync(stamp, "utf8") === inputsHash(root);
}

/** What npm must not inherit: settings of the `npm start` around us, or of the shell, that would change what is installed. */
const NOT_FOR_NPM =
  /^npm_config_(json|loglevel|silent|quiet|dry_run|omit|include|only|production|optional|global|location|prefix|allow_scripts|strict_allow_scripts|allow_scripts_pending|package_lock|package_lock_only|workspaces?|bin_links)$/i;

/**
 * @param headers folder with `include/node` of exactly this Node, if it is on the machine: else node-gyp downloads it
 * @param cache a folder to use in place of npm's own, where that cannot be written
 */
export function npmEnvironment(env, { headers, cache }) {
  const kept = Object.entries(env).filter(([name]) => !NOT_FOR_NPM.test(name) && name !== "NODE_ENV");
  const has = (name) => Object.keys(env).some((key) => key.toLowerCase() === name);
  return {
    ...Object.fromEntries(kept),
    ...(headers !== undefined && !has("npm_config_nodedir") ? { npm_config_nodedir: headers } : {}),
    // Its install script would otherwise fetch a binary that no hash in the lock file covers.
    npm_config_build_from_source: "better-sqlite3",
    // node-gyp's: compile on every processor.
    JOBS: env.JOBS ?? "max",
    ...(cache !== undefined ? { npm_config_cache: cache } : {}),
  };
}
