// Goal: whatever goes wrong in the HSM, every withdrawal ends signed once, nothing wrong is released, and service is back
// within 5 s of the fault's end; what healing can hide within 2 s is seen by nobody; a client whose token is away costs the
// others nothing.
// Method: the real gateway on SoftHSM behind a module that goes wrong on demand, under load that does not stop.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pkcs11 from "pkcs11js";
import { BUSY, faultsOf, KeptGateway, Load, QUIET, withdraw, WITHDRAWAL } from "../support/faulty-gateway.ts";
import { FaultyHsm, type Fault } from "../support/faulty-hsm.ts";
import type { DevGateway } from "../support/gateway.ts";
import { eventually, findVault, isRunning, signersOf } from "../support/processes.ts";
import { run } from "../support/program.ts";

const SOAK = process.env["SOAK"] !== undefined;
const BACK_WITHIN_MS = 5_000;
const WORKERS = 6;

type Ckr = NonNullable<Fault["ckr"]>;
const EVERY_CKR = Object.keys(pkcs11).filter(
  // A wrong PIN, locked or expired, is the end of a token until a person comes: see the tests of PINs.
  (name) => /^CKR_/.test(name) && !["CKR_OK", "CKR_VENDOR_DEFINED"].includes(name) && !name.startsWith("CKR_PIN_"),
) as Ckr[];
const SOME_CKR: readonly Ckr[] = ["CKR_DEVICE_ERROR", "CKR_SESSION_HANDLE_INVALID", "CKR_USER_NOT_LOGGED_IN"];

const during = (fault: Fault, title = `${fault.kind} at ${fault.at}`): [string, Fault] => [title, fault];

/** Each strikes while it lasts, or as often as it says. */
const FAULTS: readonly [string, Fault][] = [
  ...(SOAK ? EVERY_CKR : SOME_CKR).flatMap((ckr) =>
    (SOAK ? (["C_SignInit", "C_Sign", "C_OpenSession"] as const) : (["C_Sign"] as const)).map((at) =>
      during({ at, kind: "answer", ckr, token: BUSY }, `${ckr} at ${at}`),
    ),
  ),
  during({ at: "C_Sign", kind: "answerAfterwards", ckr: "CKR_DEVICE_REMOVED", times: 5, token: BUSY }),
  during({ at: "C_SignInit", kind: "loseSession", times: 5, token: BUSY }),
  during({ at: "C_SignInit", kind: "loseAllSessions", times: 3, token: BUSY }),
  during({ at: "C_SignInit", kind: "staleHandle", times: 5, token: BUSY }),
  during({ at: "C_SignInit", kind: "uninitialize", times: 1 }),
  during({ at: "C_Sign", kind: "flipBit", times: 5, token: BUSY }, "a flipped bit in a signature"),
  during({ at: "C_SignInit", kind: "otherKey", times: 5, token: BUSY }, "a signature by another key of the client"),
  during({ at: "C_Sign", kind: "delay", delayMs: 300, token: BUSY }, "a slow token"),
];

/** These end a process that signs. */
const SIGNER_ENDS: readonly [string, Fault][] = [
  during({ at: "C_Sign", kind: "hang", times: 1, token: BUSY }, "a hang in C_Sign"),
  during({ at: "C_SignInit", kind: "hang", times: 1, token: BUSY }, "a hang in C_SignInit"),
  during({ at: "C_Sign", kind: "crash", times: 1, token: BUSY }, "a segmentation fault in C_Sign"),
];

/** These end the vault, by the watchdog or by themselves: calls that it makes itself when a key is made. */
const VAULT_ENDS: readonly [string, Fault][] = [
  during({ at: "C_GenerateKeyPair", kind: "hang", times: 1, token: BUSY }, "a hang on the thread pool"),
  during({ at: "C_OpenSession", kind: "hang", times: 1, token: BUSY }, "a hang on the main thread"),
  during({ at: "C_GenerateKeyPair", kind: "crash", times: 1, token: BUSY }, "a segmentation fault"),
];

const HANG_SECONDS = 1;

const away = (ckr: Ckr, ...at: Fault["at"][]): Fault[] =>
  at.map((each) => ({ at: each, kind: "answer", ckr, token: BUSY }));

