import { formatAmount } from "../../domain/amount.ts";
import type { AssetRegistry } from "../../domain/assets.ts";
import { addressOf, type Account, type AssetSymbol } from "../../domain/chain.ts";

export type Names = {
  readonly registry: AssetRegistry;
  /** What the reader calls an account: an address book's name, a key's. */
  readonly nameOf?: (account: Account) => string | undefined;
};

/** Name and whole address; the registry's names of contracts where the reader has none. */
export function party(account: Account, { registry, nameOf }: Names): string {
  const asset = registry.byContract.get(account);
  const name = nameOf?.(account) ?? registry.contracts?.get(account)?.name ?? (asset && `contract of ${asset.symbol}`);
  return name === undefined ? `${addressOf(account)} (no name)` : `${othersText(name)} ${addressOf(account)}`;
}

export function amountText(amount: bigint, symbol: AssetSymbol, registry: AssetRegistry): string {
  const asset = registry.bySymbol.get(symbol);
  return asset ? `${formatAmount(amount, asset.decimals)} ${symbol}` : `${amount} smallest units of ${symbol}`;
}

/** The last moment that a Date can hold, in seconds; Permit2 and wallets write greater ones for "never". */
const LAST_SECOND = 8_640_000_000_000n;

export const dateText = (seconds: bigint): string | undefined =>
  seconds > LAST_SECOND ? undefined : new Date(Number(seconds) * 1000).toISOString();

const MAX_QUOTED = 80;
/** Controls, formatting (bidi, zero width), lone surrogates, the unassigned; blanks that are no blank; the quote itself. */
const DECEPTIVE = /[\p{C}\p{Zl}\p{Zp}`\\]|(?! )\p{Zs}/u;

/** Others' words, as they may stand in a line: quoted, escaped, at most 80 characters within the quotes. */
export function othersText(text: string): string {
  const shown: string[] = [];
  let length = 0;
  for (const character of text) {
    const safe = DECEPTIVE.test(character) ? `\\u{${character.codePointAt(0)!.toString(16)}}` : character;
    length += safe.length;
    shown.push(safe);
    if (length <= MAX_QUOTED) continue;
    // Whole characters make room for the mark that something is missing.
    while (length >= MAX_QUOTED) length -= shown.pop()!.length;
    return `\`${shown.join("")}…\``;
  }
  return `\`${shown.join("")}\``;
}
