import type { Charge, CounterId } from "../domain/decision.ts";
import type { Intent } from "../domain/intent.ts";
import { HOUSE } from "../domain/names.ts";
import type { CompiledLimit } from "./compile.ts";
import { limitApplies, limitCounts } from "./match.ts";
import {
  UNLIMITED,
  movesAsset,
  scenesOf,
  type OperationView,
  type Policies,
  type Scene,
  type WhoAndWhose,
} from "./scene.ts";

/**
 * Every limit that counts this intent, and how much: what step 4 reserves. Counts of nothing are left out.
 * @throws if the policies and the intent do not fit together (`evaluate` denies then)
 */
export function chargesOf(policies: Policies, intent: Intent, facts: WhoAndWhose): Charge[] {
  const scenes = scenesOf(policies, intent, facts);
  return chargesIn(scenes).map(({ charge }) => charge);
}

export type LimitCharge = { readonly limit: CompiledLimit; readonly charge: Charge };

export function chargesIn({ client, house }: { readonly client: Scene; readonly house: Scene }): LimitCharge[] {
  const charges: LimitCharge[] = [];
  for (const limit of client.policy.limits) chargeLimit(limit, client, charges);
  for (const limit of house.policy.limits) chargeLimit(limit, house, charges);
  const { covered } = client.facts;
  return covered ? charges.flatMap((each) => withoutCovered(each, covered)) : charges;
}

function withoutCovered({ limit, charge }: LimitCharge, covered: ReadonlyMap<CounterId, bigint>): LimitCharge[] {
  const amount = charge.amount - (covered.get(charge.counter) ?? 0n);
  return amount > 0n ? [{ limit, charge: { ...charge, amount } }] : [];
}

function chargeLimit(limit: CompiledLimit, scene: Scene, charges: LimitCharge[]): void {
  if (!limitApplies(limit, scene)) return;
  if (limit.per === "destination" || limit.per === "asset") return chargeEach(limit, scene, charges);
  let amount = 0n;
  for (const view of scene.operations) {
    if (!limitCounts(limit, view)) continue;
    amount = limit.asset ? amount + amountOf(view) : 1n;
  }
  amount += feeIn(limit, scene);
  if (amount > 0n) charges.push({ limit, charge: chargeOf(limit, scene, amount, scopeOf(limit, scene)) });
}

/** The fee goes to nobody's address: as with a limit that has `to`, it is not in what a destination gets. */
function chargeEach(limit: CompiledLimit, scene: Scene, charges: LimitCharge[]): void {
  const sums = new Map<string, bigint>();
  for (const view of scene.operations) {
    const scope = limit.per === "destination" ? view.to : view.asset?.symbol;
    if (scope === undefined || !limitCounts(limit, view)) continue;
    sums.set(scope, limit.asset ? (sums.get(scope) ?? 0n) + amountOf(view) : 1n);
  }
  for (const [scope, amount] of sums) {
    if (amount > 0n) charges.push({ limit, charge: chargeOf(limit, scene, amount, scope) });
  }
}

function amountOf({ operation, unlimited }: OperationView): bigint {
  if (unlimited) return UNLIMITED;
  return movesAsset(operation) ? operation.amount : 0n;
}

/** Sentence 5: sums of a native asset without `to` and `amount` count the greatest possible fee too. */
function feeIn(limit: CompiledLimit, scene: Scene): bigint {
  const counted =
    limit.asset !== undefined && !limit.to && !limit.amount && scene.feeAsset?.symbol === limit.asset.symbol;
  return counted ? scene.intent.fee.max : 0n;
}

function scopeOf(limit: CompiledLimit, { facts }: Scene): string {
  // Key and caller names are unique within a client; a house limit counts them of all clients.
  const within = limit.of === "house" ? `${facts.client}/` : "";
  switch (limit.per) {
    case undefined:
    case "destination":
    case "asset":
      return "-";
    case "client":
      return facts.client;
    case "key":
      return `${within}${facts.key}`;
    case "caller":
      return `${within}${facts.caller}`;
    case "sub-account":
      // Of nobody's: what was authorized before there were any.
      return facts.subAccount ?? "-";
    default:
      limit.per satisfies never;
      return "-";
  }
}

function chargeOf(limit: CompiledLimit, { facts }: Scene, amount: bigint, scope: string): Charge {
  return {
    counter: `${limit.of === "house" ? HOUSE : facts.client}/${limit.name}/${scope}` as CounterId,
    limit: limit.name,
    of: limit.of,
    amount,
    windowStartsAt: limit.windowStartsAt(facts.now),
  };
}
