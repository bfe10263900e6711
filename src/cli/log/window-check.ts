import { accountsIn } from "./accounts.ts";
import type { Account, AssetSymbol } from "../../domain/chain.ts";
import { intentFromJson } from "../../domain/intent.ts";
import type { CallerName, ClientId, KeyName, SubAccountName } from "../../domain/names.ts";
import { chargesOf } from "../../policy/charges.ts";
import type { CompiledHouse, CompiledLimit, CompiledPolicy } from "../../policy/compile.ts";
import { returnedTo } from "../../policy/returns.ts";
import type { Findings } from "./findings.ts";

/** An authorization as its leaf says it. */
export type Authorized = {
  readonly request: string;
  readonly leaf: number;
  readonly at: number;
  readonly client: ClientId;
  readonly caller: CallerName;
  readonly key: KeyName;
  readonly subAccount?: SubAccountName;
  /** The request whose place it takes: it reserves only what it adds. */
  readonly replaces?: string;
  /** As JSON holds it: kept, since the past is counted again when a limit changes. */
  readonly intent: unknown;
};

/** What an observer has reported, and what the gateway says that it took off. */
export type Reported = {
  readonly leaf: number;
  readonly at: number;
  readonly client: ClientId;
  readonly deposit: {
    readonly asset: AssetSymbol;
    readonly transaction: string;
    readonly position: string;
    readonly amount: string;
    readonly from?: Account;
  };
};

type RecordedDecision = {
  readonly charges: readonly { readonly counter: string; readonly amount: string }[];
  readonly limits: readonly { readonly of: string; readonly limit: string; readonly cap: string }[];
};

type Charged = {
  readonly counter: string;
  readonly amount: bigint;
  readonly windowStartsAt: number;
  readonly limit: CompiledLimit;
};

/** One counter's entries in the order of time; those before `start` have left the window. */
class Counter {
  #entries: { readonly at: number; readonly amount: bigint; readonly request: string }[] = [];
  #start = 0;
  #sum = 0n;

  /** Of entries after that moment, which never goes back. */
  spentSince(windowStartsAt: number): bigint {
    for (
      let entry = this.#entries[this.#start];
      entry && entry.at <= windowStartsAt;
      entry = this.#entries[this.#start]
    ) {
      this.#sum -= entry.amount;
      this.#start += 1;
    }
    return this.#sum;
  }

  add(at: number, amount: bigint, request: string): void {
    this.#entries.push({ at, amount, request });
    this.#sum += amount;
  }

  amountOf(request: string): bigint {
    return this.#entries.findLast((entry) => entry.request === request)?.amount ?? 0n;
  }

  remove(request: string): void {
    const place = this.#entries.findLastIndex((entry) => entry.request === request);
    const [entry] = place < 0 ? [] : this.#entries.splice(place, 1);
    if (entry && place >= this.#start) this.#sum -= entry.amount;
    else if (entry) this.#start -= 1;
  }
}

/**
 * Counts every limit anew, from what the leaves say was authorized and what the policies that were active say is counted:
 * its own sums, in its own windows, against the caps of the documents.
 */
export class WindowCheck {
  readonly #findings: Findings;
  readonly #policies: ReadonlyMap<string, CompiledPolicy>;
  readonly #house: () => CompiledHouse | undefined;
  readonly #owners: ReadonlyMap<Account, ClientId>;
  #counters = new Map<string, Counter>();
  readonly #past = new Map<string, Authorized>();
  /** Each deposit once, as it was reported first. */
  readonly #reported = new Map<string, Reported>();
  /** Authorized, without an outcome. */
  readonly #open = new Set<string>();
  #restoredAt = -Infinity;
  /** What they reserved covers nothing of what replaces them. */
  readonly #failed = new Set<string>();
  /** Sums that were held against a cap. */
  checked = 0;

  constructor(
    findings: Findings,
    known: {
      readonly policies: ReadonlyMap<string, CompiledPolicy>;
      readonly house: () => CompiledHouse | undefined;
      readonly owners: ReadonlyMap<Account, ClientId>;
    },
  ) {
    this.#findings = findings;
    this.#policies = known.policies;
    this.#house = known.house;
    this.#owners = known.owners;
  }

  /** What was spent before is not known any more: windows that reach back before it count as full. */
  restore(at: number): void {
    this.#restoredAt = at;
  }

