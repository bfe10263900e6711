import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { route } from "../../../../src/vault/api/router.ts";
import type { Answer } from "../../../../src/vault/api/routes.ts";
import { Checkpoints } from "../../../../src/vault/checkpoints.ts";
import { noteKey, type NoteKey } from "../../../../src/tlog/note.ts";
import { openCheckpoint } from "../../../../src/tlog/checkpoint.ts";
import { parseProof, verifyProof } from "../../../../src/tlog/proof.ts";
import { textbookLeaf, textbookRoot } from "../../../support/textbook-tree.ts";
import { GATEWAY, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../../support/vault.ts";

// Goal: what everybody may read of the log is C2SP's, tells nothing of its content, and leads to the checkpoint's root;
// openings and receipts go to those whom they are about, and open exactly what is in the tree.

type Opened = { index: number; at: number; client: string; number: number; salt: string; opening: string };
type Page = {
  leaves: (Partial<Opened> & { commitment?: string; evidence?: object })[];
  next: number;
  checkpoints: { size: number; note: string }[];
};

describe("vault/api/log", () => {
  let vault: TestVault;
  let checkpoints: Checkpoints;
  let key: NoteKey;
  let signedId: string;

  before(async () => {
    vault = await testVault();
    const { store, logToken, faults } = vault;
    const anchor = { read: async () => undefined, write: async () => undefined };
    checkpoints = await Checkpoints.open({
      store,
      logToken,
      origin: GATEWAY,
      anchor,
      fault: (e) => void faults.push(e),
    });
    key = noteKey(GATEWAY, "ed25519", await logToken.publicKey("checkpoint"));
    const signed = await vault.call("payouts", "POST", REQUESTS, transferBody(5), newKey());
    signedId = (signed.body as { id: string }).id;
    await vault.call("trading", "POST", REQUESTS, transferBody(6, { to: "0x" }), newKey());
    await vault.call("operator", "POST", "/v1/clients", { client: "blue" }, newKey());
    await checkpoints.round();
  });
  after(() => vault.close());

  const open = (target: string): Promise<Answer> =>
    route(vault.gateway, { method: "GET", target, headers: {}, body: Buffer.alloc(0) });
  const bytesOf = (answer: Answer): Buffer => {
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return Buffer.from(answer.body as Uint8Array);
  };
  const head = async () => openCheckpoint(bytesOf(await open("/v1/log/checkpoint")), key);
  const page = async (caller: string, target: string): Promise<Page> =>
    (await vault.call(caller, "GET", target)).body as Page;

  it("the checkpoint is a note of the log's key, the tile its leaves, the bundle their entries", async () => {
    const { size, root } = await head();
    const tile = bytesOf(await open(`/v1/log/tile/0/000.p/${size}`));
    const leaves = Array.from({ length: size }, (_, n) => Uint8Array.from(tile.subarray(n * 32, (n + 1) * 32)));
    assert.deepEqual(Buffer.from(textbookRoot(leaves)), root);
    const bundle = bytesOf(await open(`/v1/log/tile/entries/000.p/${size}`));
    for (let n = 0, at = 0; n < size; n++) {
      const length = bundle.readUInt16BE(at);
      const entry = bundle.subarray(at + 2, at + 2 + length);
      assert.deepEqual(Buffer.from(textbookLeaf(entry)), Buffer.from(leaves[n]!));
      assert.match(entry.toString(), new RegExp(`^portcullis/leaf/v1\\n${n}\\n[0-9]+\\n[A-Za-z0-9+/]{43}=\\n$`));
      at += 2 + length;
    }
  });

  it("what the newest checkpoint does not cover is not there, and no second spelling is", async () => {
    const { size } = await head();
    for (const path of [
      `0/000.p/${size + 1}`,
      "0/000",
      "1/000.p/1",
      "0/001.p/1",
      "0/0",
      "entries/000",
      "../log",
      "x",
    ]) {
      const { status, body } = await open(`/v1/log/tile/${path}`);
      assert.deepEqual([status, (body as { code: string }).code], [404, "not-found"], path);
    }
  });

  it("a receipt shows, with the log's key alone, that this was signed", async () => {
    for (const [query, type] of [
      ["", "signed"],
      ["?leaf=decision", "authorized"],
    ] as const) {
      const answer = await vault.call("payouts", "GET", `${REQUESTS}/${signedId}/receipt${query}`);
      const proof = parseProof(bytesOf(answer).toString());
      const { at, salt, opening } = JSON.parse(Buffer.from(proof.extra!).toString()) as Opened;
      const commitment = createHash("sha256").update(Buffer.from(salt, "base64")).update(opening).digest("base64");
      const entry = Buffer.from(`portcullis/leaf/v1\n${proof.index}\n${at}\n${commitment}\n`);
      verifyProof(proof, textbookLeaf(entry), key);
      const said = JSON.parse(opening) as { type: string; request: string };
      assert.deepEqual([said.type, said.request], [type, signedId]);
    }
  });

  it("another caller's receipt is not there, and one that no checkpoint covers is not there yet", async () => {
    const foreign = await vault.call("trading", "GET", `${REQUESTS}/${signedId}/receipt`);
    assert.equal(foreign.status, 404);
    const wrong = await vault.call("payouts", "GET", `${REQUESTS}/${signedId}/receipt?leaf=first`);
    assert.equal(wrong.status, 400);
    const later = await vault.call("payouts", "POST", REQUESTS, transferBody(7), newKey());
    const pending = await vault.call("payouts", "GET", `${REQUESTS}/${(later.body as { id: string }).id}/receipt`);
    assert.deepEqual([pending.status, (pending.body as { code: string }).code], [503, "checkpoint-pending"]);
    assert.equal(pending.headers?.["retry-after"], "1");
  });

  it("the house's auditor opens every leaf; each opening is what the tree holds", async () => {
    const { leaves, next } = await page("inspector", "/v1/log/openings");
    const rows = await vault.store.read((reader) => reader.leaves(0, 1000));
    assert.equal(next, rows.length);
    const keys = new Map((await vault.store.read((reader) => reader.clients())).map((row) => [row.id as string, row]));
    for (const [n, { index, client, number, salt, opening }] of leaves.entries()) {
      assert.equal(index, n);
      const derived = createHmac("sha256", keys.get(client!)!.saltKey).update(`portcullis/leaf-salt/v1\n${number}`);
      assert.equal(salt, derived.digest("base64"));
      const commitment = createHash("sha256").update(Buffer.from(salt, "base64")).update(opening!).digest();
      assert.deepEqual(commitment, Buffer.from(rows[n]!.commitment));
    }
    const decided = leaves.find(({ opening }) => opening!.includes(signedId) && opening!.includes('"authorized"'))!;
    assert.deepEqual(Object.keys(decided.evidence!).toSorted(), [
      "body",
      "content-digest",
      "idempotency-key",
      "method",
      "signature",
      "signature-input",
      "target",
    ]);
  });

  it("a client's own are open to it, of the others' leaves it gets the commitments", async () => {
    const { leaves } = await page("checker", "/v1/clients/acme/openings");
    const rows = await vault.store.read((reader) => reader.leaves(0, 1000));
    for (const [n, leaf] of leaves.entries()) {
      if (rows[n]!.client === "acme") assert.equal(leaf.opening, rows[n]!.opening);
      else {
        assert.deepEqual(Object.keys(leaf), ["index", "at", "commitment"]);
        assert.equal(leaf.commitment, Buffer.from(rows[n]!.commitment).toString("base64"));
      }
    }
    assert.ok(leaves.some(({ opening }) => opening === undefined));
  });

  it("pages follow each other without a gap, with the checkpoints that end in them", async () => {
    const whole = await page("inspector", "/v1/log/openings");
    const leaves: unknown[] = [];
    const notes = new Map<number, string>();
    for (let from = 0; ;) {
      const {
        leaves: some,
        next,
        checkpoints: ended,
      } = await page("inspector", `/v1/log/openings?from=${from}&limit=2`);
      if (some.length === 0) break;
      assert.ok(some.length <= 2);
      leaves.push(...some);
      for (const { size, note } of ended) notes.set(size, note);
      from = next;
    }
    assert.deepEqual(leaves, whole.leaves);
    assert.deepEqual(
      [...notes],
      whole.checkpoints.map(({ size, note }) => [size, note]),
    );
    assert.equal(notes.size, 1);
  });

  it("bounds and places are numbers", async () => {
    for (const query of ["?limit=0", "?limit=201", "?limit=-1", "?from=x", "?from=1e3", "?from=99999999999999999"]) {
      const { status } = await vault.call("inspector", "GET", `/v1/log/openings${query}`);
      assert.equal(status, 400, query);
    }
  });
});
