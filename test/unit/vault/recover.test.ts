// Goal: a request left between its authorization and its outcome can be found and ended; its spend comes back only where
// the log shows that no attempt made a signature, and an independent check of the log agrees (I4, I5, I7, I9).
// Method: the router, the real store, a token that fails on demand in either way; `log verify` over the export.
import assert from "node:assert/strict";
import { GatewayError } from "../../../src/domain/errors.ts";
import type { SigningRequestView } from "../../../src/domain/api.ts";
import type { ClientId } from "../../../src/domain/names.ts";
import { route } from "../../../src/vault/api/router.ts";
import { GatewayClient } from "../../../src/sdk/client.ts";
import { checkpointsOf, exported, verified } from "../../support/exported-log.ts";
import { checkLog, leavesOf, logOf } from "../../support/log-check.ts";
import { hsmInSoftware, type SoftwareHsm } from "../../support/software-hsm.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../../support/vault.ts";

const CAP = 100;
const MINUTE_MS = 60_000;
const limits = { daily: { sum: "ETH", max: String(CAP), window: { rolling: "24h" } } };

type View = SigningRequestView & { code?: string; spend?: string; request?: SigningRequestView };

describe("recovery", () => {
  let vault: TestVault;
  let hsm: SoftwareHsm;

  beforeEach(async () => {
    hsm = hsmInSoftware();
    vault = await testVault({ hsm, policy: { limits } });
  });
  afterEach(() => vault.close());

  const away = (facts: object) => () => {
    throw new GatewayError("hsm-unavailable", "the token is away", { facts: { ...facts } });
  };
  const neverSigned = away({ unsigned: true });
  const maybeSigned = away({});

  const post = async (value: number, key = newKey(), fields = {}) => {
    const { status, body } = await vault.call("payouts", "POST", REQUESTS, transferBody(value, fields), key);
    return { status, key, body: body as View };
  };
  const settle = async (id: string, caller = "operator", key = newKey()) => {
    const { status, body } = await vault.call(caller, "POST", `${REQUESTS}/${id}/settlement`, undefined, key);
    return { status, body: body as View };
  };
  const get = async (id: string) => (await vault.call("operator", "GET", `${REQUESTS}/${id}`)).body as View;
  const types = async (id: string) =>
    checkLog(await logOf(vault.store))
      .filter(({ opening }) => opening["request"] === id)
      .map(({ opening }) => opening.type);
  const nonceOf = ({ intent }: View) => (intent as { claims: { nonce: string }[] }).claims[0]!.nonce;

  /** Left as authorized after these attempts, and older than a minute. */
  async function left(value: number, attempts: readonly SoftwareHsm["fault"][], fields = {}) {
    const key = newKey();
    for (const fault of attempts) {
      hsm.fault = fault;
      const { status, body } = await post(value, key, fields);
      assert.deepEqual([status, body.state], [202, "authorized"]);
    }
    hsm.fault = undefined;
    vault.clock.now += MINUTE_MS + 1;
    const listed = (await vault.call("operator", "GET", `${REQUESTS}?state=authorized`)).body as { requests: View[] };
    return { idempotencyKey: key, ...listed.requests[0]! };
  }

  async function assertVerifies(): Promise<void> {
    await (await checkpointsOf(vault)).round();
    const report = verified(await exported(vault));
    assert.deepEqual(report.findings, []);
    assert.ok(report.limitsHeld > 0);
  }

  it("an authorization that is signed at once costs one leaf for each step, and counts one attempt", async () => {
    const { body } = await post(5);
    assert.deepEqual(await types(body.id), ["authorized", "signed"]);
    assert.equal(body.authorization, undefined);
  });

  it("each attempt that fails without a signature is in the log, and so is that it made none", async () => {
    const request = await left(5, [neverSigned, maybeSigned, neverSigned]);
    assert.deepEqual(await types(request.id), ["authorized", "unsigned", "attempted", "attempted", "unsigned"]);
    const { attempts, unsigned, settling } = request.authorization!;
    assert.deepEqual([attempts, unsigned, settling], [3, 2, "counted"]);
    const leaves = checkLog(await logOf(vault.store));
    assert.deepEqual(
      leavesOf(leaves, "unsigned").map(({ opening }) => [opening["attempt"], opening["code"]]),
      [
        [1, "hsm-unavailable"],
        [3, "hsm-unavailable"],
      ],
    );
    await assertVerifies();
  });

  it("settled after attempts that all made no signature, it gives back spend and nonce", async () => {
    const first = await post(10);
    const request = await left(80, [neverSigned, neverSigned]);
    assert.equal(request.authorization!.settling, "given-back");
    assert.equal((await post(20)).status, 403, "until then the spend is counted");
    const { status, body } = await settle(request.id);
    assert.deepEqual([status, body.state, body.problem?.["spend"]], [200, "failed", "given-back"]);
    const next = await post(80);
    assert.equal(next.status, 201, JSON.stringify(next.body));
    assert.deepEqual([nonceOf(first.body), nonceOf(next.body)], ["0", nonceOf(request)]);
    assert.equal((await post(20)).status, 403, "and what came after it is");
    await assertVerifies();
  });

  it("settled with an attempt of unknown outcome, it leaves spend and nonce taken", async () => {
    const request = await left(80, [neverSigned, maybeSigned]);
    const { body } = await settle(request.id);
    assert.deepEqual([body.state, body.problem?.["spend"]], ["failed", "counted"]);
    assert.equal((await post(20)).status, 403);
    const next = await post(5);
    assert.equal(BigInt(nonceOf(next.body)), BigInt(nonceOf(request)) + 1n);
    await assertVerifies();
  });

  it("decided again it is another attempt, and those before it are not forgotten", async () => {
    const { idempotencyKey, ...request } = await left(80, [maybeSigned]);
    hsm.fault = neverSigned;
    assert.equal((await post(80, idempotencyKey)).status, 202);
    assert.deepEqual(await types(request.id), ["authorized", "authorized", "unsigned"]);
    vault.clock.now += MINUTE_MS + 1;
    const { body } = await settle(request.id);
    assert.equal(body.problem?.["spend"], "counted");
    await assertVerifies();
  });

  it("what is settled is final: its caller gets one answer for ever, and nothing is signed", async () => {
    const { idempotencyKey, id } = await left(80, [neverSigned]);
    const settled = await settle(id);
    const [again, repeated] = [await post(80, idempotencyKey), await post(80, idempotencyKey)];
    assert.deepEqual([again.status, again.body.code], [409, "settled"]);
    assert.deepEqual(repeated.body, again.body);
    const before = await types(id);
    assert.deepEqual((await settle(id)).body, settled.body);
    assert.deepEqual(await types(id), before);
  });

  it("a gap that it leaves is closed by the next request, and the count goes on behind those after it", async () => {
    const gap = await left(1, [neverSigned]);
    const later = [await post(1), await post(1)];
    assert.deepEqual(
      later.map(({ body }) => nonceOf(body)),
      ["1", "2"],
    );
    await settle(gap.id);
    const nonces = [];
    for (let n = 0; n < 3; n++) nonces.push(nonceOf((await post(1)).body));
    assert.deepEqual(nonces, ["0", "3", "4"]);
    const [account] = vault.key.accounts;
    assert.equal(await vault.store.read((reader) => reader.nextNonce(account!)), 5n);
    await assertVerifies();
  });

  it("a policy that is applied later does not count what was given back", async () => {
    for (const attempt of [neverSigned, maybeSigned]) await settle((await left(40, [attempt])).id);
    await vault.apply("acme", { ...acmePolicy, callers: vault.clientCallers, version: "2", limits });
    const answer = await vault.call("payouts", "POST", "/v1/clients/acme/evaluations", transferBody(1));
    const { decision } = answer.body as { decision: { limits: { spent: string }[] } };
    assert.equal(decision.limits[0]!.spent, "41");
    assert.equal((await post(58)).status, 201);
    assert.equal((await post(1)).status, 403);
    await assertVerifies();
  });

  for (const [what, prepare] of [
    ["is younger than a minute", async () => ((hsm.fault = neverSigned), (await post(5)).body)],
    [
      "waits for people or time",
      async () => {
        const rules = [{ ...acmePolicy.rules[0], delay: "1h" }];
        await vault.apply("acme", { ...acmePolicy, callers: vault.clientCallers, version: "2", rules });
        return (await post(5)).body;
      },
    ],
  ] as readonly (readonly [string, () => Promise<View>])[]) {
    it(`one that ${what} is not settled`, async () => {
      const { id } = await prepare();
      const before = await types(id);
      const { status, body } = await settle(id);
      assert.deepEqual([status, body.code], [409, "request-in-progress"]);
      assert.deepEqual(await types(id), before);
    });
  }

  it("one whose attempt is under way in this vault is not settled", async () => {
    let signatureReady!: (signature: Buffer) => void;
    const began = new Promise<void>((begin) => {
      hsm.fault = (_, signature) => new Promise((resolve) => ((signatureReady = () => resolve(signature)), begin()));
    });
    const posted = post(5);
    await began;
    vault.clock.now += MINUTE_MS + 1;
    const [row] = await vault.store.read((reader) => reader.requests("acme" as ClientId, { limit: 1 }));
    assert.equal((await settle(row!.id)).body.code, "request-in-progress");
    signatureReady(Buffer.alloc(0));
    assert.equal((await posted).status, 201);
    assert.equal((await settle(row!.id)).body.state, "signed");
  });

  it("a signature that another vault makes after it was settled is destroyed (I7)", async () => {
    let release!: () => void;
    const released = new Promise<void>((resolve) => (release = resolve));
    let begin!: () => void;
    const began = new Promise<void>((resolve) => (begin = resolve));
    hsm.fault = async (_, signature) => {
      begin();
      await released;
      return signature;
    };
    const posted = post(80);
    await began;
    vault.clock.now += MINUTE_MS + 1;
    const other = await vault.restarted(); // its own attempts: it knows nothing of this one
    const [row] = await vault.store.read((reader) => reader.requests("acme" as ClientId, { limit: 1 }));
    const target = `${REQUESTS}/${row!.id}/settlement`;
    const { headers } = new GatewayClient(vault.callers.get("operator")!).signRequest(
      "POST",
      target,
      Buffer.alloc(0),
      newKey(),
    );
    const settled = await route(other, { method: "POST", target, headers, body: Buffer.alloc(0) });
    assert.equal((settled.body as View).problem?.["spend"], "counted");
    release();
    const { status, body } = await posted;
    assert.deepEqual([status, body.code], [409, "settled"]);
    assert.equal(JSON.stringify(body).includes("signedTransaction"), false);
    assert.deepEqual(await types(row!.id), ["authorized", "failed"]);
    hsm.fault = undefined;
    assert.equal((await post(20)).status, 403, "its spend stays counted");
    await assertVerifies();
  });

  it("where it cannot be written that no signature was made, the outcome stays unknown", async () => {
    const write = vault.store.write.bind(vault.store);
    hsm.fault = () => {
      vault.store.write = () => Promise.reject(new GatewayError("store-unavailable", "the disk is full"));
      return neverSigned();
    };
    const key = newKey();
    const { status } = await post(5, key);
    vault.store.write = write;
    assert.equal(status, 202);
    hsm.fault = undefined;
    const again = await post(5, key);
    assert.equal(again.status, 201);
    assert.deepEqual(await types(again.body.id), ["authorized", "attempted", "signed"]);
  });

  it("attempts that follow each other without a pause are bounded; after one the request goes on", async () => {
    hsm.fault = neverSigned;
    const key = newKey();
    const { body } = await post(5, key);
    const attempts = async () => (await get(body.id)).authorization!.attempts;
    for (let n = 0; n < 20; n++) assert.equal((await post(5, key)).status, 202);
    assert.equal(await attempts(), 5);
    vault.clock.now += 1_000;
    for (let n = 0; n < 3; n++) assert.equal((await post(5, key)).status, 202);
    assert.equal(await attempts(), 6);
    hsm.fault = undefined;
    assert.equal((await post(5, key)).status, 202);
    vault.clock.now += 1_000;
    assert.equal((await post(5, key)).status, 201);
    await assertVerifies();
  });

  for (const caller of ["payouts", "alice", "officer", "inspector", "checker"]) {
    it(`${caller} settles nothing`, async () => {
      const { id } = await left(5, [neverSigned]);
      assert.equal((await settle(id, caller)).body.code, "not-permitted");
    });
  }

  it("a request of nobody, and a body, are refused", async () => {
    assert.equal((await settle("nothing")).status, 404);
    const { id } = await left(5, [neverSigned]);
    const answer = await vault.call("operator", "POST", `${REQUESTS}/${id}/settlement`, { force: true }, newKey());
    assert.equal(answer.status, 400);
  });

  it("a key that is gone meanwhile does not keep its requests from being settled", async () => {
    const { id } = await left(5, [neverSigned]);
    await vault.call("operator", "POST", "/v1/clients/acme/keys/hot-1/state", { state: "disabled" }, newKey());
    assert.equal((await settle(id)).body.state, "failed");
  });

  describe("an export that lies about it", () => {
    /** Codes of what is found in the export when the first leaf of that type says something else, or is gone. */
    async function found(type: string, change?: (opening: Record<string, unknown>) => void): Promise<string[]> {
      await (await checkpointsOf(vault)).round();
      const lines = await exported(vault);
      const openingOf = (line: string): Record<string, unknown> | undefined => {
        const { leaf } = JSON.parse(line) as { leaf?: { opening: string } };
        return leaf && (JSON.parse(leaf.opening) as Record<string, unknown>);
      };
      const n = lines.findIndex((line) => openingOf(line)?.["type"] === type);
      const opening = openingOf(lines[n]!)!;
      change?.(opening);
      const { leaf } = JSON.parse(lines[n]!) as { leaf: object };
      const lie = JSON.stringify({ leaf: { ...leaf, opening: JSON.stringify(opening) } });
      return Object.keys(verified(change ? lines.with(n, lie) : lines.toSpliced(n, 1)).found);
    }

    it("spend given back after an attempt of unknown outcome is named", async () => {
      await settle((await left(80, [neverSigned, maybeSigned])).id);
      const codes = await found("failed", (opening) => (opening["spend"] = "given-back"));
      assert.ok(codes.includes("given-back-unproven"), codes.join());
    });

    it("it is then counted on: what was signed into its place is over the cap", async () => {
      await settle((await left(80, [neverSigned])).id);
      assert.equal((await post(80)).status, 201);
      const codes = await found("unsigned");
      assert.ok(codes.includes("given-back-unproven") && codes.includes("over-cap"), codes.join());
    });

    for (const [what, type, change, code] of [
      ["an attempt that was not made ends", "unsigned", { attempt: 2 }, "attempt-order"],
      ["an attempt ends that has no number", "unsigned", { attempt: "1" }, "attempt-order"],
      ["an attempt of another authorization ends", "unsigned", { authorized: 1_000 }, "not-authorized"],
      ["an attempt of nobody begins", "attempted", { request: "nobody" }, "not-authorized"],
      ["an attempt begins twice", "attempted", { attempt: 1 }, "attempt-order"],
      ["a request fails that nobody authorized", "failed", { request: "nobody" }, "not-authorized"],
      ["spend goes somewhere else", "failed", { spend: "elsewhere" }, "given-back-unproven"],
    ] as const) {
      it(`${what}: named`, async () => {
        await settle((await left(80, [neverSigned, neverSigned])).id);
        const codes = await found(type, (opening) => Object.assign(opening, change));
        assert.ok(codes.includes(code), codes.join());
      });
    }

    it("a signature after every attempt made none is named", async () => {
      const key = newKey();
      hsm.fault = neverSigned;
      await post(5, key);
      hsm.fault = undefined;
      assert.equal((await post(5, key)).status, 201);
      const codes = await found("attempted");
      assert.ok(codes.includes("signed-unsigned"), codes.join());
    });
  });
});