  /** A policy became active: what it counts, it counts of the past as well (DESIGN section 6.5). */
  recount(of: string): void {
    const prefix = `${of}/`;
    this.#counters = new Map([...this.#counters].filter(([name]) => !name.startsWith(prefix)));
    const all = [...this.#past.values(), ...(of === "house" ? [] : this.#reported.values())];
    for (const past of all.sort((a, b) => a.leaf - b.leaf)) {
      if (of !== "house" && past.client !== of) continue;
      if ("deposit" in past) this.#takeOff(past);
      else
        for (const { counter, amount } of this.#chargesOf(past) ?? [])
          if (counter.startsWith(prefix)) this.#counter(counter).add(past.at, amount, past.request);
    }
  }

  /** A deposit that was reported: what it takes off is counted here, and held against what the leaf says. */
  observe(reported: Reported, said: Readonly<Record<string, string>> = {}): void {
    const { asset, transaction, position } = reported.deposit;
    const identity = `${reported.client}/${asset}/${transaction}/${position}`;
    const returned = this.#reported.has(identity) ? {} : this.#takeOff(reported);
    if (!this.#reported.has(identity)) this.#reported.set(identity, reported);
    const inOrder = (each: Readonly<Record<string, string>>) => JSON.stringify(Object.entries(each).sort());
    if (inOrder(returned) === inOrder(said)) return;
    const message = `leaf ${reported.leaf} says that ${inOrder(said)} came back, its policy ${inOrder(returned)}`;
    this.#findings.add("return-differs", message, reported.leaf);
  }

  /** Never more than was sent for certain: an authorization without an outcome may turn out never to have been. */
  #takeOff({ leaf, at, client, deposit }: Reported): Record<string, string> {
    const { asset, from } = deposit;
    const policy = this.#policies.get(client);
    const returned: Record<string, string> = {};
    if (!policy || from === undefined) return returned;
    for (const name of returnedTo(policy, { asset, from })) {
      const counter = this.#counter(name);
      let sent = counter.spentSince(-1);
      for (const request of this.#open)
        if (this.#past.get(request)?.client === client) sent -= counter.amountOf(request);
      const counts = sent < BigInt(deposit.amount) ? sent : BigInt(deposit.amount);
      if (counts <= 0n) continue;
      returned[name] = counts.toString();
      counter.add(at, -counts, `return ${leaf}`);
    }
    return returned;
  }

  /** Its outcome is known. */
  end(request: string): void {
    this.#open.delete(request);
  }

  authorize(authorized: Authorized, decision: RecordedDecision): void {
    const { request, leaf, at } = authorized;
    const charges = this.#chargesOf(authorized);
    if (!charges) return;
    // Decided again: the spend has moved to the new moment.
    this.giveBack(request);
    this.#past.set(request, authorized);
    this.#open.add(request);
    this.#compare(charges, decision, leaf);
    for (const { counter, amount, windowStartsAt, limit } of charges) {
      const spent = this.#counter(counter).spentSince(windowStartsAt) + amount;
      this.checked += 1;
      if (windowStartsAt < this.#restoredAt) {
        const message = `leaf ${leaf} spends in a window of \`${counter}\` that began before a restore`;
        this.#findings.add("over-cap", message, leaf);
      }
      if (spent > limit.max) {
        const cap = `${limit.max} of limit \`${limit.name}\``;
        this.#findings.add(
          "over-cap",
          `leaf ${leaf} takes counter \`${counter}\` to ${spent}, over the cap ${cap}`,
          leaf,
        );
      }
      this.#counter(counter).add(at, amount, request);
    }
  }

  fail(request: string): void {
    this.#failed.add(request);
    this.#open.delete(request);
  }

  #covered({ replaces }: Authorized, counter: string): bigint {
    const versions = new Set<string>(); // a log that was made up may go round in a circle
    for (let id = replaces; id !== undefined && !versions.has(id); id = this.#past.get(id)?.replaces) versions.add(id);
    let sum = 0n;
    for (const id of versions) if (!this.#failed.has(id)) sum += this.#counter(counter).amountOf(id);
    return sum;
  }

  /** As if it had never been, at the moment at which it was counted. */
  giveBack(request: string): void {
    const before = this.#past.get(request);
    if (before) for (const counter of this.#counters.values()) counter.remove(request);
    this.#past.delete(request);
    this.#open.delete(request);
  }

  /** What the gateway says it counted must be what the documents say is counted. */
  #compare(charges: readonly Charged[], decision: RecordedDecision, leaf: number): void {
    const recorded = new Map(decision.charges.map(({ counter, amount }) => [counter, amount]));
    for (const { counter, amount } of charges) {
      if (recorded.get(counter) !== amount.toString()) {
        const said = recorded.get(counter) ?? "nothing";
        this.#findings.add(
          "charge-differs",
          `leaf ${leaf} counts ${said} in \`${counter}\`, its policy ${amount}`,
          leaf,
        );
      }
    }
    if (recorded.size > charges.length)
      this.#findings.add("charge-differs", `leaf ${leaf} counts in limits that its policy does not have`, leaf);
    for (const { limit } of charges) {
      const said = decision.limits.find(({ of, limit: name }) => of === limit.of && name === limit.name);
      if (said?.cap === limit.maxText) continue;
      const found = said ? `a cap of ${said.cap}` : "no such limit";
      this.#findings.add(
        "cap-differs",
        `leaf ${leaf} says ${found} for limit \`${limit.name}\`, its policy ${limit.maxText}`,
        leaf,
      );
    }
  }

  #chargesOf(authorized: Authorized): Charged[] | undefined {
    const { client, caller, key, subAccount, at, intent: json, leaf } = authorized;
    const [policy, house] = [this.#policies.get(client), this.#house()];
    if (!policy || !house) return undefined;
    const intent = intentFromJson(json);
    const owners = new Map<Account, ClientId>();
    for (const account of accountsIn(intent)) {
      const owner = this.#owners.get(account);
      if (owner) owners.set(account, owner);
    }
    try {
      const whole = chargesOf({ client: policy, house }, intent, {
        ...{ now: at, client, caller, key, subAccount, owners },
      });
      const added = whole.map((charge) => ({
        ...charge,
        amount: charge.amount - this.#covered(authorized, charge.counter),
      }));
      return added
        .filter(({ amount }) => amount > 0n)
        .map((charge) => ({ ...charge, limit: limitOf(charge.of === "house" ? house : policy, charge.limit) }));
    } catch (error) {
      this.#findings.add("not-countable", `leaf ${leaf}: ${(error as Error).message}`, leaf);
      return undefined;
    }
  }

  #counter(name: string): Counter {
    let counter = this.#counters.get(name);
    if (!counter) this.#counters.set(name, (counter = new Counter()));
    return counter;
  }
}

const limitOf = ({ limits }: { readonly limits: readonly CompiledLimit[] }, name: string): CompiledLimit =>
  limits.find((limit) => limit.name === name)!;
