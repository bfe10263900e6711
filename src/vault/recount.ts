import type { AssetRegistry } from "../domain/assets.ts";
import { GatewayError } from "../domain/errors.ts";
import type { CounterId } from "../domain/decision.ts";
import { intentFromJson, type Intent } from "../domain/intent.ts";
import type { Json } from "../domain/json.ts";
import { HOUSE, type CallerName, type ClientId, type KeyName, type SubAccountName } from "../domain/names.ts";
import { chargesOf } from "../policy/charges.ts";
import type { CompiledHouse, CompiledPolicy } from "../policy/compile.ts";
import { accountsOf } from "./claim.ts";
import { StaleDirectory, type Directory } from "./directory.ts";
import type { Authorized, LeafRow, StoreTransaction } from "./ports.ts";
import { countReturned, depositId, openOf, returnedIn, type Deposit } from "./returns.ts";

/*
 * A new, changed or renamed limit counts the past as well (DESIGN section 6.5): when a policy is applied, every counter
 * of its document is built anew from the leaves.
 */

/** What of a leaf's opening counts. */
type Opening = {
  readonly type: string;
  readonly request: string;
  readonly caller: CallerName;
  readonly key: KeyName;
  readonly subAccount?: SubAccountName;
  readonly intent: Json;
  readonly replaces?: string;
};

/** Where a request's spend stands at present, and whose place it took. */
type Standing = Authorized & Pick<Opening, "replaces"> & { failed?: true };

type Recount = {
  /** `house`, or the client whose document it is. */
  readonly of: ClientId;
  readonly compiled: CompiledPolicy | CompiledHouse;
  readonly directory: Directory;
  /** What symbols meant until now, where the document had a version before. */
  readonly before: AssetRegistry | undefined;
};

/** Leaves at a time: between two pages the process has a turn of its event loop, however long the past is. */
const PAGE = 500;

/** The leaf of the last entry in each counter. */
export type Counted = Readonly<Record<CounterId, number>>;

/**
 * To be followed by the leaf that makes the policy active, which says what was counted.
 * @throws {GatewayError} `policy-conflict` if a symbol that was spent under means another asset now
 */
export async function recount(transaction: StoreTransaction, task: Recount): Promise<Counted> {
  await transaction.clearSpend(task.of);
  const open = task.of === HOUSE ? [] : await openOf(transaction, task.of);
  const past: Past = { counted: {}, standing: new Map(), deposits: new Set(), open };
  for (let from = 0, page: LeafRow[]; (page = await transaction.leaves(from, PAGE)).length > 0; from += PAGE)
    for (const leaf of page) if (concerns(leaf, task)) await recountLeaf(transaction, leaf, past, task);
  return past.counted;
}

type Past = {
  readonly counted: Record<CounterId, number>;
  readonly standing: Map<string, Standing>;
  readonly deposits: Set<string>;
  /** Without an outcome now. */
  readonly open: readonly Authorized[];
};

const concerns = ({ client }: LeafRow, { of, compiled }: Recount): boolean => compiled.of === "house" || client === of;

async function recountLeaf(transaction: StoreTransaction, leaf: LeafRow, past: Past, task: Recount): Promise<void> {
  const { counted, standing } = past;
  const opening = JSON.parse(leaf.opening) as Opening;
  if (opening.type === "observed") return recountReturn(transaction, leaf, past, task);
  const { type, request, replaces } = opening;
  const known = standing.get(request);
  if (type === "failed" && known) known.failed = true;
  // Given back, or authorized again: it is as if it had never been.
  if (type !== "authorized" || transaction.isVoid(leaf.index)) return;
  for (const counter of await countAuthorization(transaction, leaf, opening, versionsOf(replaces, standing), task))
    counted[counter] = leaf.index;
  standing.set(request, { at: leaf.at, leaf: leaf.index, ...(replaces === undefined ? {} : { replaces }) });
}

/** What came back lowers the limits that there are now, as far as it was sent by then. */
async function recountReturn(
  transaction: StoreTransaction,
  { index, at, opening }: LeafRow,
  { counted, deposits, open }: Past,
  { compiled }: Recount,
): Promise<void> {
  const { deposit } = JSON.parse(opening) as { readonly deposit?: Deposit };
  if (deposit === undefined || compiled.of === "house" || deposits.has(depositId(deposit))) return;
  deposits.add(depositId(deposit));
  const returned = await returnedIn(transaction, compiled, deposit, open);
  for (const counter of await countReturned(transaction, returned, { at, leaf: index })) counted[counter] = index;
}

/** Those whose place it takes; of one that failed nothing is covered (see `coveredBy`). */
function versionsOf(replaces: string | undefined, counted: Past["standing"]): Authorized[] {
  const versions: Authorized[] = [];
  for (let id = replaces; id !== undefined; id = counted.get(id)?.replaces) {
    const version = counted.get(id);
    if (version && !version.failed) versions.push(version);
  }
  return versions;
}

/** @returns the counters in which it is counted */
async function countAuthorization(
  transaction: StoreTransaction,
  { client, at, index }: LeafRow,
  { caller, key, subAccount, intent: written }: Opening,
  versions: readonly Authorized[],
  { compiled, directory, before }: Recount,
): Promise<CounterId[]> {
  const known = directory.find(client);
  if (!known?.policy) throw new StaleDirectory(client); // another vault's client, not met here yet
  const policies =
    compiled.of === "house"
      ? { client: known.policy, house: compiled }
      : { client: compiled, house: directory.house.policy };
  const intent = intentFromJson(written);
  if (before && compiled.of === "client") requireSameAssets(intent, before, compiled.registry);
  const owners = await transaction.owners(accountsOf(intent));
  const facts = { now: at, client, caller, key, subAccount, owners };
  const counters: CounterId[] = [];
  for (const charge of chargesOf(policies, intent, facts)) {
    if (charge.of !== compiled.of) continue;
    let { amount } = charge;
    for (const version of versions) amount -= await transaction.spentAt(charge.counter, version);
    if (amount <= 0n) continue;
    await transaction.addSpend(charge.counter, { at, leaf: index, amount });
    counters.push(charge.counter);
  }
  return counters;
}

/**
 * A symbol that was spent under keeps its meaning: under another name the past would count as nothing, and every limit
 * of that asset would begin anew.
 */
function requireSameAssets(intent: Intent, before: AssetRegistry, after: AssetRegistry): void {
  const moved = intent.operations.flatMap((operation) => ("asset" in operation ? [operation.asset] : []));
  for (const symbol of new Set([...moved, intent.fee.asset])) {
    const [was, is] = [before.bySymbol.get(symbol), after.bySymbol.get(symbol)];
    if (was?.chain === is?.chain && was?.contract === is?.contract && was?.decimals === is?.decimals) continue;
    throw new GatewayError(
      "policy-conflict",
      `expected \`${symbol}\` to stay the asset that was spent under that symbol`,
      {
        facts: { asset: symbol },
        hint: "keep the symbol, its chain, contract and decimals in the asset registry; another asset takes another symbol",
      },
    );
  }
}
