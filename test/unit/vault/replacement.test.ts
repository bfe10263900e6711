// Goal: a stuck transaction can be sent again at another price, or cancelled, and nothing else takes its nonce; it reserves
// only what it adds, after a crash, a recount and for the checker too (I5, I12).
// Method: the router, the real store; ethers says what was signed; `log verify` over the export.
import assert from "node:assert/strict";
import { Transaction } from "ethers";
import fc from "fast-check";
import type { SigningRequestView } from "../../../src/domain/api.ts";
import { GatewayError } from "../../../src/domain/errors.ts";
import { checkpointsOf, exported, verified } from "../../support/exported-log.ts";
import { hsmInSoftware, type SoftwareHsm } from "../../support/software-hsm.ts";
import {
  ADDRESSES,
  acmePolicy,
  newKey,
  REQUESTS,
  testVault,
  transferBody,
  type TestVault,
} from "../../support/vault.ts";

const limits = { daily: { sum: "ETH", max: "100", window: { rolling: "24h" } } };
const rules = [...acmePolicy.rules, { id: "own", allow: ["transfer"], to: ["own"], amount: { ETH: "any" } }];
const DAY_MS = 24 * 60 * 60 * 1000;

type View = SigningRequestView & { code?: string; reason?: string };
type Fields = Readonly<Record<string, unknown>>;

