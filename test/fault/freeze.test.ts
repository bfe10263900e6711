// Goal: after a freeze has answered, no signature leaves any vault (I16), whatever the token, the edge and the other
// vaults are doing at that moment.
// Method: the real gateway on a token that is slow, frozen and unfrozen under load, also past an edge that is stopped;
// then two vaults on one PostgreSQL, one of which is frozen by the other. Whatever is answered 201 after the freeze was
// answered must be in its list of what was out already.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { FreezeView, FrozenView } from "../../src/domain/freeze.ts";
import type { RefusedError, SigningRequestView } from "../../src/sdk/client.ts";
import { BUSY, KeptGateway, withdraw, WITHDRAWAL } from "../support/faulty-gateway.ts";
import { FaultyHsm } from "../support/faulty-hsm.ts";
import type { DevGateway } from "../support/gateway.ts";
import { KillableVault, type Connection, type RunningProcess, type SocketAnswer } from "../support/killable-vault.ts";
import { leavesOf } from "../support/ledger.ts";
import { checkLog, leavesOf as leavesIn } from "../support/log-check.ts";
import { signedBy, unfreezing } from "../support/officers.ts";
import { PostgresServer } from "../support/postgres.ts";
import { eventually, findEdge } from "../support/processes.ts";
import { run } from "../support/program.ts";
import { applyTo, assertVerifies, FOUNDING, furnish, GATEWAY, people, policy, post } from "../support/withdrawals.ts";

const SOAK = process.env["SOAK"] !== undefined;
const RACES = SOAK ? 1_000 : 25;

/** Answers in the order in which they came. */
type Answered = { readonly id: string; readonly signed: boolean; readonly at: number };

function assertNoneAfter(
  answered: readonly Answered[],
  frozen: { readonly at: number; readonly view: FrozenView },
): void {
  const out = new Set(frozen.view.out.filter(({ state }) => state === "signed").map(({ id }) => id));
  const late = answered.filter(({ id, signed, at }) => signed && at > frozen.at && !out.has(id));
  assert.deepEqual(late, [], "released after the freeze was answered");
}

describe("a freeze of a gateway whose token is slow", function () {
  this.timeout(SOAK ? 3_600_000 : 600_000);
  let faulty: FaultyHsm;
  let kept: KeptGateway;
  let gateway: DevGateway;

  before(async () => {
    faulty = new FaultyHsm();
    kept = new KeptGateway();
    await (await kept.start()).stop();
    const { FAULTY_HSM_MODULE, FAULTY_HSM_CONTROL } = process.env as Record<string, string>;
    kept.configure(({ environment }) => ({
      module: faulty.modulePath,
      environment: { ...environment, FAULTY_HSM_MODULE, FAULTY_HSM_CONTROL },
    }));
    gateway = await kept.start();
  });
  after(async () => {
    await gateway?.stop();
    kept.remove();
    faulty.remove();
  });
  beforeEach(() => faulty.clear());

  const path = `/v1/clients/${BUSY}`;
  const callerFile = (client: string, name: string) => join(gateway.folder, "callers", client, `${name}.json`);
  const unfreeze = async () => {
    const ended = await run(["unfreeze", "--client", BUSY, "--as", callerFile("house", "officer")]);
    assert.equal(ended.code, 0, ended.stderr);
  };
  const types = (): Map<string, number> => {
    const counted = new Map<string, number>();
    for (const { type } of leavesOf(gateway.folder)) counted.set(type, (counted.get(type) ?? 0) + 1);
    return counted;
  };

  it(`${RACES} times under load: nothing is released after it was answered, and every withdrawal goes on later`, async () => {
    faulty.inject({ at: "C_Sign", kind: "delay", delayMs: 15, token: BUSY });
    let now = 0;
    const wallet = gateway.as(BUSY, "payouts");
    const officer = gateway.as("house", "officer");
    const keys: string[] = [];
    const withheld = () => types().get("withheld") ?? 0;
    // Until a freeze has come while the key was used: on a machine that is busy, some more may have to be tried.
    for (let race = 0; race < RACES || withheld() === 0; race++) {
      const posts = Array.from({ length: 6 }, async (): Promise<Answered> => {
        const idempotencyKey = randomUUID();
        keys.push(idempotencyKey);
        await sleep(Math.random() * 30);
        const view = await wallet.sign(BUSY, WITHDRAWAL, { idempotencyKey }).catch((error: RefusedError) => {
          assert.equal(error.code, "client-frozen", String(error));
          return { id: "", state: "refused" };
        });
        return { id: view.id, signed: view.state === "signed", at: now++ };
      });
      await sleep(Math.random() * 40);
      const options = { body: {}, idempotencyKey: randomUUID() };
      const view = await officer.call<FrozenView>("POST", `${path}/freeze`, options);
      const at = now++;
      assertNoneAfter(await Promise.all(posts), { at, view });
      const [freeze] = (await officer.get<{ freezes: FreezeView[] }>(`${path}/freeze`)).freezes;
      const signatures = [signedBy(officer.caller, unfreezing(officer.caller.gateway, BUSY, freeze!))];
      await officer.call("POST", `${path}/unfreeze`, { body: { signatures }, idempotencyKey: randomUUID() });
    }
    faulty.clear();
    for (const idempotencyKey of keys) {
      let view: SigningRequestView;
      do view = await wallet.sign(BUSY, WITHDRAWAL, { idempotencyKey });
      while (view.state !== "signed" && (await sleep(1_000)) === undefined); // attempts have a pause between them
    }
    assert.equal(types().get("signed"), keys.length);
  });

  it("by command, on the vault's socket, while the edge is stopped", async () => {
    const edge = findEdge(gateway.process.pid!)!;
    process.kill(edge, "SIGSTOP");
    try {
      const socket = ["--socket", join(gateway.folder, "run", "vault.sock"), "--json"];
      const frozen = await run([
        "freeze",
        "--client",
        BUSY,
        "--as",
        callerFile(BUSY, "alice"),
        "--reason",
        "a test",
        ...socket,
      ]);
      assert.equal(frozen.code, 0, frozen.stderr);
      const { freeze, isNew } = JSON.parse(frozen.stdout) as FrozenView;
      assert.deepEqual([freeze.target, freeze.by, freeze.reason, isNew], ["client", "alice", "a test", true]);
      const refused = await run(["freeze", "--client", BUSY, "--as", callerFile(BUSY, "payouts"), ...socket]);
      assert.deepEqual([refused.code, /not-permitted/.test(refused.stdout)], [1, true], refused.stdout);
    } finally {
      process.kill(edge, "SIGCONT");
    }
    await assert.rejects(withdraw(gateway, BUSY, 0), { code: "client-frozen" });
    const listed = await run(["client", "list", "--as", callerFile("house", "operator")]);
    assert.match(listed.stdout, new RegExp(`${BUSY} +FROZEN: client`));
    await unfreeze();
    await withdraw(gateway, BUSY);
  });

  it("two officers sign on two machines: one prints a signature, the other sends both", async () => {
    const house = ["--everybody", "--as", callerFile("house", "operator")];
    assert.equal((await run(["freeze", ...house])).code, 0);
    await assert.rejects(withdraw(gateway, BUSY, 0), { code: "client-frozen" });
    const listed = await run(["client", "list", "--as", callerFile("house", "operator")]);
    assert.match(listed.stdout, /EVERYBODY IS FROZEN/);
    const signed = await run(["unfreeze", "--everybody", "--sign", "--as", callerFile("house", "officer")]);
    assert.match(
      signed.stdout,
      /^portcullis\/unfreeze\/v1\norigin: .+\nclient: house\ntarget: client\nfrozen: [0-9]+ [0-9a-f]{64}\n\nofficer:/,
    );
    const line = signed.stdout.trim().split("\n").at(-1)!;
    const both = ["--signature", line, "--as", callerFile("house", "officer")];
    assert.equal((await run(["unfreeze", "--everybody", ...both])).code, 0);
    await withdraw(gateway, BUSY);
  });
});

