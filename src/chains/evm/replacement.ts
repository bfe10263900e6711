import { addressOf, type Account } from "../../domain/chain.ts";
import { decodeUnsigned, encodeUnsigned, type EvmTransaction } from "./transaction.ts";

/**
 * What a transaction is to another one with the same nonce, of the same account (I12).
 * `fee-bump`: the same in every byte but its prices. `cancellation`: it moves nothing, calls nothing, goes to the account
 * itself. Of neither kind: it would be another payment.
 * @param unsigned what would be signed; `replaced`: what was
 */
export function replacementKind(
  unsigned: Uint8Array,
  replaced: Uint8Array,
  account: Account,
): "fee-bump" | "cancellation" | undefined {
  const [next, before] = [decodeUnsigned(unsigned), decodeUnsigned(replaced)];
  if (next.nonce !== before.nonce || next.chainId !== before.chainId) return undefined;
  if (isCancellation(next, account)) return "cancellation";
  return Buffer.compare(encodeUnsigned(atNoPrice(next)), encodeUnsigned(atNoPrice(before))) === 0
    ? "fee-bump"
    : undefined;
}

/** Prices are what a block's proposer is offered: everything else is what the transaction does. */
function atNoPrice(transaction: EvmTransaction): EvmTransaction {
  switch (transaction.type) {
    case "legacy":
    case "eip2930":
      return { ...transaction, gasPrice: 0n };
    case "eip1559":
    case "eip7702":
      return { ...transaction, maxFeePerGas: 0n, maxPriorityFeePerGas: 0n };
    case "eip4844":
      return { ...transaction, maxFeePerGas: 0n, maxPriorityFeePerGas: 0n, maxFeePerBlobGas: 0n };
    default:
      return transaction satisfies never;
  }
}

/** Nothing but a nonce that is used up: no list, no blob and no delegation either. */
const isCancellation = (transaction: EvmTransaction, account: Account): boolean =>
  transaction.type !== "eip4844" &&
  transaction.type !== "eip7702" &&
  transaction.to?.toLowerCase() === addressOf(account).toLowerCase() &&
  transaction.value === 0n &&
  transaction.data.length === 0;
