#!/usr/bin/env node
/*
 * From a fresh clone to something that runs: system packages, npm packages with their native addons really built, dist.
 *
 *   node scripts/setup.mjs [--for run|test|build|check]
 *
 * Plain Node and nothing else, since it runs before anything is installed. Run it as often as you like: where nothing
 * is to do it changes nothing and takes a fraction of a second. Progress goes to stderr.
 */
import { requireNode } from "./set-up/node-version.mjs";

requireNode();
// Only now: these use what an older Node lacks.
const { PURPOSES } = await import("./set-up/checks.mjs");
const { setUp } = await import("./set-up/steps.mjs");

const args = process.argv.slice(2);
const purpose = args.length === 0 ? "run" : args.length === 2 && args[0] === "--for" ? args[1] : undefined;
if (purpose === undefined || !Object.hasOwn(PURPOSES, purpose)) {
  process.stderr.write(`usage: node scripts/setup.mjs [--for ${Object.keys(PURPOSES).join("|")}]\n`);
  process.exit(2);
}
process.exitCode = (await setUp(purpose)) ? 0 : 1;