describe("vault/replacement", () => {
  let vault: TestVault;
  let hsm: SoftwareHsm;
  beforeEach(async () => {
    hsm = hsmInSoftware();
    vault = await testVault({ hsm, policy: { limits, rules } });
  });
  afterEach(() => vault.close());

  const post = async (value: number, fields: Fields = {}, replaces?: string, key = newKey()) => {
    const body = { ...transferBody(value, fields), ...(replaces === undefined ? {} : { replaces }) };
    const answer = await vault.call("payouts", "POST", REQUESTS, body, key);
    return { status: answer.status, body: answer.body as View, key };
  };
  const signed = async (...of: Parameters<typeof post>) => {
    const { status, body } = await post(...of);
    assert.equal(status, 201, JSON.stringify(body));
    return body;
  };
  const refused = async (code: string, ...of: Parameters<typeof post>) => {
    const { body } = await post(...of);
    assert.equal(body.code === "denied-by-policy" ? body.reason : body.code, code);
  };
  const priced = (maxFeePerGas: number): Fields => ({ maxFeePerGas: String(maxFeePerGas) });
  const transactionOf = ({ result }: View) => Transaction.from(result!.signedTransaction);
  const spent = async () => {
    const { body } = await vault.call("payouts", "POST", "/v1/clients/acme/evaluations", transferBody(1));
    return Number((body as { decision: { limits: { spent: string }[] } }).decision.limits[0]!.spent);
  };
  const own = () => vault.key.accounts[0]!.split(":")[2]!;
  const cancelling = (maxFeePerGas: number): Fields => ({ ...priced(maxFeePerGas), to: own() });
  const assertVerifies = async () => {
    await (await checkpointsOf(vault)).round();
    const report = verified(await exported(vault));
    assert.deepEqual(report.findings, []);
    return report;
  };

  it("at another price: the same nonce and bytes, and only the price is added", async () => {
    const first = await signed(50);
    assert.equal(await spent(), 51);
    const second = await signed(50, priced(5), first.id);
    assert.equal(second.replaces, first.id);
    assert.equal(await spent(), 55);
    const [before, after] = [first, second].map(transactionOf) as [Transaction, Transaction];
    assert.equal(after.nonce, before.nonce);
    after.maxFeePerGas = before.maxFeePerGas;
    assert.equal(after.unsignedSerialized, before.unsignedSerialized);
    const third = await signed(50, priced(9), second.id);
    assert.equal(await spent(), 59);
    await signed(50, priced(3), third.id);
    assert.equal(await spent(), 59, "a lower price adds nothing, and takes nothing away");
    await assertVerifies();
  });

  it("a cancellation moves nothing, and what it cancels stays counted", async () => {
    const first = await signed(50);
    const second = transactionOf(await signed(0, cancelling(4), first.id));
    assert.deepEqual(
      [second.to, second.value, second.data, second.nonce],
      [own(), 0n, "0x", transactionOf(first).nonce],
    );
    assert.equal(await spent(), 51);
    await assertVerifies();
  });

  it("the cap holds for what is added: up to it, not over it", async () => {
    const first = await signed(90);
    await refused("over-limit", 90, priced(11), first.id);
    const second = await signed(90, priced(10), first.id);
    assert.equal(await spent(), 100);
    await refused("over-limit", 90, priced(11), second.id);
  });

  it("a day later only what is added counts", async () => {
    const first = await signed(90);
    vault.clock.now += DAY_MS + 1;
    await signed(95);
    await signed(90, priced(4), first.id);
    assert.equal(await spent(), 99);
    await assertVerifies();
  });

  it("another payment, or another's transaction, is no replacement", async () => {
    const first = await signed(10);
    await refused("not-replaceable", 11, priced(5), first.id);
    await refused("not-replaceable", 10, { ...priced(5), to: ADDRESSES[1] }, first.id);
    await refused("not-replaceable", 10, { ...priced(5), gas: "2" }, first.id);
    await refused("not-replaceable", 10, { ...priced(5), nonce: "7" }, first.id);
    await refused("not-replaceable", 1, cancelling(5), first.id);
    await refused("not-replaceable", 0, { ...cancelling(5), data: "0x00" }, first.id);
    await refused("not-replaceable", 10, priced(5), "0".repeat(32));
    assert.equal(await spent(), 11);
  });

  it("only the latest can be replaced, and nothing takes the nonce without naming it", async () => {
    const first = await signed(10);
    const nonce = String(transactionOf(first).nonce);
    await refused("conflict", 10, { ...priced(5), nonce });
    const second = await signed(10, priced(5), first.id);
    await refused("not-replaceable", 10, priced(6), first.id);
    await refused("conflict", 10, { ...priced(6), nonce });
    await signed(10, priced(6), second.id);
  });

  it("of two at the same moment one replaces", async () => {
    const first = await signed(10);
    const answers = await Promise.all([5, 6, 7].map((price) => post(10, priced(price), first.id)));
    assert.equal(answers.filter(({ status }) => status === 201).length, 1);
    await assertVerifies();
  });

  it("what is not final is finished first; a replacement that was never made gives the nonce back to what it replaced", async () => {
    const first = await signed(10);
    hsm.fault = () => {
      throw new GatewayError("hsm-unavailable", "away", { facts: { unsigned: true } });
    };
    const { body: second, status } = await post(10, priced(5), first.id);
    assert.deepEqual([status, second.state], [202, "authorized"]);
    hsm.fault = undefined;
    await refused("not-replaceable", 10, priced(6), second.id);
    vault.clock.now += 61_000;
    const { body } = await vault.call("operator", "POST", `${REQUESTS}/${second.id}/settlement`, undefined, newKey());
    assert.equal((body as View).state, "failed");
    assert.equal(await spent(), 11);
    await signed(10, priced(7), first.id);
    assert.equal(await spent(), 17);
    await assertVerifies();
  });

  it("what failed and may have been signed can be replaced, and covers nothing", async () => {
    hsm.fault = () => {
      throw new GatewayError("hsm-unavailable", "away", {});
    };
    const { body: first } = await post(10);
    hsm.fault = undefined;
    vault.clock.now += 61_000;
    await vault.call("operator", "POST", `${REQUESTS}/${first.id}/settlement`, undefined, newKey());
    await signed(10, priced(5), first.id);
    assert.equal(await spent(), 26);
    await assertVerifies();
  });

  it("a recount finds the same sums", async () => {
    const first = await signed(50);
    const second = await signed(50, priced(5), first.id);
    await signed(0, cancelling(9), second.id);
    const before = await spent();
    await vault.apply("acme", { ...acmePolicy, version: "2", limits, rules, callers: vault.clientCallers });
    assert.equal(await spent(), before);
    await assertVerifies();
  });

  it("any sequence of payments, bumps and cancellations is allowed as far as a child's list says, and no further", async function () {
    this.timeout(180_000);
    const step = fc.record({
      kind: fc.constantFrom("pay", "pay", "bump", "bump", "cancel"),
      of: fc.nat(3),
      value: fc.integer({ min: 1, max: 60 }),
      price: fc.integer({ min: 1, max: 40 }),
      laterMs: fc.constantFrom(0, 1_000, DAY_MS / 3, DAY_MS + 1),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 12 }), async (steps) => {
        await vault.close();
        vault = await testVault({ policy: { limits, rules } });
        const counted: { at: number; amount: number }[] = [];
        const families: { latest: string; value: number; cancelled: boolean; reserved: number }[] = [];
        for (const { kind, of, value, price, laterMs } of steps) {
          vault.clock.now += laterMs;
          const now = vault.clock.now;
          const family = kind === "pay" ? undefined : families[of];
          if (kind !== "pay" && (!family || (kind === "bump" && family.cancelled))) continue;
          const moved = kind === "cancel" ? 0 : (family?.value ?? value);
          const added = Math.max(0, moved + price - (family?.reserved ?? 0));
          const inWindow = counted.reduce((sum, { at, amount }) => sum + (at > now - DAY_MS ? amount : 0), 0);
          const fields = kind === "cancel" ? cancelling(price) : priced(price);
          const { status, body } = await post(moved, fields, family?.latest);
          assert.equal(status === 201, added === 0 || inWindow + added <= 100, JSON.stringify([inWindow, added, body]));
          if (status !== 201) continue;
          if (added > 0) counted.push({ at: now, amount: added });
          if (!family) families.push({ latest: body.id, value, cancelled: false, reserved: added });
          else
            Object.assign(family, { latest: body.id, cancelled: kind === "cancel", reserved: family.reserved + added });
        }
        await assertVerifies();
      }),
      { numRuns: process.env["SOAK"] ? 100 : 12 },
    );
  });

  it("the checker tells of a replacement of what has not its nonce", async () => {
    const first = await signed(10);
    await signed(10, priced(5), first.id);
    const other = await signed(10);
    await (await checkpointsOf(vault)).round();
    const forged = (await exported(vault)).map((line) =>
      line.replaceAll(`\\"replaces\\":\\"${first.id}`, `\\"replaces\\":\\"${other.id}`),
    );
    assert.ok(verified(forged).findings.some(({ code }) => code === "replacement"));
  });
});

