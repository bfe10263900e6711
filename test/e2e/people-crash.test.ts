import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { SigningRequestView } from "../../src/domain/api.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { run } from "../support/program.ts";

// Goal: what people have decided stands, and what they have not is still missing, whenever the power goes.
// Method: a real gateway that is killed after each step of an approval with a delay; the test moves its clock.

const HOUR_MS = 3_600_000;
const ACME = fileURLToPath(new URL("../../policies/examples/hot-wallet/acme-fund.yaml", import.meta.url));
const LARGE = {
  key: "hot-1",
  payload: {
    type: "evm-transaction",
    transaction: {
      to: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8", // `treasury`
      value: (50n * 10n ** 18n).toString(),
      gas: "21000",
      maxFeePerGas: "1000000000",
      maxPriorityFeePerGas: "0",
    },
  },
};

describe("power cuts while people decide", function () {
  let gateway: TestGateway;

  before(async () => {
    const quorum = "approvals: { officers: 2, expireAfter: 24h }";
    const text = readFileSync(ACME, "utf8").replace(/^tests:$[^]*/m, ""); // they know no delay
    assert.ok(text.includes(quorum));
    gateway = await startGateway({ policy: text.replace(quorum, `${quorum}\n    delay: 1h`) });
  });
  after(() => gateway?.stop());

  const ask = (idempotencyKey: string) =>
    gateway.as("acme-fund", "payouts").sign("acme-fund", LARGE, { idempotencyKey });
  const view = (id: string) =>
    gateway.as("acme-fund", "payouts").get<SigningRequestView>(`/v1/clients/acme-fund/signing-requests/${id}`);
  async function approve(person: string, id: string, word = "approve"): Promise<void> {
    const as = join(gateway.folder, `callers/acme-fund/${person}.json`);
    const { code, stderr } = await run(["approval", word, id, "--yes", "--as", as]);
    assert.equal(code, 0, stderr);
  }
  /** @returns state and who has approved, after a power cut */
  async function afterCrash(id: string): Promise<[string, string[]]> {
    await gateway.crash();
    const { state, approvals } = await view(id);
    return [state, (approvals ?? []).map(({ person }) => person)];
  }

  it("each approval stands once, the delay counts from the last, and it is signed once", async () => {
    const { id, state } = await ask("payment-1");
    assert.equal(state, "pending");
    assert.deepEqual(await afterCrash(id), ["pending", []]);
    await approve("alice", id);
    assert.deepEqual(await afterCrash(id), ["pending", ["alice"]]);
    await approve("bob", id);
    assert.deepEqual(await afterCrash(id), ["pending", ["alice", "bob"]]);
    assert.equal((await ask("payment-1")).state, "pending", "the delay is not over");
    gateway.advance(HOUR_MS);
    assert.deepEqual(await afterCrash(id), ["ready", ["alice", "bob"]]);
    const signed = await ask("payment-1");
    assert.equal(signed.state, "signed");
    assert.deepEqual(await afterCrash(id), ["signed", ["alice", "bob"]]);
    assert.deepEqual((await ask("payment-1")).result, signed.result);
  });

  it("a rejection stands", async () => {
    const { id } = await ask("payment-2");
    await approve("alice", id);
    await approve("bob", id, "reject");
    assert.equal((await afterCrash(id))[0], "rejected");
    await assert.rejects(ask("payment-2"), { code: "rejected" });
  });

  it("`log verify` passes on all of it", async () => {
    const file = join(gateway.folder, "log.jsonl");
    const exported = await run(["log", "export", file, "--as", `${gateway.folder}/callers/house/auditor.json`]);
    assert.equal(exported.code, 0, exported.stderr);
    const { code, stdout } = await run(["log", "verify", file]);
    assert.equal(code, 0, stdout);
  });
});
