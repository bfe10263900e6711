import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { RequestRow } from "../../../src/vault/ports.ts";
import { requestChanges } from "../../../src/vault/waiting.ts";

// Goal: who waits is woken by what he waits for, takes no more than his share, and holds up no stop.

const row = (id: string) => ({ id }) as RequestRow;

describe("vault/waiting", () => {
  it("of one caller sixteen wait, the next is answered at once, and another caller waits", async () => {
    const changes = requestChanges();
    const waiting = Array.from({ length: 16 }, () => changes.wait("acme/payouts", "r1", 60_000));
    assert.equal(await changes.wait("acme/payouts", "r1", 60_000), false);
    const other = changes.wait("acme/trading", "r1", 60_000);
    changes.notify(row("r1"));
    assert.deepEqual(await Promise.all([...waiting, other]), Array(17).fill(true));
    const again = changes.wait("acme/payouts", "r1", 60_000);
    changes.notify(row("r1"));
    assert.equal(await again, true, "their places are free again");
  });

  it("another request's change wakes nobody", async () => {
    const changes = requestChanges();
    let woken = false;
    const waiting = changes.wait("acme/payouts", "r1", 60_000).then(() => (woken = true));
    changes.notify(row("r2"));
    await sleep(20);
    assert.equal(woken, false);
    changes.close();
    await waiting;
  });

  it("closed, it wakes everybody and lets nobody wait again", async () => {
    const changes = requestChanges();
    const waiting = [changes.wait("a", "r1", 60_000), changes.wait("b", "r2", 60_000)];
    changes.close();
    assert.deepEqual(await Promise.all(waiting), [false, false]);
    assert.equal(await changes.wait("c", "r3", 60_000), false);
  });
});
