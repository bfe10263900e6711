import { OFFICER_NAMESPACE } from "../../domain/approval.ts";
import { policySigningText } from "../../domain/api.ts";
import { GatewayError } from "../../domain/errors.ts";
import { compileClient, compileHouse, type CompiledHouse, type CompiledPolicy } from "../../policy/compile.ts";
import { cancellationSigningText } from "../../domain/governance.ts";
import { compareDocuments } from "../../policy/compare.ts";
import { resolvePolicy } from "../policy-check.ts";
import type { Findings } from "./findings.ts";
import type { PolicyLine } from "./format.ts";
import { verifiesPerson } from "./person-signatures.ts";

export type Signatures = readonly { readonly person: string; readonly signature: string }[];

export type AppliedOpening = {
  readonly version: number;
  readonly policy: string;
  readonly previousPolicy: string | null;
  readonly signatures: Signatures;
  /** Of one that had to wait: since which leaf. */
  readonly scheduled?: number;
};

export type ScheduledOpening = Omit<AppliedOpening, "scheduled"> & { readonly activeAt: number };

export type CancelledOpening = {
  readonly version: number;
  readonly policy: string;
  readonly scheduled: number;
  readonly because: string;
  readonly signature?: Signatures[number];
};

export type DecidedUnder = { readonly hash: string; readonly houseHash: string };

type Place = { readonly leaf: number; readonly at: number };
/** Whether signatures are verified too, and for which log they are. */
type Signed = { readonly origin: string; readonly check: boolean };

/** Which policy was active at each leaf, and by whose signatures it became so (I15). */
export class AuthorityCheck {
  readonly #findings: Findings;
  readonly #documents = new Map<string, PolicyLine>();
  readonly #active = new Map<string, { readonly hash: string; readonly version: number }>();
  readonly #waiting = new Map<string, { readonly leaf: number; readonly hash: string; readonly activeAt: number }>();
  readonly #callerKeys = new Map<string, Set<string>>();
  readonly policies = new Map<string, CompiledPolicy>();
  #restored = -1;
  house: CompiledHouse | undefined;
  /** Officers who are frozen: what they sign counts for no policy. */
  readonly barred = new Set<string>();
  signatures = 0;

  constructor(findings: Findings) {
    this.#findings = findings;
  }

  takeDocument(line: PolicyLine): void {
    this.#documents.set(`${line.client}/${line.hash}`, line);
  }

  /** @param check whether officers' signatures are verified too */
  apply(client: string, opening: AppliedOpening, { leaf, at, origin, check }: Place & Signed): void {
    const { version, policy: hash, previousPolicy: previousHash } = opening;
    const before = this.#active.get(client);
    if (before && before.version >= version)
      this.#findings.add("policy-order", `leaf ${leaf} applies version ${version} after ${before.version}`, leaf);
    if ((before?.hash ?? null) !== previousHash)
      this.#findings.add("policy-order", `leaf ${leaf} follows on another policy than the one that was active`, leaf);
    const text = policySigningText({ origin, client, version, hash, previousHash });
    if (check) this.checkQuorum("policy", opening.signatures, text, leaf, this.barred);
    this.#checkDelay(client, opening, { leaf, at });
    this.begin(client, { version, hash }, leaf);
  }

