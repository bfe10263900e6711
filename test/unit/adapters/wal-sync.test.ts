import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openSqliteStore } from "../../../src/adapters/sqlite/store.ts";

// Goal: nothing that the store has answered can be lost by a power cut: the answer comes after a sync of the log that
// began after the COMMIT. Method: every file's `datasync` is slowed down and noted, on the real store.

describe("SQLite: durability", () => {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-wal-"));
  const events: string[] = [];
  let onSync: () => void = () => {};
  /** The next sync has begun; it ends no sooner than some turns later. */
  const syncBegins = (): Promise<void> => new Promise((resolve) => (onSync = resolve));
  let prototype: { datasync: () => Promise<void> };
  let original: () => Promise<void>;

  before(async () => {
    const file = await open(join(folder, "probe"), "w");
    prototype = Object.getPrototypeOf(file) as typeof prototype;
    await file.close();
    original = prototype.datasync;
    prototype.datasync = async function (this: unknown) {
      events.push("sync begins");
      onSync();
      await sleep(30);
      await original.call(this);
      events.push("sync ends");
    };
  });
  after(() => {
    prototype.datasync = original;
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => void (events.length = 0));

  it("a write is answered after a sync that began after its COMMIT", async () => {
    const store = openSqliteStore(join(folder, "one.db"));
    await store.write(async (transaction) => {
      await transaction.insertCallerKey("ed25519:a", "acme" as never);
      events.push("written");
    });
    events.push("answered");
    await store.close();
    assert.deepEqual(events, ["written", "sync begins", "sync ends", "answered"]);
  });

  it("whoever writes while a sync runs waits for the next one, and shares it", async () => {
    const store = openSqliteStore(join(folder, "two.db"));
    const write = async (name: string) => {
      await store.write(async (transaction) => transaction.insertCallerKey(name, "acme" as never));
      events.push(`answered ${name}`);
    };
    const begun = syncBegins();
    const first = write("first");
    await begun;
    assert.deepEqual(events, ["sync begins"]);
    await Promise.all([first, write("second"), write("third")]);
    await store.close();
    const sync = ["sync begins", "sync ends"];
    assert.deepEqual(
      events.filter((event) => event.startsWith("sync")),
      [...sync, ...sync],
    );
    assert.equal(events.indexOf("answered first") > events.indexOf("sync ends"), true);
    assert.deepEqual(events.slice(-3), ["sync ends", "answered second", "answered third"]);
  });

  it("whoever reads what is not durable yet waits as well; a quiet store answers at once", async () => {
    const store = openSqliteStore(join(folder, "three.db"));
    const begun = syncBegins();
    const written = store.write(async (transaction) => transaction.insertCallerKey("ed25519:b", "acme" as never));
    await begun;
    const owner = await store.read(async (reader) => reader.callerKeyOwner("ed25519:b"));
    assert.deepEqual([owner, events], ["acme", ["sync begins", "sync ends"]]);
    await written;
    await store.read(async (reader) => reader.now());
    await store.close();
    assert.deepEqual(events, ["sync begins", "sync ends"]);
  });
});
