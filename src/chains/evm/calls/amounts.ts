import type { Asset } from "../../../domain/assets.ts";
import type { Account } from "../../../domain/chain.ts";
import type { Operation } from "../../../domain/intent.ts";

export const ZERO_ADDRESS = "0x0000000000000000000000000000000000000000";
export const MAX_UINT256 = (1n << 256n) - 1n;
export const MAX_UINT160 = (1n << 160n) - 1n;

type Extra = Pick<Extract<Operation, { kind: "allowance" }>, "tokenId" | "change" | "validUntil">;

export const transfer = (asset: Asset, from: Account, to: Account, amount: bigint, tokenId?: bigint): Operation => ({
  kind: "transfer",
  asset: asset.symbol,
  from,
  to,
  amount,
  ...(tokenId === undefined ? {} : { tokenId: tokenId.toString() }),
});

/** @param unlimitedFrom the amount to which the standard gives that meaning */
export const allowance = (
  asset: Asset,
  from: Account,
  to: Account,
  amount: bigint,
  { unlimitedFrom = MAX_UINT256, ...extra }: Extra & { unlimitedFrom?: bigint } = {},
): Operation => ({
  kind: "allowance",
  asset: asset.symbol,
  from,
  to,
  amount,
  ...(amount >= unlimitedFrom ? { unlimited: true } : {}),
  ...extra,
});

/** Everything of an asset, now and later, or (`false`) nothing any more. */
export const allowanceOnAll = (asset: Asset, from: Account, to: Account, allowed: boolean): Operation =>
  allowance(asset, from, to, allowed ? MAX_UINT256 : 0n);
