import type { CounterId } from "../../src/domain/decision.ts";
import type { Authorized, RowReader, RowTransaction } from "../../src/vault/ports.ts";

/* Counters as the vault keeps them, for stores that are asked without one: a store checks no seal. */

export async function addSpend(
  transaction: RowTransaction,
  counter: CounterId,
  { at, leaf, amount }: Authorized & { readonly amount: bigint },
): Promise<void> {
  const total = ((await transaction.lastSpend(counter))?.total ?? 0n) + amount;
  await transaction.insertSpend(counter, { at, leaf, amount, total, seal: `seal of ${leaf}` });
}

export async function spentIn(reader: RowReader, counter: CounterId, since: number): Promise<bigint> {
  const [last, before] = [await reader.lastSpend(counter), await reader.spendBefore(counter, since)];
  return (last?.total ?? 0n) - (before?.total ?? 0n);
}

export const spentAt = async (reader: RowReader, counter: CounterId, of: Authorized): Promise<bigint> =>
  (await reader.spendAt(counter, of))?.amount ?? 0n;
