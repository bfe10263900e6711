import assert from "node:assert/strict";
import type { ApprovalView, SigningRequestView } from "../../../src/domain/api.ts";
import type { Answer } from "../../../src/vault/api/routes.ts";
import { expireDue } from "../../../src/vault/expiring.ts";
import { checkpointsOf, exported, verified } from "../../support/exported-log.ts";
import { checkLog, logOf } from "../../support/log-check.ts";
import { edPerson, signedBy } from "../../support/people.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../support/vault.ts";

// Goal: what nobody asks for again ends in the log when its time is over, once, and nothing else happens without its caller.
// Method: a real vault whose clock is moved, tended as the process tends itself.

const HOUR = 3_600_000;

describe("requests whose time is over", () => {
  let vault: TestVault;
  const [ann, ben] = [edPerson("ann"), edPerson("ben")];

  const policy = (version: number, expireAfter: string) => ({
    ...acmePolicy,
    version: String(version),
    callers: {
      ...vault.clientCallers,
      ...Object.fromEntries([ann, ben].map(({ name, key }) => [name, { role: "approver", keys: [key] }])),
    },
    groups: { officers: ["ann", "ben"] },
    rules: [
      {
        id: "large",
        allow: ["transfer"],
        to: ["anyone"],
        amount: { ETH: { max: "1000" } },
        approvals: { officers: "2", expireAfter },
      },
    ],
  });
  beforeEach(async () => {
    vault = await testVault();
    await vault.apply("acme", policy(2, "1h"));
  });
  afterEach(() => vault.close());

  const ask = (key = "w-1", fields: object = {}) =>
    vault.call("payouts", "POST", REQUESTS, { ...transferBody(50), ...fields }, key);
  const viewOf = ({ body }: Answer) => body as SigningRequestView;
  const types = async () =>
    checkLog(await logOf(vault.store)).flatMap(({ opening }) => (opening["request"] ? [opening.type] : []));
  const tend = async () => (await expireDue(vault.gateway)).map(({ id, state }) => [id, state]);
  const approve = async (id: string, person: typeof ann) => {
    const view = (await vault.call("alice", "GET", `${REQUESTS}/${id}/approvals`)).body as ApprovalView;
    return vault.call("alice", "POST", `${REQUESTS}/${id}/approvals`, signedBy(person, view), newKey());
  };

  it("a leaf is written at that moment and not before, once, whoever of two vaults is first", async () => {
    const { id } = viewOf(await ask());
    const other = await vault.restarted();
    vault.clock.now += HOUR - 1;
    assert.deepEqual(await tend(), []);
    vault.clock.now += 1;
    const both = await Promise.all([expireDue(vault.gateway), expireDue(other)]);
    assert.deepEqual(
      both.flat().map((row) => [row.id, row.state]),
      [[id, "expired"]],
    );
    assert.deepEqual([await tend(), await types()], [[], ["pending", "expired"]]);
    const { status, body } = await ask();
    assert.deepEqual([status, (body as { request: SigningRequestView }).request.state], [403, "expired"]);
    assert.deepEqual(await types(), ["pending", "expired"]);
    await (await checkpointsOf(vault)).round();
    assert.deepEqual(verified(await exported(vault)).findings, []);
  });

  it("with all approvals in, too: it was ready, and nobody asked", async () => {
    const { id } = viewOf(await ask());
    await approve(id, ann);
    await approve(id, ben);
    vault.clock.now += HOUR;
    assert.deepEqual(await tend(), [[id, "expired"]]);
    assert.deepEqual(await types(), ["pending", "approved", "approved", "expired"]);
  });

  it("the caller's own `notAfter` counts as well", async () => {
    const { id } = viewOf(await ask("w-1", { notAfter: new Date(vault.clock.now + 60_000).toISOString() }));
    vault.clock.now += 60_000;
    assert.deepEqual(await tend(), []);
    vault.clock.now += 1;
    assert.deepEqual(await tend(), [[id, "expired"]]);
  });

  it("a vault that starts anew knows what waits", async () => {
    const { id } = viewOf(await ask());
    await vault.restarted();
    vault.clock.now += HOUR;
    assert.deepEqual(
      (await expireDue(await vault.restarted())).map((row) => row.id),
      [id],
    );
  });

  it("a policy that gives more time: it goes on waiting, and its caller may go on", async () => {
    const { id } = viewOf(await ask());
    await vault.apply("acme", policy(3, "3h"));
    vault.clock.now += HOUR;
    assert.deepEqual(await tend(), []);
    await approve(id, ann);
    await approve(id, ben);
    assert.equal(viewOf(await ask()).state, "signed");
    assert.deepEqual(await tend(), []);
  });

  it("what is signed, rejected or taken back is left alone", async () => {
    const { id } = viewOf(await ask());
    await vault.call("payouts", "POST", `${REQUESTS}/${id}/cancellation`, undefined, newKey());
    const second = viewOf(await ask("w-2"));
    await approve(second.id, ann);
    await approve(second.id, ben);
    await ask("w-2");
    const before = await types();
    vault.clock.now += 2 * HOUR;
    assert.deepEqual(await tend(), []);
    assert.deepEqual(await types(), before);
  });
});
