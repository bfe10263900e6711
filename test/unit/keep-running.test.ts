// Goal: there are never two: a child is started only when the one before is reaped, and nothing that it had started goes on.
// Method: small programs in place of a vault, each in the middle of its life when it ends; what is true of those before is
// looked at in the very moment in which the next one is started.
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { keepRunning, type Kept } from "../../src/keep-running.ts";
import { eventually, isRunning } from "../support/processes.ts";

const READY = `printf '{"ready":"vault"}\\n'`;
/** Its own work goes on in another process, which does not look whether anybody waits for it. */
const WITH_HELPER = `sleep 600 & printf '%s\\n' $! >&2; ${READY}; wait`;
const UNREADY = `printf '{"ready":"something else"}\\n'; exec sleep 600`;

describe("a child that is kept running", () => {
  const children: ChildProcess[] = [];
  let overlaps: number;
  let kept: Kept;

  const isReaped = ({ exitCode, signalCode }: ChildProcess): boolean => exitCode !== null || signalCode !== null;

  /** @param programs one after the other; the last one goes on for ever */
  function keep(...programs: readonly string[]): void {
    children.length = overlaps = 0;
    kept = keepRunning("vault", () => {
      overlaps += children.filter((before) => !isReaped(before)).length;
      const program = programs[Math.min(children.length, programs.length - 1)]!;
      const child = spawn("/bin/sh", ["-c", program], { stdio: ["ignore", "pipe", "pipe"], detached: true });
      children.push(child);
      return child;
    });
  }

  const started = (count: number) => eventually(`${count} starts`, () => children.length >= count);
  const helperOf = async (child: ChildProcess): Promise<number> =>
    Number(String((await once(child.stderr!, "data"))[0]));

  afterEach(() => kept.stop());

  it("is started again when the one before is reaped, however that ended", async () => {
    keep(`${READY}; exec sleep 600`, `${READY}; exit 3`, UNREADY, `${READY}; exec sleep 600`);
    await kept.ready;
    children[0]!.kill("SIGKILL");
    await started(4);
    assert.equal(overlaps, 0);
    assert.deepEqual(
      children.slice(0, 3).map(({ exitCode, signalCode }) => exitCode ?? signalCode),
      ["SIGKILL", 3, "SIGKILL"],
    );
  });

  it("leaves nothing of its own behind when it is killed", async () => {
    keep(WITH_HELPER);
    const helper = await helperOf(children[0]!);
    await kept.ready;
    assert.ok(isRunning(helper));
    children[0]!.kill("SIGKILL");
    await started(2);
    await eventually("the end of what it had started", () => !isRunning(helper));
  });

  it("leaves nothing of its own behind when it is told to stop", async () => {
    keep(WITH_HELPER);
    const helper = await helperOf(children[0]!);
    await kept.ready;
    await kept.stop();
    await eventually("the end of what it had started", () => !isRunning(helper));
    assert.equal(children.length, 1);
  });
});
