import type { Account, AssetSymbol, ChainId } from "./chain.ts";

/** What an asset is on its chain; E adds the kinds of contracts that are no assets. */
export type Asset = {
  readonly symbol: AssetSymbol;
  readonly chain: ChainId;
  /** Digits behind the point in one unit; decimals come from here and never from a request or a chain. */
  readonly decimals: number;
  /** `native`: the chain's own coin; else the token standard of `contract`. */
  readonly standard: "native" | "erc20";
  readonly contract?: Account;
};

/** The asset registry as the decoders use it: everything they know of contracts. Built once per policy version. */
export type AssetRegistry = {
  readonly bySymbol: ReadonlyMap<AssetSymbol, Asset>;
  readonly nativeOf: ReadonlyMap<ChainId, Asset>;
  readonly byContract: ReadonlyMap<Account, Asset>;
};
