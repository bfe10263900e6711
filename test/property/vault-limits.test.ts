import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Transaction } from "ethers";
import fc from "fast-check";
import type { SigningRequestBody } from "../../src/domain/api.ts";
import { GatewayError } from "../../src/domain/errors.ts";
import type { CallerName, ClientId } from "../../src/domain/names.ts";
import { isFinal } from "../../src/domain/request.ts";
import type { Hsm, RequestRow } from "../../src/vault/ports.ts";
import { StaleDirectory } from "../../src/vault/directory.ts";
import { readRecord } from "../../src/vault/record.ts";
import { sign } from "../../src/vault/sign.ts";
import { checkLog, logOf, type CheckedLeaf } from "../support/log-check.ts";
import { hsmInSoftware, type SoftwareHsm } from "../support/software-hsm.ts";
import { scratchHsm } from "../support/softhsm.ts";
import { ADDRESSES, accountOf, acmePolicy, testVault, transferBody, type TestVault } from "../support/vault.ts";

// Goal: no sequence of concurrent requests and policy changes, at whatever times, with whatever failures of the HSM
// between, takes any window above its cap, authorizes a nonce twice or gives a request two answers; and nothing is denied
// that would fit.
// Method: the real seven steps over a real SQLite file; the log says what was decided, in order, and which policy stood; a
// model that keeps one plain list and adds up each window anew must agree with every decision in it. Limits do not depend
// on the HSM: most runs sign with keys in memory, one with a real SoftHSM.

const SOAK = process.env["SOAK"] !== undefined;
const HOUR = 3_600_000;

type Limit = {
  readonly hours: number;
  readonly max: number;
  readonly counts: "sum" | "transactions" | "to the first" | "small";
  readonly per?: "destination" | "caller";
};
type Ask = {
  readonly caller: "payouts" | "trading";
  readonly key: number;
  readonly value: number;
  readonly to: number;
  readonly nonce: number | undefined;
};
type Moment = {
  readonly afterMs: number;
  readonly hsmFails: boolean;
  readonly choices: readonly Choice[];
  /** Limits that an officer makes the client's while the requests of this moment come in. */
  readonly change: readonly Limit[] | undefined;
};

const SMALL_MAX = 20;

const limits: fc.Arbitrary<Limit[]> = fc.array(
  fc.record(
    {
      hours: fc.constantFrom(1, 2, 24),
      max: fc.integer({ min: 1, max: 120 }),
      counts: fc.constantFrom("sum", "transactions", "to the first", "small"),
      per: fc.constantFrom("destination", "caller"),
    },
    { requiredKeys: ["hours", "max", "counts"] },
  ),
  { minLength: 1, maxLength: 3 },
);

/** What each idempotency key stands for; now and then a caller sends another body under it. */
const payment = fc.record({
  caller: fc.constantFrom("payouts", "payouts", "trading"),
  value: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 60 })),
  to: fc.nat({ max: 2 }),
  nonce: fc.option(fc.nat({ max: 6 }), { nil: undefined, freq: 4 }),
});
const PAYMENTS = 12;
const payments = fc.array(payment, { minLength: PAYMENTS, maxLength: PAYMENTS });

type Choice = { readonly key: number; readonly changed: boolean };
const choice: fc.Arbitrary<Choice> = fc.record({
  key: fc.nat({ max: PAYMENTS - 1 }),
  changed: fc.constantFrom(...Array.from({ length: 12 }, (_, n) => n === 0)),
});

const askOf = ({ key, changed }: Choice, table: readonly Omit<Ask, "key">[]): Ask => {
  const { value, ...rest } = table[key]!;
  return { key, value: changed ? value + 1 : value, ...rest };
};

