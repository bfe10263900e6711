import assert from "node:assert/strict";
import type { FreezeView } from "../../../src/domain/freeze.ts";
import { checkpointsOf, exported, verified } from "../../support/exported-log.ts";
import { signedBy, unfreezing } from "../../support/officers.ts";
import {
  accountOf,
  acmePolicy,
  ADDRESSES,
  GATEWAY,
  newKey,
  REQUESTS,
  testVault,
  transferBody,
  type TestVault,
} from "../../support/vault.ts";

// Goal: a key that was used elsewhere freezes its client where the policy says so, by the same commit that says it, once
// for each use; nothing that an observer says makes anything looser.
// Method: the router and the real store; `log verify` over what was written, and over a log whose freeze is another.

const HASH = `0x${"ab".repeat(32)}`;

describe("vault/signed-outside", () => {
  let vault: TestVault;
  const start = async (policy: object = {}) => void (vault = await testVault({ policy: { ...acmePolicy, ...policy } }));
  afterEach(() => vault.close());

  const use = (change: object = {}) => ({ account: vault.key.accounts[0]!, first: "5", last: "5", ...change });
  const report = async (one: object = use(), who = "watcher") => {
    const body = { what: "signed-outside", use: one };
    const answer = await vault.call(who, "POST", "/v1/clients/acme/observations", body, newKey());
    return { status: answer.status, body: answer.body as { isFrozen?: boolean; code?: string } };
  };
  const isFrozen = async (one?: object) => (await report(one)).body.isFrozen;
  const freezes = async () =>
    ((await vault.call("inspector", "GET", "/v1/clients/acme/freeze")).body as { freezes: FreezeView[] }).freezes;
  const pay = async () => (await vault.call("payouts", "POST", REQUESTS, transferBody(1), newKey())).body as object;
  const unfreeze = async () => {
    const text = unfreezing(GATEWAY, "acme", (await freezes())[0]!);
    const body = { signatures: ["officer", "deputy"].map((name) => signedBy(vault.callers.get(name)!, text)) };
    const { status } = await vault.call("officer", "POST", "/v1/clients/acme/unfreeze", body, newKey());
    assert.equal(status, 200);
  };
  const lines = async () => {
    await (await checkpointsOf(vault)).round();
    return exported(vault);
  };

  it("where the policy says nothing it is a leaf and no more", async () => {
    await start();
    assert.equal(await isFrozen(), false);
    assert.deepEqual(await freezes(), []);
    assert.deepEqual(verified(await lines()).findings, []);
  });

  it("where the policy says so the client is frozen, by the observer who told it, and signs nothing", async () => {
    await start({ signedOutside: "freeze" });
    assert.equal(await isFrozen(), true);
    const [freeze] = await freezes();
    assert.deepEqual([freeze?.target, freeze?.by], ["client", "watcher"]);
    assert.match(freeze?.reason ?? "", /^signed outside/);
    assert.equal(((await pay()) as { code: string }).code, "client-frozen");
    assert.deepEqual(verified(await lines()).findings, []);
  });

  it("once for each use: what officers have looked at is no second freeze, a later use is one", async () => {
    await start({ signedOutside: "freeze" });
    await report();
    await unfreeze();
    assert.deepEqual([await isFrozen(), await isFrozen(use({ transaction: HASH }))], [false, false]);
    assert.equal(await isFrozen(use({ first: "6", last: "8" })), true);
    await unfreeze();
    assert.deepEqual(verified(await lines()).findings, []);
  });

  it("what is no use of this client's keys is refused, and freezes nothing", async () => {
    await start({ signedOutside: "freeze" });
    const codes = [
      await report(use({ account: accountOf(ADDRESSES[0]!) })),
      await report(use({ last: "4" })),
      await report(use({ last: "6", transaction: HASH })),
      await report(use(), "payouts"),
    ].map(({ body }) => body.code);
    assert.deepEqual(codes, ["foreign-account", "invalid-parameter", "invalid-parameter", "not-permitted"]);
    assert.deepEqual(await freezes(), []);
  });

  it("a log in which that freeze is another, or missing at the end, is found", async () => {
    await start({ signedOutside: "freeze" });
    await report();
    const all = await lines();
    const codes = (of: readonly string[]) => Object.keys(verified(of).found);
    const other = all.map((line) => line.replace(/target\\":\\"client/, 'target\\":\\"key hot-1'));
    assert.ok(codes(other).includes("outside-not-frozen"), String(codes(other)));
    const last = all.findIndex((line) => line.includes('type\\":\\"frozen'));
    const cut = all.slice(0, last);
    assert.ok(codes(cut).includes("outside-not-frozen"), String(codes(cut)));
  });
});
