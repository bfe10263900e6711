#!/usr/bin/env node
/*
 * `npm test`: the set-up, then every test, in groups (see test-groups.mjs), then one line that sums them up.
 *
 *   npm test [-- [--soak] [file or folder …] [mocha's flags …]]
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import { join, relative, resolve, sep } from "node:path";
import { requireNode } from "./set-up/node-version.mjs";

requireNode();
const { filesBelow } = await import("./set-up/checks.mjs");
const { ROOT, setUp } = await import("./set-up/steps.mjs");
const { groupTests, judge, readArguments } = await import("./test-groups.mjs");

/** A process whose tests are over and that does not end holds something open: that is a failure, not a reason to wait. */
const LINGER_MS = 30_000;

process.exitCode = await main();

async function main() {
  const { soak, paths, mochaFlags } = readArguments(process.argv.slice(2));
  const missing = paths.find((path) => !existsSync(path));
  if (missing !== undefined) {
    console.error(`test: expected a file or folder, found no \`${missing}\``);
    return 2;
  }
  if (!(await setUp("test"))) return 1;

  const groups = groupTests(paths.length === 0 ? filesBelow(ROOT, "test").filter(isTest) : paths.flatMap(testsAt));
  const total = { passed: 0, failed: 0, skipped: 0 };
  const faults = [];
  for (const group of groups) {
    console.log(`\n── ${group.name}`);
    const result = await runMocha(group, mochaFlags, soak);
    for (const key of Object.keys(total)) total[key] += result[key];
    if (result.failed > 0) faults.push(`${group.name}: ${result.fault ?? `${result.failed} failed`}`);
  }

  console.log("");
  for (const fault of faults) console.log(`failed: ${fault}`);
  if (total.skipped > 0) console.log(`skipped: ${total.skipped}`);
  if (total.passed + total.failed === 0) console.log("no test ran");
  console.log(`${total.passed} passed, ${total.failed} failed`);
  return total.failed > 0 || total.passed === 0 ? 1 : 0;
}

function isTest(path) {
  return path.endsWith(".test.ts");
}

function testsAt(path) {
  const fromRoot = relative(ROOT, resolve(path)).split(sep).join("/");
  return statSync(path).isDirectory() ? filesBelow(ROOT, fromRoot).filter(isTest) : [fromRoot];
}

async function runMocha({ files, mayBeEmpty }, flags, soak) {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-test-"));
  const countsFile = join(folder, "counts.json");
  try {
    // A filter leaves most files without a test to run; that none ran at all is seen at the end. The flag is spelled as
    // in .mocharc.json: otherwise that file wins.
    const empty = mayBeEmpty || flags.length > 0 ? ["--no-failZero"] : [];
    const exit = await mocha([...files, ...empty, ...flags], { countsFile, soak });
    return judge(existsSync(countsFile) ? JSON.parse(readFileSync(countsFile, "utf8")) : undefined, exit);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns the exit code, or how it ended otherwise */
function mocha(args, { countsFile, soak }) {
  // mocha's own start would put another process between this one and the tests, which a signal might not reach.
  const { "node-option": options } = JSON.parse(readFileSync(join(ROOT, ".mocharc.json"), "utf8"));
  const program = [...options.map((option) => `--${option}`), join(ROOT, "node_modules/mocha/lib/cli/cli.js")];
  const reporter = ["--reporter", join(ROOT, "scripts/counting-reporter.cjs")];
  return new Promise((done) => {
    const child = spawn(process.execPath, [...program, ...reporter, ...args], {
      cwd: ROOT,
      env: { ...process.env, TEST_COUNTS: countsFile, ...(soak ? { SOAK: "1" } : {}) },
      stdio: ["ignore", "inherit", "inherit"],
    });
    let overSince;
    let lingered = false;
    const watch = setInterval(() => {
      if (!existsSync(countsFile)) return;
      overSince ??= Date.now();
      if (Date.now() - overSince < LINGER_MS) return;
      lingered = true;
      child.kill("SIGKILL");
    }, 500);
    const stop = (signal) => {
      child.kill(signal);
      process.exit(128 + constants.signals[signal]);
    };
    process.once("SIGTERM", stop).once("SIGINT", stop);
    child.on("close", (code, signal) => {
      clearInterval(watch);
      process.off("SIGTERM", stop).off("SIGINT", stop);
      done(lingered ? `something still open after ${LINGER_MS / 1000} s` : (code ?? signal));
    });
  });
}
