import type { ClientEntry } from "./directory.ts";
import { appendLeaf, type LeafType } from "./log.ts";
import type { RequestRow, StoreTransaction } from "./ports.ts";
import { readRecord } from "./record.ts";

/**
 * Each step towards breaking the glass is followed by a leaf of its own: whoever reads no decisions hears of it too. The last
 * thing that its transaction writes, since rows stand in the leaf before them.
 * @param what the step: the type of the leaf that it is about
 */
export async function tellBreakGlass(
  transaction: StoreTransaction,
  client: Pick<ClientEntry, "row">,
  row: RequestRow,
  what: LeafType & ("pending" | "approved" | "authorized"),
): Promise<void> {
  const rules = readRecord(row).decision?.breakGlass;
  if (rules === undefined) return;
  const { id: request, caller, key, decisionLeaf: leaf } = row;
  await appendLeaf(transaction, client.row, "break-glass", { request, caller, key, rules, what, leaf });
}
