import type { Account } from "../../domain/chain.ts";
import type { Intent } from "../../domain/intent.ts";

/** Every account of an intent whose owner its limits may ask for. */
export function accountsIn({ account, operations }: Intent): Account[] {
  const accounts = new Set([account]);
  for (const operation of operations) {
    accounts.add(operation.from);
    if ("to" in operation && operation.to !== undefined) accounts.add(operation.to);
  }
  return [...accounts];
}
