import assert from "node:assert/strict";
import { GatewayError } from "../../../src/domain/errors.ts";
import { UnpaidRequests } from "../../../src/vault/unpaid.ts";
import { hsmInSoftware, type SoftwareHsm } from "../../support/software-hsm.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../support/vault.ts";
import type { Answer } from "../../../src/vault/api/routes.ts";
import { refusal } from "../chains/evm/refusal.ts";

// Goal: no caller fills the disk with requests that are denied; what is authorized, and other callers, feel nothing.

const DENIED = transferBody(9_999_999);

describe("vault/unpaid", () => {
  let vault: TestVault;
  let hsm: SoftwareHsm;
  beforeEach(async () => {
    hsm = hsmInSoftware();
    vault = await testVault({ hsm, unpaid: { requestsPerMinute: 3, bytesPerMinute: 1_000_000 } });
  });
  afterEach(() => vault.close());

  const post = (body: unknown, caller = "payouts", key = newKey()): Promise<Answer> =>
    vault.call(caller, "POST", REQUESTS, body, key);
  const leaves = async () => (await vault.store.read((reader) => reader.leaves(0, 10_000))).length;
  const deny = async (times: number, caller = "payouts") => {
    for (let n = 0; n < times; n++) assert.equal((await post(DENIED, caller)).status, 403);
  };

  it("over the bound: 429 with a time to wait, and neither a row nor a leaf", async () => {
    await deny(3);
    const before = await leaves();
    const key = newKey();
    for (let n = 0; n < 5; n++) {
      const { status, body, headers } = await post(DENIED, "payouts", key);
      assert.deepEqual([status, (body as { code: string }).code], [429, "too-many-denied"]);
      assert.equal(headers?.["retry-after"], "60");
    }
    assert.equal(await leaves(), before);
    const { body } = await vault.call("payouts", "GET", REQUESTS);
    assert.equal((body as { requests: unknown[] }).requests.length, 3);
  });

  it("an old answer is given again, and another caller is answered", async () => {
    const key = newKey();
    const first = await post(DENIED, "payouts", key);
    await deny(2);
    assert.deepEqual(await post(DENIED, "payouts", key), first);
    await deny(1, "trading");
  });

  it("what is authorized counts for nothing", async () => {
    for (let n = 0; n < 10; n++) assert.equal((await post(transferBody(1))).status, 201);
    await deny(3);
    assert.equal((await post(transferBody(1))).status, 429, "nobody knows beforehand what a decision will be");
  });

  it("a request that is repeated while its token is away counts for nothing, so that others are taken at once when it is back", async () => {
    const key = newKey();
    hsm.fault = () => Promise.reject(new GatewayError("hsm-unavailable", "the token is away"));
    for (let n = 0; n < 20; n++) assert.equal((await post(transferBody(1), "payouts", key)).status, 202);
    hsm.fault = undefined;
    assert.equal((await post(transferBody(2))).status, 201);
  });

  it("a request that waits for people may be asked for as often as its caller likes", async () => {
    const rules = [{ ...acmePolicy.rules[0], approvals: { desk: "1", expireAfter: "1h" } }];
    await vault.apply("acme", {
      ...acmePolicy,
      version: "2",
      callers: vault.clientCallers,
      groups: { desk: ["alice"] },
      rules,
    });
    const key = newKey();
    for (let n = 0; n < 20; n++) assert.equal((await post(transferBody(1), "payouts", key)).status, 202);
    assert.equal((await post(transferBody(1), "payouts")).status, 202);
    await post(transferBody(1), "payouts");
    assert.equal((await post(transferBody(1), "payouts")).status, 429);
  });

  it("a proven caller that is refused leaves sixty leaves a minute at most", async () => {
    const before = await leaves();
    for (let n = 0; n < 200; n++)
      assert.equal((await vault.call("lender", "POST", REQUESTS, transferBody(1), newKey())).status, 403);
    assert.equal((await leaves()) - before, 60);
  });

  it("a minute after the first it begins anew, wherever the wall clock stands; bytes count too", () => {
    const first = 59_000;
    let now = first;
    const unpaid = new UnpaidRequests({ requestsPerMinute: 2, bytesPerMinute: 100 }, () => now);
    const full = () =>
      assert.equal(
        refusal(() => unpaid.requireRoom("a")),
        "too-many-denied",
      );
    unpaid.count("a", 100);
    full();
    unpaid.requireRoom("b");
    now = first + 59_999;
    full();
    now = first + 60_000;
    unpaid.requireRoom("a");
    unpaid.count("a", 1);
    now = first + 61_500;
    unpaid.requireRoom("a");
    unpaid.count("a", 1);
    full();
  });
});
