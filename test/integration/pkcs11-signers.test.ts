// Goal: where processes of their own sign, no caller sees one of them fail, die or hang, no token's trouble is another's, no
// PIN is offered twice or shown, and none of them outlives the HSM's connection.
// Method: real signers, behind a module in C that goes wrong on demand, while signatures are asked for all the time.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { openHsm } from "../../src/adapters/pkcs11/hsm.ts";
import type { GatewayError } from "../../src/domain/errors.ts";
import { redeemPermit } from "../../src/vault/permit.ts";
import type { Curve, Hsm, KeyRef, Token, TokenRef } from "../../src/vault/ports.ts";
import { type Fault, FaultyHsm } from "../support/faulty-hsm.ts";
import { isSignedBy, permitFor } from "../support/pkcs11.ts";
import { eventually, signersOf } from "../support/processes.ts";
import { SCRATCH_PIN } from "../support/softhsm.ts";

const SOAK = process.env["SOAK"] !== undefined;
const KILLS = SOAK ? 300 : 6;
const COUNT = 2;
const HANG_MS = 600;
const WORKERS = 6;

describe("processes that sign", function () {
  this.timeout(SOAK ? 600_000 : 60_000);
  let faulty: FaultyHsm;
  let hsm: Hsm;
  let ref: TokenRef;
  let token: Token;
  let key: KeyRef;

  before(async () => {
    faulty = new FaultyHsm();
    faulty.clear();
    hsm = await open();
    ref = await hsm.createToken("acme", SCRATCH_PIN);
    token = await hsm.openToken(ref, SCRATCH_PIN);
    key = (await token.generateKey("hot-1", "secp256k1")).key;
  });
  after(async () => {
    faulty.clear();
    await hsm.close();
    faulty.remove();
  });
  beforeEach(async () => {
    faulty.clear();
    // Both, so that each test finds what the one before it has ended.
    await eventually("two signers", async () => {
      const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => signOnce()));
      return signers().length === COUNT && outcomes.every(({ status }) => status === "fulfilled");
    });
    faulty.clear();
  });
  afterEach(() => faulty.clear());

  const signers = () => signersOf(process.pid);

  const open = () => {
    const sizes = { sessionsPerToken: 8, queueLimit: 64, redeem: redeemPermit };
    return openHsm({ modulePath: faulty.modulePath, ...sizes, signers: { count: COUNT, hangMs: HANG_MS } });
  };

  async function reopen(): Promise<void> {
    hsm = await open();
    token = await hsm.openToken(ref, SCRATCH_PIN);
    await token.proveKey(key);
  }

  async function signOnce(by = token, with_ = key): Promise<void> {
    const digest = randomBytes(32);
    const signature = await by.sign(with_, permitFor(with_, digest));
    assert.ok(isSignedBy[with_.curve](with_.publicKey, digest, signature), "a signature that does not verify");
  }

  /** Signs all the time, several at once, while `meanwhile` runs. */
  async function underLoad(meanwhile: (signed: () => number) => Promise<void>, by = token, with_ = key) {
    const errors: unknown[] = [];
    let [signed, running] = [0, true];
    const worker = async () => {
      for (; running; await delay(1)) {
        await signOnce(by, with_).then(
          () => (signed += 1),
          (error: unknown) => errors.push(error),
        );
      }
    };
    const workers = Array.from({ length: WORKERS }, worker);
    await meanwhile(() => signed).finally(() => (running = false));
    await Promise.all(workers);
    return { signed, errors };
  }

  it("sign with keys of every curve, and this process signs nothing", async () => {
    for (const curve of ["p256", "ed25519"] as const satisfies readonly Curve[]) {
      const made = (await token.generateKey(`of-${curve}`, curve)).key;
      await signOnce(token, made);
    }
    const idle = process.cpuUsage();
    await Promise.all(Array.from({ length: 64 }, () => token.sign(key, permitFor(key))));
    assert.equal(signers().length, COUNT);
    const { user } = process.cpuUsage(idle);
    assert.ok(user < 64 * 300, `${user} µs for 64 signatures`);
  });

  const times = 3;
  const answer = (at: Fault["at"], ckr: NonNullable<Fault["ckr"]>): Fault => ({ at, kind: "answer", ckr, times });
  const hidden: [string, ...Fault[]][] = [
    ["C_Sign finds its session closed", answer("C_Sign", "CKR_SESSION_CLOSED")],
    ["the device fails in C_Sign", answer("C_Sign", "CKR_DEVICE_ERROR")],
    ["the answer of C_Sign is lost", { ...answer("C_Sign", "CKR_DEVICE_ERROR"), kind: "answerAfterwards" }],
    ["the login is gone", answer("C_SignInit", "CKR_USER_NOT_LOGGED_IN")],
    ["all sessions are lost, and the login with them", { at: "C_SignInit", kind: "loseAllSessions", times: 2 }],
    ["a key's handle is stale", { at: "C_SignInit", kind: "staleHandle", times }],
    ["the module forgets that it was initialised", { at: "C_SignInit", kind: "uninitialize", times: 1 }],
    ["the module crashes", { at: "C_Sign", kind: "crash", times: 1 }],
    ["the module hangs", { at: "C_Sign", kind: "hang", times: 1 }],
    ["logging in again fails", { at: "C_Sign", kind: "crash", times: 1 }, answer("C_Login", "CKR_DEVICE_ERROR")],
  ];
  for (const [what, ...faults] of hidden) {
    it(`${what}: no caller sees it`, async () => {
      const { errors, signed } = await underLoad(async () => {
        for (const fault of faults) faulty.inject(fault);
        await eventually("every fault has struck", () => faults.every(({ at }) => faulty.strikesLeft(at) === 0));
        await delay(100);
      });
      assert.deepEqual(errors, []);
      assert.ok(signed >= WORKERS, `${signed} signatures`);
    });
  }

  const always = (at: Fault["at"], ckr: NonNullable<Fault["ckr"]>): Fault => ({ at, kind: "answer", ckr });
  const certainty: [string, true | undefined, ...Fault[]][] = [
    ["no session begins to sign", true, always("C_SignInit", "CKR_GENERAL_ERROR")],
    ["C_Sign does not take the data", true, always("C_Sign", "CKR_DATA_LEN_RANGE")],
    ["the device fails in C_Sign", undefined, always("C_Sign", "CKR_DEVICE_ERROR")],
    [
      "signers die with the order, and no other gets one",
      undefined,
      { at: "C_Sign", kind: "crash", times: COUNT },
      always("C_Login", "CKR_DEVICE_REMOVED"),
    ],
  ];
  for (const [what, unsigned, ...faults] of certainty) {
    it(`${what}: the error ${unsigned ? "says" : "does not say"} that no signature was made`, async () => {
      for (const fault of faults) faulty.inject(fault);
      const error = await token.sign(key, permitFor(key)).then(
        () => assert.fail("it signed"),
        (thrown: GatewayError) => thrown,
      );
      assert.deepEqual([error.code, error.facts["unsigned"]], ["hsm-unavailable", unsigned], error.message);
      const { made, within, failed } = hsm.health()[0]!.signatures;
      assert.ok(failed.get(error.facts["ckr"] as string)! > 0, "the failure is counted by its reason");
      assert.ok(made > 0 && within.at(-1)!.count <= made && within[0]!.count <= within.at(-1)!.count);
    });
  }

  it(`killed ${KILLS} times under load: every signature is made`, async () => {
    const { errors } = await underLoad(async (signed) => {
      for (let kill = 0; kill < KILLS; kill += 1) {
        const before = signed();
        await eventually("some are signed", () => signed() > before + WORKERS);
        const [victim] = await eventually("one that signs", () => signers().length > 0 && signers());
        process.kill(victim!, "SIGKILL");
        await eventually("it is gone", () => !signers().includes(victim!));
      }
    });
    assert.deepEqual(errors, []);
  });

  it("a PIN that the token refuses is offered once, by one of them", async () => {
    for (const pid of signers()) process.kill(pid, "SIGKILL");
    faulty.clear();
    faulty.inject({ at: "C_Login", kind: "answer", ckr: "CKR_PIN_INCORRECT", token: "acme" });
    for (const outcome of await Promise.allSettled(Array.from({ length: 16 }, () => signOnce())))
      assert.equal(outcome.status, "rejected");
    assert.equal(faulty.calls("C_Login"), 1);
    faulty.clear();
    await hsm.refresh();
  });

  it("a changed PIN is what the next one logs in with", async () => {
    await hsm.changePin(ref, SCRATCH_PIN, "another-pin");
    for (const pid of signers()) process.kill(pid, "SIGKILL");
    const { errors } = await underLoad(() => delay(200));
    assert.deepEqual(errors, []);
    await hsm.changePin(ref, "another-pin", SCRATCH_PIN);
  });

  it("no PIN is in their arguments or environment", () => {
    assert.equal(signers().length, COUNT);
    for (const pid of signers())
      for (const file of ["cmdline", "environ"])
        assert.ok(!readFileSync(`/proc/${pid}/${file}`).includes(SCRATCH_PIN), file);
  });

  describe("for several tokens", () => {
    let other: Token;
    let otherKey: KeyRef;
    before(async () => {
      // Made after the signers have opened their module.
      other = await hsm.openToken(await hsm.createToken("other", SCRATCH_PIN), SCRATCH_PIN);
      otherKey = (await other.generateKey("hot-1", "secp256k1")).key;
    });

    for (const fault of [
      { at: "C_Sign", kind: "hang" },
      { at: "C_Sign", kind: "delay", delayMs: 150 },
      { at: "C_Sign", kind: "answer", ckr: "CKR_DEVICE_REMOVED" },
    ] as const satisfies readonly Fault[]) {
      it(`where one answers C_Sign with a ${fault.kind}, the other signs on`, async () => {
        await signOnce(other, otherKey);
        faulty.inject({ ...fault, token: "acme" });
        const troubled = Promise.allSettled(Array.from({ length: 10 }, () => signOnce()));
        const { errors, signed } = await underLoad(() => delay(HANG_MS / 2), other, otherKey);
        assert.deepEqual(errors, []);
        assert.ok(signed >= WORKERS, `${signed} signatures`);
        faulty.clear();
        await troubled;
      });
    }
  });

  describe("in the end", () => {
    it("none is started for a connection that is closed at once", async () => {
      await hsm.refresh();
      const under = Promise.allSettled(Array.from({ length: 4 }, () => signOnce()));
      await hsm.close();
      await under;
      await delay(300);
      assert.deepEqual(signers(), []);
      await reopen();
    });

    it("closing ends them, with the answers that were on their way", async () => {
      const under = Promise.all(Array.from({ length: 8 }, () => signOnce()));
      await delay(1);
      await hsm.close();
      await under;
      assert.deepEqual(signers(), []);
    });
  });
});
