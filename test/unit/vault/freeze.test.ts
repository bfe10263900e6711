// Goal: after a freeze has answered, no signature of what is frozen is released by any vault (I16); one person of the
// client or of the custodian is enough for it, and only the officers' quorum ends it (I15).
// Method: the router and the real store; a token that keeps signatures back; a second vault on the same store that has
// not heard of the freeze; `log verify` over the export, also over logs in which the freeze was not kept.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { FreezeView, FrozenView } from "../../../src/domain/freeze.ts";
import type { SigningRequestView } from "../../../src/domain/api.ts";
import type { ClientId } from "../../../src/domain/names.ts";
import { GatewayClient } from "../../../src/sdk/client.ts";
import { route } from "../../../src/vault/api/router.ts";
import type { Gateway } from "../../../src/vault/gateway.ts";
import { metricsOf, readinessOf } from "../../../src/vault/health.ts";
import { appendLeaf } from "../../../src/vault/log.ts";
import { checkpointsOf, exported, verified } from "../../support/exported-log.ts";
import { checkLog, leavesOf, logOf } from "../../support/log-check.ts";
import { unseenIn } from "../../support/sealed.ts";
import { signedBy, unfreezing } from "../../support/officers.ts";
import { hsmInSoftware, type SoftwareHsm } from "../../support/software-hsm.ts";
import { GATEWAY, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../support/vault.ts";

const SOAK = process.env["SOAK"] !== undefined;
const RACES = SOAK ? 1_000 : 60;
const HOUR_MS = 3_600_000;

type View = SigningRequestView & { code?: string };
type Sent = { readonly status: number; readonly body: View; readonly at: number };

describe("a freeze", () => {
  let vault: TestVault;
  let hsm: SoftwareHsm;

  beforeEach(async () => {
    hsm = hsmInSoftware();
    vault = await testVault({ hsm, house: { policyQuorum: "2" }, founding: ["officer", "deputy"] });
  });
  afterEach(() => vault.close());

  let answers = 0;
  const ask = async (caller: string, method: string, target: string, body?: unknown, key = newKey()) => {
    const answer = await vault.call(caller, method, target, body, method === "GET" ? undefined : key);
    return { status: answer.status, body: answer.body as never, at: answers++ };
  };
  const post = (key = newKey(), value = 1, caller = "payouts"): Promise<Sent> =>
    ask(caller, "POST", REQUESTS, transferBody(value), key);
  const freeze = async (caller: string, body: object = {}, client = "acme") => {
    const frozen = await ask(caller, "POST", `/v1/clients/${client}/freeze`, body);
    return { ...frozen, body: frozen.body as FrozenView & { code?: string } };
  };
  const freezesOf = async (client = "acme") =>
    ((await ask("inspector", "GET", `/v1/clients/${client}/freeze`)).body as { freezes: FreezeView[] }).freezes;
  const unfreeze = async (
    body: object = {},
    {
      client = "acme",
      officers = ["officer", "deputy"],
      by = "officer",
      of = undefined as FreezeView | undefined,
    } = {},
  ) => {
    const standing = of ?? (await freezesOf(client))[0]!;
    const text = unfreezing(GATEWAY, client, standing);
    const signatures = officers.map((name) => signedBy(vault.callers.get(name)!, text));
    const ended = await ask(by, "POST", `/v1/clients/${client}/unfreeze`, { ...body, signatures });
    return { status: ended.status, code: (ended.body as { code?: string }).code };
  };
  const refused = async (sent: Promise<Sent>) => {
    const { status, body } = await sent;
    return [status, body.code];
  };
  async function report() {
    await (await checkpointsOf(vault)).round();
    return verified(await exported(vault));
  }
  const codes = async () => Object.keys((await report()).found);

  describe("who may", () => {
    for (const person of ["alice", "watcher", "lender", "checker", "officer", "operator", "inspector"])
      it(`${person} freezes the client`, async () => assert.equal((await freeze(person)).status, 201));
    for (const service of ["payouts", "trading"])
      it(`${service}, a wallet service, does not`, async () =>
        assert.deepEqual([(await freeze(service)).body.code, await freezesOf()], ["not-permitted", []]));
    it("persons of a client freeze neither another client nor the house", async () => {
      await ask("operator", "POST", "/v1/clients", { client: "other" });
      for (const client of ["other", "house"]) assert.equal((await freeze("alice", {}, client)).status, 401);
    });
    it("what nobody has cannot be frozen", async () => {
      assert.equal((await freeze("alice", { key: "hot-9" })).body.code, "key-not-found");
      assert.equal((await freeze("alice", { caller: "nobody" })).body.code, "caller-not-found");
      assert.equal((await freeze("alice", { key: "hot-1", caller: "payouts" })).body.code, "invalid-body");
    });
  });

  const TARGETS: readonly [what: string, client: string, target: object][] = [
    ["the client", "acme", {}],
    ["its key", "acme", { key: "hot-1" }],
    ["its caller", "acme", { caller: "payouts" }],
    ["the house", "house", {}],
  ];
  for (const [what, client, target] of TARGETS)
    it(`of ${what}: nothing is decided, and the same request is signed once it is unfrozen`, async () => {
      const key = newKey();
      const before = await post();
      await freeze("inspector", target, client);
      assert.deepEqual(await refused(post(key)), [409, "client-frozen"]);
      assert.equal((await unfreeze(target, { client })).status, 200);
      const after = await post(key);
      assert.deepEqual([before.status, after.status, after.body.state], [201, 201, "signed"]);
      assert.deepEqual((await report()).findings, []);
    });

  it("of another key, another caller, or another client: is none of this one's", async () => {
    await ask("operator", "POST", "/v1/clients", { client: "other" });
    await ask("operator", "POST", "/v1/clients/acme/keys", { name: "hot-2", chains: ["eip155:31337"] });
    await freeze("alice", { key: "hot-2" });
    await freeze("alice", { caller: "trading" });
    await freeze("operator", {}, "other");
    assert.equal((await post()).status, 201);
    assert.deepEqual(await refused(post(newKey(), 1, "trading")), [409, "client-frozen"]);
  });

  it("a second one of the same changes nothing: the first stands, with its leaf", async () => {
    const first = (await freeze("alice", { reason: "a laptop is gone" })).body;
    const second = await freeze("officer", { reason: "another" });
    assert.deepEqual([second.status, second.body.freeze, second.body.isNew], [200, first.freeze, false]);
    assert.equal(first.freeze.reason, "a laptop is gone");
    assert.equal(leavesOf(checkLog(await logOf(vault.store)), "frozen").length, 1);
  });

  it("is answered also where the vault cannot read the client again at the moment", async () => {
    const { directory } = vault.gateway;
    directory.refreshClient = () => Promise.reject(new Error("the token's module is gone"));
    assert.equal((await freeze("alice")).status, 201);
    Reflect.deleteProperty(directory, "refreshClient");
    assert.deepEqual(await refused(post()), [409, "client-frozen"]);
  });

  it("is shown to everybody whom it concerns", async () => {
    await freeze("alice", { key: "hot-1" });
    const seen = await ask("payouts", "GET", "/v1/clients/acme/freeze");
    assert.deepEqual((seen.body as { freezes: FreezeView[] }).freezes, await freezesOf());
    await freeze("alice");
    const { clients } = (await ask("operator", "GET", "/v1/clients")).body as {
      clients: { status: string; freezes: FreezeView[] }[];
    };
    assert.deepEqual(
      [clients[0]!.status, clients[0]!.freezes.map(({ target }) => target)],
      ["frozen", ["key hot-1", "client"]],
    );
  });

  it("is in the status and in the metrics, also of a vault that has not been asked anything since", async () => {
    const other = await vault.restarted();
    const frozen = async (body: object, client = "acme") => {
      await freeze("officer", body, client);
      await other.directory.retry();
      return [vault.gateway, other].map((gateway) => readinessOf(gateway).frozen);
    };
    await ask("operator", "POST", "/v1/clients", { client: "other" });
    await other.directory.discover();
    assert.deepEqual(await frozen({ key: "hot-1" }), [0, 0]);
    assert.deepEqual(await frozen({}), [1, 1]);
    assert.match(metricsOf(other), /^portcullis_client_frozen\{client="acme"\} 1$/m);
    assert.match(metricsOf(other), /^portcullis_client_frozen\{client="other"\} 0$/m);
    assert.deepEqual(await frozen({}, "house"), [2, 2]);
  });

  it("lists what is out already: signed, and authorized without an outcome", async () => {
    const signed = (await post()).body;
    vault.clock.now += 1; // the newer one comes first
    hsm.fault = () => {
      throw new Error("the token is away");
    };
    const left = (await post()).body;
    const { out } = (await freeze("alice")).body;
    assert.deepEqual(
      out.map(({ id, state, transactionHash }) => [id, state, transactionHash]),
      [
        [left.id, "authorized", undefined],
        [signed.id, "signed", signed.result!.transactionHash],
      ],
    );
    assert.deepEqual((await freeze("officer", { key: "hot-1" })).body.out, out);
    assert.deepEqual((await freeze("officer", { caller: "trading" })).body.out, []);
  });

  it("what was signed before it is answered again as it was (I6)", async () => {
    const key = newKey();
    const { body } = await post(key);
    await freeze("alice");
    assert.deepEqual((await post(key)).body, body);
  });

  describe("a signature that is being made", () => {
    /** Signs only when it is let. */
    const held = () => {
      let letGo!: () => void;
      const gate = new Promise<void>((resolve) => (letGo = resolve));
      const reached = new Promise<void>((resolve) => {
        hsm.fault = async (_, signature) => {
          resolve();
          await gate;
          return signature;
        };
      });
      return { reached, letGo };
    };
    const spent = async () => {
      const { body } = await ask("payouts", "POST", `/v1/clients/acme/evaluations`, transferBody(1));
      return (body as unknown as { decision: { limits: { spent: string }[] } }).decision.limits[0]!.spent;
    };

    for (const [what, client, target] of TARGETS)
      it(`while ${what} is frozen is destroyed, and that is recorded; its spend stays counted`, async () => {
        const { reached, letGo } = held();
        const key = newKey();
        const under = post(key, 7);
        await reached;
        await freeze("officer", target, client);
        letGo();
        const { status, body } = await under;
        assert.deepEqual([status, body.state, body.result], [202, "authorized", undefined]);
        assert.deepEqual((await post(key, 7)).body.state, "authorized", "and asking again does not sign either");
        const leaves = checkLog(await logOf(vault.store));
        assert.deepEqual(
          [leavesOf(leaves, "withheld").map(({ opening }) => opening["request"]), leavesOf(leaves, "signed").length],
          [[body.id], 0],
        );
        const [destroyed] = hsm.signed;
        assert.equal(hsm.signed.length, 1);
        assert.equal(`0x${destroyed}`, `0x${leavesOf(leaves, "authorized")[0]!.opening["digest"] as string}`);
        await unfreeze(target, { client });
        assert.equal(await spent(), "8");
        const finished = await post(key, 7);
        assert.deepEqual([finished.status, finished.body.id], [201, body.id]);
        assert.equal(await spent(), "8");
        assert.deepEqual((await report()).findings, []);
      });

    it("in a vault that has not heard of it is destroyed as well, and that vault signs no other", async () => {
      const other = await vault.restarted();
      const by = (gateway: Gateway, caller: string, key: string) => {
        const bytes = Buffer.from(JSON.stringify(transferBody(1)));
        const { headers } = new GatewayClient(vault.callers.get(caller)!).signRequest("POST", REQUESTS, bytes, key);
        return route(gateway, { method: "POST", target: REQUESTS, headers, body: bytes });
      };
      const { reached, letGo } = held();
      const under = by(other, "payouts", newKey());
      await reached;
      await freeze("alice");
      letGo();
      assert.equal((await under).status, 202);
      const next = await by(other, "payouts", newKey());
      assert.deepEqual([next.status, (next.body as View).code], [409, "client-frozen"]);
      assert.equal(hsm.signed.length, 1);
    });

    it("while the policy changes, or what is frozen is another's, is released", async () => {
      const { reached, letGo } = held();
      const under = post();
      await reached;
      await freeze("alice", { caller: "trading" });
      letGo();
      assert.equal((await under).status, 201);
    });
  });

  it(`against a slow token, ${RACES} times: none is answered after the freeze that the freeze did not list`, async function () {
    this.timeout(SOAK ? 900_000 : 60_000);
    const delay = () => sleep(Math.random() * 4);
    hsm.fault = async (_, signature) => delay().then(() => signature);
    let [withheld, released] = [0, 0];
    for (let race = 0; race < RACES; race++) {
      const keys = Array.from({ length: 6 }, newKey);
      const posts = keys.map(async (key) => delay().then(() => post(key)));
      const frozen = delay().then(() => delay().then(() => freeze("alice")));
      const [{ body, at }, ...sent] = await Promise.all([frozen, ...posts]);
      const out = new Set(body.out.filter(({ state }) => state === "signed").map(({ id }) => id));
      for (const { status, body: answered, at: answeredAt } of sent) {
        assert.ok([201, 202, 409].includes(status), JSON.stringify(answered));
        if (status === 201) released += 1;
        if (status === 202) withheld += 1;
        if (status === 201)
          assert.ok(answeredAt < at || out.has(answered.id), "released after the freeze was answered");
      }
      vault.clock.now += HOUR_MS; // an answer lists a day of them
      await unfreeze();
      for (const key of keys) assert.equal((await post(key)).status, 201);
    }
    assert.ok(withheld > RACES / 10 && released > RACES / 10, `${withheld} withheld, ${released} released`);
    assert.deepEqual((await report()).findings, []);
  });

  describe("ends", () => {
    it("only by the quorum's signatures over this very freeze", async () => {
      await freeze("alice");
      const [first] = await freezesOf();
      assert.equal((await unfreeze({}, { officers: ["officer"] })).code, "officer-signatures");
      assert.equal((await unfreeze({}, { officers: ["officer", "officer"] })).code, "officer-signatures");
      assert.equal((await unfreeze({}, { officers: ["officer", "operator"] })).code, "officer-signatures");
      assert.equal((await unfreeze({}, { by: "alice" })).code, "not-permitted");
      assert.equal((await unfreeze({}, { by: "operator" })).code, "not-permitted");
      assert.equal((await unfreeze({ key: "hot-1" })).code, "not-frozen");
      assert.deepEqual(await freezesOf(), [first]);
      assert.equal((await unfreeze()).status, 200);
      await freeze("alice");
      assert.equal((await unfreeze({}, { of: first! })).code, "officer-signatures", "what was signed once counts once");
      assert.equal((await unfreeze()).status, 200);
      assert.deepEqual((await report()).findings, []);
    });

    it("for the one that is named, and no other", async () => {
      await freeze("alice", { key: "hot-1" });
      await freeze("alice");
      await unfreeze({ key: "hot-1" });
      assert.deepEqual(
        (await freezesOf()).map(({ target }) => target),
        ["client"],
      );
      assert.deepEqual(await refused(post()), [409, "client-frozen"]);
    });
  });

  describe("of a caller", () => {
    it("takes every act from them, at once, also at a vault that has not heard of it", async () => {
      const other = await vault.restarted();
      await freeze("officer", { caller: "operator" }, "house");
      assert.deepEqual(await refused(ask("operator", "POST", "/v1/clients", { client: "other" })), [
        403,
        "caller-frozen",
      ]);
      assert.deepEqual(await refused(ask("operator", "GET", "/v1/clients")), [403, "caller-frozen"]);
      const bytes = Buffer.from(JSON.stringify({ client: "other" }));
      const target = "/v1/clients";
      const { headers } = new GatewayClient(vault.callers.get("operator")!).signRequest(
        "POST",
        target,
        bytes,
        newKey(),
      );
      const answer = await route(other, { method: "POST", target, headers, body: bytes });
      assert.deepEqual([answer.status, (answer.body as View).code], [403, "caller-frozen"]);
    });

    it("who is an officer: their signature counts for no policy, and still to unfreeze", async () => {
      const changed = { ...(await policyNow()), version: "2" };
      await freeze("operator", { caller: "deputy" }, "house");
      await freeze("operator", { caller: "officer" }, "house");
      await assert.rejects(vault.apply("acme", changed, ["officer", "deputy"]), { code: "policy-signatures" });
      for (const name of ["officer", "deputy"]) {
        const of = (await freezesOf("house")).find(({ target }) => target === `caller ${name}`)!;
        assert.equal((await unfreeze({ caller: name }, { client: "house", of })).status, 200);
      }
      await vault.apply("acme", changed, ["officer", "deputy"]);
      assert.deepEqual((await report()).findings, []);
    });
    const policyNow = async () => {
      const { entry, files } = (await vault.store.read((reader) => reader.policy("acme" as ClientId)))!;
      return JSON.parse(files[entry]!) as object;
    };
  });

  describe("that was not kept is found in the log", () => {
    const leaf = (type: "frozen" | "unfrozen" | "withheld", content: object) =>
      vault.store.write(async (transaction) => {
        const row = (await transaction.client("acme" as ClientId))!;
        return appendLeaf(unseenIn(transaction), row, type, { ...content });
      });

    it("a request authorized and signed in between", async () => {
      await leaf("frozen", { target: "client", by: "alice" });
      await post();
      const { found } = await report();
      assert.deepEqual(found, { "signed-frozen": 2 });
    });
    it("an end without the officers", async () => {
      await freeze("alice");
      await leaf("unfrozen", { target: "client", frozen: (await freezesOf())[0]!.leaf.index, signatures: [] });
      assert.deepEqual(await codes(), ["unfreeze-quorum"]);
    });
    it("an end of what was not frozen", async () => {
      await leaf("unfrozen", { target: "key hot-1", frozen: 3, signatures: [] });
      assert.deepEqual(await codes(), ["not-frozen"]);
    });
    it("a signature withheld although nothing was frozen", async () => {
      hsm.fault = () => {
        throw new Error("the token is away");
      };
      const { body } = await post();
      await leaf("withheld", { request: body.id, authorized: body.leaves.decision!.index, attempt: 1 });
      assert.deepEqual(await codes(), ["withheld-unfrozen"]);
    });
  });
});
