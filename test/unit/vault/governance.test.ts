import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { OFFICER_NAMESPACE } from "../../../src/domain/approval.ts";
import { policySigningText, type PolicyBody } from "../../../src/domain/api.ts";
import { cancellationSigningText } from "../../../src/domain/governance.ts";
import type { CallerName, ClientId } from "../../../src/domain/names.ts";
import { compilers } from "../../../src/vault/compilers.ts";
import type { Gateway } from "../../../src/vault/gateway.ts";
import { changePolicy } from "../../../src/vault/policies.ts";
import { activateDue } from "../../../src/vault/scheduled-policies.ts";
import { checkpointsOf, exported, verified } from "../../support/exported-log.ts";
import { checkLog, logOf } from "../../support/log-check.ts";
import { signedBy } from "../../support/officers.ts";
import { edPerson, securityKeyPerson, sshPerson, type Person } from "../../support/people.ts";
import { acmePolicy, filesFor, GATEWAY, housePolicy, newKey, testVault, type TestVault } from "../../support/vault.ts";

// Goal: what is not proven to be only tightening waits, any officer ends it, and nobody becomes an officer but by the
// officers' quorum that stands (I15).
// Method: a vault with two of three officers and a delay of two hours; its log is verified after every test.

const HOUR = 3_600_000;
const ACME = "acme" as ClientId;
const LOOSER = { fee: { ETH: { max: "2000" } } };
const TIGHTER = { fee: { ETH: { max: "500" } } };

