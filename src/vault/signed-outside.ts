import type { Account } from "../domain/chain.ts";
import { useId, type OutsideUse } from "../domain/custody.ts";
import { GatewayError } from "../domain/errors.ts";
import type { CallerName, ClientId } from "../domain/names.ts";
import { requireCurrent } from "./directory.ts";
import { beginFreeze } from "./freeze.ts";
import type { Gateway } from "./gateway.ts";
import { appendLeaf } from "./log.ts";
import type { LeafRef, StoreTransaction } from "./ports.ts";

/*
 * An observer has found numbers of an account that something used which is not in the log: whoever signed it has the key,
 * or had the token. Where the client's policy says so the client is frozen by the same commit (`signedOutside: freeze`).
 */

/** An observer can only make things stricter: what it says wrongly is ended by the officers' quorum, like every freeze. */
export async function saySignedOutside(
  { store, directory }: Pick<Gateway, "store" | "directory">,
  client: ClientId,
  use: OutsideUse,
  by: CallerName,
): Promise<{ readonly leaf: LeafRef; readonly isFrozen: boolean }> {
  requireNumbers(use);
  const [entry, house] = [directory.get(client), directory.house];
  const said = await store.write(async (transaction) => {
    await requireCurrent(transaction, entry, house);
    await requireOwn(transaction, client, use.account);
    const isNew = !(await transaction.isReported(client, useId(use)));
    const row = (await transaction.client(client))!;
    const { index, number, hash } = await appendLeaf(transaction, row, "observed", { what: "signed-outside", use, by });
    const isFrozen = row.freezes.some(({ kind }) => kind === "client");
    const freezes = isNew && !isFrozen && entry.policy?.signedOutside === "freeze";
    if (freezes) await beginFreeze(transaction, row, { kind: "client" }, { by, reason: REASON });
    return { leaf: { index, number, hash }, isFrozen: isFrozen || freezes };
  });
  // Whatever keeps this vault from reading it again now, it is found in the next transaction.
  if (said.isFrozen) await directory.refreshClient(client).catch(() => undefined);
  return said;
}

const REASON = "signed outside: a key was used elsewhere";

function requireNumbers({ first, last, transaction }: OutsideUse): void {
  const isOne = first === last;
  if (BigInt(first) <= BigInt(last) && (isOne || transaction === undefined)) return;
  throw new GatewayError("invalid-parameter", "expected the first number, the last one, and a transaction of one only");
}

async function requireOwn(transaction: StoreTransaction, client: ClientId, account: string): Promise<void> {
  const owner = (await transaction.owners([account as Account])).get(account as Account);
  if (owner === client) return;
  throw new GatewayError("foreign-account", `expected an account of client \`${client}\`, found \`${account}\``);
}
