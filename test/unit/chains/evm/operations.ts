import type { Operation } from "../../../../src/domain/intent.ts";
import type { AssetSymbol } from "../../../../src/domain/chain.ts";
import { account } from "./registry.ts";

/* Operations as tests expect them, short enough to read in a table. */

export const MAX = 2n ** 256n - 1n;

export const moves = (asset: string, from: string, to: string, amount: bigint, tokenId?: string): Operation => ({
  kind: "transfer",
  asset: asset as AssetSymbol,
  from: account(from),
  to: account(to),
  amount,
  ...(tokenId === undefined ? {} : { tokenId }),
});

export const allows = (
  asset: string,
  from: string,
  to: string,
  amount: bigint,
  extra: Partial<Operation> = {},
): Operation =>
  ({
    kind: "allowance",
    asset: asset as AssetSymbol,
    from: account(from),
    to: account(to),
    amount,
    ...extra,
  }) as Operation;

export const calls = (from: string, to: string, selector: string): Operation => ({
  kind: "call",
  from: account(from),
  to: account(to),
  selector,
});
