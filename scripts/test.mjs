#!/usr/bin/env node
/*
 * `npm test`: the set-up, then every test, in groups (see test-groups.mjs) of which several run side by side, each with
 * its output whole and in order, then one line that sums them up.
 *
 *   npm test [-- [--soak] [file or folder …] [mocha's flags …]]
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync, statSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join, relative, resolve, sep } from "node:path";
import { requireNode } from "./set-up/node-version.mjs";

requireNode();
const { filesBelow } = await import("./set-up/checks.mjs");
const { ROOT, setUp } = await import("./set-up/steps.mjs");
const { PLACES, sideBySide } = await import("./side-by-side.mjs");
const { groupTests, judge, readArguments } = await import("./test-groups.mjs");

/** A process whose tests are over and that does not end holds something open: that is a failure, not a reason to wait. */
const LINGER_MS = 30_000;

/** The mocha processes under way, each with its group's name: they end with this one. */
const running = new Map();

process.exitCode = await main();

async function main() {
  const { soak, paths, mochaFlags } = readArguments(process.argv.slice(2));
  const missing = paths.find((path) => !existsSync(path));
  if (missing !== undefined) {
    console.error(`test: expected a file or folder, found no \`${missing}\``);
    return 2;
  }
  if (!(await setUp("test"))) return 1;
  process.once("SIGTERM", stop).once("SIGINT", stop);

  const groups = groupTests(paths.length === 0 ? filesBelow(ROOT, "test").filter(isTest) : paths.flatMap(testsAt));
  const total = { passed: 0, failed: 0, skipped: 0 };
  const faults = [];
  const live = groups.length === 1;
  if (live) console.log(`\n── ${groups[0].name}`);
  const runGroup = (group) => runMocha(group, { flags: mochaFlags, soak, live });
  const tell = ({ name, seconds, output, ...result }) => {
    if (!live) console.log(`\n── ${name} (${seconds} s)\n${output}`);
    for (const key of Object.keys(total)) total[key] += result[key];
    if (result.failed > 0) faults.push(`${name}: ${result.fault ?? `${result.failed} failed`}`);
  };
  const [together, alone] = [groups.filter((group) => !group.alone), groups.filter((group) => group.alone)];
  await sideBySide(together, PLACES, runGroup, tell);
  await sideBySide(alone, 1, runGroup, tell);

  console.log("");
  for (const fault of faults) console.log(`failed: ${fault}`);
  if (total.skipped > 0) console.log(`skipped: ${total.skipped}`);
  if (total.passed + total.failed === 0) console.log("no test ran");
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

function stop(signal) {
  console.error(`test: stopped by ${signal} during ${[...running.values()].join(", ")}`);
  for (const child of running.keys()) child.kill(signal);
  process.exit(128 + constants.signals[signal]);
}

function isTest(path) {
  return path.endsWith(".test.ts");
}

function testsAt(path) {
  const fromRoot = relative(ROOT, resolve(path)).split(sep).join("/");
  return statSync(path).isDirectory() ? filesBelow(ROOT, fromRoot).filter(isTest) : [fromRoot];
}

/** @returns its name, how long it took, what it wrote (unless that was to be seen live), and what it is worth */
async function runMocha({ name, files, mayBeEmpty }, { flags, soak, live }) {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-test-"));
  const countsFile = join(folder, "counts.json");
  const outputFile = join(folder, "output");
  const startedAt = Date.now();
  // A file and no pipe: a pipe ends only with the last of those who hold it, also those whom a test has left behind.
  const out = live ? "inherit" : openSync(outputFile, "w");
  try {
    // A filter leaves most files without a test to run; that none ran at all is seen at the end. The flag is spelled as
    // in .mocharc.json: otherwise that file wins.
    const empty = mayBeEmpty || flags.length > 0 ? ["--no-failZero"] : [];
    const exit = await mocha(name, [...files, ...empty, ...flags], { countsFile, soak, out });
    const worth = judge(existsSync(countsFile) ? JSON.parse(readFileSync(countsFile, "utf8")) : undefined, exit);
    const output = live
      ? ""
      : readFileSync(outputFile, "utf8")
          .replace(/^\s*\n/, "")
          .trimEnd();
    return { name, seconds: Math.round((Date.now() - startedAt) / 1000), output, ...worth };
  } finally {
    if (!live) closeSync(out);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns the exit code, or how it ended otherwise */
function mocha(name, args, { countsFile, soak, out }) {
  // mocha's own start would put another process between this one and the tests, which a signal might not reach. It
  // starts nothing unless it is called by the path that it has itself.
  const { "node-option": options } = JSON.parse(readFileSync(join(ROOT, ".mocharc.json"), "utf8"));
  const cli = realpathSync(join(ROOT, "node_modules/mocha/lib/cli/cli.js"));
  const reporter = ["--reporter", join(ROOT, "scripts/counting-reporter.cjs")];
  const color = process.stdout.isTTY ? ["--color"] : [];
  return new Promise((done) => {
    const child = spawn(
      process.execPath,
      [...options.map((option) => `--${option}`), cli, ...reporter, ...color, ...args],
      {
        cwd: ROOT,
        env: { ...process.env, TEST_COUNTS: countsFile, ...(soak ? { SOAK: "1" } : {}) },
        stdio: ["ignore", out, out],
      },
    );
    running.set(child, name);
    let overSince;
    let lingered = false;
    const watch = setInterval(() => {
      if (!existsSync(countsFile)) return;
      overSince ??= Date.now();
      if (Date.now() - overSince < LINGER_MS) return;
      lingered = true;
      child.kill("SIGKILL");
    }, 500);
    child.on("exit", (code, signal) => {
      clearInterval(watch);
      running.delete(child);
      done(lingered ? `something still open after ${LINGER_MS / 1000} s` : (code ?? signal));
    });
  });
}
