// Goal: a batch is many requests under one signature: each decided, answered and repeated as if it had come alone, the
// caller's signed bytes kept once for all of them.
// Method: the router, the real store; `log verify` over the export.
import assert from "node:assert/strict";
import type { SigningRequestView } from "../../../../src/domain/api.ts";
import type { Answer } from "../../../../src/vault/api/routes.ts";
import { checkpointsOf, exported, verified } from "../../../support/exported-log.ts";
import { logOf } from "../../../support/log-check.ts";
import { newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../../support/vault.ts";

type Item = { status: number; body: SigningRequestView & { code?: string; request?: SigningRequestView } };
const limits = { daily: { sum: "ETH", max: "100", window: { rolling: "24h" } } };

describe("vault/api/batch", () => {
  let vault: TestVault;
  beforeEach(async () => (vault = await testVault({ policy: { limits } })));
  afterEach(() => vault.close());

  const post = (requests: readonly object[], key = newKey(), caller = "payouts"): Promise<Answer> =>
    vault.call(caller, "POST", `${REQUESTS}/batch`, { requests }, key);
  const answersOf = (answer: Answer): Item[] => {
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    return (answer.body as { answers: Item[] }).answers;
  };
  const nonceOf = ({ body }: Item) => (body.intent as { claims: { nonce: string }[] }).claims[0]!.nonce;

  it("each is decided on its own, in order, and sees those before it", async () => {
    const items = answersOf(
      await post([
        transferBody(30),
        transferBody(80),
        { key: "hot-9", payload: { type: "evm-message", message: "x" } },
        transferBody(30, { to: "0x12" }),
        transferBody(60),
        transferBody(30),
      ]),
    );
    const outcomes = items.map(({ status, body }) => `${status} ${body.code ?? body.state}`);
    assert.deepEqual(outcomes, [
      "201 signed",
      "403 denied-by-policy", // with the first it would be over the cap
      "404 key-not-found",
      "422 invalid-address",
      "201 signed",
      "403 denied-by-policy",
    ]);
    assert.deepEqual([items[0]!, items[4]!].map(nonceOf), ["0", "1"]);
  });

  it("the same batch again is the same requests, whatever of it was answered before", async () => {
    const [key, requests] = [newKey(), [transferBody(1), transferBody(1), transferBody(200)]];
    const first = answersOf(await post(requests, key));
    assert.deepEqual(answersOf(await post(requests, key)), first);
    assert.equal(
      (await logOf(vault.store)).leaves.filter(({ opening }) => opening.includes('"type":"signed"')).length,
      2,
    );
  });

  it("the same key with another batch, or for a single request, is not this batch", async () => {
    const key = newKey();
    answersOf(await post([transferBody(1)], key));
    const [other] = answersOf(await post([transferBody(2)], key));
    assert.deepEqual([other!.status, other!.body.code], [422, "idempotency-mismatch"]);
    assert.equal((await vault.call("payouts", "POST", REQUESTS, transferBody(1), key)).status, 201);
  });

  it("the caller's signed bytes stand in the store once, and the checker finds them behind every leaf", async () => {
    answersOf(await post([transferBody(200), ...Array.from({ length: 20 }, () => transferBody(1))]));
    const kept = await vault.store.read((reader) => reader.requests("acme" as never, { limit: 100 }));
    assert.equal(kept.filter(({ record }) => record.includes('"body":')).length, 1);
    assert.equal(kept.filter(({ record }) => record.includes('"batch":')).length, 20);
    await (await checkpointsOf(vault)).round();
    const lines = await exported(vault);
    const report = verified(lines);
    assert.deepEqual(report.findings, []);
    assert.equal(lines.filter((line) => line.includes('"evidence":{"content-digest"')).length, 21);
    const forged = lines.map((line) => line.replace('\\"gas\\":\\"1\\"', '\\"gas\\":\\"2\\"'));
    assert.equal(verified(forged).found["evidence-invalid"], 21);
  });

  it("an empty batch, and one of 101, is none; an approver may send none", async () => {
    for (const requests of [[], Array.from({ length: 101 }, () => transferBody(1))])
      assert.equal((await post(requests)).status, 400);
    assert.equal((await post([transferBody(1)], newKey(), "alice")).status, 403);
  });
});

describe("filters of signing requests", () => {
  let vault: TestVault;
  before(async () => (vault = await testVault()));
  after(() => vault.close());

  it("by key, caller, reference and time; together they narrow", async () => {
    const at: string[] = [];
    for (const [caller, reference] of [
      ["payouts", "a"],
      ["trading", "b"],
      ["payouts", "b"],
    ] as const) {
      vault.clock.now += 1000;
      at.push(new Date(vault.clock.now).toISOString());
      await vault.call(caller, "POST", REQUESTS, { ...transferBody(1), reference }, newKey());
    }
    const found = async (query: string, caller = "checker") => {
      const { body } = await vault.call(caller, "GET", `${REQUESTS}?${query}`);
      return (body as { requests: SigningRequestView[] }).requests.map(
        ({ caller: by, reference }) => `${by} ${reference}`,
      );
    };
    assert.deepEqual(await found("reference=b"), ["payouts b", "trading b"]);
    assert.deepEqual(await found("reference=b&caller=trading"), ["trading b"]);
    assert.deepEqual(await found("caller=trading", "payouts"), ["payouts b", "payouts a"], "its own, whatever it asks");
    assert.deepEqual(await found("key=hot-9"), []);
    assert.deepEqual(await found(`since=${at[1]}`), ["payouts b", "trading b"]);
    assert.deepEqual(await found(`since=${at[0]}&until=${at[2]}&key=hot-1`), ["trading b", "payouts a"]);
  });

  for (const query of [
    "sort=asc",
    "limit=5&limit=6",
    "since=yesterday",
    "caller=A",
    "state=lost",
    "=",
    "state=&state=",
  ]) {
    it(`\`?${query}\` is refused`, async () => {
      const answer = await vault.call("checker", "GET", `${REQUESTS}?${query}`);
      assert.deepEqual([answer.status, (answer.body as { code: string }).code], [400, "invalid-parameter"]);
    });
  }
});
