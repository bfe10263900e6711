#!/usr/bin/env node
/* `npm run check`: types and format on one processor, lint (which computes the types once more) on another. */
import { join } from "node:path";
import { requireNode } from "./set-up/node-version.mjs";

requireNode();
const { guarded, run } = await import("./set-up/process.mjs");
const { ROOT, setUp } = await import("./set-up/steps.mjs");
const { PLACES, sideBySide } = await import("./side-by-side.mjs");

const CODE = ["{bin,bench,scripts,src,test}/**/*.{ts,mts,js,mjs,cjs}", "*.{js,json}"];

/** What takes longest first. */
const TOOLS = [
  { name: "lint", program: "eslint/bin/eslint.js", args: ["."] },
  { name: "types", program: "typescript/bin/tsc", args: ["--noEmit"] },
  { name: "format", program: "prettier/bin/prettier.cjs", args: ["--check", ...CODE] },
];

process.exitCode = await main();

async function main() {
  if (!(await setUp("check"))) return 1;
  let failed = 0;
  const check = async ({ name, program, args }) => ({
    name,
    ...(await run(process.execPath, [join(ROOT, "node_modules", program), ...args], { cwd: ROOT })),
  });
  const tell = ({ name, code, output }) => {
    console.log(`── ${name}: ${code === 0 ? "as it should be" : "failed"}\n${output}`);
    if (code !== 0) failed++;
  };
  const nothing = () => undefined;
  await guarded(() => sideBySide(TOOLS, PLACES, check, tell), { onChange: nothing, cleanUp: nothing });
  return failed === 0 ? 0 : 1;
}
