import { createHash } from "node:crypto";
import canonicalizeModule from "canonicalize";
import {
  APPROVAL_NAMESPACE,
  intentContent,
  parseApprovalText,
  type IntentContent,
  type PersonSignature,
} from "../../domain/approval.ts";
import type { Account } from "../../domain/chain.ts";
import type { DecisionFacts } from "../../domain/decision.ts";
import { intentFromJson } from "../../domain/intent.ts";
import type { CallerName, ClientId, KeyName } from "../../domain/names.ts";
import type { CompiledHouse, CompiledPolicy, CompiledRule } from "../../policy/compile.ts";
import { mismatchOf } from "../../policy/match.ts";
import { askedBy, type Asked } from "../../policy/quorum.ts";
import { scenesOf } from "../../policy/scene.ts";
import { accountsIn } from "./accounts.ts";
import type { Findings } from "./findings.ts";
import { verifiesPerson } from "./person-signatures.ts";

/** A leaf about a request, as its opening says it. */
export type RequestOpening = {
  readonly type: string;
  readonly request: string;
  readonly caller: string;
  readonly key: string;
  readonly subAccount?: string;
  readonly intent?: unknown;
  /** What the intent does not say of the payload: `callData` or `digest`, where somebody approved it. */
  readonly content?: IntentContent;
  readonly person?: string;
  readonly text?: string;
  readonly signature?: PersonSignature;
};

type Place = { readonly index: number; readonly at: number; readonly client: string };
type Approval = {
  readonly person: CallerName;
  readonly at: number;
  readonly policy: string;
  readonly intent: string;
  readonly expires: number;
  /** Made on a web page: an assertion, which is the one signature that is no text. */
  readonly isByConsole: boolean;
};
type Known = {
  readonly policies: ReadonlyMap<string, CompiledPolicy>;
  readonly house: () => CompiledHouse | undefined;
  readonly owners: ReadonlyMap<Account, ClientId>;
  readonly origin: () => string;
  /** At the leaf at hand. */
  readonly isFrozen: (client: string, person: string) => boolean;
};

// The package's types say `export default` while Node sees `module.exports`.
const canonicalize = canonicalizeModule as unknown as (value: unknown) => string;

/**
 * Whether everybody who had to approve a request had done so, each with a signature over exactly it, when it was
 * authorized (I10): asked of the documents and counted here, not of what the gateway says it counted.
 */
export class ApprovalCheck {
  readonly #findings: Findings;
  readonly #known: Known;
  readonly #begun = new Map<string, number>();
  readonly #approvals = new Map<string, Approval[]>();
  readonly #heldSince = new Map<string, Map<Account, number>>();
  signatures = 0;

  constructor(findings: Findings, known: Known) {
    this.#findings = findings;
    this.#known = known;
  }

  /** What people approved before a restore counts for nothing after it. */
  restore(): void {
    this.#approvals.clear();
  }

  /** A policy of that client became active: its addresses are held from now on, or since before. */
  hold(client: string, at: number): void {
    const before = this.#heldSince.get(client);
    const accounts = this.#known.policies.get(client)?.addresses.keys() ?? [];
    this.#heldSince.set(client, new Map([...accounts].map((account) => [account, before?.get(account) ?? at])));
  }

