import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { openSqliteStore } from "../../../src/adapters/sqlite/store.ts";
import { GatewayError } from "../../../src/domain/errors.ts";
import { GatewayClient } from "../../../src/sdk/client.ts";
import { route } from "../../../src/vault/api/router.ts";
import { Following } from "../../../src/vault/following.ts";
import { appendLeaf } from "../../../src/vault/log.ts";
import type { RowStore, Store } from "../../../src/vault/ports.ts";
import { sealedStore } from "../../../src/vault/sealed-store.ts";
import { Seals } from "../../../src/vault/seals.ts";
import { Snapshots } from "../../../src/vault/snapshot.ts";
import { hsmInSoftware, type SoftwareHsm } from "../../support/software-hsm.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody, watched, type TestVault } from "../../support/vault.ts";

// Goal: a vault that starts from a snapshot knows what one knows that read every leaf (I19), and one that is not beyond
// doubt is not believed, not even in part.
// Method: a vault with a past of every kind; copies of its file, changed as an administrator of the database could; what
// the next start knows is held against a start without any snapshot.

const limits = { daily: { sum: "ETH", max: "1000", window: { rolling: "24h" } } };

describe("vault/snapshot", () => {
  let vault: TestVault;
  let hsm: SoftwareHsm;
  let folder: string;
  const opened: RowStore[] = [];

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-snapshot-"));
    hsm = hsmInSoftware();
    vault = await testVault({ hsm, policy: { limits } });
    await past();
  });
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
  });
  after(async () => {
    await vault.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const post = (value: number, fields = {}) =>
    vault.call("payouts", "POST", REQUESTS, transferBody(value, fields), newKey());

  /** Requests in every state, keys that ended, freezes, a policy that counts what was before it, a deposit. */
  async function past(): Promise<void> {
    for (let n = 0; n < 5; n++) assert.equal((await post(n + 1)).status, 201);
    hsm.fault = () => {
      throw new GatewayError("hsm-unavailable", "the token is away", { facts: { unsigned: true } });
    };
    const failing = (await post(7)).body as { id: string };
    assert.equal(((await post(8)).body as { state: string }).state, "authorized");
    hsm.fault = undefined;
    vault.clock.now += 61_000;
    const settled = await vault.call("operator", "POST", `${REQUESTS}/${failing.id}/settlement`, undefined, newKey());
    assert.deepEqual((settled.body as { problem?: { spend: string } }).problem?.spend, "given-back");
    assert.equal((await post(100_000)).status, 403);
    const { clientCallers: callers } = vault;
    const reviewed = {
      ...acmePolicy,
      callers,
      version: "2",
      limits: { ...limits, all: { ...limits.daily, max: "999" } },
    };
    await vault.apply("acme", reviewed);
    assert.equal((await post(9)).status, 201);
    const key = { name: "old-1", chains: ["eip155:31337"] };
    assert.equal((await vault.call("operator", "POST", "/v1/clients/acme/keys", key, newKey())).status, 201);
    await vault.call("operator", "POST", "/v1/clients/acme/keys/old-1/state", { state: "disabled" }, newKey());
    await vault.call("operator", "POST", "/v1/clients", { client: "blue" }, newKey());
    await vault.call("operator", "POST", "/v1/clients/blue/freeze", {}, newKey());
    const to = vault.key.accounts[0]!;
    const observed = await vault.call(
      "watcher",
      "POST",
      "/v1/clients/acme/observations",
      watched.deposit(to, 5),
      newKey(),
    );
    assert.equal(observed.status, 201, JSON.stringify(observed.body));
  }

  type Started = {
    readonly following: Following;
    readonly store: Store;
    readonly reports: string[];
    readonly read: number;
  };

  function copied(from = vault.storePath): string {
    const path = join(folder, newKey());
    for (const suffix of ["", "-wal"])
      if (existsSync(`${from}${suffix}`)) copyFileSync(`${from}${suffix}`, `${path}${suffix}`);
    return path;
  }

  /** As a vault starts: with how many leaves it had to read. */
  async function startedOn(path: string, seals: Seals = vault.seals): Promise<Started> {
    const rows = openSqliteStore(path, () => vault.clock.now);
    opened.push(rows);
    const reports: string[] = [];
    const following = new Following(seals, ({ code }) => void reports.push(code));
    let read = 0;
    const counting: RowStore = {
      ...rows,
      read: (work) =>
        rows.read((reader) =>
          work({
            ...reader,
            leaves: async (...page) => {
              const found = await reader.leaves(...page);
              read += found.length;
              return found;
            },
          }),
        ),
    };
    await following.load(counting);
    return { following, store: sealedStore(rows, following), reports, read };
  }

  /** Fingerprints have no order; what is undefined may as well not be there. */
  const known = ({ following: { knowledge } }: Started) => {
    const { fingerprints, ...ledger } = knowledge!.ledger;
    const lists = fingerprints.map((words) => {
      const entries = Array.from({ length: words.length / 3 }, (_, n) => words.subarray(3 * n, 3 * n + 3).join());
      return entries.sort();
    });
    const listed = (_: string, value: unknown) => (value instanceof Map || value instanceof Set ? [...value] : value);
    return { lists, ledger, text: JSON.stringify({ ...knowledge!, ledger }, listed, 1) };
  };
  const assertKnowsAs = (one: Started, other: Started): void => {
    assert.equal(known(one).text, known(other).text);
    assert.deepEqual(known(one).lists, known(other).lists);
  };

  const snapshotOn = async ({ store, following }: Started): Promise<void> => {
    const faults: unknown[] = [];
    await new Snapshots({ store, following, leaves: 1, fault: (error) => void faults.push(error) }).writeIfDue();
    assert.deepEqual(faults, []);
  };

  /** A copy of the store with a snapshot of all of it. @returns its path */
  async function withSnapshot(from?: string): Promise<string> {
    const path = copied(from);
    const started = await startedOn(path);
    await snapshotOn(started);
    await close(started);
    return path;
  }
  const close = async ({ store }: Started) => {
    opened.pop();
    await store.close();
  };
  const changed = (path: string, sql: string): void => {
    const database = new Database(path);
    const { changes } = database.prepare(sql).run();
    database.close();
    assert.ok(changes > 0, `changes nothing: ${sql}`);
  };
  const more = (started: Started) =>
    started.store.write(async (transaction) => {
      const house = (await transaction.client("house" as never))!;
      vault.clock.now += 1;
      await appendLeaf(transaction, house, "heartbeat", {});
    });

  it("a start from it reads no leaf again, and knows what one knows that reads them all", async () => {
    const all = await startedOn(copied());
    assert.ok(all.read > 20);
    const { ledger, lists } = known(all);
    assert.ok(ledger.open.size > 0 && ledger.voidLeaves.size > 0 && ledger.nonces.size > 0 && ledger.owners.size > 1);
    assert.ok(
      lists.every((entries) => entries.length > 0),
      "each kind of fingerprint is in the past",
    );
    const one = await startedOn(await withSnapshot());
    assert.deepEqual([one.read, one.reports], [0, []]);
    assertKnowsAs(one, all);
  });

  it("an old one is gone on from: leaves behind it are read", async () => {
    const path = await withSnapshot();
    const first = await startedOn(path);
    for (let n = 0; n < 3; n++) await more(first);
    await close(first);
    const next = await startedOn(path);
    assert.deepEqual([next.read, next.reports], [3, []]);
    const rows = copied(path);
    changed(rows, "DELETE FROM snapshots");
    assertKnowsAs(next, await startedOn(rows));
  });

  it("a vault that goes on from it signs, and holds rows against what it knows", async () => {
    const signing = async (path: string): Promise<[number, unknown]> => {
      const { store } = await startedOn(path);
      const gateway = await vault.restarted({ store });
      const body = Buffer.from(JSON.stringify(transferBody(1)));
      const { headers } = new GatewayClient(vault.callers.get("payouts")!).signRequest(
        "POST",
        REQUESTS,
        body,
        newKey(),
      );
      const answer = await route(gateway, { method: "POST", target: REQUESTS, headers, body });
      return [answer.status, (answer.body as { code?: string }).code];
    };
    assert.deepEqual(await signing(await withSnapshot()), [201, undefined]);
    for (const sql of [
      "UPDATE spend SET total = '0', amount = '0'",
      "DELETE FROM nonces",
      "UPDATE clients SET salt_key = zeroblob(32) WHERE id = 'acme'",
      "UPDATE keys SET state = 'active' WHERE name = 'old-1'",
    ]) {
      const path = await withSnapshot();
      changed(path, sql);
      assert.deepEqual(await signing(path), [503, "integrity"], sql);
    }
  });

  const FORGERIES: readonly (readonly [string, string])[] = [
    [
      "one bit of it is another",
      "UPDATE snapshots SET bytes = CAST(substr(bytes, 1, 60) || X'00' || substr(bytes, 62) AS BLOB)",
    ],
    [
      "a freeze is taken out of it",
      `UPDATE snapshots SET bytes = CAST(replace(CAST(hex(bytes) AS TEXT), hex('"frozen"'), hex('"melted"')) AS BLOB)`,
    ],
    ["its end is cut off", "UPDATE snapshots SET bytes = substr(bytes, 1, length(bytes) - 12)"],
    ["it is empty", "UPDATE snapshots SET bytes = x''"],
    ["it says that it is of more leaves", "UPDATE snapshots SET size = size + 1"],
    ["it says that it is of fewer leaves", "UPDATE snapshots SET size = size - 1"],
  ];
  for (const [what, sql] of FORGERIES)
    it(`${what}: every leaf is read`, async () => {
      const path = await withSnapshot();
      changed(path, sql);
      await assertReadsAll(path, ["snapshot-unusable"]);
    });

  async function assertReadsAll(path: string, reports: string[], seals?: Seals): Promise<void> {
    const started = await startedOn(path, seals);
    assert.ok(started.read > 20, `${started.read} leaves were read`);
    assert.deepEqual(started.reports, reports);
    assertKnowsAs(started, await startedOn(copied()));
  }

  it("one of which a part is missing is none: a vault died while it wrote it", async () => {
    const path = await withSnapshot();
    changed(path, "UPDATE snapshots SET parts = 2, part = 1");
    await assertReadsAll(path, []);
  });

  it("another gateway's is not read", async () => {
    const other = await testVault();
    const from = new Database(copied());
    const size = (from.prepare("SELECT count(*) AS n FROM leaves").get() as { n: number }).n;
    from.close();
    const theirs = await startedOn(copied(other.storePath), other.seals);
    await snapshotOn(theirs);
    const bytes = await theirs.store.read(async (reader) => reader.snapshotPart((await reader.snapshot())!, 0));
    const path = copied();
    const database = new Database(path);
    database.prepare("INSERT INTO snapshots (size, parts, part, bytes) VALUES (?, 1, 0, ?)").run(size, bytes);
    database.close();
    await assertReadsAll(path, ["snapshot-unusable"]);
    await other.close();
  });

  it("one of a branch that a restore has cut off is not gone on from", async () => {
    const [one, other] = [copied(), copied()];
    const snapshotsOf = async (path: string) => {
      const started = await startedOn(path);
      for (let n = 0; n < 2; n++) await more(started);
      await snapshotOn(started);
      await close(started);
    };
    await snapshotsOf(one);
    await snapshotsOf(other);
    const database = new Database(one);
    database.exec(
      `ATTACH '${other}' AS other; DELETE FROM snapshots; INSERT INTO snapshots SELECT * FROM other.snapshots`,
    );
    database.close();
    const started = await startedOn(one);
    assert.ok(started.read > 20);
    assert.deepEqual(started.reports, ["snapshot-unusable"]);
  });

  it("none is written while anything does not fit, so that the next start finds it again", async () => {
    const path = copied();
    changed(
      path,
      "UPDATE leaves SET opening = replace(opening, '\"authorized\"', '\"authorised\"') WHERE idx = (SELECT max(idx) FROM leaves WHERE opening LIKE '%\"authorized\"%')",
    );
    const started = await startedOn(path);
    assert.ok(started.following.broken.size > 0);
    await snapshotOn(started);
    assert.equal(await started.store.read((reader) => reader.snapshot()), undefined);
  });
});
