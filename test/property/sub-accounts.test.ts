import assert from "node:assert/strict";
import fc from "fast-check";
import type { SubAccountPositions, PositionView } from "../../src/domain/custody.ts";
import { checkLog, logOf, type CheckedLeaf } from "../support/log-check.ts";
import { checkpointsOf, exported, verified } from "../support/exported-log.ts";
import { hsmInSoftware } from "../support/software-hsm.ts";
import { newKey, REQUESTS, testVault, transferBody, watched, type TestVault } from "../support/vault.ts";

// Goal: no interleaving of requests of sub-accounts, deposits, bookings and readings lets one spend more than its own, or
// take its window above its limit; nothing is denied that would fit; all ledgers and what is unallocated add up to the register.
// Method: the router and a real SQLite file; a model that keeps plain lists, and adds up anew for each leaf what the leaves
// before it say, must agree with every decision; `log verify` over every log.

const SOAK = process.env["SOAK"] !== undefined;
const NAMES = ["alpha", "beta", "gamma"] as const;
const MAX = 60;
const HOUR_MS = 3_600_000;

type Observation =
  | { readonly what: "deposit"; readonly id: number; readonly amount: number; readonly to: string | undefined }
  | { readonly what: "reading"; readonly off: number }
  | { readonly what: "mined"; readonly nth: number; readonly paid: number };
type Payment = { readonly of: string | undefined; readonly value: number; readonly gas: number };
type Moment = {
  readonly afterMs: number;
  readonly observed: readonly Observation[];
  /** Observers and wallets speak at once: then what was seen a moment too late may deny. */
  readonly atOnce: boolean;
  readonly payments: readonly Payment[];
};

const to = fc.constantFrom(...NAMES, ...NAMES, undefined);
const observation: fc.Arbitrary<Observation> = fc.oneof(
  // The same few transactions come again: with other amounts, and other names.
  fc.record({ what: fc.constant("deposit" as const), id: fc.nat({ max: 11 }), amount: fc.nat({ max: 80 }), to }),
  fc.record({ what: fc.constant("reading" as const), off: fc.constantFrom(0, 0, 0, -7, 40) }),
  fc.record({ what: fc.constant("mined" as const), nth: fc.nat({ max: 5 }), paid: fc.nat({ max: 3 }) }),
);
const payment: fc.Arbitrary<Payment> = fc.record({
  of: fc.constantFrom(...NAMES, ...NAMES, ...NAMES, undefined, "nobody"),
  value: fc.oneof(fc.integer({ min: 1, max: 25 }), fc.integer({ min: 1, max: 90 })),
  gas: fc.nat({ max: 3 }),
});
const moments = fc.array(
  fc.record({
    afterMs: fc.constantFrom(1, 1_000, HOUR_MS, 24 * HOUR_MS),
    observed: fc.array(observation, { maxLength: 5 }),
    atOnce: fc.constantFrom(false, false, true),
    payments: fc.array(payment, { minLength: 1, maxLength: 7 }),
  }),
  { minLength: 2, maxLength: 7 },
);

// ------------------------------------------------------------------------------------------------------- the model

type Credit = { readonly id: string; readonly amount: number; to: string | undefined };
type Debit = {
  readonly request: string;
  readonly at: number;
  readonly of: string;
  readonly value: number;
  readonly feeMax: number;
  fee: number;
  settled: boolean;
};
type Said = {
  readonly type: string;
  readonly request: string;
  readonly subAccount?: string;
  readonly intent?: {
    readonly operations: readonly { readonly amount: string }[];
    readonly fee: { readonly max: string };
  };
  readonly deposit?: { readonly transaction: string; readonly amount: string; readonly subAccount?: string };
  readonly balance?: { readonly amount: string };
  readonly transaction?: { readonly request: string; readonly fee: string };
};

const add = <T>(list: readonly T[], of: (each: T) => number): number => list.reduce((sum, each) => sum + of(each), 0);
const costOf = ({ value, fee }: Debit): number => value + fee;

class Ledger {
  readonly credits: Credit[] = [];
  readonly debits: Debit[] = [];
  /** What the reading leaves, before anything was taken that was authorized after it. */
  #reading: { readonly left: number; readonly before: number } | undefined;

  own(name: string): number {
    const mine = ({ to }: Credit) => to === name;
    return (
      add(this.credits.filter(mine), ({ amount }) => amount) -
      add(
        this.debits.filter(({ of }) => of === name),
        costOf,
      )
    );
  }

  get total(): number {
    return add(this.credits, ({ amount }) => amount) - add(this.debits, costOf);
  }