const moments: fc.Arbitrary<Moment[]> = fc.array(
  fc.record({
    afterMs: fc.constantFrom(0, 1, 59_000, 61_000, HOUR / 2, HOUR - 1, HOUR, 23 * HOUR),
    hsmFails: fc.oneof({ weight: 2, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    choices: fc.array(choice, { minLength: 1, maxLength: 8 }),
    change: fc.option(limits, { nil: undefined, freq: 3 }),
  }),
  { minLength: 1, maxLength: 8 },
);

type Scenario = {
  readonly policy: readonly Limit[];
  readonly table: readonly Omit<Ask, "key">[];
  readonly steps: readonly Moment[];
};
const scenarios = fc.record({ policy: limits, table: payments, steps: moments }) as fc.Arbitrary<Scenario>;

const documentOf = (limit: Limit) => ({
  ...(limit.counts === "transactions" ? { count: "transactions" } : { sum: "ETH" }),
  ...(limit.counts === "to the first" ? { to: [accountOf(ADDRESSES[0]!)] } : {}),
  ...(limit.counts === "small" ? { amount: { ETH: { max: String(SMALL_MAX) } } } : {}),
  max: String(limit.max),
  window: { rolling: `${limit.hours}h` },
  ...(limit.per ? { per: limit.per } : {}),
});

const bodyOf = ({ value, to, nonce }: Ask): SigningRequestBody =>
  transferBody(value, { to: ADDRESSES[to], ...(nonce === undefined ? {} : { nonce }) });

function submissionOf({ caller, key, ...rest }: Ask) {
  const body = bodyOf({ caller, key, ...rest });
  return {
    client: "acme" as ClientId,
    caller: caller as CallerName,
    idempotencyKey: `withdrawal-${key}`,
    bodyHash: createHash("sha256").update(JSON.stringify(body)).digest("hex"),
    body,
    evidence: {},
  };
}

// ------------------------------------------------------------------------------------------------------- the model

/** The most that one transaction of these tests pays for its gas: 1 × 1 wei (`transferBody`). */
const FEE = 1;

type Spend = {
  readonly request: string;
  readonly at: number;
  readonly caller: string;
  readonly to: string;
  readonly value: number;
};

/** How much this limit counts of a payment, and in which of its scopes: DESIGN section 6, sentence 5. */
function counted(limit: Limit, { caller, to, value }: Spend): { scope: string; amount: number } {
  const scope = limit.per === "destination" ? to : limit.per === "caller" ? caller : "all";
  if (limit.counts === "transactions") return { scope, amount: 1 };
  if (limit.counts === "to the first") return { scope, amount: to === ADDRESSES[0] ? value : 0 };
  if (limit.counts === "small") return { scope, amount: value <= SMALL_MAX ? value : 0 };
  return { scope, amount: value + (limit.per === "destination" ? 0 : FEE) };
}

/** Whether the payment still fits under every cap, given everything that was ever authorized. */
const fits = (policy: readonly Limit[], list: readonly Spend[], spend: Spend): boolean =>
  policy.every((limit) => {
    const own = counted(limit, spend);
    const windowStartsAt = spend.at - limit.hours * HOUR;
    const spent = list
      .filter(({ at }) => at > windowStartsAt)
      .map((other) => counted(limit, other))
      .reduce((sum, { scope, amount }) => (scope === own.scope ? sum + amount : sum), 0);
    return own.amount === 0 || spent + own.amount <= limit.max;
  });

type Opening = {
  readonly type: string;
  readonly request: string;
  readonly caller: string;
  readonly at: number;
  readonly intent?: { readonly operations: { to: string; amount: string }[]; readonly claims: { nonce: string }[] };
  readonly decision?: { readonly reasons: { code: string }[] };
  readonly digest?: string;
  readonly authorized?: number;
  readonly signature?: string;
  readonly version?: number;
};

/** What each version of the client's document limits. */
type Policies = ReadonlyMap<number, readonly Limit[]>;

/** Plays the log of one run against the list; returns what happened, for a look at how much was tried. */
function replay(policies: Policies, leaves: readonly CheckedLeaf[], seen: Map<string, number>): void {
  let policy = policies.get(1)!;
  let list: Spend[] = [];
  const nonceHolders = new Map<string, string>();
  const authorizedDigests = new Map<number, { request: string; digest: string }>();
  const signed = new Set<string>();
  for (const { opening, index } of leaves) {
    const leaf = opening as unknown as Opening;
    const again = list.some(({ request }) => request === leaf.request);
    seen.set(leaf.type + (again ? " again" : ""), (seen.get(leaf.type + (again ? " again" : "")) ?? 0) + 1);
    if (leaf.type === "signed") {
      const authorization = authorizedDigests.get(leaf.authorized!);
      assert.deepEqual(authorization, { request: leaf.request, digest: leaf.digest }, "signed is what was authorized");
      assert.ok(!signed.has(leaf.request), "a request is signed once");
      signed.add(leaf.request);
    }
    if (leaf.type === "policy-applied") policy = policies.get(leaf.version!)!;
    if (!leaf.intent) continue;
    const [{ to, amount }, { nonce }] = [leaf.intent.operations[0]!, leaf.intent.claims[0]!];
    const address = to.slice(to.lastIndexOf(":") + 1);
    const spend = { request: leaf.request, at: leaf.at, caller: leaf.caller, to: address, value: Number(amount) };
    const others = list.filter(({ request }) => request !== leaf.request);
    const isFree = (nonceHolders.get(nonce) ?? leaf.request) === leaf.request;
    const allowed = isFree && fits(policy, others, spend);
    switch (leaf.type) {
      case "authorized":
        assert.ok(allowed, `leaf ${index} authorizes what does not fit`);
        list = [...others, spend];
        nonceHolders.set(nonce, leaf.request);
        authorizedDigests.set(index, { request: leaf.request, digest: leaf.digest! });
        break;
      case "denied":
      case "failed":
        assert.ok(!allowed, `leaf ${index} denies what fits: ${JSON.stringify(leaf.decision?.reasons)}`);
        break;
      default:
        assert.fail(`no request of this test ends ${leaf.type}`);
    }
  }
}

// --------------------------------------------------------------------------------------------------------- one run

/** What must be so of answers, whatever was asked: one request per key and body, one final answer, one transaction. */
class Answers {
  readonly #bodyOf = new Map<string, string>();
  readonly #final = new Map<string, RequestRow>();

  take(
    { caller, idempotencyKey, bodyHash }: ReturnType<typeof submissionOf>,
    outcome: PromiseSettledResult<RequestRow>,
  ) {
    const name = `${caller}/${idempotencyKey}`;
    if (outcome.status === "rejected") {
      const { code } = outcome.reason as GatewayError;
      if (code === "idempotency-mismatch") assert.notEqual(this.#bodyOf.get(name) ?? "", bodyHash);
      else assert.equal(code, "request-in-progress", String(outcome.reason));
      return;
    }
    const row = outcome.value;
    assert.equal(row.bodyHash, bodyHash, "no body is answered with another's request");
    assert.equal(this.#bodyOf.get(name) ?? bodyHash, bodyHash, "a key belongs to one body for ever");
    this.#bodyOf.set(name, bodyHash);
    const before = this.#final.get(name);
    if (before) assert.deepEqual(row, before, "a final answer is the answer for ever");
    else if (isFinal(row.state)) this.#final.set(name, row);
  }

  /** ethers reads what was signed: the fields that were asked for, under this key, each nonce once. */
  checkTransactions(vault: TestVault): void {
    const nonces = new Set<number>();
    for (const row of this.#final.values()) {
      const { result, intent } = readRecord(row);
      if (row.state !== "signed") continue;
      const transaction = Transaction.from(result!.signedTransaction);
      assert.equal(accountOf(transaction.from!), vault.key.accounts[0]);
      assert.equal(transaction.hash, result!.transactionHash);
      const [operation] = (intent as unknown as NonNullable<Opening["intent"]>).operations;
      assert.equal(transaction.value.toString(), operation!.amount);
      assert.ok(!nonces.has(transaction.nonce), "a nonce is signed once");
      nonces.add(transaction.nonce);
    }
  }
}

async function run({ policy, table, steps }: Scenario, hsm: Hsm, seen: Map<string, number>): Promise<void> {
  const vault = await testVault({ hsm, policy: { limits: limitsOf(policy) } });
  const policies = new Map([[1, policy]]);
  const change = async (limits: readonly Limit[]) => {
    const version = policies.size + 1;
    policies.set(version, limits);
    const document = { ...acmePolicy, callers: vault.clientCallers, version: `${version}`, limits: limitsOf(limits) };
    await vault.apply("acme", document);
  };
  try {
    const answers = new Answers();
    for (const { afterMs, hsmFails, choices, change: limits } of steps) {
      vault.clock.now += afterMs;
      if ("fault" in hsm) (hsm as SoftwareHsm).fault = hsmFails ? hsmThatIsAway : undefined;
      const submissions = choices.map((each) => submissionOf(askOf(each, table)));
      const half = Math.floor(submissions.length / 2);
      const early = submissions.slice(0, half).map((submission) => signAnew(vault, submission));
      const changed = limits && change(limits);
      const late = submissions.slice(half).map((submission) => signAnew(vault, submission));
      const outcomes = await Promise.allSettled([...early, ...late]);
      await changed;
      for (const [n, outcome] of outcomes.entries()) answers.take(submissions[n]!, outcome);
    }
    answers.checkTransactions(vault);
    replay(policies, checkLog(await logOf(vault.store)), seen);
    assert.deepEqual(vault.faults, []);
  } finally {
    await vault.close();
  }
}

/** An asset that moves must be counted by some limit: the roof never binds. */
const limitsOf = (limits: readonly Limit[]): object => ({
  roof: { sum: "ETH", max: "1000000", window: { rolling: "24h" } },
  ...Object.fromEntries(limits.map((limit, n) => [`limit-${n}`, documentOf(limit)])),
});

/** As the router does it: where the policy changed underneath, everything is found out again. */
async function signAnew({ gateway }: TestVault, submission: ReturnType<typeof submissionOf>): Promise<RequestRow> {
  for (;;) {
    try {
      return await sign(gateway, submission);
    } catch (error) {
      if (!(error instanceof StaleDirectory)) throw error;
      await gateway.directory.refreshClient(error.client);
    }
  }
}

function hsmThatIsAway(): never {
  throw new GatewayError("hsm-unavailable", "the HSM is away");
}

describe("limits at any concurrency", () => {
  it("every decision is the one of a plain list", async function () {
    this.timeout(SOAK ? 1_800_000 : 120_000);
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(scenarios, (scenario) => run(scenario, hsmInSoftware(), seen)),
      // A failure is shrunk for as long as the test may take.
      { numRuns: SOAK ? 3_000 : 80, ...(SOAK ? {} : { interruptAfterTimeLimit: 100_000 }) },
    );
    // A test that never meets a limit, or never signs, proves little.
    for (const event of ["authorized", "signed again", "denied", "authorized again", "policy-applied"])
      assert.ok((seen.get(event) ?? 0) > 0, `no leaf \`${event}\` in ${JSON.stringify([...seen])}`);
  });

  it("the same with a real token", async () => {
    const [scenario] = fc.sample(scenarios, { seed: 1, numRuns: 1 });
    const steps = fc.sample(moments, { seed: 2, numRuns: SOAK ? 30 : 4 }).flat();
    const scratch = await scratchHsm();
    try {
      await run({ ...scenario!, steps }, scratch.hsm, new Map());
    } finally {
      await scratch.close();
    }
  });

  it("thirty-two at once under a cap for ten: ten are signed", async () => {
    const vault = await testVault({
      policy: { limits: { daily: { sum: "ETH", max: "110", window: { rolling: "24h" } } } },
    });
    const asks = Array.from({ length: 32 }, (_, key): Ask => ({
      caller: "payouts",
      key,
      value: 10,
      to: 0,
      nonce: undefined,
    }));
    const rows = await Promise.all(asks.map((each) => sign(vault.gateway, submissionOf(each))));
    const states = rows.map(({ state }) => state);
    assert.equal(states.filter((state) => state === "signed").length, 10);
    assert.equal(states.filter((state) => state === "denied").length, 22);
    await vault.close();
  });

  it("a window forgets a spend exactly when its length has passed, and not before", async () => {
    const vault = await testVault({
      policy: { limits: { hourly: { sum: "ETH", max: "11", window: { rolling: "1h" } } } },
    });
    const pay = async (key: number) =>
      (await sign(vault.gateway, submissionOf({ caller: "payouts", key, value: 10, to: 0, nonce: undefined }))).state;
    assert.equal(await pay(1), "signed");
    vault.clock.now += HOUR - 1;
    assert.equal(await pay(2), "denied");
    vault.clock.now += 1;
    assert.equal(await pay(3), "signed");
    await vault.close();
  });

  it("what was authorized, not signed, and no longer fits, fails; its spend stays where it was counted", async () => {
    const hsm = hsmInSoftware();
    const limit = (max: string, hours: string) => ({ sum: "ETH", max, window: { rolling: hours } });
    const vault = await testVault({
      hsm,
      policy: { limits: { hourly: limit("11", "1h"), daily: limit("22", "24h") } },
    });
    const pay = (key: number) =>
      sign(vault.gateway, submissionOf({ caller: "payouts", key, value: 10, to: 0, nonce: undefined }));
    hsm.fault = hsmThatIsAway;
    assert.equal((await pay(1)).state, "authorized");
    hsm.fault = undefined;
    vault.clock.now += HOUR;
    assert.equal((await pay(2)).state, "signed");
    const failed = await pay(1);
    assert.equal(failed.state, "failed");
    assert.deepEqual(await pay(1), failed);
    vault.clock.now += HOUR;
    assert.equal((await pay(3)).state, "denied", "the daily limit still counts what failed");

    // The counters built anew from the log say the same, in the order of the moments at which things were counted.
    const limits = { hourly: limit("11", "1h"), daily: limit("33", "24h") };
    await vault.apply("acme", { ...acmePolicy, callers: vault.clientCallers, version: "2", limits });
    assert.equal((await pay(4)).state, "signed");
    vault.clock.now += HOUR;
    assert.equal((await pay(5)).state, "denied", "the new daily limit counts what failed before it was made");
    checkLog(await logOf(vault.store));
    await vault.close();
  });
});
