import type { Asset } from "../domain/assets.ts";
import type { Account, AssetSymbol } from "../domain/chain.ts";
import type { DecisionFacts } from "../domain/decision.ts";
import { GatewayError } from "../domain/errors.ts";
import type { Intent, Operation } from "../domain/intent.ts";
import type { ClientId } from "../domain/names.ts";
import type { Compiled, CompiledHouse, CompiledPolicy, KnownAddress } from "./compile.ts";

export type Policies = { readonly client: CompiledPolicy; readonly house: CompiledHouse };

/** The facts that say who asks and whose accounts are named; limits need no more. */
export type WhoAndWhose = Pick<
  DecisionFacts,
  "now" | "client" | "caller" | "key" | "subAccount" | "owners" | "covered"
>;

/** More than any cap can say (78 digits and 36 decimals are below 2^380), and than any 256-bit amounts add up to. */
export const UNLIMITED = 1n << 512n;

/** One operation, with what all rules and limits of one policy ask of it worked out once. */
export type OperationView = {
  readonly index: number;
  readonly operation: Operation;
  /** As this policy's registry has it; undefined where no asset moves, or where the registry does not have it. */
  readonly asset: Asset | undefined;
  /** The transaction's total of that asset over all transfers and allowances except to `own`. */
  readonly total: bigint;
  readonly unlimited: boolean;
  readonly to: Account | undefined;
  /** Whose `to` is; undefined: nobody's here. */
  readonly owner: ClientId | undefined;
  readonly toOwn: boolean;
  readonly fromOwn: boolean;
  /** What this policy's address book knows of `to`. */
  readonly known: KnownAddress | undefined;
};

/** A request as one policy sees it. */
export type Scene = {
  readonly policy: Compiled;
  readonly intent: Intent;
  readonly facts: WhoAndWhose;
  readonly operations: readonly OperationView[];
  readonly feeAsset: Asset | undefined;
};

export function scenesOf(
  policies: Policies,
  intent: Intent,
  facts: WhoAndWhose,
): { readonly client: Scene; readonly house: Scene } {
  const owns = (account: Account | undefined) => account !== undefined && facts.owners.get(account) === facts.client;
  const totals = totalsOf(intent, owns);
  const { registry } = policies.client;
  const views = intent.operations.map((operation, index) =>
    viewOf(operation, index, policies.client, facts, owns, totals),
  );
  const client: Scene = {
    policy: policies.client,
    intent,
    facts,
    operations: views,
    feeAsset: registry.bySymbol.get(intent.fee.asset),
  };
  return { client, house: houseScene(policies.house, client) };
}

export const destinationOf = (operation: Operation): Account | undefined =>
  "to" in operation ? operation.to : undefined;

export const movesAsset = (operation: Operation): operation is Extract<Operation, { kind: "transfer" | "allowance" }> =>
  operation.kind === "transfer" || operation.kind === "allowance";

export const isUnlimited = (operation: Operation): boolean =>
  operation.kind === "allowance" && operation.unlimited === true;

function totalsOf(intent: Intent, owns: (account: Account) => boolean): ReadonlyMap<AssetSymbol, bigint> {
  const totals = new Map<AssetSymbol, bigint>();
  for (const operation of intent.operations) {
    if (!movesAsset(operation) || owns(operation.to)) continue;
    const amount = isUnlimited(operation) ? UNLIMITED : operation.amount;
    // A decoder cannot make one; added up it would hide another.
    if (amount < 0n) throw new GatewayError("invalid-amount", "expected an amount from 0, found a negative one");
    totals.set(operation.asset, (totals.get(operation.asset) ?? 0n) + amount);
  }
  return totals;
}

function viewOf(
  operation: Operation,
  index: number,
  policy: CompiledPolicy,
  facts: WhoAndWhose,
  owns: (account: Account | undefined) => boolean,
  totals: ReadonlyMap<AssetSymbol, bigint>,
): OperationView {
  const to = destinationOf(operation);
  const moves = movesAsset(operation);
  return {
    index,
    operation,
    asset: moves ? policy.registry.bySymbol.get(operation.asset) : undefined,
    total: moves ? (totals.get(operation.asset) ?? 0n) : 0n,
    unlimited: isUnlimited(operation),
    to,
    owner: to && facts.owners.get(to),
    toOwn: owns(to),
    fromOwn: owns(operation.from),
    known: to && policy.addresses.get(to),
  };
}

/** The house knows assets by what they are, not by what a client's document calls them. */
function houseScene(house: CompiledHouse, client: Scene): Scene {
  const operations = client.operations.map((view) => ({
    ...view,
    asset: view.asset && sameAsset(house, view.asset),
    known: view.to && house.addresses.get(view.to),
  }));
  return { ...client, policy: house, operations, feeAsset: client.feeAsset && sameAsset(house, client.feeAsset) };
}

function sameAsset(house: CompiledHouse, asset: Asset): Asset | undefined {
  const same = asset.contract
    ? house.registry.byContract.get(asset.contract)
    : house.registry.nativeOf.get(asset.chain);
  if (same && same.decimals !== asset.decimals) {
    throw new GatewayError(
      "policy-invalid",
      `expected \`${asset.symbol}\` to have ${same.decimals} decimals as in the house policy, found ${asset.decimals}`,
    );
  }
  return same;
}
