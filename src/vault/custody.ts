import { createHash } from "node:crypto";
import type { Register } from "../custody/register.ts";
import { statementOf } from "../custody/statement.ts";
import { formatAmount } from "../domain/amount.ts";
import type { AssetRegistry } from "../domain/assets.ts";
import { chainOf, type Account, type AssetSymbol } from "../domain/chain.ts";
import type {
  ObservationBody,
  PositionView,
  ReportBody,
  StatementBody,
  SubAccountPositions,
} from "../domain/custody.ts";
import { GatewayError } from "../domain/errors.ts";
import type { CallerName, ClientId, SubAccountName } from "../domain/names.ts";
import { statementText, type Statement } from "../domain/statement.ts";
import type { RequestId } from "../domain/request.ts";
import { stated } from "./attest.ts";
import type { Gateway } from "./gateway.ts";
import { requireCurrent, type ClientEntry } from "./directory.ts";
import { appendLeaf, type LeafContent, type LeafType } from "./log.ts";
import type { LeafRef, StoreTransaction } from "./ports.ts";
import { openingsUntil } from "./registers.ts";
import { countReturned, depositId, openOf, returnedIn, type Deposit } from "./returns.ts";
import { receiptOf } from "./tree.ts";

/* What is said of a client's holdings: observed by those who watch a chain, stated to those whose they are. All of it is leaves. */

/**
 * @throws {GatewayError} `asset-not-found`, `foreign-account`, `request-not-found`: what is observed must be about this
 * client's own assets, accounts and requests
 */
export async function observe(
  { store, directory }: Gateway,
  client: ClientId,
  body: Exclude<ObservationBody, { what: "signed-outside" }>,
  by: CallerName,
): Promise<LeafRef> {
  const [entry, house] = [directory.get(client), directory.house];
  return store.write(async (transaction) => {
    const registry = entry.policy?.registry;
    if (body.what === "deposit") {
      await requireCurrent(transaction, entry, house);
      await requireOwnDeposit(transaction, registry, client, body.deposit);
      await requireBookable(transaction, entry, body.deposit);
      return sayDeposit(transaction, entry, body, by);
    }
    if (body.what === "balance") requireAsset(registry, body.balance.asset);
    else await requireSigned(transaction, client, body.transaction.request as RequestId);
    return say(transaction, client, "observed", { ...body, by });
  });
}

/** The first time that it is reported it may lower what is outstanding (see `returns.ts`). */
async function sayDeposit(
  transaction: StoreTransaction,
  { row, policy }: ClientEntry,
  body: { readonly deposit: Deposit; readonly [field: string]: unknown },
  by: CallerName,
): Promise<LeafRef> {
  const { deposit } = body;
  const isNew = policy !== undefined && !(await transaction.isReported(row.id, depositId(deposit)));
  const returned = isNew ? await returnedIn(transaction, policy, deposit, await openOf(transaction, row.id)) : {};
  const said = { ...body, ...(Object.keys(returned).length === 0 ? {} : { returned }), by };
  const { at, index, number, hash } = await appendLeaf(transaction, row, "observed", said);
  await countReturned(transaction, returned, { at, leaf: index });
  return { index, number, hash };
}

type Registry = Pick<AssetRegistry, "bySymbol">;

function requireAsset(registry: Registry | undefined, asset: string): void {
  if (registry?.bySymbol.has(asset as AssetSymbol)) return;
  throw new GatewayError("asset-not-found", `expected an asset of the client's registry, found \`${asset}\``);
}

async function requireOwnDeposit(
  transaction: StoreTransaction,
  registry: Registry | undefined,
  client: ClientId,
  { asset, to }: { readonly asset: string; readonly to: string },
): Promise<void> {
  if (registry?.bySymbol.get(asset as AssetSymbol)?.chain !== chainOf(to as Account)) {
    throw new GatewayError(
      "asset-not-found",
      `expected an asset of the registry on the account's chain, found \`${asset}\``,
    );
  }
  const owner = (await transaction.owners([to as Account])).get(to as Account);
  if (owner === client) return;
  throw new GatewayError("foreign-account", `expected an account of client \`${client}\`, found \`${to}\``);
}

/** Whose a deposit is can be said once: it never goes from one sub-account to another. */
async function requireBookable(
  transaction: StoreTransaction,
  { row, policy }: ClientEntry,
  { subAccount, ...deposit }: Deposit & { readonly subAccount?: SubAccountName | undefined },
): Promise<void> {
  if (subAccount === undefined) return;
  if (!policy?.subAccounts?.has(subAccount))
    throw new GatewayError("sub-account-not-found", `expected a sub-account of the policy, found \`${subAccount}\``);
  const { register } = (await transaction.holdings(row.id, "always"))!;
  const known = register.bookedTo({ ...deposit, asset: deposit.asset as AssetSymbol });
  if (known !== undefined && known !== subAccount)
    throw new GatewayError("deposit-booked", `expected a deposit that is nobody's yet, found one of \`${known}\``);
}

