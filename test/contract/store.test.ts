import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import fc from "fast-check";
import { migratePostgres } from "../../src/adapters/postgres/migrate.ts";
import type { PostgresOptions } from "../../src/adapters/postgres/session.ts";
import { openPostgresStore } from "../../src/adapters/postgres/store.ts";
import { openSqliteStore } from "../../src/adapters/sqlite/store.ts";
import type { Account } from "../../src/domain/chain.ts";
import type { CounterId } from "../../src/domain/decision.ts";
import type { Freeze } from "../../src/domain/freeze.ts";
import { HOUSE, type CallerName, type ClientId, type KeyName } from "../../src/domain/names.ts";
import type { RequestId } from "../../src/domain/request.ts";
import type {
  ClientRow,
  KeyRow,
  PinRow,
  PolicyRow,
  RecoveryRow,
  ScheduledPolicyRow,
  RowReader,
  RowStore,
  RowTransaction,
  SealedLeaf,
  SealedRequest,
} from "../../src/vault/ports.ts";
import { openMemoryStore, raiseSchema } from "../../bench/memory-store.ts";
import { PostgresServer } from "../support/postgres.ts";
import { addSpend, spentAt, spentIn } from "../support/spend.ts";

// Goal: every implementation of the `Store` port keeps its contract, word by word.
// Method: one suite for all of them; sums and windows are held against a list that a child could keep.

/** A place where a store can be: opened again and again, with what was written there. */
type Place = {
  readonly open: (clock?: () => number) => Promise<RowStore>;
  /** Makes what is stored there look as if a newer Portcullis had written it. */
  readonly raiseSchema: () => Promise<void>;
  readonly remove: () => Promise<void>;
};

type Implementation = {
  readonly name: string;
  /** What all its places need. */
  readonly before?: () => Promise<void>;
  readonly after?: () => Promise<void>;
  readonly place: () => Promise<Place>;
  /** Opens a store where none can be. */
  readonly openNowhere: () => Promise<RowStore>;
};

let postgres: PostgresServer;
let database: PostgresOptions;

