import assert from "node:assert/strict";
import { createServer, connect as connectSocket, type Server, type Socket } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { migratePostgres } from "../../src/adapters/postgres/migrate.ts";
import { postgresStatus } from "../../src/adapters/postgres/status.ts";
import type { PostgresOptions } from "../../src/adapters/postgres/session.ts";
import { openPostgresStore } from "../../src/adapters/postgres/store.ts";
import type { CounterId } from "../../src/domain/decision.ts";
import { GatewayError } from "../../src/domain/errors.ts";
import type { RequestId } from "../../src/domain/request.ts";
import type { CallerName, ClientId, KeyName } from "../../src/domain/names.ts";
import type { RowStore, SealedLeaf, SealedRequest } from "../../src/vault/ports.ts";
import { PostgresServer } from "../support/postgres.ts";
import { addSpend, spentIn } from "../support/spend.ts";

// Goal: what only a database over there can do to a store: several vaults on it, a schema of another version, a server
// that is away, refuses, forgets, is another one, or is lost at the moment of COMMIT. Each is an answer with a code, and
// when it is over the store goes on by itself, with nothing lost and nothing twice.
// Method: a real server, told to be so; a pipe in between that can be cut at the byte that matters.

const DAILY = "acme/daily/-" as CounterId;

const code = (expected: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, expected, String(error));
  return true;
};

const claim = (store: RowStore, name: string): Promise<void> =>
  store.write((transaction) => transaction.insertClaim(name, name as RequestId));
const holder = (store: RowStore, name: string): Promise<string | undefined> =>
  store.read((reader) => reader.claimedBy(name));