async function requireSigned(transaction: StoreTransaction, client: ClientId, id: RequestId): Promise<void> {
  const standing = await transaction.requestStanding(client, id);
  if (standing?.state === "signed") return;
  throw new GatewayError(
    "request-not-found",
    `expected a signed request of client \`${client}\`, found none with this id`,
  );
}

/**
 * What was found elsewhere: its hash, so that nobody can say later that it said something else.
 * @returns the leaf, and its content signed by the `statement` key: for who has the report and not the log
 */
export async function report(
  { name, store, logToken }: Gateway,
  client: ClientId,
  body: ReportBody,
  by: CallerName,
): Promise<{ readonly leaf: LeafRef; readonly statement: Statement }> {
  const leaf = await store.write((transaction) => say(transaction, client, "reported", { ...body, by }));
  const text = statementText("report", { gateway: name, client, ...body, by, leaf });
  return { leaf, statement: await stated(logToken, text) };
}

export function subAccountPositionsOf(
  register: Register,
  decimals: (asset: AssetSymbol) => number,
): SubAccountPositions {
  const subAccounts = [...register.subAccounts].map(([name, part]) => [name, positionsOf(part, decimals)] as const);
  const unallocated = register.positions().map(({ asset }) => {
    const closing = register.unallocated(asset);
    return { asset, closing: signedText(closing, decimals(asset)) };
  });
  return { subAccounts: Object.fromEntries(subAccounts.sort(([a], [b]) => (a < b ? -1 : 1))), unallocated };
}

const signedText = (amount: bigint, decimals: number): string =>
  amount < 0n ? `-${formatAmount(-amount, decimals)}` : formatAmount(amount, decimals);

export function positionsOf(register: Register, decimals: (asset: AssetSymbol) => number): PositionView[] {
  return register.positions().map((position) => {
    const { asset, credits, debits, closing, pending, reconciled, encumbered, allowances, free } = position;
    const text = (amount: bigint): string => signedText(amount, decimals(asset));
    return {
      asset,
      credits: text(credits),
      debits: text(debits),
      closing: text(closing),
      pending: text(pending),
      ...(reconciled === undefined ? {} : { reconciled: text(reconciled) }),
      encumbered: text(encumbered),
      allowances: allowances === "unlimited" ? allowances : text(allowances),
      free: text(free),
    };
  });
}

/** Longer ones do not fit into an answer: a shorter period does. */
const MOVEMENTS_MAX = 5_000;

/**
 * @returns signed by the log token's `statement` key; its hash is a leaf
 * @throws {GatewayError} `invalid-parameter` for a period that ends before it begins or after now, or moves too much;
 * `checkpoint-pending` for about a second after the client's last leaf
 */
export async function stateAccount(
  gateway: Gateway,
  client: ClientId,
  body: StatementBody,
  by: CallerName,
): Promise<Statement> {
  const period = { from: Date.parse(body.from), to: Date.parse(body.to) };
  const now = await gateway.store.read((reader) => reader.now());
  if (!(period.from < period.to && period.to <= now)) {
    throw new GatewayError("invalid-parameter", "expected a period that begins before it ends, and ends before now", {
      facts: { now: new Date(now).toISOString() },
      hint: "a statement of time that is not over could turn out wrong",
    });
  }
  const openings = await gateway.store.read((reader) => openingsUntil(reader, client, period.to));
  const statement = statementOf(client, openings, period, decimalsFor(gateway, client), body.subAccount);
  if (statement.movements.length > MOVEMENTS_MAX) {
    throw new GatewayError(
      "invalid-parameter",
      `expected a period with at most ${MOVEMENTS_MAX} movements, found ${statement.movements.length}`,
      { hint: "state a shorter period: statements that follow one another fit together" },
    );
  }
  const { last } = statement;
  // Each leaf of a client holds the hash of the one before: a receipt for the last one is one for all of them.
  const [checkpoint, receipt] = await gateway.store.read(async (reader) => [
    await reader.lastCheckpoint(),
    last === null ? null : await receiptOf(reader, last.index),
  ]);
  const text = statementText("account-statement", {
    gateway: gateway.name,
    ...statement,
    checkpoint: checkpoint?.note ?? null,
    receipt,
  });
  const sha256 = createHash("sha256").update(text).digest("hex");
  await gateway.store.write((transaction) => say(transaction, client, "stated", { ...body, sha256, by }));
  return stated(gateway.logToken, text);
}

/** Registers outlive policies: an asset that no registry names any more is shown in its smallest unit. */
export const decimalsFor =
  ({ directory }: Gateway, client: ClientId) =>
  (asset: AssetSymbol): number =>
    directory.find(client)?.policy?.registry.bySymbol.get(asset)?.decimals ?? 0;

async function say(
  transaction: StoreTransaction,
  client: ClientId,
  type: LeafType,
  content: LeafContent,
): Promise<LeafRef> {
  const { index, number, hash } = await appendLeaf(transaction, (await transaction.client(client))!, type, content);
  return { index, number, hash };
}