describe("a freeze by one of two vaults on one PostgreSQL", function () {
  this.timeout(SOAK ? 3_600_000 : 600_000);
  let postgres: PostgresServer;
  let vaults: KillableVault;
  const running: RunningProcess[] = [];
  const connections: Connection[] = [];

  before(async () => {
    postgres = await PostgresServer.started();
    vaults = await KillableVault.founded(GATEWAY, FOUNDING, await postgres.database());
    // One by one: SoftHSM's tokens are not for several processes that log in at the same instant.
    for (const number of [1, 2]) {
      running.push(await vaults.start(number));
      connections.push(await vaults.connect(number));
      if (number === 1) await furnish(connections[0]!);
    }
  });
  // Not the short limit: a fast machine would be over it, and sign nothing that a freeze could hold back.
  before(() => applyTo(connections[0]!, { ...policy, version: "2", limits: { lifelong: policy.limits.lifelong } }));
  after(async () => {
    connections.forEach((connection) => connection.close());
    await Promise.all(running.map((vault) => vault.kill()));
    vaults?.remove();
    await postgres?.remove();
  });

  const ok = (answer: SocketAnswer): SocketAnswer => {
    assert.ok(answer.status < 300, answer.body.toString());
    return answer;
  };
  const act = (by: Connection, what: "freeze" | "unfreeze", body: object) =>
    by.send(people.officer, "POST", `/v1/clients/acme/${what}`, body, randomUUID()).then(ok);

  it(`${RACES} times: the other releases nothing after it was answered, and both sign again when it has ended`, async () => {
    let now = 0;
    let signedInAll = 0;
    for (let race = 0; race < RACES; race++) {
      const [signing, freezing] = race % 2 === 0 ? connections : connections.toReversed();
      const answered: Answered[] = [];
      let stopped = false;
      const load = Array.from({ length: 8 }, async (_, worker) => {
        for (let n = 0; !stopped; n++) {
          const { status, json } = await post(signing!, `race-${race}-${worker}-${n}`, 1);
          assert.ok([201, 202, 403, 409].includes(status), JSON.stringify(json));
          answered.push({ id: json["id"] as string, signed: status === 201, at: now++ });
          if (status !== 201) await sleep(5);
        }
      });
      await eventually("it signs", () => answered.filter(({ signed }) => signed).length > 1);
      await sleep(Math.random() * 40);
      const frozen = await act(freezing!, "freeze", {});
      const at = now++;
      await sleep(30);
      stopped = true;
      await Promise.all(load);
      const view = frozen.json as unknown as FrozenView;
      assertNoneAfter(answered, { at, view });
      signedInAll += answered.filter(({ signed }) => signed).length;
      const signatures = [signedBy(people.officer, unfreezing(GATEWAY, "acme", view.freeze))];
      await act(signing!, "unfreeze", { signatures });
      for (const [n, connection] of connections.entries()) {
        const answer = await post(connection, `after-${race}-${n}`, 1);
        assert.equal(answer.status, 201, answer.body.toString());
      }
    }
    assert.ok(signedInAll > RACES, `only ${signedInAll} were signed`);
    const log = checkLog(await vaults.log());
    assert.equal(leavesIn(log, "unfrozen").length, RACES);
  });

  it("`log verify` passes on all of it", async () => assertVerifies(connections[0]!));
});