  get unallocated(): number {
    return add(
      this.credits.filter(({ to }) => to === undefined),
      ({ amount }) => amount,
    );
  }

  deposit({ transaction: id, amount, subAccount }: NonNullable<Said["deposit"]>): void {
    const known = this.credits.find((credit) => credit.id === id);
    if (!known) this.credits.push({ id, amount: Number(amount), to: subAccount });
    else known.to ??= subAccount;
  }

  read(amount: number): void {
    const pending = add(
      this.debits.filter(({ settled }) => !settled),
      costOf,
    );
    this.#reading = { left: amount - pending, before: this.debits.length };
  }

  settle(request: string, fee: number): void {
    const debit = this.debits.find((each) => each.request === request)!;
    if (debit.settled) return;
    debit.settled = true;
    debit.fee = Math.min(fee, debit.fee);
  }

  fits(name: string, cost: number): boolean {
    if (!this.#reading) return false;
    const { left, before } = this.#reading;
    const there = Math.min(this.total, left - add(this.debits.slice(before), ({ value, feeMax }) => value + feeMax));
    const others = NAMES.filter((other) => other !== name).reduce(
      (sum, other) => sum + Math.max(0, this.own(other)),
      0,
    );
    return cost <= Math.min(this.own(name), there - others - Math.max(0, this.unallocated));
  }

  spentIn24h(name: string, now: number): number {
    const within = this.debits.filter(({ of, at }) => of === name && at > now - 24 * HOUR_MS);
    return add(within, ({ value, feeMax }) => value + feeMax);
  }
}

/** @param relaxed from which leaves on, up to which, an observation came at once with requests */
function replay(
  leaves: readonly CheckedLeaf[],
  relaxed: readonly (readonly [number, number])[],
  seen: Map<string, number>,
): Ledger {
  const ledger = new Ledger();
  for (const { index, at, opening } of leaves) {
    const leaf = opening as unknown as Said;
    if (leaf.deposit) ledger.deposit(leaf.deposit);
    if (leaf.balance) ledger.read(Number(leaf.balance.amount));
    if (leaf.type === "observed" && leaf.transaction)
      ledger.settle(leaf.transaction.request, Number(leaf.transaction.fee));
    if (leaf.type !== "authorized" && leaf.type !== "denied") continue;
    const [of = "", value] = [leaf.subAccount, Number(leaf.intent!.operations[0]!.amount)];
    const feeMax = Number(leaf.intent!.fee.max);
    const isOne = (NAMES as readonly string[]).includes(of);
    const withinLimit = ledger.spentIn24h(of, at) + value + feeMax <= MAX;
    const allowed = isOne && withinLimit && ledger.fits(of, value + feeMax);
    seen.set(leaf.type, (seen.get(leaf.type) ?? 0) + 1);
    if (leaf.type === "denied") {
      const isRelaxed = relaxed.some(([from, until]) => index >= from && index < until);
      assert.ok(!allowed || isRelaxed, `leaf ${index} denies what fits`);
      if (isOne && withinLimit) seen.set("short", (seen.get("short") ?? 0) + 1);
      continue;
    }
    assert.ok(allowed, `leaf ${index} takes ${value} + ${feeMax} of ${of}, which has ${ledger.own(of)}`);
    ledger.debits.push({ request: leaf.request, at, of, value, feeMax, fee: feeMax, settled: false });
  }
  return ledger;
}

// --------------------------------------------------------------------------------------------------------- the run

class Run {
  readonly vault: TestVault;
  readonly #signed: string[] = [];

  constructor(vault: TestVault) {
    this.vault = vault;
  }

  async observe(observation: Observation): Promise<void> {
    const body = await this.#bodyOf(observation);
    if (body === undefined) return;
    const { status, body: answer } = await this.vault.call(
      "watcher",
      "POST",
      "/v1/clients/acme/observations",
      body,
      newKey(),
    );
    const isBooked = (answer as { code?: string }).code === "deposit-booked";
    assert.ok(status === 201 || isBooked, JSON.stringify(answer));
  }

  async #bodyOf(observation: Observation): Promise<object | undefined> {
    if (observation.what === "deposit") {
      const { id, amount, to: subAccount } = observation;
      const transaction = `0x${id.toString(16).padStart(64, "0")}`;
      const { what, deposit } = watched.deposit(this.vault.key.accounts[0]!, amount, transaction);
      return { what, deposit: { ...deposit, ...(subAccount === undefined ? {} : { subAccount }) } };
    }
    if (observation.what === "mined") {
      const request = this.#signed[observation.nth];
      return request === undefined ? undefined : watched.transaction(request, "mined", observation.paid);
    }
    const { positions } = await this.positions();
    const [ether] = positions;
    return watched.balance(Math.max(0, Number(ether?.closing ?? 0) + Number(ether?.pending ?? 0) + observation.off));
  }