describe("notAfter", () => {
  let vault: TestVault;
  let hsm: SoftwareHsm;
  beforeEach(async () => {
    hsm = hsmInSoftware();
    vault = await testVault({ hsm, policy: { limits } });
  });
  afterEach(() => vault.close());
  const until = (ms: number) => ({ notAfter: new Date(vault.clock.now + ms).toISOString() });
  const post = async (more: object, key = newKey(), value = 5) => {
    const { status, body } = await vault.call("payouts", "POST", REQUESTS, { ...transferBody(value), ...more }, key);
    return { status, key, body: body as View & { request?: View } };
  };

  it("up to its moment it is signed, after it not, for ever", async () => {
    assert.equal((await post(until(0))).status, 201);
    const late = await post(until(-1));
    assert.deepEqual([late.status, late.body.code, late.body.request?.state], [409, "request-expired", "denied"]);
    assert.deepEqual((await post({ notAfter: late.body.request?.notAfter }, late.key)).body, late.body);
  });

  it("an authorization that was left behind is not taken up again: it fails, and stays counted", async () => {
    hsm.fault = () => {
      throw new GatewayError("hsm-unavailable", "away", {});
    };
    const more = until(10_000);
    const first = await post(more);
    assert.equal(first.body.state, "authorized");
    hsm.fault = undefined;
    vault.clock.now += 10_001;
    const again = await post(more, first.key);
    assert.deepEqual([again.body.code, again.body.request?.state], ["request-expired", "failed"]);
    await (await checkpointsOf(vault)).round();
    assert.deepEqual(verified(await exported(vault)).findings, []);
  });

  it("a signature that comes too late is destroyed", async () => {
    hsm.fault = (_, signature) => {
      vault.clock.now += 10_001;
      return signature;
    };
    const { body } = await post(until(10_000));
    assert.deepEqual([body.code, body.request?.state, body.request?.result], ["request-expired", "failed", undefined]);
  });

  it("a request that waits shows itself as expired, and ends so", async () => {
    const officers = { officers: 1, expireAfter: "24h" };
    const rules = [{ ...acmePolicy.rules[0], approvals: officers }];
    const groups = { officers: ["alice"] };
    await vault.apply("acme", { ...acmePolicy, version: "2", limits, rules, groups, callers: vault.clientCallers });
    const more = until(10_000);
    const first = await post(more);
    assert.deepEqual([first.status, first.body.state], [202, "pending"]);
    vault.clock.now += 10_001;
    const { body } = await vault.call("payouts", "GET", `${REQUESTS}/${first.body.id}`);
    assert.equal((body as View).state, "expired");
    const signed = { text: "x", signature: "y" };
    const late = await vault.call("alice", "POST", `${REQUESTS}/${first.body.id}/approvals`, signed, newKey());
    assert.equal((late.body as View).code, "request-expired");
    assert.equal((await post(more, first.key)).body.code, "request-expired");
  });
});
