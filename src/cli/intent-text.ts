import { formatAmount } from "../domain/amount.ts";
import { isRawChain, type Account, type AssetSymbol } from "../domain/chain.ts";
import { quoted } from "../domain/errors.ts";
import type { Intent, Operation } from "../domain/intent.ts";
import type { Compiled } from "../policy/compile.ts";

/* What a payload would do, for the person who is asked to approve it. */

type Known = Pick<Compiled, "registry" | "addresses">;

export const intentText = (intent: Intent, known: Known): string =>
  [
    `on ${intent.chain}, from ${intent.account}`,
    ...intent.operations.map((operation, index) => `  ${index + 1}. ${operationText(operation, known)}`),
    ...(isRawChain(intent.chain) ? [] : [`  fee at most ${amountOf(intent.fee.max, intent.fee.asset, known)}`]),
  ].join("\n");

function amountOf(amount: bigint, symbol: AssetSymbol, { registry }: Known): string {
  const asset = registry.bySymbol.get(symbol);
  return asset ? `${formatAmount(amount, asset.decimals)} ${symbol}` : `${amount} of the smallest unit of ${symbol}`;
}

/** The address stands there in full: a name is a convenience, the address is what is paid. */
function place(account: Account, { addresses }: Known): string {
  const names = addresses.get(account)?.names.join(", ");
  return names === undefined ? `${account} (not in the address book)` : `${account} (${names})`;
}

function operationText(operation: Operation, known: Known): string {
  const from = "from" in operation ? ` from ${operation.from}` : "";
  switch (operation.kind) {
    case "transfer": {
      const item = operation.tokenId === undefined ? "" : ` item ${operation.tokenId}`;
      return `transfer ${amountOf(operation.amount, operation.asset, known)}${item}${from} to ${place(operation.to, known)}`;
    }
    case "allowance": {
      const amount = operation.unlimited
        ? `unlimited ${operation.asset}`
        : amountOf(operation.amount, operation.asset, known);
      return `allow ${place(operation.to, known)} to take ${amount}${from}`;
    }
    case "call": {
      const { method } = operation;
      const words = method
        ? `${method.signature} with ${quoted(method.arguments)}`
        : `${operation.selector}, not decoded`;
      return `call ${words}${from} at ${place(operation.to, known)}`;
    }
    case "deploy":
      return `deploy a contract${from}${operation.creates === undefined ? "" : ` at ${operation.creates}`}`;
    case "delegate":
      return `let the code of ${place(operation.to, known)} act for ${operation.from}`;
    case "govern":
      return `govern ${place(operation.to, known)} by ${operation.method} ${quoted(operation.arguments ?? {})}`;
    case "message":
      return `sign a message (${operation.format})${operation.text === undefined ? "" : ` ${quoted(operation.text)}`}`;
    case "typed-data":
      return `sign typed data \`${operation.primaryType}\` of ${quoted(operation.domain)}: what it means is not known`;
    case "raw-digest":
      return `sign 32 bytes whose meaning nobody knows${operation.digest === undefined ? "" : `: ${operation.digest}`}`;
    default:
      return operation satisfies never;
  }
}