describe("governance", () => {
  let vault: TestVault;
  let version: number;
  let houseVersion: number;
  const third: Person = edPerson("third");

  const client = (changes: object = {}) => ({
    ...acmePolicy,
    callers: vault.clientCallers,
    version: String(++version),
    ...changes,
  });
  const house = (changes: object = {}) => ({
    ...housePolicy,
    use: ["assets.yaml"],
    policyQuorum: "2",
    policyDelay: "2h",
    callers: { ...vault.houseCallers, third: { role: "policy-officer", keys: [third.key] } },
    version: String(++houseVersion),
    ...changes,
  });
  const change = async (of: string, document: object, officers = ["officer", "deputy"]) => {
    const body = await vault.signedPolicy(of, document, officers);
    const { store, directory } = vault.gateway;
    return changePolicy({ store, directory, origin: GATEWAY }, of as ClientId, body, "officer" as CallerName);
  };
  const due = ({ store, directory }: Gateway = vault.gateway) => activateDue({ store, directory, origin: GATEWAY });
  const active = async (of = "acme") => (await vault.store.read((reader) => reader.policy(of as ClientId)))!.version;
  const refusedAs = (attempt: Promise<unknown>, code: string) =>
    assert.rejects(attempt, (error: unknown) => {
      assert.equal((error as { code?: string }).code, code, String(error));
      return true;
    });
  const lastOf = async (type: string) =>
    checkLog(await logOf(vault.store)).findLast(({ opening }) => opening.type === type)?.opening;
  const cancel = async (person: string, of = "acme") => {
    const waiting = (await vault.store.read((reader) => reader.scheduledPolicy(of as ClientId)))!;
    const { version, hash } = waiting;
    const text = cancellationSigningText({ origin: GATEWAY, client: of, version, hash });
    const body = { policy: hash, signature: signedBy(vault.callers.get(person)!, text) };
    return vault.call(person, "POST", `/v1/clients/${of}/policy/cancellation`, body, newKey());
  };

  beforeEach(async () => {
    vault = await testVault();
    [version, houseVersion] = [1, 1];
    await change("house", house(), ["officer"]); // a delay, a quorum: only tighter, but for a new officer
  });
  afterEach(async () => {
    await (await checkpointsOf(vault)).round();
    const { findings } = verified(await exported(vault));
    await vault.close();
    assert.deepEqual(findings, []);
  });

  it("a looser policy waits; the old one decides until its time has come, and not a millisecond less", async () => {
    const scheduled = await change("acme", client(LOOSER));
    assert.ok("scheduled" in scheduled);
    assert.equal(scheduled.scheduled.activeAt, vault.clock.now + 2 * HOUR);
    vault.clock.now += 2 * HOUR - 1;
    assert.deepEqual([await due(), await active()], [[], 1]);
    vault.clock.now += 1;
    assert.deepEqual([await due(), await active()], [["acme"], 2]);
    assert.equal(vault.gateway.directory.get(ACME).policy?.version, 2);
    assert.equal((await lastOf("policy-applied"))?.["scheduled"], scheduled.scheduled.leaf);
    assert.deepEqual(await due(), []);
  });

  it("a tighter policy is active at once, and what waited was made for another version", async () => {
    await change("acme", client(LOOSER));
    assert.ok("policy" in (await change("acme", client(TIGHTER))));
    assert.deepEqual((await lastOf("policy-cancelled"))?.["because"], "superseded");
    vault.clock.now += 2 * HOUR;
    assert.deepEqual([await due(), await active()], [[], 3]);
  });

  it("any one officer ends what waits, nobody else does", async () => {
    await change("acme", client(LOOSER));
    assert.equal((await cancel("inspector")).status, 403);
    assert.deepEqual(((await cancel("operator")).body as { code: string }).code, "policy-signatures");
    assert.equal((await cancel("deputy")).status, 200);
    vault.clock.now += 2 * HOUR;
    assert.deepEqual([await due(), await active()], [[], 1]);
    assert.deepEqual((await lastOf("policy-cancelled"))?.["because"], "officer");
  });

  it("one change of a client waits at a time", async () => {
    await change("acme", client(LOOSER));
    await refusedAs(change("acme", client(LOOSER)), "policy-scheduled");
  });

  it("a vault that starts anew while it waits makes it active when its time has come", async () => {
    await change("acme", client(LOOSER));
    const gateway = await vault.restarted();
    vault.clock.now += 2 * HOUR;
    assert.deepEqual([await due(gateway), await active()], [["acme"], 2]);
    await vault.gateway.directory.refreshClient(ACME);
  });

  it("a clock that goes back makes nothing active earlier", async () => {
    await change("acme", client(LOOSER));
    vault.clock.now -= 5 * HOUR;
    await due();
    vault.clock.now += 6 * HOUR;
    assert.deepEqual([await due(), await active()], [[], 1]);
  });

  it("who moves the time in the store moves nothing", async () => {
    await change("acme", client(LOOSER));
    await vault.store.write(async (transaction) => {
      const row = (await transaction.scheduledPolicy(ACME))!;
      await transaction.removeScheduledPolicy(ACME);
      await transaction.putScheduledPolicy({ ...row, activeAt: vault.clock.now });
    });
    await refusedAs(due(), "store-fault");
    assert.equal(await active(), 1);
    await vault.store.write((transaction) => transaction.removeScheduledPolicy(ACME));
    await vault.store.write(async () => undefined);
  });

  it("an officer who left meanwhile counts no more: without the quorum it ends", async () => {
    await change("acme", client(LOOSER));
    const { deputy: _, ...others } = vault.houseCallers as Record<string, object>;
    const callers = { ...others, third: { role: "policy-officer", keys: [third.key] } };
    assert.ok("policy" in (await change("house", house({ callers }))), "one officer less is tighter");
    vault.clock.now += 2 * HOUR;
    await due();
    assert.deepEqual([await active(), (await lastOf("policy-cancelled"))?.["because"]], [1, "policy-signatures"]);
  });

  it("the delay itself is shortened only after the delay", async () => {
    await change("house", house({ policyDelay: "1s" }));
    vault.clock.now += HOUR;
    await due();
    assert.equal(vault.gateway.directory.house.policy.policyDelayMs, 2 * HOUR);
    vault.clock.now += HOUR;
    await due();
    assert.equal(vault.gateway.directory.house.policy.policyDelayMs, 1_000);
  });

  it("new officers are made by the old quorum, and sign nothing before", async () => {
    const fourth = edPerson("fourth");
    const callers = {
      ...vault.houseCallers,
      third: { role: "policy-officer", keys: [third.key] },
      fourth: { role: "policy-officer", keys: [fourth.key] },
    };
    const document = house({ callers });
    const files = filesFor(document);
    const text = await textOf("house", files, compilers.house(files));
    const signatures = [
      { person: "fourth" as CallerName, signature: fourth.sign(text) as string },
      signedBy(vault.callers.get("officer")!, text),
    ] as PolicyBody["signatures"];
    const { store, directory } = vault.gateway;
    const sent = changePolicy(
      { store, directory, origin: GATEWAY },
      "house" as ClientId,
      { ...files, signatures },
      "officer" as CallerName,
    );
    await refusedAs(sent, "policy-signatures");
    assert.ok("scheduled" in (await change("house", document)));
  });

  const textOf = async (of: string, _files: object, compiled: { version: number; hash: string }) =>
    policySigningText({
      origin: GATEWAY,
      client: of,
      version: compiled.version,
      hash: compiled.hash,
      previousHash: (await vault.store.read((reader) => reader.policyHash(of as ClientId)))!,
    });

  describe("officers with SSH keys", () => {
    let folder: string;
    before(() => (folder = mkdtempSync(join(tmpdir(), "portcullis-officers-"))));
    after(() => rmSync(folder, { recursive: true, force: true }));

    it("on hardware sign policies when they are touched, and not otherwise", async () => {
      const [touched, untouched] = [1, 0].map((flags) =>
        securityKeyPerson(`sk-${flags}`, { flags, namespace: OFFICER_NAMESPACE }),
      ) as [Person, Person];
      const callers = {
        ...vault.houseCallers,
        [touched.name]: { role: "policy-officer", keys: [touched.key] },
        [untouched.name]: { role: "policy-officer", keys: [untouched.key] },
      };
      await change("house", house({ callers }));
      vault.clock.now += 2 * HOUR;
      await due();
      const files = filesFor(client(TIGHTER));
      const text = await textOf("acme", files, compilers.client(files));
      const send = ({ name, sign }: Person) =>
        changePolicy(
          { store: vault.store, directory: vault.gateway.directory, origin: GATEWAY },
          ACME,
          {
            ...files,
            signatures: [
              { person: name as CallerName, signature: sign(text) },
              signedBy(vault.callers.get("officer")!, text),
            ] as PolicyBody["signatures"],
          },
          "officer" as CallerName,
        );
      await refusedAs(send(untouched), "policy-signatures");
      assert.ok("policy" in (await send(touched)));
    });

    it("sign policies, in the officers' namespace and no other", async () => {
      const good = sshPerson("sam", mkdtempSync(join(folder, "k-")), { namespace: OFFICER_NAMESPACE });
      const callers = { ...vault.houseCallers, sam: { role: "policy-officer", keys: [good.key] } };
      await change("house", house({ callers }));
      vault.clock.now += 2 * HOUR;
      await due();
      const files = filesFor(client(TIGHTER));
      const text = await textOf("acme", files, compilers.client(files));
      const send = (signature: string) =>
        changePolicy(
          { store: vault.store, directory: vault.gateway.directory, origin: GATEWAY },
          ACME,
          {
            ...files,
            signatures: [
              { person: "sam" as CallerName, signature },
              signedBy(vault.callers.get("officer")!, text),
            ] as PolicyBody["signatures"],
          },
          "officer" as CallerName,
        );
      const wrong = good.sign(text.replace("acme", "beta")) as string;
      await refusedAs(send(wrong), "policy-signatures");
      const approval = execFileSync(
        "ssh-keygen",
        ["-q", "-Y", "sign", "-n", "portcullis-approval-v1", "-f", good.file],
        {
          input: text,
          stdio: ["pipe", "pipe", "ignore"],
        },
      ).toString();
      await refusedAs(send(approval), "wrong-namespace");
      assert.ok("policy" in (await send(good.sign(text) as string)));
    });
  });
});
