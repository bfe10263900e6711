#!/usr/bin/env node
/*
 * `npm start`: the set-up, then `portcullis dev --tour` with whatever flags were added. In one process, and not as
 * `a && b` in a shell, which would end at SIGTERM and leave the gateway running behind it.
 */
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { requireNode } from "./set-up/node-version.mjs";

requireNode();
const { ROOT, setUp } = await import("./set-up/steps.mjs");
if (await setUp("run")) {
  const program = join(ROOT, "bin/portcullis.js");
  process.argv = [process.execPath, program, "dev", "--tour", ...process.argv.slice(2)];
  await import(pathToFileURL(program).href);
} else {
  process.exitCode = 1;
}
