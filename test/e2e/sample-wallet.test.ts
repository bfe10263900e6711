import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { RefusedError, type SigningRequestView } from "../../src/sdk/client.ts";
import { startGateway, type TestGateway } from "../../src/sdk/testing.ts";
import { run } from "../support/program.ts";

// Goal: the tests of a wallet service, as another team writes them with `portcullis/testing`, work as they stand.
// Method: a small wallet service and its suite: approve, deny, limit, retry after a crash. docs/testing.md points here.

const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";
const STRANGER = "0xa0Ee7A142d267C1f36714E4a8F75612F20a79720";
const ETHER = 10n ** 18n;

type Payout = { readonly invoice: string; readonly to: string; readonly ether: bigint };
type Paid = {
  readonly outcome: "sent" | "waiting" | "refused";
  readonly request?: SigningRequestView;
  readonly why?: string;
};

/** What a wallet service does with the gateway: one idempotency key for each invoice, kept until there is an answer. */
class PayoutService {
  readonly #gateway: TestGateway;
  constructor(gateway: TestGateway) {
    this.#gateway = gateway;
  }

  async pay({ invoice, to, ether }: Payout): Promise<Paid> {
    const transaction = {
      to,
      value: String(ether * ETHER),
      gas: "21000",
      maxFeePerGas: "30000000000",
      maxPriorityFeePerGas: "1000000000",
    };
    const body = { key: "hot-1", payload: { type: "evm-transaction", transaction }, reference: invoice };
    try {
      const request = await this.#gateway
        .as("acme-fund", "payouts")
        .sign("acme-fund", body, { idempotencyKey: `invoice-${invoice}` });
      return { outcome: request.state === "signed" ? "sent" : "waiting", request };
    } catch (error) {
      if (error instanceof RefusedError) return { outcome: "refused", why: String(error.problem["reason"]) };
      throw error;
    }
  }
}

describe("a wallet service's own tests", function () {
  let gateway: TestGateway;
  let payouts: PayoutService;
  beforeEach(async () => {
    gateway = await startGateway();
    payouts = new PayoutService(gateway);
  });
  afterEach(() => gateway?.stop());

  async function approve(id: string, person: string): Promise<void> {
    const file = join(gateway.folder, `${person}.json`);
    writeFileSync(file, JSON.stringify(gateway.callers["acme-fund"]![person]), { mode: 0o600 });
    const done = await run(["approval", "approve", id, "--as", file, "--yes"]);
    assert.equal(done.code, 0, done.stderr);
  }

  it("a small invoice is paid at once", async () => {
    assert.equal((await payouts.pay({ invoice: "1", to: TREASURY, ether: 1n })).outcome, "sent");
  });

  it("a large one waits for two officers, and is paid by the same call", async () => {
    const large = { invoice: "2", to: TREASURY, ether: 50n };
    const { outcome, request } = await payouts.pay(large);
    assert.equal(outcome, "waiting");
    await approve(request!.id, "alice");
    assert.equal((await payouts.pay(large)).outcome, "waiting");
    await approve(request!.id, "bob");
    const paid = await payouts.pay(large);
    assert.deepEqual([paid.outcome, paid.request?.id], ["sent", request!.id]);
  });

  it("one to an address that nobody knows is refused", async () => {
    const refused = await payouts.pay({ invoice: "3", to: STRANGER, ether: 1n });
    assert.deepEqual([refused.outcome, refused.why], ["refused", "no-rule-allows"]);
  });

  it("what goes over the day's limit is refused, and paid the next day", async () => {
    assert.equal((await payouts.pay({ invoice: "4", to: TREASURY, ether: 10n })).outcome, "sent");
    assert.equal((await payouts.pay({ invoice: "5", to: TREASURY, ether: 10n })).why, "over-limit");
    gateway.advance(24 * 3_600_000);
    // A refusal is final for its key: another day is another request.
    assert.equal((await payouts.pay({ invoice: "5b", to: TREASURY, ether: 10n })).outcome, "sent");
  });

  it("a crash in the middle: the same invoice is paid once", async () => {
    const invoice = { invoice: "6", to: TREASURY, ether: 2n };
    const interrupted = payouts.pay(invoice).catch(() => undefined);
    await gateway.crash();
    const before = await interrupted;
    const [first, second] = [await payouts.pay(invoice), await payouts.pay(invoice)];
    assert.equal(first.outcome, "sent");
    assert.deepEqual(second, first);
    if (before) assert.deepEqual(before.request?.result, first.request?.result);
  });

  it("a list from the shell: each has its own outcome, again the same, and one that is refused is exit 1", async () => {
    const list = join(gateway.folder, "list.json");
    const caller = join(gateway.folder, "callers/acme-fund/payouts.json");
    const transfer = (to: string) => ({
      key: "hot-1",
      payload: {
        type: "evm-transaction",
        transaction: { to, value: "1", gas: "21000", maxFeePerGas: "30000000000", maxPriorityFeePerGas: "1" },
      },
    });
    writeFileSync(list, JSON.stringify([transfer(TREASURY), transfer(STRANGER), transfer(TREASURY)]));
    const sign = () =>
      run(["request", "sign", "--batch", list, "--idempotency-key", "list-1", "--as", caller, "--json"]);
    const [first, again] = [await sign(), await sign()];
    assert.equal(first.code, 1, first.stderr);
    assert.equal(again.stdout, first.stdout);
    const { answers } = JSON.parse(first.stdout) as { answers: { status: number; request: SigningRequestView }[] };
    assert.deepEqual(
      answers.map(({ status, request }) => [status, request.state]),
      [
        [201, "signed"],
        [403, "denied"],
        [201, "signed"],
      ],
    );
    assert.equal((await run(["request", "sign", "--idempotency-key", "x", "--as", caller])).code, 2);
  });
});
