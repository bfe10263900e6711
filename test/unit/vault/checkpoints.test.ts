import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { anchorFile } from "../../../src/adapters/files/anchor.ts";
import Database from "better-sqlite3";
import { openSqliteStore } from "../../../src/adapters/sqlite/store.ts";
import type { ClientId } from "../../../src/domain/names.ts";
import { openCheckpoint } from "../../../src/tlog/checkpoint.ts";
import { noteKey, type NoteKey } from "../../../src/tlog/note.ts";
import { parseProof, verifyProof } from "../../../src/tlog/proof.ts";
import { Checkpoints, refusing, TURN_MS } from "../../../src/vault/checkpoints.ts";
import { appendLeaf } from "../../../src/vault/log.ts";
import type { Anchor, ClientRow, LogToken, Store } from "../../../src/vault/ports.ts";
import { receiptOf } from "../../../src/vault/tree.ts";
import { logTokenInSoftware } from "../../support/software-hsm.ts";
import { textbookPath, textbookRoot } from "../../support/textbook-tree.ts";
import { sealed } from "../../support/sealed.ts";

// Goal: what is in the log is under a signed checkpoint that extends every earlier one; a store that has forgotten one is
// recognised, and then nothing is written (I18, I19).
// Method: the real store and the real anchor file; roots and paths are the RFC's recursion over the leaves.

const ORIGIN = "test-gateway";
const CLIENT: ClientRow = {
  id: "acme" as ClientId,
  owner: "client",
  status: "active",
  token: { label: "acme", serial: "1" },
  saltKey: Buffer.alloc(32, 7),
  freezes: [],
};

