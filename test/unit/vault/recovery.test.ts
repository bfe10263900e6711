// Goal: officers, and nobody else, go on with a store that lacks what was promised; then every client is frozen, windows
// that reach back count as full, and no size of the log is ever signed with two roots (I5, I15, I16, I19).
// Method: the real store, copied while the vault goes on; a vault of its own on the copy, whose anchor is the other's;
// roots by the RFC's recursion, `log verify` over the export, also of logs that break the rules.
import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "../../../src/adapters/sqlite/store.ts";
import type { ApprovalView, SigningRequestView } from "../../../src/domain/api.ts";
import { GatewayError } from "../../../src/domain/errors.ts";
import type { FreezeView } from "../../../src/domain/freeze.ts";
import type { ClientId } from "../../../src/domain/names.ts";
import { recoverySigningText, type Lost, type RecoveryView } from "../../../src/domain/recovery.ts";
import { GatewayClient } from "../../../src/sdk/client.ts";
import { formatCheckpoint, parseCheckpoint } from "../../../src/tlog/checkpoint.ts";
import { formatNote, noteKey, parseNote } from "../../../src/tlog/note.ts";
import { route } from "../../../src/vault/api/router.ts";
import { Checkpoints, TURN_MS } from "../../../src/vault/checkpoints.ts";
import type { Gateway } from "../../../src/vault/gateway.ts";
import { appendLeaf } from "../../../src/vault/log.ts";
import { activateDue } from "../../../src/vault/scheduled-policies.ts";
import type { ClientRow, Store } from "../../../src/vault/ports.ts";
import { exportedBy, verified } from "../../support/exported-log.ts";
import { checkLog, leavesOf, logOf } from "../../support/log-check.ts";
import { signedBy, unfreezing } from "../../support/officers.ts";
import { edPerson, signedBy as approvalBy } from "../../support/people.ts";
import { unseenIn } from "../../support/sealed.ts";
import { hsmInSoftware, type SoftwareHsm } from "../../support/software-hsm.ts";
import { textbookRoot } from "../../support/textbook-tree.ts";
import { acmePolicy, GATEWAY, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../support/vault.ts";

const HOUR_MS = 3_600_000;
const limits = {
  daily: { sum: "ETH", max: "100", window: { rolling: "24h" } },
  hourly: { sum: "ETH", max: "50", window: { rolling: "1h" } },
};

/** What one vault keeps outside the store. */
class KeptAnchor {
  note: string | undefined;
  read = async () => this.note;
  write = async (note: string) => void (this.note = note);
  get size(): number {
    return this.note === undefined ? 0 : parseCheckpoint(parseNote(Buffer.from(this.note)).text).size;
  }
}

type Place = { readonly gateway: Gateway; readonly store: Store; readonly checkpoints: Checkpoints };

describe("recovery after a restore", () => {
  let vault: TestVault;
  let hsm: SoftwareHsm;
  let folder: string;
  let anchor: KeptAnchor;
  let original: Place;
  let restored: Place;
  const opened: Store[] = [];

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-recovery-"));
    hsm = hsmInSoftware();
    vault = await testVault({ hsm, policy: { limits }, house: { policyQuorum: "2" }, founding: ["officer", "deputy"] });
    anchor = new KeptAnchor();
    original = await placeOn(vault.store, anchor);
    await signing(original);
    await original.checkpoints.round();
    const backup = copied("backup");
    for (let n = 0; n < 4; n++) await signing(original);
    await original.checkpoints.round();
    vault.clock.now += HOUR_MS / 2;
    restored = await placeOn(backup, anchor);
  });
  afterEach(async () => {
    for (const store of opened.splice(0)) await store.close();
    await vault.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function copied(name: string, from = vault.storePath): Store {
    const path = join(folder, name);
    for (const suffix of ["", "-wal"])
      if (existsSync(`${from}${suffix}`)) copyFileSync(`${from}${suffix}`, `${path}${suffix}`);
    const store = vault.sealed(openSqliteStore(path, () => vault.clock.now));
    opened.push(store);
    return store;
  }
  /** A vault of its own. */
  async function placeOn(store: Store, kept: KeptAnchor): Promise<Place> {
    vault.clock.now += TURN_MS; // the turn of whoever came before has run out
    const parts = {
      store,
      logToken: vault.logToken,
      origin: GATEWAY,
      anchor: kept,
      fault: (e: unknown) => void vault.faults.push(e),
    };
    const checkpoints = await Checkpoints.open(parts);
    return { gateway: await vault.restarted({ store, checkpoints }), store, checkpoints };
  }
  const ask = async <T>(
    { gateway }: Place,
    caller: string,
    method: string,
    target: string,
    body?: unknown,
    key = newKey(),
  ) => {
    const bytes = body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(body));
    const client = new GatewayClient(vault.callers.get(caller)!);
    const { headers } = client.signRequest(method, target, bytes, method === "GET" ? undefined : key);
    const answer = await route(gateway, { method, target, headers, body: bytes });
    return { status: answer.status, body: answer.body as T & { code?: string; reason?: string } };
  };
  const signing = async (place: Place, value = 5) => {
    const { status, body } = await ask<SigningRequestView>(place, "payouts", "POST", REQUESTS, transferBody(value));
    return [status, body.code ?? body.state, ...(body.reason === undefined ? [] : [body.reason])];
  };
  const stateOf = async (place: Place) => (await ask<RecoveryView>(place, "officer", "GET", "/v1/recovery")).body;
  type Act = { lost?: Lost; officers?: string[]; by?: string; text?: string; checkpoints?: string[]; seen?: number };
  async function recover(
    place: Place,
    { lost = "unknown", officers = ["officer", "deputy"], by = "officer", ...act }: Act = {},
  ) {
    const text = act.text ?? recoverySigningText(await stateOf(place), lost);
    const signatures = officers.map((name) => signedBy(vault.callers.get(name)!, text));
    const seen = new Date(act.seen ?? vault.clock.now).toISOString();
    const { checkpoints = [] } = act;
    const { status, body } = await ask<{ leaf: number }>(place, by, "PUT", "/v1/recovery", {
      lost,
      seen,
      checkpoints,
      signatures,
    });
    return [status, body.code ?? body.leaf];
  }
  const freezesOf = async (place: Place, client = "acme") =>
    (await ask<{ freezes: FreezeView[] }>(place, "officer", "GET", `/v1/clients/${client}/freeze`)).body.freezes;
  async function unfreeze(place: Place, of?: FreezeView) {
    const text = unfreezing(GATEWAY, "acme", of ?? (await freezesOf(place)).find(({ target }) => target === "client")!);
    const signatures = ["officer", "deputy"].map((name) => signedBy(vault.callers.get(name)!, text));
    const { status, body } = await ask(place, "officer", "POST", "/v1/clients/acme/unfreeze", { signatures });
    return [status, body.code];
  }
  const leavesIn = async ({ store }: Place) => checkLog(await logOf(store));
  const sizesIn = async ({ store }: Place) =>
    (await store.read((reader) => reader.checkpoints(0, 1_000))).map(({ size }) => size);
  const report = async (place: Place) => {
    await place.checkpoints.round();
    const get = async <T>(target: string): Promise<T> => (await ask<T>(place, "inspector", "GET", target)).body;
    return verified(await exportedBy({ get }));
  };

  const signedNote = async ({ size, root }: { size: number; root: Buffer }): Promise<string> => {
    const text = formatCheckpoint({ origin: GATEWAY, size, root });
    const key = noteKey(GATEWAY, "ed25519", await vault.logToken.publicKey("checkpoint"));
    const signature = await vault.logToken.sign("checkpoint", text);
    return formatNote({ text, signatures: [{ name: key.name, id: key.id, signature }] });
  };

  it("nothing is signed before it, and whoever may sees what is there and what was promised", async () => {
    assert.deepEqual(await signing(restored), [503, "store-rolled-back"]);
    const { store, promised, refused } = await stateOf(restored);
    const leaves = await leavesIn(restored);
    const hashes = leaves.map(({ hash }) => Buffer.from(hash, "hex"));
    assert.deepEqual(store, { size: leaves.length, root: Buffer.from(textbookRoot(hashes)).toString("base64") });
    assert.deepEqual([promised.size, refused], [anchor.size, "store-rolled-back"]);
    assert.ok(promised.size > store.size);
  });

  describe("is refused, and nothing changes,", () => {
    const CASES: readonly [what: string, act: Act, expected: unknown[]][] = [
      ["with one officer of two", { officers: ["officer"] }, [403, "officer-signatures"]],
      ["with one officer twice", { officers: ["officer", "officer"] }, [403, "officer-signatures"]],
      ["with a signature of an operator", { officers: ["officer", "operator"] }, [403, "officer-signatures"]],
      ["sent by an operator", { by: "operator" }, [403, "not-permitted"]],
      ["where it is said that nothing is lost", { lost: "nothing" }, [409, "not-moved"]],
      ["by an officer whose clock shows another time", { seen: 0 }, [409, "clock-differs"]],
      [
        "with a checkpoint of another log",
        { checkpoints: ["other\n1\nAAAA\n\n— other AAAA\n"] },
        [422, "malformed-note"],
      ],
    ];
    for (const [what, act, expected] of CASES)
      it(what, async () => {
        const before = await leavesIn(restored);
        assert.deepEqual(await recover(restored, act), expected);
        assert.deepEqual(await leavesIn(restored), before);
        assert.deepEqual(await signing(restored), [503, "store-rolled-back"]);
      });
    it("over another store or another promise than there is", async () => {
      const state = await stateOf(restored);
      for (const other of [
        { ...state, store: { ...state.store, size: state.store.size - 1 } },
        { ...state, promised: { ...state.promised, size: state.promised.size - 1 } },
        { ...state, origin: "another" },
        { ...state, history: "another" },
      ])
        assert.deepEqual(await recover(restored, { text: recoverySigningText(other, "unknown") }), [
          403,
          "officer-signatures",
        ]);
      assert.deepEqual(await recover(restored, { text: recoverySigningText(state, "nothing") }), [
        403,
        "officer-signatures",
      ]);
    });
  });

  it("every client is frozen; once it is unfrozen, windows that reach back before it are full, and others are not", async () => {
    const leaf = (await leavesIn(restored)).length;
    assert.deepEqual(await recover(restored), [200, leaf]);
    assert.deepEqual(await signing(restored), [409, "client-frozen"]);
    assert.equal(await restored.store.read((reader) => reader.confirmedTime()), vault.clock.now);
    const [freeze] = await freezesOf(restored);
    assert.deepEqual([freeze!.target, freeze!.by, freeze!.reason], ["client", "restored", `leaf ${leaf}`]);
    assert.deepEqual(await unfreeze(restored), [200, undefined]);
    assert.deepEqual(await signing(restored), [403, "denied-by-policy", "over-limit"]);
    vault.clock.now += 24 * HOUR_MS - 1;
    assert.deepEqual(await signing(restored), [403, "denied-by-policy", "over-limit"]);
    vault.clock.now += 1;
    assert.deepEqual(await signing(restored), [201, "signed"]);
    assert.deepEqual((await report(restored)).findings, []);
  });

  it("a limit whose window is over is open again, while a longer one is still full", async () => {
    await recover(restored);
    await unfreeze(restored);
    vault.clock.now += 2 * HOUR_MS;
    const { body } = await ask<{ decision: { limits: { limit: string; remaining: string }[] } }>(
      restored,
      "payouts",
      "POST",
      "/v1/clients/acme/evaluations",
      transferBody(5),
    );
    const remaining = Object.fromEntries(body.decision.limits.map((limit) => [limit.limit, limit.remaining]));
    assert.deepEqual(remaining, { daily: "0", hourly: "50" });
  });

  it("what was frozen in the copy is frozen anew: signatures that ended it once do not end it again", async () => {
    await ask(original, "alice", "POST", "/v1/clients/acme/freeze", {});
    await ask(original, "alice", "POST", "/v1/clients/acme/freeze", { key: "hot-1" });
    const [old] = await freezesOf(original);
    const backup = copied("frozen");
    assert.deepEqual(await unfreeze(original, old), [200, undefined]);
    await original.checkpoints.round();
    const place = await placeOn(backup, anchor);
    await recover(place);
    assert.deepEqual(await unfreeze(place, old), [403, "officer-signatures"]);
    const now = await freezesOf(place);
    assert.deepEqual(
      now.map(({ target, by }) => [target, by]),
      [
        ["client", "restored"],
        ["key hot-1", "restored"],
      ],
    );
    assert.deepEqual((await report(place)).findings, []);
  });

  it("what stood authorized in the copy keeps its spend: another attempt may have been signed since", async () => {
    hsm.fault = () => {
      throw new GatewayError("hsm-unavailable", "the token is away", { facts: { unsigned: true } });
    };
    const sent = await ask<SigningRequestView>(original, "payouts", "POST", REQUESTS, transferBody(5));
    hsm.fault = undefined;
    await original.checkpoints.round();
    const backup = copied("left");
    await signing(original);
    await original.checkpoints.round();
    vault.clock.now += 1;
    const place = await placeOn(backup, anchor);
    await recover(place);
    vault.clock.now += 61_000;
    const settlement = `${REQUESTS}/${sent.body.id}/settlement`;
    const { body } = await ask<SigningRequestView>(place, "operator", "POST", settlement);
    assert.deepEqual([sent.body.state, body.state, body.problem!["spend"]], ["authorized", "failed", "counted"]);
    assert.deepEqual((await report(place)).findings, []);
  });

  describe("the log after it", () => {
    it("signs no size that was promised: its first checkpoint is above, over all leaves", async () => {
      const [before, promised] = [await sizesIn(restored), anchor.size];
      await recover(restored);
      await restored.checkpoints.round();
      const fresh = (await sizesIn(restored)).filter((size) => !before.includes(size));
      assert.deepEqual(fresh, [promised + 1]);
      assert.equal(anchor.size, promised + 1);
      const leaves = await leavesIn(restored);
      const hashes = leaves.map(({ hash }) => Buffer.from(hash, "hex"));
      const { root } = parseCheckpoint(parseNote(Buffer.from(anchor.note!)).text);
      assert.deepEqual(Buffer.from(root), Buffer.from(textbookRoot(hashes)));
      assert.ok(leavesOf(leaves, "padding").length > 0);
      const { findings, restorations } = await report(restored);
      assert.deepEqual([findings, restorations.length, restorations[0]!.promised.size], [[], 1, promised]);
    });

    it("grows past thousands of leaves that are missing", async () => {
      const far = { size: anchor.size + 3_000, root: Buffer.alloc(32, 1) };
      const kept = await signedNote(far);
      const { store, ...state } = await stateOf(restored);
      const text = recoverySigningText(
        { ...state, store, promised: { size: far.size, root: far.root.toString("base64") } },
        "unknown",
      );
      assert.equal((await recover(restored, { text, checkpoints: [kept] }))[0], 200);
      await restored.checkpoints.round();
      assert.equal(anchor.size, far.size + 1);
      assert.deepEqual((await report(restored)).findings, []);
    });

    it("a vault that dies between the act and the next checkpoint goes on where it was", async () => {
      const promised = anchor.size;
      await recover(restored);
      const next = await placeOn(restored.store, anchor);
      assert.deepEqual(await signing(next), [409, "client-frozen"]);
      await next.checkpoints.round();
      assert.equal(anchor.size, promised + 1);
    });

    it("another vault, whose anchor stopped earlier, goes on with it; one that knows of more does not", async () => {
      const [less, more] = [new KeptAnchor(), new KeptAnchor()];
      less.note = await signedNote({ size: anchor.size - 1, root: Buffer.alloc(32, 2) });
      more.note = await signedNote({ size: anchor.size + 50, root: Buffer.alloc(32, 3) });
      await recover(restored);
      await restored.checkpoints.round();
      assert.deepEqual(await signing(await placeOn(restored.store, less)), [409, "client-frozen"]);
      const other = await placeOn(restored.store, more);
      assert.deepEqual(await signing(other), [503, "store-rolled-back"]);
      assert.equal((await recover(other))[0], 200);
      assert.deepEqual(await signing(other), [409, "client-frozen"]);
      await other.checkpoints.round();
      assert.ok(more.size > anchor.size + 48);
      assert.deepEqual((await report(other)).findings, []);
    });

    it("an older copy once more is refused once more, also one from right after the act", async () => {
      await recover(restored);
      const after = copied("after", join(folder, "backup"));
      await restored.checkpoints.round();
      for (const store of [copied("again"), after]) {
        const place = await placeOn(store, anchor);
        assert.deepEqual(
          [place.checkpoints.refusal?.code, (await signing(place))[1]],
          ["store-rolled-back", "store-rolled-back"],
        );
      }
    });
  });

  describe("what people had decided before it", () => {
    const ann = edPerson("ann");
    const officers = ["officer", "deputy"];
    const callers = () => ({ ...vault.clientCallers, ann: { role: "approver", keys: [ann.key] } });
    /** The vault from its newest copy, after what came later was lost. */
    async function backTo(copy: Store): Promise<Place> {
      await signing(original);
      await original.checkpoints.round();
      const place = await placeOn(copy, anchor);
      vault.clock.now += 1;
      await recover(place);
      await unfreeze(place);
      vault.clock.now += 24 * HOUR_MS;
      return place;
    }

    it("approvals count for nothing: the payment may have been made since, and they look again", async () => {
      const rules = [
        { id: "small", allow: ["transfer"], to: ["anyone"], amount: { ETH: { max: "10" } } },
        {
          id: "large",
          allow: ["transfer"],
          to: ["anyone"],
          amount: { ETH: "any" },
          approvals: { desk: "1", expireAfter: "90d" },
        },
      ];
      const document = { ...acmePolicy, limits, rules, groups: { desk: ["ann"] }, callers: callers(), version: "2" };
      await vault.apply("acme", document, officers);
      await original.gateway.directory.load();
      const key = newKey();
      const post = async (place: Place) =>
        (await ask<SigningRequestView>(place, "payouts", "POST", REQUESTS, transferBody(15), key)).body;
      const { id } = await post(original);
      const approve = async (place: Place) => {
        const view = (await ask<ApprovalView>(place, "alice", "GET", `${REQUESTS}/${id}/approvals`)).body;
        return (await ask(place, "alice", "POST", `${REQUESTS}/${id}/approvals`, approvalBy(ann, view))).status;
      };
      assert.equal(await approve(original), 201);
      const copy = copied("approved");
      const paid = await post(original);
      assert.equal(paid.state, "signed");
      const place = await backTo(copy);
      assert.equal((await post(place)).state, "pending");
      assert.equal(await approve(place), 201);
      assert.equal((await post(place)).state, "signed");
      assert.deepEqual((await report(place)).findings, []);
    });

    it("a change of policy that waits is over: it may have been cancelled since", async () => {
      const { entry, files } = (await vault.store.read((reader) => reader.policy("house" as ClientId)))!;
      const house = JSON.parse(files[entry]!) as object;
      await vault.apply("house", { ...house, policyDelay: "2h", version: "2" }, officers);
      const looser = {
        ...acmePolicy,
        limits,
        fee: { ETH: { max: "2000" } },
        callers: vault.clientCallers,
        version: "2",
      };
      await vault.apply("acme", looser, officers).catch(() => undefined); // it waits
      const copy = copied("waiting");
      assert.notEqual(await copy.read((reader) => reader.scheduledPolicy("acme" as ClientId)), undefined);
      await original.gateway.directory.load();
      const place = await backTo(copy);
      const { store, directory } = place.gateway;
      assert.deepEqual(await activateDue({ store, directory, origin: GATEWAY }), []);
      assert.equal((await store.read((reader) => reader.policy("acme" as ClientId)))!.version, 1);
      assert.deepEqual((await report(place)).findings, []);
    });
  });

  describe("after a failover", () => {
    const moved = (): Store => {
      const copy = copied("moved");
      let writtenIn = "1/1";
      const read = async () => ({ writtenIn, found: "1/2" });
      const adopt: NonNullable<Store["history"]>["adopt"] = (found, work) =>
        copy.write(work).finally(() => (writtenIn = found));
      return { ...copy, history: { read, adopt } };
    };

    it("in which nothing was lost: no client is frozen, and limits count what was spent", async () => {
      const place = await placeOn(moved(), anchor);
      assert.deepEqual(await signing(place), [503, "store-moved"]);
      assert.equal((await recover(place, { lost: "nothing" }))[0], 200);
      assert.deepEqual(await signing(place), [201, "signed"]);
      assert.deepEqual(await signing(place, 21), [403, "denied-by-policy", "over-limit"]);
      const { findings, restorations } = await report(place);
      assert.deepEqual(
        [findings, restorations.map(({ lost, history }) => [lost, history])],
        [[], [["nothing", "1/2"]]],
      );
    });

    it("it is not said where the anchor shows otherwise", async () => {
      anchor.note = await signedNote({ size: anchor.size + 1, root: Buffer.alloc(32, 4) });
      const place = await placeOn(moved(), anchor);
      assert.deepEqual(await recover(place, { lost: "nothing" }), [409, "promise-broken"]);
      assert.deepEqual(await signing(place), [503, "store-moved"]);
      assert.equal((await recover(place))[0], 200);
      assert.deepEqual(await signing(place), [409, "client-frozen"]);
    });

    it("nor where a checkpoint that was handed over does", async () => {
      const place = await placeOn(moved(), anchor);
      const kept = await signedNote({ size: anchor.size - 1, root: Buffer.alloc(32, 5) });
      assert.deepEqual(await recover(place, { lost: "nothing", checkpoints: [kept] }), [409, "promise-broken"]);
    });

    it("no promise was given up: another vault's anchor that is not in the store still refuses it", async () => {
      const store = moved();
      await recover(await placeOn(store, anchor), { lost: "nothing" });
      const other = new KeptAnchor();
      other.note = await signedNote({ size: anchor.size - 1, root: Buffer.alloc(32, 6) });
      assert.deepEqual(await signing(await placeOn(store, other)), [503, "store-rolled-back"]);
    });
  });

  describe("whoever can write to the store", () => {
    const said = async () => {
      const { origin: _, ...facts } = await stateOf(restored);
      return { store: facts.store, promised: facts.promised, history: facts.history, lost: "unknown" as const };
    };
    const forge = async (content: object, promisedSize: number) => {
      await restored.store.write(async (transaction) => {
        const house = (await transaction.client("house" as ClientId))!;
        const { index, at } = await appendLeaf(transaction, house, "restored", { ...content });
        await transaction.insertRecovery({ leaf: index, at, promisedSize, lost: "unknown" });
      });
      await restored.checkpoints.look();
      assert.equal(restored.checkpoints.refusal?.code, "store-rolled-back");
    };
    it("cannot say it without the officers", async () => forge({ ...(await said()), signatures: [] }, anchor.size));
    it("cannot say it for a larger promise than they did", async () => {
      const facts = await said();
      const text = recoverySigningText({ origin: GATEWAY, ...facts }, "unknown");
      const signatures = ["officer", "deputy"].map((name) => signedBy(vault.callers.get(name)!, text));
      const promised = { ...facts.promised, size: anchor.size + 9 };
      await forge({ ...facts, promised, signatures }, anchor.size + 9);
      await forge({ ...facts, signatures }, anchor.size + 9);
    });
  });

  describe("is held against the log", () => {
    it("a client that signs without having been unfrozen, in a window that was full", async () => {
      await recover(restored);
      const { store } = restored;
      const thawed = async (row: Promise<ClientRow | undefined>) => ({
        ...(await row)!,
        status: "active" as const,
        freezes: [],
      });
      // A vault that knows nothing of it.
      const forgetful: Store = {
        ...store,
        write: (work) =>
          store.write((transaction) =>
            work({ ...transaction, client: (id) => thawed(transaction.client(id)), recoveries: async () => [] }),
          ),
      };
      const gateway = await vault.restarted({ store: forgetful });
      assert.deepEqual(await signing({ ...restored, gateway }), [201, "signed"]);
      assert.deepEqual(Object.keys((await report(restored)).found).toSorted(), ["over-cap", "signed-frozen"]);
    });
    it("an act without its officers, or of another log", async () => {
      await restored.store.write(async (transaction) => {
        const house = (await transaction.client("house" as ClientId))!;
        const head = { size: 3, root: "AAAA" };
        await appendLeaf(unseenIn(transaction), house, "restored", {
          store: head,
          promised: head,
          history: "none",
          lost: "nothing",
          signatures: [],
        });
      });
      const place = await placeOn(restored.store, new KeptAnchor());
      assert.deepEqual(Object.keys((await report(place)).found).toSorted(), ["recovery-quorum", "restored-differs"]);
    });
    it("a checkpoint of a size that was promised before", async () => {
      await recover(restored);
      const { store } = restored;
      const forgetful: Store = {
        ...store,
        read: (work) => store.read((reader) => work({ ...reader, recoveries: async () => [] })),
      };
      vault.clock.now += TURN_MS;
      await (await placeOn(forgetful, new KeptAnchor())).checkpoints.round();
      assert.deepEqual(Object.keys((await report(restored)).found), ["checkpoint-fork"]);
    });
  });
});
