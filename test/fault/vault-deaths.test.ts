// Goal: a vault that dies while it changes a PIN leaves a token that the next one can use; and no vault is started while
// another one is there.
// Method: the real gateway on SoftHSM behind a module that goes wrong on demand, under load; the operating system says which
// processes the supervisor has.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
import { BUSY, faultsOf, KeptGateway, Load, withdraw } from "../support/faulty-gateway.ts";
import { FaultyHsm } from "../support/faulty-hsm.ts";
import type { DevGateway } from "../support/gateway.ts";
import { eventually, findVault, isRunning, signersOf } from "../support/processes.ts";

const WORKERS = 4;

describe("a vault that dies", function () {
  let faulty: FaultyHsm;
  let kept: KeptGateway;
  let gateway: DevGateway;

  before(async () => {
    faulty = new FaultyHsm();
    kept = new KeptGateway();
    await (await kept.start()).stop();
    const { FAULTY_HSM_MODULE, FAULTY_HSM_CONTROL } = process.env as Record<string, string>;
    kept.configure(({ environment }) => ({
      module: faulty.modulePath,
      environment: { ...environment, FAULTY_HSM_MODULE, FAULTY_HSM_CONTROL },
      hangSeconds: 1,
    }));
    gateway = await kept.start();
  });
  after(async () => {
    await gateway?.stop();
    kept.remove();
    faulty.remove();
  });

  const vault = () => findVault(gateway.process.pid!);
  const rotatePin = () =>
    gateway
      .as("house", "operator")
      .call<{ version: number }>("POST", `/v1/clients/${BUSY}/pin`, { body: {}, idempotencyKey: randomUUID() });

  for (const [when, kind] of [
    ["before the token has taken it", "hang"],
    ["after the token has taken it", "crashAfterwards"],
  ] as const)
    it(`in the middle of a change of PIN, ${when}: the next one logs in, and changes it`, async () => {
      const load = new Load(gateway, WORKERS);
      try {
        await load.more(WORKERS);
        const before = vault()!;
        faulty.inject({ at: "C_SetPIN", kind, times: 1, token: BUSY });
        rotatePin().catch(() => undefined);
        const isNew = () => vault() !== undefined && vault() !== before;
        await eventually("a new vault", isNew);
        assert.equal(faulty.strikesLeft("C_SetPIN"), 0, "it has struck");
        faulty.clear();
        await withdraw(gateway, BUSY);
        await eventually("no token is away", async () => {
          const { unavailable } = (await (await fetch(`${gateway.url}/readyz`)).json()) as { unavailable: unknown[] };
          return unavailable.length === 0;
        });
        await rotatePin();
        await load.more(WORKERS);
      } finally {
        faulty.clear();
        await load.stop();
      }
      assert.deepEqual(faultsOf(gateway, load), []);
    });

  /** Those that are not reaped yet among them. */
  const childrenOf = (pid: number): number[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").map(Number);

  /** Watches until another one is started. @throws if one that was killed is still there in that moment */
  async function nextIsAlone(before: number, others: Set<number>): Promise<void> {
    for (let isNew = false; !isNew; await turn()) {
      const children = childrenOf(gateway.process.pid!);
      isNew = children.some((pid) => pid !== before && !others.has(pid));
      assert.ok(!(isNew && children.includes(before)), "the old one was still there");
    }
  }

  /** Kills it, and watches. @returns the processes that signed for it */
  async function killVault(): Promise<number[]> {
    const before = await eventually("a vault", vault);
    const others = new Set(childrenOf(gateway.process.pid!).filter((pid) => pid !== before));
    const signers = signersOf(before);
    process.kill(before, "SIGKILL");
    await nextIsAlone(before, others);
    return signers;
  }

  it("is reaped before another one is started", async () => {
    await killVault();
    assert.equal((await withdraw(gateway, BUSY)).state, "signed");
  });

  it("takes signers with it that hang in C_Sign: nothing is signed twice", async () => {
    const load = new Load(gateway, WORKERS);
    try {
      await load.more(WORKERS);
      faulty.inject({ at: "C_Sign", kind: "hang" });
      const calls = faulty.calls("C_Sign");
      await eventually("a call that hangs", () => faulty.calls("C_Sign") > calls);
      const signers = await killVault();
      assert.notEqual(signers.length, 0);
      // As long as the fault lasts no call comes back, and none ends by itself.
      await eventually("the end of those that signed for it", () => !signers.some(isRunning));
      faulty.clear();
      await load.more(WORKERS);
    } finally {
      faulty.clear();
      await load.stop();
    }
    assert.deepEqual(faultsOf(gateway, load), []);
  });
});
