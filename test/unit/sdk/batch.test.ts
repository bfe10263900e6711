import assert from "node:assert/strict";
import { GatewayError } from "../../../src/domain/errors.ts";
import { connect, RefusedError, type GatewayClient } from "../../../src/sdk/client.ts";
import { served, type ServedVault } from "../../support/served-vault.ts";
import { hsmInSoftware } from "../../support/software-hsm.ts";
import { newKey, testVault, transferBody, type TestVault } from "../../support/vault.ts";

// Goal: a list of withdrawals is asked for once, in whatever parts, and each has its own outcome, also when a token fails
// in between and when all of it is asked again.
// Method: a real vault behind a real edge; the HSM fails when it is told to.

describe("sdk: batches", () => {
  const hsm = hsmInSoftware();
  let vault: TestVault;
  let gateway: ServedVault;
  let as: (caller: string) => GatewayClient;
  let wallet: GatewayClient;
  before(async () => {
    const rules = [
      { id: "small", allow: ["transfer"], to: ["anyone"], amount: { ETH: { max: "100" } } },
      {
        id: "large",
        allow: ["transfer"],
        to: ["anyone"],
        amount: { ETH: { over: "100", max: "200" } },
        approvals: { people: "1", expireAfter: "24h" },
      },
    ];
    vault = await testVault({ hsm, policy: { rules, groups: { people: ["alice"] } } });
    gateway = await served(vault);
    const answersKey = `ed25519:${Buffer.from(await vault.logToken.publicKey("answers")).toString("base64")}`;
    as = (caller) => connect({ ...vault.callers.get(caller)!, url: gateway.url, answersKey });
    wallet = as("payouts");
  });
  after(async () => {
    await gateway.close();
    await vault.close();
  });

  const told = (items: Awaited<ReturnType<GatewayClient["signBatch"]>>) =>
    items.map(({ status, request, problem }) => `${status} ${problem?.code ?? request?.state}`);

  it("each has its own outcome, in its place, and the same list again has the same", async () => {
    const requests = [transferBody(1), transferBody(300), transferBody(150), { ...transferBody(2), key: "hot-9" }];
    const options = { idempotencyKey: newKey() };
    const items = await wallet.signBatch("acme", requests, options);
    assert.deepEqual(told(items), ["201 signed", "403 denied-by-policy", "202 pending", "404 key-not-found"]);
    assert.deepEqual([items[1]!.request!.state, items[3]!.request], ["denied", undefined]);
    assert.deepEqual(await wallet.signBatch("acme", requests, options), items);
    const others = await wallet.signBatch("acme", requests.slice(1), options);
    assert.deepEqual(told(others), Array(3).fill("422 idempotency-mismatch"));
  });

  it("one whose token fails is asked for again, until it is signed; the others are signed once", async () => {
    let failures = 2;
    const signedBefore = hsm.signed.length;
    hsm.fault = (_digest, signature) => {
      if (failures-- > 0) throw new GatewayError("hsm-unavailable", "the HSM is away");
      return signature;
    };
    try {
      const items = await wallet.signBatch(
        "acme",
        [3, 4, 5].map((value) => transferBody(value)),
        { idempotencyKey: newKey() },
      );
      assert.deepEqual(told(items), ["201 signed", "201 signed", "201 signed"]);
      assert.equal(hsm.signed.length - signedBefore, 5);
    } finally {
      hsm.fault = undefined;
    }
  });

  it("more than one batch takes are several, each under a key of its own", async () => {
    const requests = Array.from({ length: 103 }, () => transferBody(1));
    const options = { idempotencyKey: newKey() };
    const items = await wallet.signBatch("acme", requests, options);
    assert.deepEqual(new Set(told(items)), new Set(["201 signed"]));
    const ids = items.map(({ request }) => request!.id);
    assert.equal(new Set(ids).size, 103);
    assert.deepEqual(
      (await wallet.signBatch("acme", requests, options)).map(({ request }) => request!.id),
      ids,
    );
  });

  it("what is taken as a whole is refused as a whole", () =>
    assert.rejects(as("alice").signBatch("acme", [transferBody(1)], { idempotencyKey: newKey() }), RefusedError));
});