const IMPLEMENTATIONS: readonly Implementation[] = [
  {
    // What the others are held against by the bench: no less is asked of it.
    name: "in memory",
    place: async () => {
      const folder = mkdtempSync(join(tmpdir(), "portcullis-store-"));
      const path = join(folder, "store.memory");
      return {
        open: async (clock) => openMemoryStore(path, clock),
        raiseSchema: async () => raiseSchema(path),
        remove: async () => rmSync(folder, { recursive: true, force: true }),
      };
    },
    openNowhere: async () => openMemoryStore(join(tmpdir(), "portcullis-none", "store.memory")),
  },
  {
    name: "SQLite",
    place: async () => {
      const folder = mkdtempSync(join(tmpdir(), "portcullis-store-"));
      const path = join(folder, "store.db");
      return {
        open: async (clock) => openSqliteStore(path, clock),
        raiseSchema: async () => {
          const database = new Database(path);
          const version = database.pragma("user_version", { simple: true }) as number;
          database.pragma(`user_version = ${version + 1}`);
          database.close();
        },
        remove: async () => rmSync(folder, { recursive: true, force: true }),
      };
    },
    openNowhere: async () => {
      const folder = mkdtempSync(join(tmpdir(), "portcullis-store-"));
      try {
        writeFileSync(join(folder, "file"), "");
        return openSqliteStore(join(folder, "file", "store.db"));
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  },
  {
    name: "PostgreSQL",
    before: async () => {
      postgres = await PostgresServer.started();
      database = await postgres.database();
    },
    after: () => postgres.remove(),
    place: async () => {
      const administer = (sql: string) => postgres.as(database.database, (client) => client.query(sql));
      await migratePostgres(database);
      return {
        open: (clock) => openPostgresStore(database, clock),
        raiseSchema: async () => void (await administer("UPDATE portcullis.head SET schema = schema + 1")),
        remove: async () => void (await administer("DROP SCHEMA portcullis CASCADE")),
      };
    },
    openNowhere: () => openPostgresStore({ ...database, host: join(postgres.folder, "none") }),
  },
];

const SOAK = process.env["SOAK"] !== undefined;
const NOW = 1_000_000;
const [ACME, BLUE] = ["acme", "blue"] as ClientId[] as [ClientId, ClientId];
const ACCOUNT = "eip155:1:0x1111111111111111111111111111111111111111" as Account;
const OTHER_ACCOUNT = "eip155:1:0x2222222222222222222222222222222222222222" as Account;
const bytes32 = (seed: string): Buffer => createHash("sha256").update(seed).digest();
const DAILY = "acme/daily/-" as CounterId;

const clientRow = (id: ClientId): ClientRow => ({
  id,
  owner: "client",
  status: "active",
  token: { label: id, serial: `serial of ${id}` },
  saltKey: bytes32(id),
  freezes: [],
});

/** A store believes every seal: it checks none. */
const nonce = (next: bigint) => ({ next, leaf: 0, seal: `seal of ${next}` });

const keyRow = (changes: Partial<KeyRow> = {}): KeyRow => ({
  client: ACME,
  name: "hot-1" as KeyName,
  id: "01".repeat(16),
  curve: "secp256k1",
  purpose: "transactions",
  publicKey: Buffer.alloc(65, 4),
  chains: ["eip155:1" as never],
  accounts: [ACCOUNT],
  state: "active",
  leaf: 3,
  ...changes,
});

const requestRow = (changes: Partial<SealedRequest> = {}): SealedRequest => ({
  id: "request-1" as RequestId,
  client: ACME,
  caller: "payouts" as CallerName,
  key: "hot-1" as KeyName,
  idempotencyKey: "withdrawal-1",
  bodyHash: "ab".repeat(32),
  state: "authorized",
  submittedAt: NOW,
  changedAt: NOW,
  record: "{}",
  reference: null,
  decisionLeaf: 0,
  decision: leafRow(0).opening,
  outcome: null,
  leaf: 0,
  seal: "seal of request-1",
  outcomeSeal: null,
  ...changes,
});

const policyRow = (changes: Partial<PolicyRow> = {}): PolicyRow => ({
  client: ACME,
  version: 1,
  hash: "hash-1",
  previousHash: null,
  entry: "acme.yaml",
  files: { "acme.yaml": "client: acme\n# a comment with ’ and \u0000" },
  signatures: [{ person: "officer" as CallerName, signature: "c2ln" }],
  appliedAt: NOW,
  leaf: 4,
  ...changes,
});

const leafRow = (index: number, at = NOW, number = index, client = ACME): SealedLeaf => ({
  index,
  at,
  hash: bytes32(`hash ${index}`),
  commitment: bytes32(`commitment ${index}`),
  client,
  number,
  opening: `{"index":${index}}`,
  seal: `seal of ${index}`,
});

const plain = <T extends object>(row: T | undefined): unknown =>
  row &&
  Object.fromEntries(
    Object.entries(row).map(([name, value]) => [name, value instanceof Uint8Array ? Buffer.from(value) : value]),
  );

const code = (expected: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, expected, String(error));
  return true;
};

for (const implementation of IMPLEMENTATIONS) {
  describe(`store contract: ${implementation.name}`, () => {
    let place: Place;
    let store: RowStore;
    let now: number;
    const clock = (): number => now;

    before(() => implementation.before?.());
    after(() => implementation.after?.());
    beforeEach(async () => {
      now = NOW;
      place = await implementation.place();
      store = await place.open(clock);
    });
    afterEach(async () => {
      await store.close();
      await place.remove();
    });

    const write = <T>(work: (transaction: RowTransaction) => Promise<T>): Promise<T> => store.write(work);
    const read = <T>(work: (reader: RowReader) => Promise<T>): Promise<T> => store.read(work);
    const reopen = async (): Promise<void> => {
      await store.close();
      store = await place.open(clock);
    };
    /** What must be refused, whatever the implementation says; and nothing of it may stay. */
    const refused = (work: (transaction: RowTransaction) => Promise<unknown>): Promise<void> =>
      assert.rejects(write(work));

    describe("snapshots", () => {
      const put = (size: number, parts: number, ...numbers: number[]) =>
        write(async (transaction) => {
          for (const part of numbers)
            await transaction.putSnapshotPart({ size, parts }, part, bytes32(`${size} ${part}`));
        });
      const newest = () => read((reader) => reader.snapshot());

      it("the largest whole one is found, with its parts; one of which a part is missing is none", async () => {
        assert.equal(await newest(), undefined);
        await put(10, 2, 1, 0);
        await put(20, 3, 0, 2);
        await reopen();
        assert.deepEqual(await newest(), { size: 10, parts: 2 });
        await put(20, 3, 1);
        assert.deepEqual(await newest(), { size: 20, parts: 3 });
        await read(async (reader) => {
          const part = await reader.snapshotPart({ size: 20, parts: 3 }, 1);
          assert.deepEqual(Buffer.from(part!), bytes32("20 1"));
          assert.equal(await reader.snapshotPart({ size: 20, parts: 3 }, 3), undefined);
          assert.equal(await reader.snapshotPart({ size: 20, parts: 4 }, 1), undefined);
        });
      });

      it("written again it is in its own place, and those of fewer leaves can be removed", async () => {
        await put(10, 1, 0);
        await put(20, 2, 0, 1);
        await put(20, 1, 0);
        assert.deepEqual(await newest(), { size: 20, parts: 1 });
        await write((transaction) => transaction.removeSnapshots(20));
        assert.deepEqual(await newest(), { size: 20, parts: 1 });
        await write((transaction) => transaction.removeSnapshots(21));
        assert.equal(await newest(), undefined);
      });
    });

    describe("sealed PINs and states of keys", () => {
      const pin = (version: number, changes: Partial<PinRow> = {}): PinRow => ({
        name: "acme",
        version,
        state: "kept",
        sealed: bytes32(`pin ${version}`),
        ...changes,
      });

      it("PINs come by version, each name's own, and one row stands for a name and a version", async () => {
        await write(async (transaction) => {
          for (const row of [pin(10), pin(9), pin(2), pin(1, { name: "log" })]) await transaction.putPin(row);
        });
        await write(async (transaction) => {
          await transaction.putPin(pin(9, { state: "refused", sealed: bytes32("another") }));
          await transaction.removePin("acme", 2);
        });
        await reopen();
        await read(async (reader) => {
          const expected = [pin(9, { state: "refused", sealed: bytes32("another") }), pin(10)];
          assert.deepEqual((await reader.pins("acme")).map(plain), expected.map(plain));
          assert.deepEqual((await reader.pins("log")).map(plain), [plain(pin(1, { name: "log" }))]);
          assert.deepEqual(await reader.pins("blue"), []);
        });
      });

      it("an answer is its caller's, under its key, and stays what it was", async () => {
        const answer = { client: ACME, caller: "payouts" as CallerName, idempotencyKey: "k", status: 201 };
        const row = { ...answer, body: '{"a":"b"}', seal: "s" };
        await write((transaction) => transaction.insertAnswer(row));
        await assert.rejects(write((transaction) => transaction.insertAnswer({ ...row, status: 200 })));
        assert.deepEqual({ ...(await read((reader) => reader.answer(answer))) }, row);
        for (const other of [{ client: BLUE }, { caller: "trading" as CallerName }, { idempotencyKey: "K" }])
          assert.equal(await read((reader) => reader.answer({ ...answer, ...other })), undefined);
      });

      it("a key's state changes alone, and no other key's", async () => {
        const other = { name: "hot-2" as KeyName, id: "02".repeat(16), publicKey: Buffer.alloc(65, 5), accounts: [] };
        await write(async (transaction) => {
          await transaction.insertClient(clientRow(ACME));
          await transaction.insertKey(keyRow());
          await transaction.insertKey(keyRow(other));
          await transaction.updateKeyState(ACME, "hot-1" as KeyName, "disabled");
        });
        await reopen();
        const keys = await read((reader) => reader.keys(ACME));
        assert.deepEqual(keys.map(plain), [plain(keyRow({ state: "disabled" })), plain(keyRow(other))]);
      });

      it("of each client one change of policy waits, with its document, until it is taken away", async () => {
        const waiting = (client: ClientId, activeAt: number): ScheduledPolicyRow => ({
          client,
          version: 2,
          hash: "sha256:ab",
          previousHash: null,
          entry: "policy.yaml",
          files: { "policy.yaml": "version: 2\n" },
          signatures: [{ person: "officer" as CallerName, signature: "AAAA" }],
          by: "officer" as CallerName,
          activeAt,
          leaf: 5,
        });
        await write(async (transaction) => {
          await transaction.insertClient(clientRow(ACME));
          await transaction.insertClient(clientRow(BLUE));
          await transaction.putScheduledPolicy(waiting(BLUE, NOW + 1));
          await transaction.putScheduledPolicy(waiting(ACME, NOW));
        });
        await refused((transaction) => transaction.putScheduledPolicy(waiting(ACME, NOW + 5)));
        await write(async (transaction) => {
          await transaction.removeScheduledPolicy(ACME);
          assert.equal(await transaction.scheduledPolicy(ACME), undefined);
          await transaction.putScheduledPolicy(waiting(ACME, NOW + 7));
        });
        await reopen();
        await write((transaction) => transaction.removeScheduledPolicy(BLUE));
        await read(async (reader) => {
          assert.deepEqual(await reader.scheduledPolicy(ACME), waiting(ACME, NOW + 7));
          assert.equal(await reader.scheduledPolicy(BLUE), undefined);
          assert.deepEqual(await reader.scheduledPolicies(), [{ client: ACME, activeAt: NOW + 7 }]);
        });
      });

      it("freezes are in force as they were put last, change the revision, and are no other client's", async () => {
        const leaf = { index: 7, number: 2, hash: "ab".repeat(32) };
        const freeze: Freeze = { kind: "client", by: "alice", reason: "a laptop is gone", at: NOW, leaf };
        const ofKey: Freeze = { kind: "key", name: "hot-1" as KeyName, by: "bob", at: NOW, leaf };
        const standing = async () => {
          const [row, other] = await read(async (reader) => [await reader.client(ACME), await reader.client(BLUE)]);
          return [row!.status, row!.freezes, other!.status, other!.freezes];
        };
        await write(async (transaction) => {
          await transaction.insertClient(clientRow(ACME));
          await transaction.insertClient(clientRow(BLUE));
        });
        const cases: readonly [Freeze[], string][] = [
          [[freeze], "frozen"],
          [[ofKey], "active"],
          [[ofKey, freeze], "frozen"],
          [[], "active"],
        ];
        for (const [freezes, status] of cases) {
          const before = await read((reader) => reader.revision(ACME));
          await write(async (transaction) => {
            await transaction.putFreezes(ACME, freezes);
            assert.notEqual(await transaction.revision(ACME), before, "what follows in the same transaction sees it");
            assert.equal((await transaction.client(ACME))!.status, status);
          });
          assert.deepEqual(await standing(), [status, freezes, "active", []]);
          await reopen();
          assert.deepEqual(await standing(), [status, freezes, "active", []]);
        }
      });
    });

    describe("durability", () => {
      it("everything that a write did is there when the store is opened again", async () => {
        const held = new Map([[ACCOUNT, NOW - 5]]);
        await write(async (transaction) => {
          await transaction.insertClient(clientRow(ACME));
          await transaction.insertKey(keyRow());
          await transaction.insertPolicy(policyRow(), held);
          await transaction.insertCallerKey("ed25519:key", ACME);
          await transaction.insertLeaf(leafRow(0));
          await transaction.insertRequest(requestRow());
          await transaction.insertClaim("claim-1", "request-1" as RequestId);
          await transaction.setNextNonce(ACCOUNT, nonce(8n));
          await addSpend(transaction, DAILY, { at: NOW, leaf: 0, amount: 12n });
        });
        await reopen();
        await read(async (reader) => {
          assert.deepEqual(plain(await reader.client(ACME)), plain(clientRow(ACME)));
          assert.deepEqual((await reader.clients()).map(plain), [plain(clientRow(ACME))]);
          assert.deepEqual((await reader.keys(ACME)).map(plain), [plain(keyRow())]);
          assert.deepEqual(plain(await reader.policy(ACME)), plain(policyRow()));
          assert.equal(await reader.policyHash(ACME), "hash-1");
          assert.deepEqual(await reader.heldSince(ACME), held);
          assert.equal(await reader.callerKeyOwner("ed25519:key"), ACME);
          assert.deepEqual(await reader.owners([ACCOUNT, OTHER_ACCOUNT]), new Map([[ACCOUNT, ACME]]));
          assert.deepEqual(plain(await reader.request(ACME, "request-1" as RequestId)), plain(requestRow()));
          assert.equal(await reader.claimedBy("claim-1"), "request-1");
          assert.equal((await reader.nextNonce(ACCOUNT))?.next, 8n);
          assert.equal(await spentIn(reader, DAILY, NOW - 1), 12n);
          assert.equal(await spentAt(reader, DAILY, { at: NOW, leaf: 0 }), 12n);
          assert.deepEqual(plain(await reader.lastLeaf()), plain(leafRow(0)));
          assert.deepEqual(plain(await reader.lastLeaf(ACME)), plain(leafRow(0)));
          assert.deepEqual(plain(await reader.leaf(0)), plain(leafRow(0)));
        });
      });

      it("what is not there is not there", async () => {
        await read(async (reader) => {
          assert.equal(await reader.client(ACME), undefined);
          assert.deepEqual(await reader.keys(ACME), []);
          assert.equal(await reader.policy(ACME), undefined);
          assert.equal(await reader.policyHash(ACME), undefined);
          assert.equal(await reader.callerKeyOwner("ed25519:key"), undefined);
          assert.equal(await reader.request(ACME, "request-1" as RequestId), undefined);
          assert.equal(await reader.claimedBy("claim-1"), undefined);
          assert.equal((await reader.nextNonce(ACCOUNT))?.next, undefined);
          assert.equal(await spentIn(reader, DAILY, 0), 0n);
          assert.equal(await reader.lastLeaf(), undefined);
          assert.equal(await reader.leaf(0), undefined);
        });
      });

      it("close waits for writes under way", async () => {
        const writes = Array.from({ length: 20 }, (_, n) =>
          write((transaction) => transaction.insertClaim(`claim-${n}`, "r" as RequestId)),
        );
        await store.close();
        await Promise.all(writes);
        store = await place.open(clock);
        await read(async (reader) => {
          for (let n = 0; n < 20; n++) assert.equal(await reader.claimedBy(`claim-${n}`), "r");
        });
      });
    });

    describe("the tree over the leaves", () => {
      const hashes = (...seeds: string[]): Buffer => Buffer.concat(seeds.map(bytes32));
      const checkpoint = (size: number) => ({ size, root: bytes32(`root ${size}`), at: NOW, note: `note ${size} — ü` });

      it("hashes of leaves come in their order, from any one on", async () => {
        await write(async (transaction) => {
          for (let index = 0; index < 5; index++) await transaction.insertLeaf(leafRow(index));
        });
        const seeds = async (from: number, limit: number) =>
          (await read((reader) => reader.leafHashes(from, limit))).map((hash) => Buffer.from(hash));
        assert.deepEqual(await seeds(0, 2), [bytes32("hash 0"), bytes32("hash 1")]);
        assert.deepEqual(await seeds(3, 100), [bytes32("hash 3"), bytes32("hash 4")]);
        assert.deepEqual(await seeds(5, 100), []);
      });

      it("tiles are there as they were put last, and say how far the tree is", async () => {
        assert.equal(await read((reader) => reader.treeSize()), 0);
        assert.equal(await read((reader) => reader.tile(0, 0)), undefined);
        const full = Buffer.concat(Array.from({ length: 256 }, (_, n) => bytes32(`${n}`)));
        await write(async (transaction) => {
          await transaction.putTile(0, 0, hashes("a"));
          await transaction.putTile(0, 0, full);
          await transaction.putTile(0, 1, hashes("b", "c"));
          await transaction.putTile(1, 0, hashes("root of the first"));
        });
        await reopen();
        assert.equal(await read((reader) => reader.treeSize()), 258);
        assert.deepEqual(Buffer.from((await read((reader) => reader.tile(0, 0)))!), full);
        assert.deepEqual(Buffer.from((await read((reader) => reader.tile(1, 0)))!), hashes("root of the first"));
        assert.equal(await read((reader) => reader.tile(1, 1)), undefined);
      });

      it("a tile that holds half a hash, none or too many is refused", async () => {
        for (const size of [0, 33, 257 * 32])
          await refused((transaction) => transaction.putTile(0, 0, Buffer.alloc(size)));
      });

      it("checkpoints grow, and are there as they were signed", async () => {
        assert.equal(await read((reader) => reader.lastCheckpoint()), undefined);
        for (const size of [1, 5, 7]) await write((transaction) => transaction.insertCheckpoint(checkpoint(size)));
        await refused((transaction) => transaction.insertCheckpoint(checkpoint(6)));
        await refused((transaction) => transaction.insertCheckpoint({ ...checkpoint(7), root: bytes32("another") }));
        await write((transaction) => transaction.cosignCheckpoint(5, "more signatures"));
        assert.deepEqual(
          (await read((reader) => reader.checkpoints(5, 2))).map(({ size, note }) => [size, note]),
          [
            [5, "more signatures"],
            [7, checkpoint(7).note],
          ],
        );
        await write((transaction) => transaction.cosignCheckpoint(5, checkpoint(5).note));
        await reopen();
        assert.deepEqual(plain(await read((reader) => reader.lastCheckpoint())), plain(checkpoint(7)));
        const from = async (size: number, limit: number) =>
          (await read((reader) => reader.checkpoints(size, limit))).map(plain);
        assert.deepEqual(await from(0, 2), [plain(checkpoint(1)), plain(checkpoint(5))]);
        assert.deepEqual(await from(6, 9), [plain(checkpoint(7))]);
      });

      it("a turn is one holder's until it has run out, by the store's clock", async () => {
        const take = (holder: string, task = "checkpoint") =>
          write((transaction) => transaction.takeTurn(task, holder, 1000));
        assert.deepEqual(await Promise.all([take("one"), take("two"), take("two", "other")]), [true, false, true]);
        now = NOW + 900;
        assert.deepEqual([await take("one"), await take("two")], [true, false]);
        now = NOW + 1899;
        assert.equal(await take("two"), false);
        now = NOW + 1900;
        assert.deepEqual([await take("two"), await take("one")], [true, false]);
        await reopen();
        assert.equal(await take("one"), false);
      });
    });

    describe("atomicity", () => {
      it("a work that throws leaves nothing and does not disturb the others of its moment", async () => {
        const works = Array.from({ length: 30 }, (_, n) =>
          write(async (transaction) => {
            await transaction.insertClaim(`claim-${n}`, "r" as RequestId);
            await addSpend(transaction, DAILY, { at: NOW, leaf: n, amount: 1n });
            if (n % 3 === 1) throw new Error(`work ${n} fails`);
            return n;
          }),
        );
        const outcomes = await Promise.allSettled(works);
        for (const [n, outcome] of outcomes.entries()) {
          assert.equal(outcome.status, n % 3 === 1 ? "rejected" : "fulfilled");
          if (outcome.status === "rejected") assert.equal((outcome.reason as Error).message, `work ${n} fails`);
          else assert.equal(outcome.value, n);
        }
        await reopen();
        await read(async (reader) => {
          for (let n = 0; n < 30; n++)
            assert.equal(await reader.claimedBy(`claim-${n}`), n % 3 === 1 ? undefined : "r", `claim ${n}`);
          assert.equal(await spentIn(reader, DAILY, 0), 20n);
        });
      });

      it("a statement that the store refuses undoes its whole work, and no other", async () => {
        const [first, second, third] = await Promise.allSettled([
          write((transaction) => transaction.insertClaim("claim", "first" as RequestId)),
          write(async (transaction) => {
            await transaction.insertClient(clientRow(ACME));
            await transaction.insertClaim("claim", "second" as RequestId);
          }),
          write((transaction) => transaction.insertClient(clientRow(BLUE))),
        ]);
        assert.deepEqual([first.status, second.status, third.status], ["fulfilled", "rejected", "fulfilled"]);
        assert.deepEqual(await read(async (reader) => (await reader.clients()).map(({ id }) => id)), [BLUE]);
        assert.equal(await read((reader) => reader.claimedBy("claim")), "first");
      });

      it("works of one moment see those before them", async () => {
        const seen = await Promise.all(
          Array.from({ length: 50 }, (_, n) =>
            write(async (transaction) => {
              const before = await spentIn(transaction, DAILY, 0);
              await addSpend(transaction, DAILY, { at: NOW, leaf: n, amount: 1n });
              return before;
            }),
          ),
        );
        assert.deepEqual(
          seen.toSorted((a, b) => Number(a - b)),
          seen.map((_, n) => BigInt(n)),
        );
      });

      it("a read sees whole transactions only", async () => {
        const reads: Promise<readonly (string | undefined)[]>[] = [];
        for (let n = 0; n < 20; n++) {
          void write(async (transaction) => {
            await transaction.insertClaim(`left-${n}`, "r" as RequestId);
            await Promise.resolve();
            await transaction.insertClaim(`right-${n}`, "r" as RequestId);
          });
          reads.push(
            read(async (reader) => [await reader.claimedBy(`left-${n}`), await reader.claimedBy(`right-${n}`)]),
          );
        }
        for (const [left, right] of await Promise.all(reads)) assert.equal(left, right);
      });
    });

    describe("the clock", () => {
      it("is the one that it was opened with", async () => {
        now = NOW + 17;
        assert.equal(await read((reader) => reader.now()), NOW + 17);
      });

      it("stands still within one work: what is decided, counted and written has one time", async () => {
        const [first, second] = await write(async (transaction) => {
          const before = await transaction.now();
          now += 1_000;
          await transaction.insertLeaf(leafRow(0, before));
          return [before, await transaction.now()];
        });
        assert.deepEqual([first, second], [NOW, NOW]);
        assert.equal(await read((reader) => reader.now()), NOW + 1_000);
      });

      it("remembers recoveries, in their order, and the house's revision tells of them", async () => {
        const rows: RecoveryRow[] = [
          { leaf: 7, at: NOW, promisedSize: 12, lost: "unknown" },
          { leaf: 19, at: NOW + 1, promisedSize: 3_000_000_000, lost: "nothing" },
        ];
        await write((transaction) => transaction.insertClient(clientRow(HOUSE)));
        assert.deepEqual(await read((reader) => reader.recoveries()), []);
        for (const [n, row] of rows.entries()) {
          const before = await read((reader) => reader.revision(HOUSE));
          await write((transaction) => transaction.insertRecovery(row));
          assert.notEqual(await read((reader) => reader.revision(HOUSE)), before);
          assert.deepEqual(await read((reader) => reader.recoveries()), rows.slice(0, n + 1));
        }
        await reopen();
        assert.deepEqual(await read((reader) => reader.recoveries()), rows);
      });

      it("is never less than the last leaf's time", async () => {
        now = NOW + 100;
        await write((transaction) => transaction.insertLeaf(leafRow(0, NOW + 100)));
        now = NOW;
        assert.equal(await read((reader) => reader.now()), NOW + 100);
      });
    });

    describe("rolling windows", () => {
      const spend = (at: number, leaf: number, amount: bigint) =>
        write((transaction) => addSpend(transaction, DAILY, { at, leaf, amount }));
      const spent = (since: number) => read((reader) => spentIn(reader, DAILY, since));

      it("the window is open at its start and closed at its end", async () => {
        await spend(NOW, 1, 5n);
        assert.deepEqual([await spent(NOW - 1), await spent(NOW), await spent(NOW + 1)], [5n, 0n, 0n]);
      });

      it("sums are exact beyond what a float and 64 bits hold", async () => {
        const huge = (1n << 256n) - 1n;
        await spend(NOW, 1, huge);
        await spend(NOW, 2, 1n);
        assert.equal(await spent(0), huge + 1n);
      });

      it("time never falls from one entry to the next", async () => {
        await spend(NOW, 5, 1n);
        await assert.rejects(spend(NOW - 1, 6, 1n));
        assert.equal(await spent(0), 1n);
      });

      it("at one time, authorizations never fall either", async () => {
        await spend(NOW, 5, 1n);
        await assert.rejects(spend(NOW, 4, 10n));
        await spend(NOW, 6, 100n);
        assert.equal(await spent(0), 101n);
      });

      it("one counter knows nothing of another", async () => {
        await spend(NOW, 1, 5n);
        const other = "acme/daily/-x" as CounterId;
        assert.equal(await read((reader) => spentIn(reader, other, 0)), 0n);
      });

      it("clearSpend drops the counters of one owner, also where another's name begins alike", async () => {
        const counters = ["acme/a/-", "acme/b/hot-1", "acme-2/a/-", "acm/a/-", "house/a/acme"] as CounterId[];
        for (const counter of counters)
          await write((transaction) => addSpend(transaction, counter, { at: NOW, leaf: 1, amount: 3n }));
        await write((transaction) => transaction.clearSpend(ACME));
        const left = await Promise.all(counters.map((counter) => read((reader) => spentIn(reader, counter, 0))));
        assert.deepEqual(left, [0n, 0n, 3n, 3n, 3n]);
      });

      it("any sequence of spends gives what a naive list gives, in every window", async () => {
        type Entry = { counter: CounterId; at: number; leaf: number; amount: bigint };
        const counters = ["acme/one/-", "acme/two/-"] as CounterId[];
        const act = fc.record({
          after: fc.nat({ max: 3 }),
          undone: fc.constantFrom(false, false, false, true),
          amounts: fc.array(fc.bigInt({ min: 1n, max: 1n << 200n }), { minLength: 1, maxLength: 2 }),
        });
        let run = 0;
        await fc.assert(
          fc.asyncProperty(
            fc.array(act, { maxLength: 25 }),
            fc.array(fc.integer({ min: -1, max: 40 }), { minLength: 3, maxLength: 3 }),
            async (acts, windows) => {
              // Each run has counters of its own, so that one store serves all.
              const named = counters.map((counter) => `${counter}${run}` as CounterId);
              run += 1;
              const list: Entry[] = [];
              let at = 0;
              let leaf = 0;
              const moments = new Map<number, number>();
              for (const step of acts) {
                at += step.after;
                leaf += 1;
                moments.set(leaf, at);
                const entries = step.amounts.map((amount, n) => ({ counter: named[n]!, at, leaf, amount }));
                if (!step.undone) list.push(...entries);
                await write(async (transaction) => {
                  for (const { counter, ...entry } of entries) await addSpend(transaction, counter, entry);
                  if (step.undone) throw new Error("undone");
                }).catch((error: unknown) => assert.ok(step.undone, String(error)));
              }
              for (const since of windows) {
                for (const counter of named) {
                  const inside = list.filter((entry) => entry.counter === counter && entry.at > since);
                  const sum = (entries: Entry[]) => entries.reduce((total, { amount }) => total + amount, 0n);
                  assert.equal(await read((reader) => spentIn(reader, counter, since)), sum(inside));
                  const third = { at: moments.get(3) ?? 0, leaf: 3 };
                  const mine = list.filter((entry) => entry.counter === counter && entry.leaf === 3);
                  assert.equal(await read((reader) => spentAt(reader, counter, third)), sum(mine));
                }
              }
            },
          ),
          { numRuns: SOAK ? 2_000 : 60 },
        );
      });
    });

    describe("the log", () => {
      it("takes leaves that follow on the last", async () => {
        for (const index of [0, 1, 2])
          await write((transaction) => transaction.insertLeaf(leafRow(index, NOW + index)));
        const leaves = await read((reader) => reader.leaves(1, 10));
        assert.deepEqual(leaves.map(plain), [leafRow(1, NOW + 1), leafRow(2, NOW + 2)].map(plain));
        assert.deepEqual((await read((reader) => reader.leaves(0, 2))).length, 2);
      });

      for (const [what, leaf] of [
        ["a first leaf that is not leaf 0", undefined],
        ["a leaf after a gap", leafRow(3)],
        ["a leaf for a place that is taken", leafRow(1)],
        ["a leaf whose time falls", leafRow(2, NOW - 1)],
        ["a number of its client that is taken", leafRow(2, NOW, 1)],
        ["a number of its client after a gap", leafRow(2, NOW, 3)],
        ["a first number that is not 0", leafRow(2, NOW, 1, BLUE)],
      ] as const) {
        it(`refuses ${what}`, async () => {
          if (leaf === undefined) await refused((transaction) => transaction.insertLeaf(leafRow(1)));
          else {
            for (const index of [0, 1]) await write((transaction) => transaction.insertLeaf(leafRow(index)));
            await refused((transaction) => transaction.insertLeaf(leaf));
          }
          assert.equal((await read((reader) => reader.leaves(0, 10))).length, leaf === undefined ? 0 : 2);
        });
      }

      it("forgets a leaf whose work was undone", async () => {
        await write((transaction) => transaction.insertLeaf(leafRow(0)));
        const outcomes = await Promise.allSettled([
          write(async (transaction) => {
            await transaction.insertLeaf(leafRow(1));
            throw new Error("undone");
          }),
          write(async (transaction) => {
            assert.equal((await transaction.lastLeaf())?.index, 0);
            assert.equal((await transaction.lastLeaf(ACME))?.index, 0);
            await transaction.insertLeaf(leafRow(1, NOW + 1));
          }),
        ]);
        assert.deepEqual(
          outcomes.map(({ status }) => status),
          ["rejected", "fulfilled"],
        );
        assert.equal((await read((reader) => reader.lastLeaf()))?.at, NOW + 1);
      });

      it("knows the last leaf of each client", async () => {
        await write(async (transaction) => {
          await transaction.insertLeaf(leafRow(0, NOW, 0, ACME));
          await transaction.insertLeaf(leafRow(1, NOW, 0, BLUE));
          await transaction.insertLeaf(leafRow(2, NOW, 1, ACME));
        });
        const last = await read(async (reader) => [
          (await reader.lastLeaf())?.index,
          (await reader.lastLeaf(ACME))?.index,
          (await reader.lastLeaf(BLUE))?.index,
        ]);
        assert.deepEqual(last, [2, 2, 1]);
      });
    });

    describe("what there is once only", () => {
      beforeEach(() =>
        write(async (transaction) => {
          await transaction.insertClient(clientRow(ACME));
          await transaction.insertClient(clientRow(BLUE));
          await transaction.insertKey(keyRow());
          await transaction.insertLeaf(leafRow(0));
          await transaction.insertRequest(requestRow());
          await transaction.insertClaim("claim-1", "request-1" as RequestId);
          await transaction.insertPolicy(policyRow(), new Map());
        }),
      );

      const another = { id: "02".repeat(16), name: "hot-2" as KeyName, publicKey: Buffer.alloc(65, 5), accounts: [] };
      for (const [what, work] of [
        ["a client's id", (t) => t.insertClient({ ...clientRow(ACME), token: { label: "x", serial: "x" } })],
        ["a token", (t) => t.insertClient({ ...clientRow("third" as ClientId), token: clientRow(ACME).token })],
        ["a key's name within its client", (t) => t.insertKey(keyRow({ ...another, name: "hot-1" as KeyName }))],
        ["a key's id", (t) => t.insertKey(keyRow({ ...another, id: keyRow().id }))],
        ["a public key", (t) => t.insertKey(keyRow({ ...another, publicKey: keyRow().publicKey }))],
        [
          "an account, also of another client",
          (t) => t.insertKey(keyRow({ ...another, client: BLUE, accounts: [ACCOUNT] })),
        ],
        ["a request's id", (t) => t.insertRequest(requestRow({ idempotencyKey: "another" }))],
        ["a caller's idempotency key", (t) => t.insertRequest(requestRow({ id: "request-2" as RequestId }))],
        ["a claim", (t) => t.insertClaim("claim-1", "request-2" as RequestId)],
        ["a policy's version", (t) => t.insertPolicy(policyRow({ hash: "hash-2" }), new Map())],
      ] as readonly (readonly [string, (transaction: RowTransaction) => Promise<void>])[]) {
        it(what, () => refused(work));
      }

      it("an idempotency key belongs to a caller of a client: others may use the same", async () => {
        for (const [n, changes] of [{ caller: "trading" as CallerName }, { client: BLUE }].entries())
          await write((transaction) =>
            transaction.insertRequest(requestRow({ id: `request-1${n}` as RequestId, ...changes })),
          );
        const find = (client: ClientId, caller: string) =>
          read((reader) => reader.requestByIdempotencyKey(client, caller as CallerName, "withdrawal-1"));
        assert.equal((await find(ACME, "payouts"))?.id, "request-1");
        assert.equal((await find(ACME, "trading"))?.id, "request-10");
        assert.equal((await find(BLUE, "payouts"))?.id, "request-11");
        assert.equal(await find(BLUE, "trading"), undefined);
      });

      it("a request is found under its own client only", async () => {
        assert.equal(await read((reader) => reader.request(BLUE, "request-1" as RequestId)), undefined);
      });

      it("a caller's key stays with the client that declared it first", async () => {
        await write((transaction) => transaction.insertCallerKey("ed25519:key", ACME));
        await write((transaction) => transaction.insertCallerKey("ed25519:key", BLUE)).catch(() => undefined);
        assert.equal(await read((reader) => reader.callerKeyOwner("ed25519:key")), ACME);
      });
    });

    describe("claims", () => {
      const claimedBy = (claim: string) => read((reader) => reader.claimedBy(claim));

      it("one that is removed is free again, in the same transaction and after it, and no other is", async () => {
        for (const claim of ["claim-1", "claim-2"])
          await write((transaction) => transaction.insertClaim(claim, "first" as RequestId));
        await write(async (transaction) => {
          await transaction.removeClaim("claim-1");
          await transaction.removeClaim("never claimed");
          assert.equal(await transaction.claimedBy("claim-1"), undefined);
          await transaction.insertClaim("claim-1", "second" as RequestId);
        });
        assert.deepEqual([await claimedBy("claim-1"), await claimedBy("claim-2")], ["second", "first"]);
        await write((transaction) => transaction.removeClaim("claim-1"));
        await reopen();
        assert.deepEqual([await claimedBy("claim-1"), await claimedBy("claim-2")], [undefined, "first"]);
      });

      it("a removal that is undone leaves it claimed", async () => {
        await write((transaction) => transaction.insertClaim("claim-1", "first" as RequestId));
        const undone = write(async (transaction) => {
          await transaction.removeClaim("claim-1");
          throw new Error("undone");
        });
        await assert.rejects(undone, /undone/);
        assert.equal(await claimedBy("claim-1"), "first");
      });
    });

    describe("nonces", () => {
      const set = (next: bigint, account = ACCOUNT) =>
        write((transaction) => transaction.setNextNonce(account, nonce(next)));
      const next = async (account = ACCOUNT) => {
        const row = await read((reader) => reader.nextNonce(account));
        assert.deepEqual(row, row && nonce(row.next), "with its leaf and seal");
        return row?.next;
      };

      it("the next is the one that was set last, per account", async () => {
        await set(9n);
        await set(4n);
        assert.deepEqual([await next(), await next(OTHER_ACCOUNT)], [4n, undefined]);
        await set(1n, OTHER_ACCOUNT);
        assert.deepEqual([await next(), await next(OTHER_ACCOUNT)], [4n, 1n]);
      });

      // EIP-2681: a nonce is below 2^64 − 1. A number of JavaScript is exact up to 2^53, one of SQLite up to 2^63.
      for (const expected of [0n, (1n << 53n) + 1n, (1n << 63n) - 1n, 1n << 63n, (1n << 64n) - 1n]) {
        it(`is exact at ${expected}`, async () => {
          await set(expected);
          assert.equal(await next(), expected);
        });
      }
    });

    describe("requests", () => {
      const find = (client = ACME) => read((reader) => reader.request(client, "request-1" as RequestId));
      beforeEach(() =>
        write(async (transaction) => {
          for (const index of [0, 1]) await transaction.insertLeaf(leafRow(index));
        }),
      );

      it("an update changes state, time, record, decision and seal, and nothing else", async () => {
        await write((transaction) => transaction.insertRequest(requestRow()));
        const sealed = { leaf: 1, seal: "another seal" };
        const change = { state: "failed", changedAt: NOW + 5, record: '{"a":1}', decisionLeaf: 1, ...sealed } as const;
        const other = requestRow({ bodyHash: "other", outcome: "other", ...change });
        await write((transaction) => transaction.updateRequest(other));
        assert.deepEqual(plain(await find()), plain(requestRow({ ...change, decision: leafRow(1).opening })));
      });

      it("an outcome changes state, time and outcome, and nothing else", async () => {
        await write((transaction) => transaction.insertRequest(requestRow()));
        const change = { state: "signed", changedAt: NOW + 5, outcome: '{"a":1}', outcomeSeal: "its seal" } as const;
        await write((transaction) => transaction.recordOutcome({ ...requestRow({ record: "other" }), ...change }));
        assert.deepEqual(plain(await find()), plain(requestRow(change)));
        assert.deepEqual(await read((reader) => reader.requestStanding(ACME, "request-1" as RequestId)), {
          state: "signed",
          decisionLeaf: 0,
        });
      });

      for (const [what, row, changes] of [
        ["has one already", { state: "signed", outcome: "{}" }, {}],
        ["was decided again", { decisionLeaf: 1, decision: leafRow(1).opening }, {}],
        ["is another client's", {}, { client: BLUE }],
      ] as readonly (readonly [string, Partial<SealedRequest>, Partial<SealedRequest>])[]) {
        it(`an outcome of a request that ${what} is refused`, async () => {
          await write((transaction) => transaction.insertRequest(requestRow(row)));
          const outcome = {
            ...requestRow(),
            ...changes,
            state: "signed" as const,
            outcome: '{"a":1}',
            outcomeSeal: "its seal",
          };
          await refused((transaction) => transaction.recordOutcome(outcome));
          assert.deepEqual(plain(await find()), plain(requestRow(row)));
        });
      }

      it("are listed newest first, by client, caller, state and cursor", async () => {
        for (const [n, changes] of [
          {},
          { caller: "trading" as CallerName },
          { state: "signed" as const },
          { client: BLUE },
        ].entries())
          await write((transaction) =>
            transaction.insertRequest(requestRow({ id: `r${n}` as RequestId, idempotencyKey: `k${n}`, ...changes })),
          );
        const list = async (filter: Partial<Parameters<RowReader["requests"]>[1]>, client = ACME) =>
          (await read((reader) => reader.requests(client, { limit: 10, ...filter }))).map(({ id }) => id as string);
        assert.deepEqual(await list({}), ["r2", "r1", "r0"]);
        assert.deepEqual(await list({ limit: 2 }), ["r2", "r1"]);
        assert.deepEqual(await list({ before: "r2" as RequestId }), ["r1", "r0"]);
        assert.deepEqual(await list({ caller: "trading" as CallerName }), ["r1"]);
        assert.deepEqual(await list({ state: "signed" }), ["r2"]);
        assert.deepEqual(await list({}, BLUE), ["r3"]);
      });

      it("are narrowed by key, reference and the time of their submission", async () => {
        for (const [n, changes] of [
          { reference: "a" },
          { key: "hot-9" as KeyName, reference: "b" },
          { record: '{"reference":"b"}' },
        ].entries())
          await write((transaction) =>
            transaction.insertRequest(
              requestRow({ id: `r${n}` as RequestId, idempotencyKey: `k${n}`, submittedAt: 1_000 + n, ...changes }),
            ),
          );
        const list = async (filter: Partial<Parameters<RowReader["requests"]>[1]>) =>
          (await read((reader) => reader.requests(ACME, { limit: 10, ...filter }))).map(({ id }) => id as string);
        assert.deepEqual(await list({ key: "hot-9" as KeyName }), ["r1"]);
        assert.deepEqual(await list({ reference: "b" }), ["r1"]);
        assert.deepEqual(await list({ since: 1_001 }), ["r2", "r1"]);
        assert.deepEqual(await list({ until: 1_001 }), ["r0"]);
        assert.deepEqual(await list({ since: 1_001, until: 1_002, reference: "b" }), ["r1"]);
      });
    });

    it("whoever walks along the log lets others of the process have their turn after each page", async () => {
      await write(async (transaction) => {
        for (let index = 0; index < 10; index++) await transaction.insertLeaf(leafRow(index));
      });
      let turns = 0;
      let walking = true;
      const turn = (): void => {
        turns += 1;
        if (walking) setImmediate(turn);
      };
      setImmediate(turn);
      const walked = await write(async (transaction) => {
        const found = [];
        for (let from = 0; from < 10; from++) found.push(...(await transaction.leaves(from, 1)));
        return [found.length, turns];
      });
      walking = false;
      assert.equal(walked[0], 10);
      assert.ok(walked[1]! >= 9, `${walked[1]} turns`);
    });

    describe("revisions", () => {
      const revision = (client = ACME) => read((reader) => reader.revision(client));

      it("change with a client's keys, their states and its policy, and with nothing of another's", async () => {
        await write((transaction) => transaction.insertClient(clientRow(ACME)));
        await write((transaction) => transaction.insertClient(clientRow(BLUE)));
        const seen = [await revision()];
        for (const work of [
          (t) => t.insertKey(keyRow()),
          (t) => t.updateKeyState(ACME, keyRow().name, "disabled"),
          (t) => t.insertPolicy(policyRow(), new Map()),
        ] as readonly ((transaction: RowTransaction) => Promise<void>)[]) {
          await write(work);
          seen.push(await revision());
        }
        assert.equal(new Set(seen).size, 4);
        await reopen();
        assert.equal(await revision(), seen[3]);
        assert.equal(await revision(BLUE), seen[0]);
        assert.equal(await revision("nobody" as ClientId), undefined);
      });
    });

    describe("policies", () => {
      it("the one applied last is the active one; older ones are found by their version", async () => {
        await write((transaction) => transaction.insertClient(clientRow(ACME)));
        await write((transaction) => transaction.insertPolicy(policyRow(), new Map([[ACCOUNT, 1]])));
        const second = policyRow({ version: 2, hash: "hash-2", previousHash: "hash-1" });
        await write((transaction) => transaction.insertPolicy(second, new Map([[OTHER_ACCOUNT, 2]])));
        await read(async (reader) => {
          assert.deepEqual(plain(await reader.policy(ACME)), plain(second));
          assert.deepEqual(plain(await reader.policy(ACME, 1)), plain(policyRow()));
          assert.equal(await reader.policy(ACME, 3), undefined);
          assert.equal(await reader.policyHash(ACME), "hash-2");
          assert.deepEqual(await reader.heldSince(ACME), new Map([[OTHER_ACCOUNT, 2]]));
          const versions = async (page: { before?: number; limit: number }) =>
            (await reader.policyVersions(ACME, page)).map(({ version, hash, ...rest }) => [
              version,
              hash,
              "files" in rest,
            ]);
          assert.deepEqual(await versions({ limit: 9 }), [
            [2, "hash-2", false],
            [1, "hash-1", false],
          ]);
          assert.deepEqual(await versions({ limit: 1 }), [[2, "hash-2", false]]);
          assert.deepEqual(await versions({ limit: 9, before: 2 }), [[1, "hash-1", false]]);
        });
      });
    });

    describe("opening", () => {
      it("a schema that a newer Portcullis wrote is refused, and not touched", async () => {
        await write((transaction) => transaction.insertLeaf(leafRow(0)));
        await store.close();
        await place.raiseSchema();
        for (let attempt = 0; attempt < 2; attempt++) await assert.rejects(place.open(clock), code("store-too-new"));
        await place.remove();
        place = await implementation.place();
        store = await place.open(clock);
      });

      it("a place where no store can be is refused as unavailable", () =>
        assert.rejects(implementation.openNowhere(), code("store-unavailable")));
    });
  });
}