describe("the store in PostgreSQL", function () {
  this.timeout(120_000);
  let server: PostgresServer;
  let options: PostgresOptions;
  let store: RowStore;
  const sql = (text: string, database = options.database) => server.as(database, (client) => client.query(text));

  before(async () => {
    server = await PostgresServer.started();
    options = { ...(await server.database()), patienceMs: 1_500 };
  });
  after(() => server.remove());
  beforeEach(async () => {
    await sql("DROP SCHEMA IF EXISTS portcullis CASCADE");
    await migratePostgres(options);
    store = await openPostgresStore(options);
  });
  afterEach(() => store.close());

  // Plans are made while a store is new and nobody has counted its rows.
  it("a request costs the same however many there are: its own rows are read, and no others", async () => {
    const [client, caller] = ["acme" as ClientId, "payouts" as CallerName];
    const idOf = (n: number) => `request ${String(n).padStart(4, "0")}` as RequestId;
    const requestOf = (n: number): SealedRequest => ({
      ...{ id: idOf(n), client, caller, key: "hot-1" as KeyName, idempotencyKey: `key ${n}`, bodyHash: "" },
      ...{
        state: "authorized",
        submittedAt: 0,
        changedAt: 0,
        record: "{}",
        reference: `words ${n}`,
        decisionLeaf: n,
        decision: "{}",
      },
      ...{ outcome: null, leaf: n, seal: "", outcomeSeal: null },
    });
    const leafOf = (n: number): SealedLeaf => ({
      ...{ index: n, at: 0, hash: Buffer.alloc(32, n), commitment: Buffer.alloc(32), client, number: n },
      ...{ opening: "{}", seal: "" },
    });
    const submit = (n: number) =>
      store.write(
        async (transaction) => {
          assert.equal(await transaction.requestByIdempotencyKey(client, caller, `key ${n}`), undefined);
          await transaction.insertLeaf(leafOf(n));
          await transaction.insertRequest(requestOf(n));
          await transaction.insertClaim(`claim ${n}`, idOf(n));
        },
        { requests: [{ client, caller, idempotencyKey: `key ${n}` }], claims: [`claim ${n}`] },
      );
    const finish = (n: number) =>
      store.write((transaction) =>
        transaction.recordOutcome({ ...requestOf(n), state: "signed", outcome: "{}", outcomeSeal: "" }),
      );
    const [count, together] = [400, 8];
    for (let first = 0; first < count; first += together) {
      const group = Array.from({ length: together }, (_, n) => first + n);
      await Promise.all(group.map(submit));
      await Promise.all(group.map(finish));
      const seen = await store.read((reader) => reader.request(client, idOf(first)));
      assert.equal(seen?.state, "signed");
    }
    // Found by its caller's words: as often as it takes for a walk along all of them to show.
    for (let n = 0; n < 5; n++)
      assert.equal(
        (await store.read((reader) => reader.requests(client, { limit: 10, reference: `words ${n}` }))).length,
        1,
      );
    await store.close();
    const counted = () =>
      sql(`SELECT relname AS name, n_tup_ins + n_tup_upd AS written, seq_tup_read AS read FROM pg_stat_user_tables
           UNION ALL SELECT indexrelname, NULL, idx_tup_read - 2 * idx_scan FROM pg_stat_user_indexes`);
    type Counted = { name: string; written: string | null; read: string };
    let rows: Counted[];
    // A connection that ends tells what it has counted in its own time.
    do rows = (await counted()).rows as Counted[];
    while (!rows.some(({ name, written }) => name === "requests" && Number(written) === 2 * count));
    assert.deepEqual(
      rows.filter(({ read }) => Number(read) > count),
      [],
    );
  });

  describe("shared by several", () => {
    it("each sees what the others committed, whatever it has in mind itself", async () => {
      const others = [store, await openPostgresStore(options), await openPostgresStore(options)];
      let leaf = 0;
      const spend = (on: RowStore) =>
        on.write(async (transaction) => {
          leaf += 1;
          const before = await spentIn(transaction, DAILY, 0);
          await addSpend(transaction, DAILY, { at: 5, leaf, amount: 1n });
          return before;
        });
      // One after the other, then all at once: what a store has in mind is stale in both.
      const seen = [];
      for (let n = 0; n < 9; n++) seen.push(await spend(others[n % 3]!));
      seen.push(...(await Promise.all(Array.from({ length: 90 }, (_, n) => spend(others[n % 3]!)))));
      assert.deepEqual(
        seen.toSorted((a, b) => Number(a - b)),
        seen.map((_, n) => BigInt(n)),
      );
      for (const other of others) assert.equal(await other.read((reader) => spentIn(reader, DAILY, 0)), 99n);
      await Promise.all(others.slice(1).map((other) => other.close()));
    });

    // The unique keys of `leaves` and `commits` would catch two that wrote from one state; they do not say what time it is.
    it("while one is at work no other has begun, nor been told the time (I9)", async () => {
      const other = await openPostgresStore(options);
      let [begin, settle] = [(_at: number): void => undefined, (): void => undefined];
      const begun = new Promise<number>((resolve) => (begin = resolve));
      const maySettle = new Promise<void>((resolve) => (settle = resolve));
      const first = store.write(async (transaction) => {
        begin(await transaction.now());
        await maySettle;
        await transaction.insertClaim("first", "first" as RequestId);
      });
      const firstAt = await begun;
      let hasBegun = false;
      const second = other.write(async (transaction) => {
        hasBegun = true;
        await transaction.insertClaim("second", "second" as RequestId);
        return { at: await transaction.now(), seen: await transaction.claimedBy("first") };
      });
      await sleep(300);
      const early = hasBegun;
      settle();
      const [{ at, seen }] = await Promise.all([second, first]);
      await other.close();
      assert.deepEqual([early, seen], [false, "first"]);
      assert.ok(at >= firstAt + 300, `the second was told ${at - firstAt} ms after the first`);
    });

    it("one that hangs with the lock in its hands loses it", async () => {
      const patient = await openPostgresStore({ ...options, patienceMs: 60_000 });
      const hanging = await server.as(options.database, async (client) => {
        await client.query("SET idle_in_transaction_session_timeout = '1s'");
        await client.query("BEGIN; SELECT FROM portcullis.head FOR UPDATE");
        await claim(patient, "after the one that hung");
        return client.query("COMMIT").then(
          () => "still there",
          () => "gone",
        );
      });
      await patient.close();
      assert.deepEqual([hanging, await holder(store, "after the one that hung")], ["gone", "after the one that hung"]);
    });
  });

  describe("its schema", () => {
    it("is made by one of many that begin at the same instant", async () => {
      const fresh = await server.database();
      const made = await Promise.all(Array.from({ length: 8 }, () => migratePostgres(fresh)));
      assert.equal(made.filter(({ from }) => from === 0).length, 1, JSON.stringify(made));
      assert.ok(made.every(({ to }) => to === made[0]!.to));
      await (await openPostgresStore(fresh)).close();
    });

    it("is never made by a vault", async () => {
      const fresh = await server.database();
      await assert.rejects(openPostgresStore(fresh), code("store-too-old"));
      const [{ count }] = (await sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'portcullis'", fresh.database))
        .rows as [{ count: string }];
      assert.equal(count, "0");
    });

    it("of a newer version stops a vault that is running, and is left alone by `migrate`", async () => {
      await claim(store, "before");
      await sql("UPDATE portcullis.head SET schema = schema + 1");
      await assert.rejects(claim(store, "after"), code("store-too-new"));
      await assert.rejects(migratePostgres(options), code("store-too-new"));
      assert.equal((await postgresStatus(options)).reasons[0]?.code, "store-too-new");
      await sql("UPDATE portcullis.head SET schema = schema - 1");
      await claim(store, "after");
    });
  });

  describe("away, and back", () => {
    it("a restart is not noticed", async () => {
      const patient = await openPostgresStore({ ...options, patienceMs: 20_000 });
      const writes = Array.from({ length: 20 }, (_, n) => sleep(n * 20).then(() => claim(patient, `during-${n}`)));
      await server.restart();
      await Promise.all(writes);
      await patient.close();
      for (let n = 0; n < 20; n++) assert.equal(await holder(store, `during-${n}`), `during-${n}`);
    });

    it("longer than its callers' patience it is unavailable, and afterwards it is not", async () => {
      await server.stop();
      await assert.rejects(claim(store, "meanwhile"), code("store-unavailable"));
      await assert.rejects(holder(store, "meanwhile"), code("store-unavailable"));
      await server.start();
      assert.equal(await holder(store, "meanwhile"), undefined);
      await claim(store, "meanwhile");
    });

    it("read-only it is unavailable, and afterwards it is not", async () => {
      await sql(`ALTER DATABASE ${options.database} SET default_transaction_read_only = on`);
      await sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portcullis'",
        "postgres",
      );
      await assert.rejects(claim(store, "meanwhile"), code("store-unavailable"));
      await sql(`ALTER DATABASE ${options.database} RESET default_transaction_read_only`, "postgres");
      await claim(store, "afterwards");
    });

    it("without a connection to spare for reads it is unavailable", async () => {
      const narrow = await openPostgresStore({ ...options, readers: 1 });
      let release = (): void => undefined;
      const held = new Promise<void>((resolve) => (release = resolve));
      const long = narrow.read(() => held);
      await assert.rejects(holder(narrow, "x"), code("store-unavailable"));
      release();
      await long;
      assert.equal(await holder(narrow, "x"), undefined);
      await narrow.close();
    });

    it("a transaction that the server rolled back for its own reasons is run again", async () => {
      let runs = 0;
      await store.write(async (transaction) => {
        runs += 1;
        await transaction.insertClaim("again", "r" as RequestId);
        if (runs === 1)
          await sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portcullis'",
            "postgres",
          );
        await transaction.claimedBy("something else");
      });
      assert.deepEqual([runs, await holder(store, "again")], [2, "r"]);
    });
  });

  describe("a server that may forget", () => {
    for (const setting of ["fsync", "full_page_writes"]) {
      it(`${setting} switched off under a running vault: nothing is written until it is on again`, async () => {
        await claim(store, "before");
        const set = async (value: string) => {
          await sql(`ALTER SYSTEM SET ${setting} = ${value}`);
          server.reload();
          await sleep(300);
        };
        await set("off");
        await assert.rejects(claim(store, "meanwhile"), code("store-not-durable"));
        await assert.rejects(openPostgresStore(options), code("store-not-durable"));
        assert.equal((await postgresStatus(options)).usable, false);
        await set("on");
        await claim(store, "meanwhile");
      });
    }

    it("synchronous_commit switched off for the database: no vault begins on it", async () => {
      await sql(`ALTER DATABASE ${options.database} SET synchronous_commit = off`);
      await assert.rejects(openPostgresStore(options), code("store-not-durable"));
      await sql(`ALTER DATABASE ${options.database} RESET synchronous_commit`);
    });
  });

  it("a dump taken beside a running vault is a store again where it is restored", async () => {
    await claim(store, "before");
    const dump = server.run("pg_dump", options, ["--format=custom", "--schema=portcullis"]);
    const elsewhere = await server.database();
    server.run("pg_restore", elsewhere, [], dump);
    const restored = await openPostgresStore(elsewhere);
    await claim(restored, "after");
    assert.deepEqual([await holder(restored, "before"), await holder(restored, "after")], ["before", "after"]);
    await restored.close();
    assert.equal(await holder(store, "after"), undefined);
  });

  it("a server with another history is refused, by a running vault as well", async () => {
    await claim(store, "before");
    await sql("UPDATE portcullis.head SET timeline = timeline + 1");
    await sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'portcullis'",
      "postgres",
    );
    await assert.rejects(claim(store, "meanwhile"), code("store-moved"));
    assert.equal((await postgresStatus(options)).reasons[0]?.code, "store-moved");
    await sql("UPDATE portcullis.head SET timeline = timeline - 1");
    await claim(store, "meanwhile");
  });

  describe("a history that is not the log's", () => {
    const heads = () => store.history!.read();
    beforeEach(async () => {
      await claim(store, "before");
      await sql("UPDATE portcullis.head SET timeline = timeline + 1");
    });

    it("can be read, and is not written in", async () => {
      await assert.rejects(claim(store, "meanwhile"), code("store-moved"));
      assert.equal(await holder(store, "before"), "before");
      const { writtenIn, found } = await heads();
      assert.notEqual(writtenIn, found);
    });

    it("becomes the log's own with the work that adopts it, and other works wait neither before nor after", async () => {
      const other = await openPostgresStore(options);
      const { found } = await heads();
      const [before, adopted, after] = await Promise.allSettled([
        claim(store, "too early"),
        store.history!.adopt(found, (transaction) => transaction.insertClaim("adopted", "r" as RequestId)),
        claim(store, "late"),
      ]);
      assert.deepEqual([before.status, adopted.status, after.status], ["rejected", "fulfilled", "fulfilled"]);
      assert.deepEqual(await heads(), { writtenIn: found, found });
      await claim(other, "elsewhere");
      await other.close();
      assert.deepEqual(
        [await holder(store, "too early"), await holder(store, "adopted"), await holder(store, "elsewhere")],
        [undefined, "r", "elsewhere"],
      );
    });

    it("does not become it where the work fails, half-way or at once, or where another one answers", async () => {
      const { found } = await heads();
      const fails = async (): Promise<never> => Promise.reject(new GatewayError("refused", "no"));
      await assert.rejects(store.history!.adopt(found, fails), code("refused"));
      await assert.rejects(
        store.history!.adopt(found, async (transaction) => {
          await transaction.insertClaim("half", "r" as RequestId);
          await transaction.claimedBy("asked"); // what was written so far is sent ahead of the question
          return fails();
        }),
        code("refused"),
      );
      await assert.rejects(
        store.history!.adopt(`${found}1`, async () => undefined),
        code("store-moved"),
      );
      assert.notEqual((await heads()).writtenIn, found);
      await assert.rejects(claim(store, "meanwhile"), code("store-moved"));
      assert.equal(await holder(store, "half"), undefined);
    });
  });

  describe("lost at COMMIT", () => {
    let wire: Wire;
    let cutOff: RowStore;
    beforeEach(async () => {
      wire = await Wire.to(options);
      cutOff = await openPostgresStore({ ...options, host: wire.folder });
    });
    afterEach(async () => {
      wire.heal();
      await cutOff.close();
      await wire.close();
    });

    it("before the server heard of it: the work is run again, and done once", async () => {
      let runs = 0;
      wire.cutBeforeCommit();
      await cutOff.write(async (transaction) => {
        runs += 1;
        await transaction.insertClaim("once", "r" as RequestId);
      });
      assert.deepEqual([runs, wire.cuts, await holder(store, "once")], [2, 1, "r"]);
    });

    it("after the server has done it: it is found out, and nothing is run again", async () => {
      let runs = 0;
      wire.cutAfterCommit();
      await cutOff.write(async (transaction) => {
        runs += 1;
        await transaction.insertClaim("once", "r" as RequestId);
      });
      assert.deepEqual([runs, wire.cuts, await holder(store, "once")], [1, 1, "r"]);
    });

    it("and not to be reached any more: nobody is told that it did or did not happen", async () => {
      wire.cutAfterCommit({ forGood: true });
      await assert.rejects(claim(cutOff, "who knows"), code("outcome-unknown"));
      assert.equal(await holder(store, "who knows"), "who knows");
      wire.heal();
      await assert.rejects(claim(cutOff, "who knows"), code("store-unavailable"), "it is there, and once");
    });
  });
});

