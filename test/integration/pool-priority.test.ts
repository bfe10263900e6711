import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ts from "typescript";

// Goal: the threads that compute signatures give way to the one that answers, and no other thread does.
// Method: a process of its own lowers its pool, has the pool compute, and tells of each thread its nice value and its
// processor time, as Linux's /proc shows them (proc(5): fields 14 and 19 of `stat`). As JavaScript, like the vault: the
// loader of TypeScript would be one more thread.

const PROGRAM = `
  import { pbkdf2 } from "node:crypto";
  import { readdirSync, readFileSync } from "node:fs";
  import { promisify } from "node:util";
  import { yieldToMainThread } from "./pool-priority.mjs";
  const pool = await yieldToMainThread(3);
  const ticks = () => Object.fromEntries(readdirSync("/proc/self/task").map((thread) => {
    const fields = readFileSync("/proc/self/task/" + thread + "/stat", "utf8").replace(/^.*\\) /, "").split(" ");
    return [thread, { ticks: Number(fields[11]), nice: Number(fields[16]) }];
  }));
  const before = ticks();
  await Promise.all([1, 2, 3].map(() => promisify(pbkdf2)("a", "b", 300_000, 32, "sha512")));
  const after = ticks();
  console.log(JSON.stringify({ main: process.pid, pool, threads: Object.entries(after).map(([thread, { ticks, nice }]) =>
    ({ thread: Number(thread), nice, worked: ticks - (before[thread]?.ticks ?? 0) })) }));
`;

type Report = {
  main: number;
  pool: number[];
  threads: { thread: number; nice: number; worked: number }[];
};

describe("priority of the pool", () => {
  for (const lowered of [0, 12])
    it(`the threads that compute are lowered, and no other; started ${lowered} lower`, () => check(lowered));

  function check(lowered: number): void {
    const { main, pool, threads } = JSON.parse(runWithPool("3", lowered)) as Report;
    const own = threads.find(({ thread }) => thread === main)!.nice;
    const busiest = threads
      .filter(({ thread }) => thread !== main)
      .toSorted((a, b) => b.worked - a.worked)
      .slice(0, 3);
    assert.equal(pool.length, 3);
    assert.deepEqual(
      busiest.map(({ thread }) => thread).toSorted((a, b) => a - b),
      pool,
    );
    for (const { thread, nice } of threads)
      assert.equal(nice, pool.includes(thread) ? Math.min(own + 10, 19) : own, `thread ${thread}`);
  }
});

function runWithPool(size: string, lowered: number): string {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-pool-"));
  try {
    const source = readFileSync(new URL("../../src/pool-priority.ts", import.meta.url), "utf8");
    const { outputText } = ts.transpileModule(source, { compilerOptions: { module: ts.ModuleKind.ESNext } });
    writeFileSync(join(folder, "pool-priority.mjs"), outputText);
    writeFileSync(join(folder, "main.mjs"), PROGRAM);
    const env = { PATH: process.env["PATH"], UV_THREADPOOL_SIZE: size };
    const command = ["-n", String(lowered), process.execPath, join(folder, "main.mjs")];
    return execFileSync("nice", command, { env, encoding: "utf8" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
