import assert from "node:assert/strict";
import fc from "fast-check";
import { GatewayError } from "../../../src/domain/errors.ts";
import { checkpointsOf, exported, verified } from "../../support/exported-log.ts";
import { hsmInSoftware, type SoftwareHsm } from "../../support/software-hsm.ts";
import {
  accountOf,
  acmePolicy,
  ADDRESSES,
  newKey,
  REQUESTS,
  testVault,
  transferBody,
  watched,
  type TestVault,
} from "../../support/vault.ts";

// Goal: what is at a venue at a time stays within its limit; what came back makes room once, and never for more than was
// sent, whatever an observer says.
// Method: the router and the real store against a model that adds up plain lists, through policy changes too; `log verify`.

const CAP = 50;
const [VENUE, VENUE_OUT, STRANGER] = ADDRESSES as [string, string, string];
const document = {
  ...acmePolicy,
  addressBook: { kraken: { address: [accountOf(VENUE), accountOf(VENUE_OUT)], tags: ["exchange"] } },
  limits: {
    ...acmePolicy.limits,
    exposure: { sum: "ETH", to: ["tag:exchange"], max: String(CAP), window: "outstanding" },
  },
};

describe("vault/returns", () => {
  let vault: TestVault;
  let version: number;
  let hsm: SoftwareHsm;
  beforeEach(async () => {
    version = 1;
    hsm = hsmInSoftware();
    vault = await testVault({ hsm, policy: document });
  });
  afterEach(() => vault.close());

  const post = async (who: string, path: string, body: unknown) => {
    const { status, body: answer } = await vault.call(who, "POST", `/v1/clients/acme/${path}`, body, newKey());
    return { status, body: answer as { id?: string; code?: string; reason?: string } };
  };
  const send = async (value: number, to = VENUE): Promise<boolean> => {
    const { status, body } = await post("payouts", "signing-requests", transferBody(value, { to, gas: "0" }));
    assert.ok(status === 201 || body.reason === "over-limit", JSON.stringify(body));
    return status === 201;
  };
  let reports = 0;
  const back = async (amount: number, from = VENUE_OUT, transaction = `0x${String(++reports).padStart(64, "0")}`) => {
    const report = watched.deposit(vault.key.accounts[0]!, amount, transaction);
    const { status } = await post("watcher", "observations", {
      ...report,
      deposit: { ...report.deposit, from: accountOf(from) },
    });
    assert.equal(status, 201);
  };
  const applied = (change: object = {}) =>
    vault.apply("acme", { ...document, version: String(++version), callers: vault.clientCallers, ...change });
  const assertVerifies = async () => {
    await (await checkpointsOf(vault)).round();
    assert.deepEqual(verified(await exported(vault)).findings, []);
  };

  it("what is outstanding is bounded; what came back from the venue makes room, once for each deposit", async () => {
    assert.deepEqual([await send(50), await send(1), await send(1, STRANGER)], [true, false, true]);
    await back(30, VENUE_OUT, `0x${"ab".repeat(32)}`);
    await back(30, VENUE_OUT, `0x${"ab".repeat(32)}`);
    assert.deepEqual([await send(31), await send(30), await send(1)], [false, true, false]);
    await assertVerifies();
  });

  it("what comes from elsewhere makes no room, nor does a deposit from nowhere", async () => {
    await send(50);
    await back(50, STRANGER);
    assert.equal((await post("watcher", "observations", watched.deposit(vault.key.accounts[0]!, 50))).status, 201);
    assert.equal(await send(1), false);
    await assertVerifies();
  });

  it("a profit makes no room: what is outstanding is never below zero", async () => {
    await back(40);
    await send(50);
    await back(90);
    assert.deepEqual([await send(51), await send(50), await send(1)], [false, true, false]);
    await assertVerifies();
  });

  it("nothing comes back of what may turn out never to have been sent", async () => {
    await send(20);
    hsm.fault = () => {
      throw new GatewayError("hsm-unavailable", "the token is away", { facts: { unsigned: true } });
    };
    const open = await post("payouts", "signing-requests", transferBody(30, { to: VENUE, gas: "0" }));
    hsm.fault = undefined;
    await back(40); // of the 20
    vault.clock.now += 61_000;
    const settled = await vault.call("operator", "POST", `${REQUESTS}/${open.body.id}/settlement`, undefined, newKey());
    assert.equal((settled.body as { problem?: { spend: string } }).problem?.spend, "given-back");
    assert.deepEqual([await send(51), await send(50), await send(1)], [false, true, false]);
    await applied();
    assert.equal(await send(1), false);
    await assertVerifies();
  });

  it("a changed limit counts the past with what came back; of the same deposit, nothing again", async () => {
    await send(50);
    await back(20, VENUE_OUT, `0x${"cd".repeat(32)}`);
    await applied({ limits: { ...document.limits, exposure: { ...document.limits.exposure, max: "40" } } });
    assert.deepEqual([await send(11), await send(10), await send(1)], [false, true, false]);
    await back(20, VENUE_OUT, `0x${"cd".repeat(32)}`);
    assert.equal(await send(1), false);
    await assertVerifies();
  });

  it("it is a sum of a client's, with where it goes and nothing else", async () => {
    const { exposure } = document.limits;
    const { to: _to, ...nowhere } = exposure;
    const wrong: object[] = [
      nowhere,
      { ...exposure, to: ["anyone"] },
      { ...exposure, by: ["payouts"] },
      { ...exposure, amount: { ETH: "any" } },
      { ...exposure, per: "destination" },
      { count: "transactions", to: ["kraken"], max: "5", window: "outstanding" },
    ];
    for (const limit of wrong)
      await assert.rejects(applied({ limits: { ...document.limits, exposure: limit } }), { code: "policy-invalid" });
  });

  it("a log that says that more came back is found", async () => {
    await send(50);
    await back(10);
    await send(10);
    await (await checkpointsOf(vault)).round();
    const lines = (await exported(vault)).map((line) => line.replace(/(returned\\":\{[^}]*:\\")10/, "$120"));
    assert.ok(verified(lines).findings.some(({ code }) => code === "return-differs"));
  });

  it("whatever is sent, comes back or is changed, in whatever order: the model and the gateway say the same", async () => {
    const amount = fc.integer({ min: 1, max: 40 });
    const step = fc.oneof(
      { weight: 4, arbitrary: amount.map((value) => ({ act: "send", value }) as const) },
      { weight: 3, arbitrary: amount.map((value) => ({ act: "back", value }) as const) },
      fc.constant({ act: "again", value: 0 } as const),
      fc.constant({ act: "apply", value: 0 } as const),
    );
    let outstanding = 0;
    const reported: string[] = [];
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 16 }), async (steps) => {
        for (const { act, value } of steps) {
          if (act === "apply") await applied();
          if (act === "again" && reported.length > 0) await back(1_000, VENUE_OUT, reported.at(-1));
          if (act === "back") {
            reported.push(`0x${String(++reports).padStart(64, "0")}`);
            await back(value, VENUE_OUT, reported.at(-1));
            outstanding = Math.max(0, outstanding - value);
          }
          if (act !== "send") continue;
          const fits = outstanding + value <= CAP;
          assert.equal(await send(value), fits);
          if (fits) outstanding += value;
        }
      }),
      { numRuns: process.env["SOAK"] === undefined ? 8 : 300 },
    );
    await assertVerifies();
  }).timeout(process.env["SOAK"] === undefined ? 60_000 : 3_600_000);
});