  /** Any leaf that decides a request: the first says when it was submitted. */
  begin(request: string, at: number): void {
    if (!this.#begun.has(request)) this.#begun.set(request, at);
  }

  /** An `approved` or `rejected` leaf. @param check whether signatures are verified too */
  decide(place: Place, opening: RequestOpening, check: boolean): void {
    const { index, at, client } = place;
    const add = (code: string, message: string) => this.#findings.add(code, `leaf ${index}: ${message}`, index);
    const fields = parseApprovalText(opening.text ?? "");
    const policy = this.#known.policies.get(client);
    if (!fields || !policy) return add("approval-invalid", "carries no text that a person could have signed");
    const verdict = opening.type === "approved" ? "approve" : "reject";
    const expected = { origin: this.#known.origin(), client, request: opening.request, verdict, policy: policy.hash };
    for (const [name, value] of Object.entries(expected))
      if (fields[name as keyof typeof expected] !== value)
        add("approval-differs", `\`${fields.person}\` has signed another ${name}`);
    if (Date.parse(fields.expires) <= at)
      add("approval-expired", `\`${fields.person}\` signed for a time that was over`);
    if (opening.type === "approved" && hashOf(client, opening) !== fields.intent)
      add("approval-differs", `\`${fields.person}\` has signed another intent`);
    this.#requirePerson(policy, opening, fields.person, add, check);
    if (this.#known.isFrozen(client, fields.person))
      add("approval-by-frozen", `\`${fields.person}\` was frozen when this was taken`);
    if (opening.type !== "approved") return;
    const approval = {
      person: fields.person as CallerName,
      at,
      policy: fields.policy,
      intent: fields.intent,
      expires: Date.parse(fields.expires),
      isByConsole: typeof opening.signature !== "string",
    };
    this.#approvals.set(opening.request, [...(this.#approvals.get(opening.request) ?? []), approval]);
  }

  #requirePerson(
    policy: CompiledPolicy,
    { caller, text, signature }: RequestOpening,
    person: string,
    add: (code: string, message: string) => void,
    check: boolean,
  ): void {
    const declared = policy.callers.get(person as CallerName);
    if (declared?.role !== "approver") return add("approval-invalid", `\`${person}\` is no approver`);
    if (policy.callers.get(caller as CallerName)?.operatedBy.has(person as CallerName))
      add("approval-invalid", `\`${person}\` operates \`${caller}\`, which asked`);
    if (!check) return;
    this.signatures += 1;
    if (!verifiesPerson(declared.keys, text!, signature!, APPROVAL_NAMESPACE))
      add("approval-signature", `\`${person}\` has not signed this`);
  }

  /** An `authorized` leaf: what its policy asked for was there. */
  authorize(place: Place, opening: RequestOpening): void {
    const { index, at, client } = place;
    const { request } = opening;
    this.begin(request, at);
    const policy = this.#known.policies.get(client);
    const matching = policy && this.#matching(place, opening, policy);
    const asked = matching && askedBy(matching);
    if (!asked || asked.expireAfterMs === undefined) return;
    const add = (code: string, message: string) => this.#findings.add(code, `leaf ${index} ${message}`, index);
    if (isAboveCap(opening)) add("approval-fee", "authorizes a higher fee than was approved");
    const submittedAt = this.#begun.get(request)!;
    if (at >= submittedAt + asked.expireAfterMs) add("approval-late", "authorizes a request that had lapsed");
    const counting = (this.#approvals.get(request) ?? []).filter(
      (approval) =>
        approval.expires > at &&
        approval.policy === policy.hash &&
        approval.intent === hashOf(client, opening) &&
        !this.#known.isFrozen(client, approval.person),
    );
    const completedAt = completeAt(asked, policy, counting) ?? (asked.quorums.size === 0 ? submittedAt : undefined);
    if (completedAt === undefined) {
      const needed = [...asked.quorums].map(([group, need]) => `${need} of \`${group}\``).join(", ");
      return add("approval-quorum", `authorizes what needs ${needed}; ${counting.length} had approved it`);
    }
    if (at < Math.max(completedAt, submittedAt) + asked.delayMs)
      add("approval-early", "authorizes a request before its delay was over");
  }

  /** The rules for emergencies that match what was decided there, by the documents that were active. */
  breakGlass(place: Place, opening: RequestOpening): readonly string[] {
    const policy = this.#known.policies.get(place.client);
    if (!policy?.allows.some(({ breakGlass }) => breakGlass)) return [];
    const matching = this.#matching(place, opening, policy) ?? [];
    return matching
      .filter(({ breakGlass }) => breakGlass)
      .map(({ id }) => id)
      .sort();
  }

  /** All allow rules that match, by the documents that were active. */
  #matching({ at, client }: Place, opening: RequestOpening, policy: CompiledPolicy): CompiledRule[] | undefined {
    const house = this.#known.house();
    if (!house) return undefined;
    const intent = intentFromJson(opening.intent);
    const owners = new Map(
      accountsIn(intent).flatMap((account) => {
        const owner = this.#known.owners.get(account);
        return owner ? [[account, owner] as const] : [];
      }),
    );
    const facts: DecisionFacts = {
      now: at,
      client: client as ClientId,
      caller: opening.caller as CallerName,
      key: opening.key as KeyName,
      keyPurpose: "transactions",
      submittedAt: at,
      approvals: [],
      owners,
      heldSince: this.#heldSince.get(client) ?? new Map<Account, number>(),
      spent: new Map(),
    };
    const scene = scenesOf({ client: policy, house }, intent, facts).client;
    return policy.allows.filter((rule) =>
      scene.operations.some((view) => mismatchOf(rule, scene, view, facts) === undefined),
    );
  }
}

/** What was left out was approved up to a cap. */
function isAboveCap({ content, intent }: RequestOpening): boolean {
  if (content === undefined || !("feeCap" in content) || content.feeCap === "uncapped") return false;
  return intentFromJson(intent).fee.max > BigInt(content.feeCap);
}

function hashOf(client: string, { key, subAccount, intent, content }: RequestOpening): string | undefined {
  if (content === undefined) return undefined;
  const said = intentContent({ client, key, subAccount, intent: intentFromJson(intent) }, content);
  return `sha256:${createHash("sha256").update(canonicalize(said)).digest("hex")}`;
}

/** When the last one came in of the first approvals that fill every place: each person in one place only. */
function completeAt({ quorums }: Asked, policy: CompiledPolicy, approvals: readonly Approval[]): number | undefined {
  const places = [...quorums].flatMap(([group, need]) => Array.from({ length: need }, () => group));
  for (let count = places.length; count <= approvals.length && count > 0; count++) {
    const persons = new Map(approvals.slice(0, count).map((approval) => [approval.person, approval]));
    if (fills(places, [...persons.values()], policy)) return approvals[count - 1]!.at;
  }
  return undefined;
}

/** Tries every seating: an auditor has the time, and need not believe in a matching. */
function fills(places: readonly string[], approvals: readonly Approval[], policy: CompiledPolicy): boolean {
  const [place, ...others] = places;
  if (place === undefined) return true;
  return approvals.some((approval, index) => {
    const isMember = policy.groups.get(place)?.has(approval.person);
    const isAccepted = !approval.isByConsole || policy.consoleGroups.has(place);
    return isMember && isAccepted && fills(others, approvals.toSpliced(index, 1), policy);
  });
}