describe("vault/checkpoints", () => {
  let folder: string;
  let store: Store;
  let key: NoteKey;
  let logToken: LogToken;
  let faults: unknown[];
  let now = Date.parse("2026-11-20T12:00:00Z");
  const at = (name: string) => join(folder, name);
  const anchor = (): Anchor => anchorFile(at("log.anchor"));

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-checkpoints-"));
    store = sealed(openSqliteStore(at("store.db"), () => now));
    logToken = logTokenInSoftware();
    key = noteKey(ORIGIN, "ed25519", await logToken.publicKey("checkpoint"));
    faults = [];
    await store.write((transaction) => transaction.insertClient(CLIENT));
  });
  afterEach(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const append = async (count: number, to: Store = store) => {
    for (let n = 0; n < count; n++)
      await to.write((transaction) => appendLeaf(transaction, CLIENT, "refused", { code: `number ${n}` }));
  };
  const open = (changes: { store?: Store; anchor?: Anchor; logToken?: LogToken } = {}) =>
    Checkpoints.open({
      store,
      logToken,
      origin: ORIGIN,
      anchor: anchor(),
      fault: (error) => void faults.push(error),
      ...changes,
    });
  /** A vault that starts after another has ended: that one's turn runs out first. */
  const openNext = () => {
    now += TURN_MS;
    return open();
  };
  const last = (from: Store = store) => from.read((reader) => reader.lastCheckpoint());
  const leaves = async () =>
    (await store.read((reader) => reader.leaves(0, 100_000))).map(({ hash }) => Uint8Array.from(hash));
  const code = (error: unknown) => (error as { code?: string } | undefined)?.code;

  it("a checkpoint covers every leaf, and is in the store and in the anchor", async () => {
    const checkpoints = await open();
    for (const more of [1, 1, 254, 1, 5, 0]) {
      await append(more);
      await checkpoints.round();
      const row = (await last())!;
      const all = await leaves();
      assert.equal(row.size, all.length);
      const { size, root } = openCheckpoint(Buffer.from(row.note), key);
      assert.deepEqual([size, Buffer.from(root)], [all.length, Buffer.from(textbookRoot(all))]);
      assert.equal(readFileSync(at("log.anchor"), "utf8"), row.note);
    }
    assert.deepEqual(faults, []);
    const rows = await store.read((reader) => reader.checkpoints(0, 100));
    assert.deepEqual(
      rows.map(({ size }) => size),
      [1, 2, 256, 257, 262],
    );
  });

  it("more leaves than one transaction takes are all covered", async () => {
    const checkpoints = await open();
    await store.write(async (transaction) => {
      for (let n = 0; n < 2500; n++) await appendLeaf(transaction, CLIENT, "refused", { n });
    });
    await checkpoints.round();
    assert.deepEqual(Buffer.from((await last())!.root), Buffer.from(textbookRoot(await leaves())));
  });

  it("an empty log has none, and where nothing is new nothing is signed", async () => {
    const checkpoints = await open();
    await checkpoints.round();
    assert.equal(await last(), undefined);
    await append(3);
    await checkpoints.round();
    const before = (await last())!;
    await checkpoints.round();
    assert.deepEqual(await last(), before);
  });

  it("a receipt of any leaf verifies with the public key alone", async () => {
    const checkpoints = await open();
    await append(20);
    await checkpoints.round();
    const all = await leaves();
    for (const index of [0, 7, 19]) {
      const proof = parseProof(await store.read((reader) => receiptOf(reader, index)));
      assert.equal(verifyProof(proof, all[index]!, key).size, 20);
      assert.deepEqual(
        proof.path.map(String),
        textbookPath(index, all).map((hash) => String(Buffer.from(hash))),
      );
    }
    await append(1);
    await assert.rejects(
      store.read((reader) => receiptOf(reader, 20)),
      { code: "checkpoint-pending" },
    );
  });

  it("of two vaults on one store one signs, and the other's memory and anchor follow", async () => {
    const [one, two] = [await open(), await open({ anchor: anchorFile(at("other.anchor")) })];
    await append(4);
    await one.round();
    await append(4);
    await two.round();
    assert.equal((await last())!.size, 4, "it is the first one's turn");
    assert.equal(readFileSync(at("other.anchor"), "utf8"), (await last())!.note);
    await Promise.all([one.round(), two.round()]);
    assert.equal((await last())!.size, 8);
    assert.deepEqual(faults, []);
  });

  it("a vault whose turn ran out while its HSM was slow finds the other's checkpoint, and leaves it", async () => {
    await append(3);
    const other = await open({ anchor: anchorFile(at("other.anchor")) });
    const slow: LogToken = {
      ...logToken,
      sign: async (name, text) => {
        now += TURN_MS;
        await other.round();
        return logToken.sign(name, text);
      },
    };
    const one = await open({ logToken: slow });
    await one.round();
    assert.equal((await last())!.size, 3);
    assert.deepEqual(faults, []);
    assert.equal(readFileSync(at("log.anchor"), "utf8"), (await last())!.note, "Ed25519 signs one text one way");
  });

  describe("a store that has forgotten", () => {
    /** Some leaves with a checkpoint, a backup, more of both; then the backup takes the store's place. */
    async function restored(): Promise<void> {
      const before = await open();
      await append(5);
      await before.round();
      await store.close();
      copyFileSync(at("store.db"), at("backup.db"));
      store = sealed(openSqliteStore(at("store.db"), () => now));
      const after = await openNext();
      await append(5);
      await after.round();
      await store.close();
      for (const suffix of ["-wal", "-shm"]) rmSync(at(`store.db${suffix}`), { force: true });
      copyFileSync(at("backup.db"), at("store.db"));
      store = sealed(openSqliteStore(at("store.db"), () => now));
    }

    it("is recognised at the start: nothing is written, nothing is signed, everything can be read", async () => {
      await restored();
      const checkpoints = await open();
      assert.equal(code(checkpoints.refusal), "store-rolled-back");
      const guarded = refusing(store, () => checkpoints.refusal);
      await assert.rejects(append(1, guarded), { code: "store-rolled-back" });
      assert.equal((await guarded.read((reader) => reader.lastLeaf()))!.index, 4);
      await checkpoints.round();
      assert.equal((await last())!.size, 5);
      assert.deepEqual(faults.map(code), ["store-rolled-back"]);
    });

    it("is recognised where the last leaves were cut off and the tiles left as they are", async () => {
      const before = await open();
      await append(5);
      await before.round();
      await store.close();
      const database = new Database(at("store.db"));
      database.exec("DELETE FROM leaves WHERE idx = 4");
      database.close();
      store = sealed(openSqliteStore(at("store.db"), () => now));
      assert.equal(code((await open()).refusal), "store-rolled-back");
    });

    it("is recognised also when it has grown again, past what was promised", async () => {
      await restored();
      now += 1;
      await append(20);
      assert.equal(code((await open()).refusal), "store-rolled-back");
    });

    it("is recognised by a vault that runs, and forgiven when the right store is back", async () => {
      const checkpoints = await open();
      await append(5);
      await checkpoints.round();
      const whole = await store.read((reader) => reader.tile(0, 0));
      await store.write((transaction) => transaction.putTile(0, 0, whole!.subarray(0, 4 * 32)));
      await checkpoints.round();
      assert.equal(code(checkpoints.refusal), "store-rolled-back");
      await store.write((transaction) => transaction.putTile(0, 0, whole!));
      await checkpoints.round();
      assert.equal(checkpoints.refusal, undefined);
    });

    it("is not believed when one bit of a leaf's hash in the tree is another", async () => {
      const checkpoints = await open();
      await append(5);
      await checkpoints.round();
      const tile = Buffer.from((await store.read((reader) => reader.tile(0, 0)))!);
      tile[40]! ^= 1;
      await store.write((transaction) => transaction.putTile(0, 0, tile));
      assert.equal(code((await open()).refusal), "store-rolled-back");
    });
  });

  describe("the anchor", () => {
    it("is written before the store shows the checkpoint", async () => {
      const checkpoints = await open({
        anchor: { read: async () => undefined, write: () => Promise.reject(new Error("the disk is full")) },
      });
      await append(1);
      await checkpoints.round();
      assert.equal(await last(), undefined);
      await checkpoints.round();
      assert.deepEqual(faults.map(String), ["Error: the disk is full"], "said once");
    });

    it("a crash between the two loses nothing: the next start finds the anchor's tree in the store", async () => {
      await append(3);
      const dying: Store = {
        write: (work) => (existsSync(at("log.anchor")) ? Promise.reject(new Error("killed")) : store.write(work)),
        read: (work) => store.read(work),
        close: () => store.close(),
      };
      await (await open({ store: dying })).round();
      assert.equal(await last(), undefined);
      await append(2);
      const next = await openNext();
      assert.equal(next.refusal, undefined);
      await next.round();
      assert.equal((await last())!.size, 5);
    });

    it("of another log, changed or cut short is no anchor", async () => {
      await append(1);
      await (await open()).round();
      const note = readFileSync(at("log.anchor"), "utf8");
      for (const wrong of ["", note.slice(0, -2), note.replace("\n1\n", "\n2\n"), note.replace(ORIGIN, "other")]) {
        writeFileSync(at("log.anchor"), wrong);
        await assert.rejects(open(), { code: "anchor-invalid" });
      }
      writeFileSync(at("log.anchor"), note);
      await assert.rejects(open({ logToken: logTokenInSoftware() }), { code: "anchor-invalid" });
    });

    it("leaves no half file behind, and says where it cannot be written", async () => {
      await append(1);
      await (await open()).round();
      assert.ok(!existsSync(at("log.anchor.next")));
      await assert.rejects(anchorFile(at("nowhere/log.anchor")).write("x"), { code: "anchor-unavailable" });
    });
  });

  it("runs by itself until it is stopped, and makes a last checkpoint then", async () => {
    const checkpoints = await open();
    await append(1);
    checkpoints.run(5);
    const deadline = Date.now() + 5000;
    while (!(await last()) && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal((await last())!.size, 1);
    await append(2);
    await checkpoints.stop();
    assert.equal((await last())!.size, 3);
  });
});