  async positions(): Promise<SubAccountPositions & { readonly positions: readonly PositionView[] }> {
    return (await this.vault.call("checker", "GET", "/v1/clients/acme/positions")).body as never;
  }

  async pay({ of, value, gas }: Payment): Promise<void> {
    const body = { ...transferBody(value, { gas: String(gas) }), ...(of === undefined ? {} : { subAccount: of }) };
    const { status, body: answer } = await this.vault.call("payouts", "POST", REQUESTS, body, newKey());
    if (status === 201) this.#signed.push((answer as { id: string }).id);
    else assert.equal((answer as { code: string }).code, "denied-by-policy");
  }

  async size(): Promise<number> {
    return ((await this.vault.store.read((reader) => reader.lastLeaf()))?.index ?? -1) + 1;
  }
}

async function run(steps: readonly Moment[], seen: Map<string, number>): Promise<void> {
  const limits = { each: { sum: "ETH", max: String(MAX), window: { rolling: "24h" }, per: "sub-account" } };
  const vault = await testVault({
    hsm: hsmInSoftware(),
    policy: { limits, omnibus: { subAccounts: NAMES } },
  });
  try {
    const test = new Run(vault);
    const relaxed: [number, number][] = [];
    for (const { afterMs, observed, atOnce, payments } of steps) {
      vault.clock.now += afterMs;
      const from = await test.size();
      if (!atOnce) for (const each of observed) await test.observe(each);
      const alongside = atOnce ? observed.map((each) => test.observe(each)) : [];
      await Promise.all([...payments.map((each) => test.pay(each)), ...alongside]);
      if (atOnce) relaxed.push([from, await test.size()]);
    }
    const ledger = replay(checkLog(await logOf(vault.store)), relaxed, seen);
    const { positions, subAccounts, unallocated } = await test.positions();
    for (const name of NAMES) assert.equal(Number(subAccounts[name]?.[0]?.closing ?? 0), ledger.own(name), name);
    assert.equal(Number(positions[0]?.closing ?? 0), ledger.total);
    assert.equal(Number(unallocated[0]?.closing ?? 0), ledger.unallocated);
    assert.equal(
      NAMES.reduce((sum, name) => sum + ledger.own(name), ledger.unallocated),
      ledger.total,
    );
    await (await checkpointsOf(vault)).round();
    assert.deepEqual(verified(await exported(vault)).findings, []);
    assert.deepEqual(vault.faults, []);
  } finally {
    await vault.close();
  }
}

describe("sub-accounts at any concurrency", () => {
  it("every decision is the one of plain lists", async function () {
    this.timeout(SOAK ? 1_800_000 : 120_000);
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(moments, (steps) => run(steps, seen)),
      { numRuns: SOAK ? 2_000 : 40, ...(SOAK ? {} : { interruptAfterTimeLimit: 100_000 }) },
    );
    // A test that never signs, or never runs short, proves little.
    for (const event of ["authorized", "denied", "short"])
      assert.ok((seen.get(event) ?? 0) > 20, `too few \`${event}\` in ${JSON.stringify([...seen])}`);
  });

  it("sixteen at once for two that have enough for five each: ten are signed", async () => {
    const limits = { each: { sum: "ETH", max: "1000", window: { rolling: "24h" }, per: "sub-account" } };
    const vault = await testVault({ policy: { limits, omnibus: { subAccounts: NAMES } } });
    try {
      const test = new Run(vault);
      for (const [id, name] of ["alpha", "beta"].entries())
        await test.observe({ what: "deposit", id, amount: 50, to: name });
      await test.observe({ what: "deposit", id: 2, amount: 500, to: undefined });
      await test.observe({ what: "reading", off: 0 });
      const asks = Array.from({ length: 16 }, (_, n) => ({ of: n % 2 === 0 ? "alpha" : "beta", value: 10, gas: 0 }));
      await Promise.all(asks.map((each) => test.pay(each)));
      const leaves = checkLog(await logOf(vault.store)).filter(({ opening }) => opening.type === "authorized");
      const of = (name: string) => leaves.filter(({ opening }) => opening["subAccount"] === name).length;
      assert.deepEqual([of("alpha"), of("beta")], [5, 5]);
    } finally {
      await vault.close();
    }
  });
});
