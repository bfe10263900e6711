import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { SigningKey } from "ethers";
import { GatewayError } from "../../../src/domain/errors.ts";
import type { Gateway } from "../../../src/vault/gateway.ts";
import type { RequestRow } from "../../../src/vault/ports.ts";
import type { Store } from "../../../src/vault/ports.ts";
import { readRecord } from "../../../src/vault/record.ts";
import { sign, SIGN_STEPS, type SignStep } from "../../../src/vault/sign.ts";
import { checkLog, logOf } from "../../support/log-check.ts";
import { hsmInSoftware, type SoftwareHsm } from "../../support/software-hsm.ts";
import { acmePolicy, ASSETS, testVault, transferBody, type TestVault } from "../../support/vault.ts";

// Goal: what an HSM returns leaves the vault only if it is this key's signature over the authorized digest, and once
// (I7); whatever goes wrong after the authorization, the authorization stands (I4).

describe("vault/sign", () => {
  let vault: TestVault;
  let hsm: SoftwareHsm;
  beforeEach(async () => {
    hsm = hsmInSoftware();
    vault = await testVault({ hsm });
  });
  afterEach(() => vault.close());

  const submission = (value: number, key = "withdrawal-1", fields: Record<string, unknown> = {}) => ({
    client: "acme" as never,
    caller: "payouts" as never,
    idempotencyKey: key,
    bodyHash: `hash of ${JSON.stringify([value, fields])}`,
    body: transferBody(value, fields),
    evidence: {},
  });
  const types = async () =>
    checkLog(await logOf(vault.store)).flatMap(({ opening }) => (opening["request"] ? [opening.type] : []));

  it("the steps are done in their order, once each", async () => {
    const done: SignStep[] = [];
    await sign({ ...vault.gateway, stepDone: (step) => void done.push(step) }, submission(5));
    assert.deepEqual(done, SIGN_STEPS);
  });

  it("decided again after a minute, with other help, it is the first one's bytes: never a second transaction", async () => {
    const left = { gas: undefined, maxFeePerGas: undefined, maxPriorityFeePerGas: undefined };
    const help = (price: bigint) => ({ gas: 1n, maxFeePerGas: price, maxPriorityFeePerGas: 1n });
    const digests: string[] = [];
    hsm.fault = (digest, signature) => {
      digests.push(Buffer.from(digest).toString("hex"));
      if (digests.length === 1) throw new GatewayError("hsm-unavailable", "the HSM is away");
      return signature;
    };
    const ask = (price: bigint) => sign(vault.gateway, { ...submission(5, "again", left), assist: help(price) });
    assert.equal((await ask(2n)).state, "authorized");
    await sign(vault.gateway, submission(6, "another")); // the next nonce is taken meanwhile
    vault.clock.now += 61_000;
    assert.equal((await ask(3n)).state, "signed");
    assert.equal(digests[2], digests[0]);
    assert.equal((await types()).filter((type) => type === "authorized").length, 3);
  });

  it("when the HSM is asked, the authorization is durable; when the signature leaves, its outcome is", async () => {
    let atSigning: string[] = [];
    hsm.fault = async (_digest, signature) => {
      atSigning = await types();
      return signature;
    };
    const row = await sign(vault.gateway, submission(5));
    assert.deepEqual([atSigning, row.state, await types()], [["authorized"], "signed", ["authorized", "signed"]]);
  });

  describe("a store that is lost while it commits, so that nobody knows what became of step 4", () => {
    const unknown = () => new GatewayError("outcome-unknown", "the store was lost while it committed");
    /** The first transaction of a request is the one that is lost. */
    const losing = (commits: boolean): Gateway["store"] => {
      let lost = false;
      return {
        ...vault.store,
        write: async (work, expected) => {
          if (lost) return vault.store.write(work, expected);
          lost = true;
          if (commits) await vault.store.write(work, expected);
          else
            await vault.store
              .write(async (transaction) => {
                await work(transaction);
                throw unknown();
              })
              .catch(() => undefined);
          throw unknown();
        },
      };
    };

    for (const commits of [true, false]) {
      it(`is answered with the request's id and nothing of a decision; it ${commits ? "had" : "had not"} committed`, async () => {
        const row = await sign({ ...vault.gateway, store: losing(commits) }, submission(5));
        assert.deepEqual([row.state, row.decisionLeaf, row.decision, row.outcome], ["authorized", null, null, null]);
        assert.deepEqual([hsm.signed, await types()], [[], commits ? ["authorized"] : []]);
        const again = await sign(vault.gateway, submission(5));
        const attempted = commits ? ["attempted"] : [];
        assert.deepEqual([again.state, await types()], ["signed", ["authorized", ...attempted, "signed"]]);
        if (commits) assert.equal(again.id, row.id);
      });
    }

    it("without a request of its own in it, it is an error", () =>
      assert.rejects(
        sign({ ...vault.gateway, store: { ...vault.store, write: () => Promise.reject(unknown()) } }, submission(5)),
        { code: "outcome-unknown" },
      ));
  });

  it("a denied request never reaches the HSM", async () => {
    const row = await sign(vault.gateway, submission(5, "k", { maxFeePerGas: "5000", maxPriorityFeePerGas: "1" }));
    assert.deepEqual([row.state, hsm.signed, await types()], ["denied", [], ["denied"]]);
  });

  describe("what is no signature of this key over this digest is destroyed", () => {
    const another = new SigningKey(randomBytes(32));
    const of = (digest: Uint8Array) => {
      const { r, s } = another.sign(digest);
      return Buffer.from(r.slice(2) + s.slice(2), "hex");
    };
    for (const [what, fault] of [
      ["another key's signature", (digest: Uint8Array) => of(digest)],
      ["a signature over another digest", (_digest: Uint8Array, signature: Buffer) => Buffer.from(signature).reverse()],
      ["zeros", () => Buffer.alloc(64)],
      ["random bytes", () => randomBytes(64)],
      [
        "one bit flipped",
        (_digest: Uint8Array, signature: Buffer) => Buffer.from(signature).fill(signature[63]! ^ 1, 63),
      ],
      ["too few bytes", (_digest: Uint8Array, signature: Buffer) => signature.subarray(0, 63)],
      ["nothing", () => Buffer.alloc(0)],
    ] as const) {
      it(what, async () => {
        const returned: string[] = [];
        hsm.fault = (digest, signature) => {
          const bytes = fault(digest, signature);
          returned.push(bytes.toString("hex"), signature.toString("hex"));
          return bytes;
        };
        const unfinished: RequestRow[] = [];
        const row = await sign({ ...vault.gateway, unfinished: (each) => void unfinished.push(each) }, submission(5));
        assert.deepEqual([row.state, readRecord(row).result, unfinished.length], ["authorized", undefined, 1]);
        const kept = JSON.stringify([row, (await logOf(vault.store)).leaves]);
        for (const text of returned.filter((each) => each.length > 60)) assert.ok(!kept.includes(text));

        hsm.fault = undefined;
        assert.equal((await sign(vault.gateway, submission(5))).state, "signed");
        assert.deepEqual(await types(), ["authorized", "attempted", "signed"]);
      });
    }
  });

  it("two vaults that finish the same request at the same time give one signature, the first recorded", async () => {
    const other: Gateway = await vault.restarted();
    hsm.fault = () => {
      throw new GatewayError("hsm-unavailable", "away");
    };
    await sign(vault.gateway, submission(5));
    const made: string[] = [];
    let bothSigned = (): void => undefined;
    const barrier = new Promise<void>((resolve) => (bothSigned = resolve));
    hsm.fault = async (_digest, signature) => {
      made.push(signature.toString("hex"));
      if (made.length === 2) bothSigned();
      await barrier;
      return signature;
    };
    const [first, second] = await Promise.all([sign(vault.gateway, submission(5)), sign(other, submission(5))]);
    assert.notEqual(made[0], made[1], "two signatures were made");
    assert.deepEqual(first, second);
    assert.deepEqual(await types(), ["authorized", "attempted", "attempted", "signed"]);
  });

  it("a request under way is not begun again", async () => {
    const first = sign(vault.gateway, submission(5));
    await assert.rejects(sign(vault.gateway, submission(5)), { code: "request-in-progress" });
    assert.equal((await first).state, "signed");
  });

  it("a payload that cannot be read is denied for ever, and in the log", async () => {
    const bad = submission(5, "withdrawal-1", { to: "0x12" });
    const row = await sign(vault.gateway, bad);
    assert.equal(row.state, "denied");
    assert.deepEqual(await sign(vault.gateway, bad), row);
    assert.deepEqual(await types(), ["denied"]);
  });

  it("a symbol that was spent under stays that asset: no policy makes the past count as nothing", async () => {
    assert.equal((await sign(vault.gateway, submission(30))).state, "signed");
    const policyWith = (version: string, changes: object = {}) => ({
      ...acmePolicy,
      callers: vault.clientCallers,
      version,
      ...changes,
    });
    const elsewhere = {
      ...ASSETS,
      chains: { "eip155:1": { name: "Elsewhere", native: "ETH" } },
      assets: { ETH: { ...ASSETS.assets.ETH, chain: "eip155:1" } },
    };
    await assert.rejects(vault.apply("acme", policyWith("2", { rules: [] }), ["officer"], elsewhere), {
      code: "policy-conflict",
    });
    await vault.apply(
      "acme",
      policyWith("3", { limits: { daily: { sum: "ETH", max: "50", window: { rolling: "24h" } } } }),
    );
    assert.equal((await sign(vault.gateway, submission(30, "withdrawal-2"))).state, "denied");
    assert.equal((await sign(vault.gateway, submission(10, "withdrawal-3"))).state, "signed");
  });

  it("a refused key is refused before anything is recorded, but a final answer stays one", async () => {
    const row = await sign(vault.gateway, submission(5));
    const entry = vault.gateway.directory.get("acme" as never);
    const refused = new GatewayError("key-refused", "expected LOCAL");
    (entry.refusedKeys as unknown as Map<string, GatewayError>).set("hot-1", refused);
    assert.deepEqual(await sign(vault.gateway, submission(5)), row);
    await assert.rejects(sign(vault.gateway, submission(5, "withdrawal-2")), { code: "key-refused" });
    assert.deepEqual(await types(), ["authorized", "signed"]);
  });

  it("a request that stands authorized is answered as it stands, also when its key cannot be used any more", async () => {
    const lost = { ...vault.store, write: once(vault.store) };
    const row = await sign({ ...vault.gateway, store: lost }, submission(5));
    assert.equal(row.state, "authorized");
    const entry = vault.gateway.directory.get("acme" as never);
    const away = new GatewayError("hsm-unavailable", "the token is away");
    (entry.refusedKeys as unknown as Map<string, GatewayError>).set("hot-1", away);
    assert.deepEqual(await sign(vault.gateway, submission(5)), row);
    await assert.rejects(sign(vault.gateway, submission(5, "withdrawal-2")), { code: "hsm-unavailable" });
    assert.deepEqual(await types(), ["authorized"]);
  });
});

/** Step 4 is written, and nothing after it. */
function once(store: Store): Store["write"] {
  let isFirst = true;
  return (work, expected) => {
    if (!isFirst) return Promise.reject(new GatewayError("store-unavailable", "gone"));
    isFirst = false;
    return store.write(work, expected);
  };
}