/** A pipe between a store and its server, cut where the test says. */
class Wire {
  readonly folder: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #cut: "before" | "after" | undefined;
  #forGood = false;
  #dead = false;
  cuts = 0;

  static async to({ host, port }: PostgresOptions): Promise<Wire> {
    const folder = join(host, `wire-${process.pid}-${Math.random().toString(36).slice(2)}`);
    const { mkdirSync } = await import("node:fs");
    mkdirSync(folder);
    const wire = new Wire(folder, join(host, `.s.PGSQL.${port}`));
    wire.#server.listen(join(folder, `.s.PGSQL.${port}`));
    await once(wire.#server, "listening");
    return wire;
  }

  private constructor(folder: string, target: string) {
    this.folder = folder;
    this.#server = createServer((near) => {
      if (this.#dead) return void near.destroy();
      const far = connectSocket(target);
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on("error", () => undefined).on("close", () => [near, far].forEach((end) => end.destroy()));
      }
      near.on("data", (bytes: Buffer) => {
        if (this.#cut === "before" && bytes.includes("COMMIT\0")) this.#cutNow(near, far);
        else far.write(bytes);
      });
      far.on("data", (bytes: Buffer) => {
        if (this.#cut === "after" && bytes.includes("COMMIT\0")) this.#cutNow(near, far);
        else near.write(bytes);
      });
    });
  }

  #cutNow(near: Socket, far: Socket): void {
    this.#cut = undefined;
    this.#dead = this.#forGood;
    this.cuts += 1;
    near.destroy();
    far.destroy();
  }

  cutBeforeCommit(): void {
    this.#cut = "before";
  }

  cutAfterCommit({ forGood = false } = {}): void {
    this.#cut = "after";
    this.#forGood = forGood;
  }

  heal(): void {
    this.#dead = this.#forGood = false;
  }

  async close(): Promise<void> {
    this.#sockets.forEach((socket) => socket.destroy());
    this.#server.close();
    await once(this.#server, "close");
  }
}