/** Each lasts a second, and is over: healing has the other one. */
const HIDDEN: readonly [string, ...Fault[]][] = [
  ["the token is away", ...away("CKR_DEVICE_REMOVED", "C_SignInit", "C_OpenSession", "C_Login")],
  ["the device fails in C_Sign", ...away("CKR_DEVICE_ERROR", "C_Sign")],
  ["no session lives", ...away("CKR_SESSION_HANDLE_INVALID", "C_Sign", "C_SignInit")],
  ["the login is gone, and cannot be had", ...away("CKR_USER_NOT_LOGGED_IN", "C_SignInit", "C_FindObjectsInit")],
  [
    "every answer of C_Sign is lost",
    { at: "C_Sign", kind: "answerAfterwards", ckr: "CKR_FUNCTION_FAILED", token: BUSY },
  ],
  ["the module must be initialised anew", { at: "C_SignInit", kind: "uninitialize", times: 1 }],
  ["a signer crashes", { at: "C_Sign", kind: "crash", times: 1, token: BUSY }],
];
const HIDDEN_FOR_MS = 1_000;

/** On a busy machine healing itself may take longer than callers have patience: then it is tried again. */
const TRIES = 10;

describe("a gateway whose HSM goes wrong", function () {
  this.timeout(SOAK ? 1_200_000 : 300_000);
  let faulty: FaultyHsm;
  let kept: KeptGateway;
  let gateway: DevGateway;

  before(async () => {
    faulty = new FaultyHsm();
    kept = new KeptGateway();
    const founded = await kept.start();
    const operator = founded.as("house", "operator");
    const other = { name: "hot-2", chains: ["eip155:31337"] };
    await operator.call("POST", `/v1/clients/${BUSY}/keys`, { body: other, idempotencyKey: randomUUID() });
    await founded.stop();
    const { FAULTY_HSM_MODULE, FAULTY_HSM_CONTROL } = process.env as Record<string, string>;
    kept.configure(({ environment }) => ({
      module: faulty.modulePath,
      environment: { ...environment, FAULTY_HSM_MODULE, FAULTY_HSM_CONTROL },
      hangSeconds: HANG_SECONDS,
    }));
    gateway = await kept.start();
  });
  after(async () => {
    await gateway?.stop();
    kept.remove();
    faulty.remove();
  });
  beforeEach(() => faulty.clear());

  const vault = () => findVault(gateway.process.pid!);
  const readiness = async () =>
    (await (await fetch(`${gateway.url}/readyz`)).json()) as {
      status: string;
      unavailable: { client: string; ckr: string }[];
    };

  /** How long after each fault's end a withdrawal was signed. */
  const backAfterMs: number[] = [];
  async function endFault(): Promise<void> {
    const startedAt = performance.now();
    faulty.clear();
    await withdraw(gateway, BUSY);
    backAfterMs.push(performance.now() - startedAt);
  }

  async function underLoad(act: (load: Load) => Promise<void>): Promise<void> {
    const load = new Load(gateway, WORKERS);
    try {
      await load.more(WORKERS);
      await act(load);
      await endFault();
      await load.more(WORKERS);
    } finally {
      faulty.clear();
      await load.stop();
    }
    assert.deepEqual(faultsOf(gateway, load), []);
  }

  for (const [what, fault] of FAULTS) {
    it(`${what}: every withdrawal is signed once`, () =>
      underLoad(async () => {
        faulty.inject(fault);
        // Sessions are kept: another is opened where one was lost.
        if (fault.at === "C_OpenSession")
          faulty.inject({ at: "C_SignInit", kind: "loseSession", times: WORKERS, token: BUSY });
        await eventually("the fault strikes", () => faulty.calls(fault.at) > 0);
        if (fault.times === undefined) await sleep(400);
        else await eventually("all strikes have struck", () => faulty.strikesLeft(fault.at) === 0);
      }));
  }

  for (const [what, ...faults] of SOAK ? HIDDEN : HIDDEN.filter((_, index) => index % 3 === 0)) {
    it(`${what} for less than 2 s: nobody sees it who asks once`, () =>
      seenByNobody(async () => {
        for (const fault of faults) faulty.inject(fault);
        await sleep(HIDDEN_FOR_MS);
        for (const { at, times } of faults.slice(0, 1)) {
          if (times !== undefined) await eventually("it has struck", () => faulty.strikesLeft(at) === 0);
        }
        faulty.clear();
      }));
  }

  async function seenByNobody(act: (load: Load) => Promise<void>): Promise<void> {
    for (let tries = TRIES; ; tries -= 1) {
      const load = new Load(gateway, WORKERS, 0);
      try {
        await load.more(WORKERS);
        await act(load);
        await load.more(WORKERS);
      } finally {
        faulty.clear();
        await load.stop();
      }
      assert.deepEqual(faultsOf(gateway, { signed: load.signed, failed: [] }), []);
      if (load.failed.length === 0) return;
      assert.ok(tries > 1, `${load.failed.length} of those who asked saw ${String(load.failed[0])}`);
    }
  }

  const rotatePin = () =>
    gateway
      .as("house", "operator")
      .call<{ version: number }>("POST", `/v1/clients/${BUSY}/pin`, { body: {}, idempotencyKey: randomUUID() });

  it("a PIN is changed under load, twice: nobody sees it who asks once, and the next login takes the last one", () =>
    seenByNobody(async (load) => {
      const first = await rotatePin();
      await load.more(WORKERS);
      assert.equal((await rotatePin()).version, first.version + 1);
      for (const pid of signersOf(vault()!)) process.kill(pid, "SIGKILL");
    }));

  for (const [what, fault] of SIGNER_ENDS) {
    it(`${what}: others sign in its place, the vault stays, and every withdrawal is signed once`, () =>
      underLoad(async () => {
        const before = vault()!;
        const signers = signersOf(before);
        faulty.inject(fault);
        const gone = () => signers.some((pid) => !isRunning(pid));
        await eventually("a signer has ended", gone);
        assert.equal(vault(), before);
      }));
  }

  for (const [what, fault] of VAULT_ENDS) {
    it(`${what}: a new vault goes on, and every withdrawal is signed once`, () =>
      underLoad(async () => {
        const before = vault()!;
        const signers = signersOf(before);
        faulty.inject(fault);
        const body = { name: `new-${randomUUID().slice(0, 8)}`, chains: ["eip155:31337"] };
        const operator = gateway.as("house", "operator");
        const made = operator.call("POST", `/v1/clients/${BUSY}/keys`, { body, idempotencyKey: randomUUID() });
        made.catch(() => undefined);
        // Sent once, by somebody who does not repeat it: the edge holds it until a new vault answers.
        const once = gateway.as(QUIET, "payouts").sign(QUIET, WITHDRAWAL, { idempotencyKey: randomUUID() });
        await eventually("a new vault", () => vault() !== undefined && vault() !== before);
        assert.equal((await once).state, "signed");
        await eventually("those that signed for the old one have ended", () => !signers.some(isRunning));
      }));
  }

  it("one token away: the others sign, /readyz names it and the reason, and it comes back by itself", async () => {
    for (const at of ["C_Sign", "C_OpenSession", "C_Login"] as const)
      faulty.inject({ at, kind: "answer", ckr: "CKR_DEVICE_REMOVED", token: BUSY });
    const away = withdraw(gateway, BUSY);
    const { status, unavailable } = await eventually("it is found to be away", async () => {
      const found = await readiness();
      return found.unavailable.length > 0 && found;
    });
    assert.deepEqual(
      [status, unavailable],
      ["ready", [{ client: BUSY, state: "unavailable", ckr: "CKR_DEVICE_REMOVED" }]],
    );
    // The least of some: a busy machine is slow now and then, a wait for another's token would be in each of them.
    let leastMs = Infinity;
    for (let n = 0; n < TRIES && leastMs >= 1_000; n++) {
      const startedAt = performance.now();
      assert.equal((await withdraw(gateway, QUIET)).state, "signed");
      leastMs = Math.min(leastMs, performance.now() - startedAt);
    }
    assert.ok(leastMs < 1_000, "nobody waits for another client's token");
    await endFault();
    assert.equal((await away).state, "signed");
    assert.deepEqual((await readiness()).unavailable, []);
  });

  it("what a token that is away leaves is listed by `recover`, is not settled within a minute, and its caller finishes it", async () => {
    type Said = { requests: Record<string, unknown>[]; settled: { id: string }[]; error: { code: string } };
    const recover = async (...args: string[]) => {
      const as = `${gateway.folder}/callers/house/operator.json`;
      const { code, stdout, stderr } = await run(["recover", "--as", as, "--json", ...args]);
      assert.notEqual(stdout, "", stderr);
      return { code, ...(JSON.parse(stdout) as Said) };
    };
    // What those have left who asked once while the machine was too busy to hide a fault.
    const others = new Set((await recover()).requests.map(({ id }) => id));
    const listed = async (...args: string[]) => (await recover(...args)).requests.filter(({ id }) => !others.has(id));
    const AWAY = ["C_SignInit", "C_OpenSession", "C_Login"] as const;
    for (const at of AWAY) faulty.inject({ at, kind: "answer", ckr: "CKR_DEVICE_REMOVED", token: BUSY });
    const ask = (idempotencyKey: string) => gateway.as(BUSY, "payouts").sign(BUSY, WITHDRAWAL, { idempotencyKey });
    const key = randomUUID();
    const { id, state } = await ask(key);
    assert.equal(state, "authorized");

    // The minute first.
    const { code, error } = await recover("--client", BUSY, "--settle", id);
    assert.deepEqual([code, error.code], [1, "request-in-progress"]);
    const { settled } = await recover("--settle-all");
    assert.deepEqual(
      settled.filter(({ id: of }) => !others.has(of)),
      [],
    );
    assert.deepEqual(
      (await listed()).map(({ id: of, client, caller, attempts, unsigned, settling, settleable }) => [
        [of, client, caller],
        [attempts, unsigned, settling, settleable],
      ]),
      [
        [
          [id, BUSY, "payouts"],
          [1, 1, "given-back", false],
        ],
      ],
    );
    assert.deepEqual(await listed("--client", QUIET), []);
    assert.equal((await recover("--settle", id)).code, 2, "of which client?");

    await endFault();
    assert.equal((await ask(key)).state, "signed");
    assert.deepEqual(await listed(), []);
  });

  it("a token away at the start: the vault is ready for the others, and finds it when it is back", async () => {
    faulty.inject({ at: "C_Login", kind: "answer", ckr: "CKR_TOKEN_NOT_PRESENT", token: BUSY });
    const before = vault()!;
    process.kill(before, "SIGKILL");
    await eventually("a new vault", () => vault() !== undefined && vault() !== before);
    assert.equal((await withdraw(gateway, QUIET)).state, "signed");
    assert.deepEqual((await readiness()).unavailable, [
      { client: BUSY, state: "unavailable", ckr: "CKR_TOKEN_NOT_PRESENT" },
    ]);
    await endFault();
  });

  it("a PIN that the token refuses is offered once, the others go on, and the reason is told", async () => {
    const times = 100;
    faulty.inject({ at: "C_Login", kind: "answer", ckr: "CKR_PIN_INCORRECT", times, token: BUSY });
    const before = vault()!;
    process.kill(before, "SIGKILL");
    await eventually("a new vault", () => vault() !== undefined && vault() !== before);
    assert.equal((await withdraw(gateway, QUIET)).state, "signed");
    await sleep(2_500); // the next look at tokens that are away
    assert.equal(times - faulty.strikesLeft("C_Login"), 1);
    assert.deepEqual((await readiness()).unavailable, [
      { client: BUSY, state: "unavailable", ckr: "CKR_PIN_INCORRECT" },
    ]);
  });

  it("service was back within 5 s of a fault's end", () => {
    const late = backAfterMs.filter((ms) => ms > BACK_WITHIN_MS);
    // A busy machine may be late now and then; a fault that needs longer would be so on a quiet one as well.
    assert.ok(late.length <= (SOAK ? 0 : backAfterMs.length / 2), `late ${late.length} times: ${late.join(" ")} ms`);
  });
});
