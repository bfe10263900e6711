// Goal: a fault that healing can hide within 2 s is seen by no caller; one that it cannot ends in a clear error, costs no
// other token anything, and is over within 5 s of its end. Nothing is signed with a wrong key, no PIN is tried twice.
// Method: a module in C between the adapter and SoftHSM injects each fault while signatures are asked for all the time.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { openHsm } from "../../src/adapters/pkcs11/hsm.ts";
import { verifiesSecp256k1 } from "../../src/adapters/pkcs11/proof.ts";
import type { GatewayError } from "../../src/domain/errors.ts";
import { redeemPermit } from "../../src/vault/permit.ts";
import type { Hsm, KeyRef, Token, TokenRef } from "../../src/vault/ports.ts";
import { type Fault, FaultyHsm } from "../support/faulty-hsm.ts";
import { permitFor } from "../support/pkcs11.ts";
import { SCRATCH_PIN } from "../support/softhsm.ts";

const CLIENTS_AT_ONCE = 6;

describe("a module that goes wrong", () => {
  let faulty: FaultyHsm;
  let hsm: Hsm;
  let ref: TokenRef;
  let token: Token;
  let key: KeyRef;
  let number = 0;

  before(() => (faulty = new FaultyHsm()));
  after(() => faulty.remove());

  const open = () =>
    openHsm({ modulePath: faulty.modulePath, sessionsPerToken: 4, queueLimit: 64, redeem: redeemPermit });

  beforeEach(async () => {
    faulty.clear();
    hsm = await open();
    ref = await hsm.createToken(`acme-${++number}`, SCRATCH_PIN);
    token = await hsm.openToken(ref, SCRATCH_PIN);
    key = (await token.generateKey("hot-1", "secp256k1")).key;
  });
  afterEach(async () => {
    faulty.clear();
    await hsm.close();
  });

  async function signOnce(by: Token = token, with_: KeyRef = key): Promise<void> {
    const digest = randomBytes(32);
    const signature = await by.sign(with_, permitFor(with_, digest));
    assert.ok(verifiesSecp256k1(with_.publicKey, digest, signature), "a signature that does not verify");
  }

  type Load = { readonly signed: number; readonly errors: GatewayError[]; readonly longestMs: number };

  /** Signs all the time, several at once, while `meanwhile` runs. */
  async function underLoad(meanwhile: () => Promise<void>, by = token, with_ = key): Promise<Load> {
    const errors: GatewayError[] = [];
    let [signed, longestMs, running] = [0, 0, true];
    const worker = async () => {
      while (running) {
        const started = performance.now();
        await signOnce(by, with_)
          .then(() => (signed += 1))
          .catch((error: GatewayError) => errors.push(error));
        longestMs = Math.max(longestMs, performance.now() - started);
        await delay(2);
      }
    };
    const workers = Array.from({ length: CLIENTS_AT_ONCE }, worker);
    await delay(30);
    await meanwhile().finally(() => (running = false));
    await Promise.all(workers);
    return { signed, errors, longestMs };
  }

  const times = 3;
  const lostLogin: Fault = { at: "C_SignInit", kind: "loseAllSessions", times: 1 };
  const answer = (at: Fault["at"], ckr: NonNullable<Fault["ckr"]>): Fault => ({ at, kind: "answer", ckr, times });
  const hidden: [string, ...Fault[]][] = [
    ["C_Sign finds its session closed", answer("C_Sign", "CKR_SESSION_CLOSED")],
    ["another operation is active", answer("C_SignInit", "CKR_OPERATION_ACTIVE")],
    ["the device fails in C_Sign", answer("C_Sign", "CKR_DEVICE_ERROR")],
    ["the answer of C_Sign is lost", { ...answer("C_Sign", "CKR_DEVICE_ERROR"), kind: "answerAfterwards" }],
    ["the module answers CKR_GENERAL_ERROR", answer("C_SignInit", "CKR_GENERAL_ERROR")],
    ["a call fails for want of memory", answer("C_SignInit", "CKR_HOST_MEMORY")],
    ["the login is gone", answer("C_SignInit", "CKR_USER_NOT_LOGGED_IN")],
    ["sessions are lost", { at: "C_SignInit", kind: "loseSession", times }],
    ["all sessions are lost, and the login with them", lostLogin],
    ["a key's handle is stale", { at: "C_SignInit", kind: "staleHandle", times }],
    ["the module forgets that it was initialised", { at: "C_SignInit", kind: "uninitialize", times: 1 }],
    ["logging in again fails", lostLogin, answer("C_Login", "CKR_DEVICE_ERROR")],
    ["finding the keys again fails", lostLogin, answer("C_FindObjectsInit", "CKR_DEVICE_ERROR")],
    ["reading their attributes fails", lostLogin, answer("C_GetAttributeValue", "CKR_DEVICE_ERROR")],
    ["no slot shows its token", lostLogin, answer("C_GetTokenInfo", "CKR_TOKEN_NOT_PRESENT")],
  ];
  const faultsSeen = (): number => [...hsm.health()[0]!.signatures.faults.values()].reduce((sum, n) => sum + n, 0);
  for (const [what, ...faults] of hidden) {
    it(`${what}: no caller sees it, the operator does`, async () => {
      const before = faultsSeen();
      const load = await underLoad(async () => {
        for (const fault of faults) faulty.inject(fault);
        await delay(250);
      });
      assert.deepEqual(load.errors, []);
      assert.ok(load.signed >= CLIENTS_AT_ONCE, `${load.signed} signatures`);
      for (const { at } of faults) assert.equal(faulty.strikesLeft(at), 0, `${at} was not struck`);
      assert.equal(hsm.health()[0]!.state, "ready");
      assert.ok(faultsSeen() > before, "it is counted");
    });
  }

  const always = (at: Fault["at"], ckr: NonNullable<Fault["ckr"]>): Fault => ({ at, kind: "answer", ckr });
  const certainty: [string, boolean, ...Fault[]][] = [
    ["no session begins to sign", true, always("C_SignInit", "CKR_GENERAL_ERROR")],
    ["the token is away", true, always("C_SignInit", "CKR_DEVICE_REMOVED")],
    ["C_Sign does not take the data", true, always("C_Sign", "CKR_DATA_LEN_RANGE")],
    ["C_Sign finds nobody logged in", true, always("C_Sign", "CKR_USER_NOT_LOGGED_IN")],
    ["the device fails in C_Sign", false, always("C_Sign", "CKR_DEVICE_ERROR")],
    ["the session is lost in C_Sign", false, always("C_Sign", "CKR_SESSION_CLOSED")],
    ["C_Sign fails for no reason that it names", false, always("C_Sign", "CKR_GENERAL_ERROR")],
    ["the answer of C_Sign is lost", false, { ...always("C_Sign", "CKR_FUNCTION_FAILED"), kind: "answerAfterwards" }],
    [
      "a first try leaves it open and the next is not begun",
      false,
      { ...always("C_Sign", "CKR_SESSION_CLOSED"), times: 1 },
      always("C_OpenSession", "CKR_DEVICE_REMOVED"),
    ],
  ];
  for (const [what, unsigned, ...faults] of certainty) {
    it(`${what}: the error ${unsigned ? "says" : "does not say"} that no signature was made`, async () => {
      await signOnce();
      for (const fault of faults) faulty.inject(fault);
      const error = await signOnce().then(
        () => assert.fail("it signed"),
        (thrown: GatewayError) => thrown,
      );
      assert.equal(error.facts["unsigned"], unsigned ? true : undefined, error.message);
    });
  }

  const AWAY: Fault[] = [
    { at: "C_SignInit", kind: "answer", ckr: "CKR_DEVICE_REMOVED" },
    { at: "C_OpenSession", kind: "answer", ckr: "CKR_DEVICE_REMOVED" },
  ];
  const awayFor = async (ms: number, faults = AWAY) => {
    for (const fault of faults) faulty.inject(fault);
    await delay(ms);
    faulty.clear();
  };

  it("a device away for a second: callers wait, and none is refused", async () => {
    const load = await underLoad(async () => {
      await awayFor(1_000);
      await delay(1_600);
    });
    assert.deepEqual(load.errors, []);
    assert.ok(load.longestMs > 900, `the longest took ${load.longestMs} ms`);
  });

  it("a device away for longer: refused with its CKR code after 2 s, then at once; back within 5 s of its return", async () => {
    for (const fault of AWAY) faulty.inject(fault);
    const refused = { code: "hsm-unavailable", facts: { ...ref, ckr: "CKR_DEVICE_REMOVED", unsigned: true } };
    await assert.rejects(token.sign(key, permitFor(key)), refused);
    const started = performance.now();
    await assert.rejects(token.sign(key, permitFor(key)), refused);
    assert.ok(performance.now() - started < 1_000, "the second refusal waited as the first did");
    const { state, ckr } = hsm.health()[0]!;
    assert.deepEqual([state, ckr], ["unavailable", "CKR_DEVICE_REMOVED"]);
    faulty.clear();
    await backWithin(5_000);
  });

  async function backWithin(ms: number): Promise<void> {
    const deadline = performance.now() + ms;
    while (performance.now() < deadline) {
      if (
        await signOnce().then(
          () => true,
          () => false,
        )
      )
        return;
      await delay(50);
    }
    assert.fail(`not back within ${ms} ms`);
  }

  it("a device that is found again only by C_Initialize is found again", async () => {
    const load = await underLoad(async () => {
      for (const fault of AWAY) faulty.inject({ ...fault, untilInitialize: true });
      await delay(1_900);
    });
    assert.deepEqual(load.errors, []);
    assert.equal(faulty.calls("C_Initialize"), 2);
  });

  describe("one token of two", () => {
    let other: Token;
    let otherKey: KeyRef;
    beforeEach(async () => {
      other = await hsm.openToken(await hsm.createToken(`other-${number}`, SCRATCH_PIN), SCRATCH_PIN);
      otherKey = (await other.generateKey("hot-1", "secp256k1")).key;
    });

    it("is away: the other signs on, the module is not restarted, health names it", async () => {
      const load = await underLoad(
        async () => {
          for (const fault of AWAY) faulty.inject({ ...fault, token: ref.label });
          await assert.rejects(token.sign(key, permitFor(key)), { code: "hsm-unavailable" });
        },
        other,
        otherKey,
      );
      assert.deepEqual(load.errors, []);
      assert.ok(load.longestMs < 1_000, `the longest took ${load.longestMs} ms`);
      assert.equal(faulty.calls("C_Initialize"), 1);
      // A caller's patience begins with its call, the token's with its first failure: a moment later.
      const until = performance.now() + 1_000;
      while (hsm.health()[0]!.state === "healing" && performance.now() < until) await delay(5);
      assert.deepEqual(
        hsm.health().map(({ state }) => state),
        ["unavailable", "ready"],
      );
    });

    it("hangs in all that it does: the other signs on, and health tells for how long", async () => {
      faulty.inject({ at: "C_Sign", kind: "hang", token: ref.label });
      const hanging = Promise.all(Array.from({ length: 12 }, () => signOnce()));
      const load = await underLoad(() => delay(300), other, otherKey);
      assert.deepEqual(load.errors, []);
      assert.ok(load.signed >= CLIENTS_AT_ONCE, `${load.signed} signatures`);
      const { oldestMs } = hsm.health()[0]!;
      assert.ok(oldestMs > 250, `${oldestMs} ms`);
      faulty.clear();
      await hanging;
    });

    it("is slow: the other is not", async () => {
      faulty.inject({ at: "C_Sign", kind: "delay", delayMs: 100, token: ref.label });
      const slow = Promise.all(Array.from({ length: 12 }, () => signOnce()));
      const load = await underLoad(() => delay(250), other, otherKey);
      assert.deepEqual(load.errors, []);
      assert.ok(load.signed >= CLIENTS_AT_ONCE, `${load.signed} signatures`);
      await slow;
    });

    it("a restart of the module gives no handle of the one to the other", async () => {
      const both = Promise.all([underLoad(() => delay(600)), underLoad(() => delay(600), other, otherKey)]);
      await delay(150);
      faulty.inject({ at: "C_SignInit", kind: "uninitialize", times: 1 });
      for (const load of await both) assert.deepEqual(load.errors, []);
    });
  });

  describe("keys", () => {
    it("another key of the token signs instead: the proof refuses it", async () => {
      await token.generateKey("hot-2", "secp256k1");
      faulty.inject({ at: "C_SignInit", kind: "otherKey" });
      await assert.rejects(token.proveKey(key), { code: "key-refused" });
    });

    it("a bit of the signature is flipped: the proof refuses it", async () => {
      faulty.inject({ at: "C_Sign", kind: "flipBit", times: 1 });
      await assert.rejects(token.proveKey(key), { code: "key-refused" });
      await token.proveKey(key);
    });

    it("a generation whose answer is lost is not repeated", async () => {
      faulty.clear();
      faulty.inject({ at: "C_GenerateKeyPair", kind: "answerAfterwards", ckr: "CKR_DEVICE_ERROR", times: 1 });
      await assert.rejects(token.generateKey("hot-2", "secp256k1"), { code: "hsm-unavailable" });
      assert.equal(faulty.calls("C_GenerateKeyPair"), 1);
      await assert.rejects(token.generateKey("hot-2", "secp256k1"), { code: "key-exists" });
    });

    it("a module that knows no CKA_DESTROYABLE, nor private public keys, makes keys all the same", async () => {
      for (const refusals of [1, 2]) {
        faulty.inject({ at: "C_GenerateKeyPair", kind: "answer", ckr: "CKR_ATTRIBUTE_TYPE_INVALID", times: refusals });
        await token.generateKey(`old-${refusals}`, "secp256k1");
      }
      faulty.inject({ at: "C_GenerateKeyPair", kind: "answer", ckr: "CKR_TEMPLATE_INCONSISTENT" });
      await assert.rejects(token.generateKey("old-3", "secp256k1"), { code: "hsm-unavailable" });
    });
  });

  describe("PINs", () => {
    const reopen = async () => {
      await hsm.close();
      faulty.clear();
      hsm = await open();
    };

    it("a wrong PIN reaches the HSM once, however often it is given", async () => {
      await reopen();
      for (let tries = 0; tries < 3; tries += 1) {
        await assert.rejects(hsm.openToken(ref, "wrong-pin"), { code: "pin-incorrect" });
      }
      assert.equal(faulty.calls("C_Login"), 1);
      await signOnce(await hsm.openToken(ref, SCRATCH_PIN));
    });

    it("a PIN changed behind our back is tried once when the login is lost", async () => {
      faulty.clear();
      faulty.inject({ at: "C_Login", kind: "answer", ckr: "CKR_PIN_INCORRECT" });
      faulty.inject({ at: "C_SignInit", kind: "loseAllSessions", times: 1 });
      await assert.rejects(token.sign(key, permitFor(key)), { code: "pin-incorrect" });
      await assert.rejects(token.sign(key, permitFor(key)), { code: "pin-incorrect" });
      await assert.rejects(hsm.openToken(ref, SCRATCH_PIN), { code: "pin-incorrect" });
      assert.equal(faulty.calls("C_Login"), 1);
      assert.equal(hsm.health()[0]!.state, "unavailable");
    });

    it("a PIN change whose answer is lost: the old one is tried once, the new one opens the token", async () => {
      faulty.clear();
      faulty.inject({ at: "C_SetPIN", kind: "answerAfterwards", ckr: "CKR_DEVICE_ERROR", times: 1 });
      await assert.rejects(hsm.changePin(ref, SCRATCH_PIN, "another-pin"), { code: "hsm-unavailable" });
      await assert.rejects(token.sign(key, permitFor(key)), { code: "pin-incorrect" });
      assert.equal(faulty.calls("C_Login"), 1);
      await signOnce(await hsm.openToken(ref, "another-pin"));
      assert.equal(faulty.calls("C_SetPIN"), 1);
    });

    it("a locked token is told from a wrong PIN", async () => {
      await reopen();
      faulty.inject({ at: "C_Login", kind: "answer", ckr: "CKR_PIN_LOCKED" });
      await assert.rejects(hsm.openToken(ref, SCRATCH_PIN), { code: "pin-locked" });
    });
  });

  it("closing while a token is away takes no longer than a moment", async () => {
    for (const fault of AWAY) faulty.inject(fault);
    const signing = assert.rejects(token.sign(key, permitFor(key)), { code: "hsm-unavailable" });
    await delay(100);
    const started = performance.now();
    await hsm.close();
    assert.ok(performance.now() - started < 1_000);
    await signing;
  });

  it("closing a module that could not be initialised anew is closing it", async () => {
    faulty.inject({ at: "C_Initialize", kind: "answer", ckr: "CKR_DEVICE_ERROR" });
    await assert.rejects(hsm.refresh(), { code: "hsm-unavailable" });
    await assert.rejects(token.sign(key, permitFor(key)), { code: "hsm-unavailable" });
    await hsm.close();
  });

  it("an HSM with fewer sessions than configured is used with those it has", async () => {
    await hsm.close();
    hsm = await open();
    token = await hsm.openToken(ref, SCRATCH_PIN);
    await signOnce();
    faulty.inject({ at: "C_OpenSession", kind: "answer", ckr: "CKR_SESSION_COUNT" });
    await Promise.all(Array.from({ length: 20 }, () => signOnce()));
  });
});