  /** A change begins to wait: signed by then, and for as long as the house asks. */
  schedule(client: string, opening: ScheduledOpening, { leaf, at, origin, check }: Place & Signed): void {
    const { version, policy: hash, previousPolicy: previousHash, activeAt } = opening;
    const text = policySigningText({ origin, client, version, hash, previousHash });
    if (check) this.checkQuorum("policy", opening.signatures, text, leaf, this.barred);
    if (this.house && activeAt < at + this.house.policyDelayMs)
      this.#findings.add(
        "policy-delay",
        `leaf ${leaf} schedules a policy sooner than the house's \`policyDelay\``,
        leaf,
      );
    this.#waiting.set(client, { leaf, hash, activeAt });
  }

  /** What waited before a restore does not become active after it. */
  restore(leaf: number): void {
    this.#restored = leaf;
  }

  /** Whoever ends a change that waits is an officer, or it is ended by what it was held against. */
  cancel(client: string, opening: CancelledOpening, { leaf, origin, check }: Omit<Place, "at"> & Signed): void {
    const { version, policy: hash, because, signature } = opening;
    if (this.#waiting.get(client)?.leaf !== opening.scheduled)
      this.#findings.add("policy-order", `leaf ${leaf} cancels a change that does not wait`, leaf);
    this.#waiting.delete(client);
    if (because !== "officer" || !check || !this.house) return;
    this.signatures += 1;
    const officer = this.house.callers.get((signature?.person ?? "") as never);
    const text = cancellationSigningText({ origin, client, version, hash });
    const isOfficers =
      officer?.role === "policy-officer" && verifiesPerson(officer.keys, text, signature!.signature, OFFICER_NAMESPACE);
    if (!isOfficers)
      this.#findings.add(
        "policy-signature",
        `leaf ${leaf}: \`${signature?.person}\` has not signed this cancellation`,
        leaf,
      );
  }

  /** What the house makes wait has waited, unless it only tightens: that is proven here again. */
  #checkDelay(client: string, { policy: hash, scheduled }: AppliedOpening, { leaf, at }: Place): void {
    const waited = this.#waiting.get(client);
    const add = (message: string) => this.#findings.add("policy-delay", `leaf ${leaf} ${message}`, leaf);
    this.#waiting.delete(client);
    if (scheduled !== undefined) {
      if (waited?.leaf !== scheduled || waited.hash !== hash || scheduled < this.#restored)
        add("applies a policy that was not waiting");
      else if (at < waited.activeAt) add("applies a policy before its time had come");
      return;
    }
    if (!this.house?.policyDelayMs || this.#isTighter(client, hash)) return;
    add("applies at once what is not proven to be only tightening");
  }

  #isTighter(client: string, hash: string): boolean {
    const [before, after] = [this.#active.get(client)?.hash, hash].map(
      (each) => each !== undefined && this.#documents.get(`${client}/${each}`),
    );
    if (!before || !after) return false;
    const verdict = compareDocuments(resolvePolicy(before), resolvePolicy(after)).diff?.verdict;
    return verdict === "tightening" || verdict === "none";
  }

  /** Makes it the active one: leaf 0's without signatures, every other one's with. */
  begin(client: string, { version, hash }: { version: number; hash: string }, leaf: number): void {
    this.#active.set(client, { version, hash });
    const line = this.#documents.get(`${client}/${hash}`);
    if (!line)
      return this.#findings.add("policy-missing", `the document that leaf ${leaf} applies is not exported`, leaf);
    try {
      this.#compile(client, hash, line);
    } catch (error) {
      this.#findings.add("policy-invalid", `the document that leaf ${leaf} applies: ${(error as Error).message}`, leaf);
    }
  }

  #compile(client: string, hash: string, line: PolicyLine): void {
    const resolved = resolvePolicy(line);
    const compiled = client === "house" ? compileHouse(resolved) : compileClient(resolved);
    if (compiled.hash !== hash)
      throw new GatewayError("policy-invalid", `expected one with hash ${hash}, found ${compiled.hash}`);
    if (compiled.of === "house") this.house = compiled;
    else this.policies.set(client, compiled);
    for (const [name, { keys }] of compiled.callers) {
      const known = this.keysOf(client, name);
      for (const key of keys) known.add(key);
      this.#callerKeys.set(`${client}/${name}`, known);
    }
  }

  /** Every key that the client's policies have declared for that caller so far. */
  keysOf(client: string, caller: string): Set<string> {
    return this.#callerKeys.get(`${client}/${caller}`) ?? new Set();
  }

  /** @param what is decided: begins the codes of what is found */
  checkQuorum(
    what: "policy" | "unfreeze" | "recovery" | "lien",
    signatures: Signatures,
    text: string,
    leaf: number,
    barred: ReadonlySet<string> = new Set(),
  ): void {
    const { house } = this;
    if (!house) return;
    const persons = new Set<string>();
    for (const { person, signature } of signatures) {
      const officer = house.callers.get(person as never);
      this.signatures += 1;
      const isOfficer = officer?.role === "policy-officer" && !barred.has(person);
      if (isOfficer && verifiesPerson(officer.keys, text, signature, OFFICER_NAMESPACE)) persons.add(person);
      else this.#findings.add(`${what}-signature`, `leaf ${leaf}: \`${person}\` has not signed this ${what}`, leaf);
    }
    if (persons.size < house.policyQuorum) {
      const found = `${persons.size} of ${house.policyQuorum}`;
      const message = `leaf ${leaf} carries a ${what} that ${found} policy officers have signed`;
      this.#findings.add(`${what}-quorum`, message, leaf);
    }
  }

  /** Each decision names the policies that were active when it was made. */
  checkDecision(client: string, { hash, houseHash }: DecidedUnder, leaf: number): void {
    for (const [of, named] of [
      [client, hash],
      ["house", houseHash],
    ] as const) {
      const active = this.#active.get(of)?.hash;
      // A client's own export does not hold the house's leaves.
      if (active === named || (of === "house" && active === undefined)) continue;
      this.#findings.add(
        "policy-not-active",
        `leaf ${leaf} was decided under a policy of \`${of}\` that was not active`,
        leaf,
      );
    }
  }
}
