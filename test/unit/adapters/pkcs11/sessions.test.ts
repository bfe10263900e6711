// Goal: a session serves one operation at a time, the queue is bounded and fair, and nothing stays open.
// Method: sessions are numbered buffers; operations end when the test says so.
import assert from "node:assert/strict";
import { setImmediate } from "node:timers/promises";
import { Lanes } from "../../../../src/adapters/pkcs11/lanes.ts";
import { SessionPool } from "../../../../src/adapters/pkcs11/sessions.ts";

function poolOf(sessionsMax: number, queueLimit: number) {
  const open = new Set<number>();
  let opened = 0;
  const pool = new SessionPool({
    open: () => {
      open.add(++opened);
      return Buffer.from([opened]);
    },
    close: (session) => assert.ok(open.delete(session[0]!), "closed twice"),
    lanes: new Lanes(8),
    sessionsMax,
    queueLimit,
  });
  return { pool, open, openedInAll: () => opened };
}

/** An operation that the test ends; `started` names the session it got. */
function operation() {
  let started: number | undefined;
  let settle: { resolve: () => void; reject: (error: Error) => void };
  const ended = new Promise<void>((resolve, reject) => (settle = { resolve, reject }));
  const run = async (session: Buffer) => {
    started = session[0];
    await ended;
  };
  return { run, session: () => started, end: () => settle.resolve(), fail: () => settle.reject(new Error("failed")) };
}

describe("the session pool", () => {
  it("no session is used by two operations at a time", async () => {
    const { pool, open } = poolOf(3, 100);
    const inUse = new Set<number>();
    const one = async (session: Buffer) => {
      assert.ok(!inUse.has(session[0]!));
      inUse.add(session[0]!);
      await setImmediate();
      inUse.delete(session[0]!);
    };
    await Promise.all(Array.from({ length: 50 }, () => pool.lease(one)));
    assert.equal(open.size, 3);
    await pool.drain();
    assert.equal(open.size, 0);
  });

  it("who waited longest is served first", async () => {
    const { pool } = poolOf(1, 10);
    const order: number[] = [];
    await Promise.all([1, 2, 3, 4].map((number) => pool.lease(async () => void order.push(number))));
    assert.deepEqual(order, [1, 2, 3, 4]);
  });

  it("one more than the queue holds is refused at once, and the others finish", async () => {
    const { pool } = poolOf(1, 1);
    const [first, second] = [operation(), operation()];
    const leases = [pool.lease(first.run), pool.lease(second.run)];
    await assert.rejects(pool.lease(operation().run), { code: "hsm-busy" });
    first.end();
    second.end();
    await Promise.all(leases);
  });

  it("a session whose operation failed is closed and replaced", async () => {
    const { pool, open, openedInAll } = poolOf(1, 1);
    const failing = operation();
    const lease = pool.lease(failing.run);
    failing.fail();
    await assert.rejects(lease, /failed/);
    assert.equal(open.size, 0);
    await pool.lease(async (session) => assert.equal(session[0], 2));
    assert.equal(openedInAll(), 2);
  });

  it("a session that cannot be opened fails its own operation and not the next", async () => {
    let broken = false;
    const pool = new SessionPool({
      open: () => {
        if (broken) throw new Error("no session");
        return Buffer.from([1]);
      },
      close: () => undefined,
      lanes: new Lanes(8),
      sessionsMax: 1,
      queueLimit: 2,
    });
    const failing = operation();
    const first = pool.lease(failing.run);
    const second = pool.lease(async () => undefined);
    const third = pool.lease(async () => undefined);
    const all = Promise.allSettled([first, second, third]);
    broken = true;
    failing.fail();
    assert.deepEqual(
      (await all).map(({ status }) => status),
      ["rejected", "rejected", "rejected"],
    );
    broken = false;
    await pool.lease(async () => undefined);
  });

  it("drain waits for those under way and in the queue, and refuses others", async () => {
    const { pool, open } = poolOf(1, 5);
    const [running, queued] = [operation(), operation()];
    const leases = [pool.lease(running.run), pool.lease(queued.run)];
    let drained = false;
    const draining = pool.drain().then(() => (drained = true));
    await assert.rejects(pool.lease(operation().run), { code: "hsm-unavailable" });
    running.end();
    await setImmediate();
    assert.equal(drained, false);
    queued.end();
    await Promise.all([...leases, draining]);
    assert.equal(open.size, 0);
  });
});
