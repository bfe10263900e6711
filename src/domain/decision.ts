import type { Account, AssetSymbol } from "./chain.ts";
import type { OperationKind } from "./intent.ts";
import type { CallerName, ClientId, KeyName, SubAccountName } from "./names.ts";

/**
 * Everything that a decision may depend on besides policy and intent, as plain data (DESIGN section 3, step 2).
 * A fact that is missing denies; nothing here comes from what the caller says.
 */
export type DecisionFacts = {
  /** The store's clock, ms since 1970. */
  readonly now: number;
  readonly client: ClientId;
  readonly caller: CallerName;
  readonly key: KeyName;
  /** Of an omnibus client: whose assets the request moves. */
  readonly subAccount?: SubAccountName | undefined;
  readonly keyPurpose: "transactions" | "raw";
  /** When this request was first recorded; `now` for a new one. */
  readonly submittedAt: number;
  /** Approvals that were verified for this intent under this policy, one entry a person. */
  readonly approvals: readonly {
    readonly person: CallerName;
    readonly at: number;
    /** Made on a web page: it counts for groups that say so. */
    readonly via?: "console";
  }[];
  /** For each account that the intent names: whose it is. Accounts of nobody here are absent. */
  readonly owners: ReadonlyMap<Account, ClientId>;
  /** Of a replacement: what the transactions whose place it takes have reserved in each counter. It adds the rest (I12). */
  readonly covered?: ReadonlyMap<CounterId, bigint>;
  /** For each account of the client's address book: since when the active policies have held it without a break. */
  readonly heldSince: ReadonlyMap<Account, number>;
  /** For each counter that `charges` named: what its window holds already. A counter that is absent denies. */
  readonly spent: ReadonlyMap<CounterId, bigint>;
};

/** `client/limit/scope`: one running sum; scope is `-` or the value of the limit's `per`. */
export type CounterId = string & { readonly __brand: "CounterId" };

/** What one limit would count if the intent were authorized. */
export type Charge = {
  readonly counter: CounterId;
  readonly limit: string;
  /** Whose document holds the limit. */
  readonly of: "client" | "house";
  /** Smallest unit of the limit's asset, or a count. */
  readonly amount: bigint;
  /** Only entries with `at > windowStartsAt` count: the window is (now − length, now]. */
  readonly windowStartsAt: number;
};

export type LimitFinding = {
  readonly limit: string;
  readonly of: "client" | "house";
  readonly counter: CounterId;
  readonly holds: boolean;
  /** Decimal texts in the asset's units, or counts. */
  readonly cap: string;
  readonly spent: string;
  readonly requested: string;
  readonly remaining: string;
  readonly unit: AssetSymbol | "transactions";
  readonly window: string;
};

/** What one asset's liens say, where the request could touch it. */
export type LienFinding = {
  readonly asset: AssetSymbol;
  readonly liens: readonly string[];
  readonly holds: boolean;
  /** Decimal texts in the asset's units; `unbounded`: what the request could do to it no amount bounds. */
  readonly requested: string;
  /** What may leave without touching what is pledged; `none` also where nobody has read the chain. */
  readonly available: string;
};

/** What one asset of a sub-account's own has left, where the request takes of it. */
export type SubAccountFinding = {
  readonly subAccount: SubAccountName;
  readonly asset: AssetSymbol;
  readonly holds: boolean;
  /** Decimal texts in the asset's units. */
  readonly requested: string;
  /** `none` also where nobody has read the chain. */
  readonly available: string;
};

export type RuleFinding = {
  readonly rule: string;
  readonly of: "client" | "house";
  readonly effect: "allow" | "deny";
  /** Index into `intent.operations`. */
  readonly operation: number;
  readonly matched: boolean;
  /** The fact that decided: the field that failed, or what made all fields hold. */
  readonly because: string;
};

/** What is still missing before the request may be signed, and from whom. */
export type Missing = {
  readonly approvals: readonly { readonly group: string; readonly have: number; readonly need: number }[];
  /** Ms since 1970: the delay ends then (known once the approvals are complete). */
  readonly notBefore?: number;
  /** Length of the delay that starts with the last approval, ms. */
  readonly delayMs?: number;
};

/** Why: every member names itself, so that programs need no text and people need no source. */
export type Reason =
  | { readonly code: "rule-allowed"; readonly rule: string; readonly operation: number }
  | {
      readonly code: "no-rule-allows";
      readonly operation: number;
      readonly kind: OperationKind;
      readonly nearest?: string;
      readonly detail: string;
    }
  | { readonly code: "rule-denied"; readonly rule: string; readonly operation: number }
  | { readonly code: "rule-failed"; readonly rule: string; readonly detail: string }
  | { readonly code: "over-limit"; readonly limit: string; readonly detail: string }
  | { readonly code: "over-fee-cap"; readonly asset: AssetSymbol; readonly detail: string }
  | { readonly code: "no-fee-cap"; readonly asset: AssetSymbol; readonly detail: string }
  | { readonly code: "foreign-account"; readonly operation: number; readonly detail: string }
  | { readonly code: "address-cooling-off"; readonly operation: number; readonly detail: string }
  | { readonly code: "needs-approvals"; readonly detail: string }
  | { readonly code: "delayed"; readonly detail: string }
  | { readonly code: "approvals-expired"; readonly detail: string }
  | { readonly code: "sub-account"; readonly detail: string }
  | { readonly code: "sub-account-short"; readonly subAccount: SubAccountName; readonly detail: string }
  | { readonly code: "breaks-lien"; readonly liens: readonly string[]; readonly detail: string }
  | { readonly code: "conflict"; readonly claim: string; readonly detail: string }
  | { readonly code: "empty-intent"; readonly detail: string }
  | { readonly code: "missing-fact"; readonly detail: string }
  | { readonly code: "evaluation-failed"; readonly detail: string };

export type Decision = {
  readonly outcome: "allow" | "deny" | "needs-approval";
  readonly policy: {
    readonly version: number;
    readonly hash: string;
    readonly houseVersion: number;
    readonly houseHash: string;
  };
  readonly reasons: readonly Reason[];
  readonly rules: readonly RuleFinding[];
  readonly limits: readonly LimitFinding[];
  /** Only where a lien stands. */
  readonly liens?: readonly LienFinding[];
  /** Only of an omnibus client. */
  readonly subAccount?: readonly SubAccountFinding[];
  readonly fee: { readonly asset: AssetSymbol; readonly cap: string | null; readonly max: string };
  /** Empty unless the outcome is `needs-approval`. */
  readonly missing: Missing;
  /** When pending approvals lapse, ms since 1970. */
  readonly expiresAt?: number;
  /** Rules for emergencies that it takes; absent where it takes none, and where it is denied. */
  readonly breakGlass?: readonly string[];
  /** What to reserve if this is authorized; the limits of house and client. */
  readonly charges: readonly Charge[];
};
