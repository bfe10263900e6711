// Goal: one set-up at a time in a folder, and none blocked by what a killed one left behind.
// Method: real lock files; other holders are written by hand, or are real processes.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { isHeld, isStale, processStart, takeLock } from "../../../scripts/set-up/lock.mjs";

describe("set-up: the lock", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis lock "));
    path = join(folder, "set-up.lock");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const deadPid = async () => {
    const child = spawn(process.execPath, ["-e", ""]);
    await once(child, "exit");
    return child.pid!;
  };

  it("is held while it is taken, and gone after its release", async () => {
    const { release } = await takeLock(path);
    assert.equal(isHeld(path), true);
    release();
    assert.equal(isHeld(path), false);
    assert.deepEqual(readdirSync(folder), []);
    release();
  });

  it("makes the second wait for the first, and says so once", async () => {
    const { release } = await takeLock(path);
    const holders: unknown[] = [];
    let second: unknown;
    const waiting = takeLock(path, {
      onWait: (holder) => holders.push(holder?.pid),
    });
    void waiting.then((got) => (second = got));
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.equal(second, undefined);
    release();
    (await waiting).release();
    assert.deepEqual(holders, [process.pid]);
  });

  it("of a process that is gone is taken over", async () => {
    writeFileSync(path, JSON.stringify({ pid: await deadPid(), start: "1", host: hostname(), groups: [] }));
    assert.equal(isHeld(path), false);
    const { release } = await takeLock(path);
    assert.equal((JSON.parse(readFileSync(path, "utf8")) as { pid: number }).pid, process.pid);
    release();
    assert.deepEqual(readdirSync(folder), []);
  });

  it("of a process whose number another one has now is stale", function () {
    const start = processStart(process.pid);
    // Only where the system tells when a process began.
    assert.equal(start !== undefined, existsSync("/proc/self/stat"));
    assert.equal(isStale({ pid: process.pid, start: "1", host: hostname(), groups: [] }, 0), start !== undefined);
    assert.equal(isStale({ pid: process.pid, start, host: hostname(), groups: [] }, 1e9), false);
  });

  it("of a process that was killed stays held while a program that it started still works", async () => {
    const orphan = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { detached: true, stdio: "ignore" });
    const holder = { pid: await deadPid(), start: "1", host: hostname(), groups: [orphan.pid!] };
    assert.equal(isStale(holder, 1_000), false);
    assert.equal(isStale(holder, 3_600_000), true);
    orphan.kill("SIGKILL");
    await once(orphan, "exit");
    assert.equal(isStale(holder, 1_000), true);
  });

  it("names the programs that run just now", async () => {
    const { setGroups, release } = await takeLock(path);
    setGroups([12, 13]);
    assert.deepEqual((JSON.parse(readFileSync(path, "utf8")) as { groups: number[] }).groups, [12, 13]);
    release();
    assert.deepEqual(readdirSync(folder), []);
  });

  it("of another machine, or cut off while it was written, is stale only after a silence", () => {
    for (const holder of [{ pid: process.pid, start: "1", host: "elsewhere", groups: [] }, undefined]) {
      assert.equal(isStale(holder, 1_000), false);
      assert.equal(isStale(holder, 120_000), true);
    }
    writeFileSync(path, "");
    assert.equal(isHeld(path), true);
    utimesSync(path, new Date(Date.now() - 120_000), new Date(Date.now() - 120_000));
    assert.equal(isHeld(path), false);
  });

  it("five at once, over a stale lock: never two inside", async () => {
    writeFileSync(path, JSON.stringify({ pid: await deadPid(), start: "1", host: hostname(), groups: [] }));
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 5 }, async () => {
        const { release } = await takeLock(path);
        most = Math.max(most, ++inside);
        await new Promise((resolve) => setTimeout(resolve, 20));
        inside--;
        release();
      }),
    );
    assert.equal(most, 1);
    assert.deepEqual(readdirSync(folder), []);
  });
});
