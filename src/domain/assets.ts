import type { Account, AssetSymbol, ChainId } from "./chain.ts";

/** What an asset is on its chain. */
export type Asset = {
  readonly symbol: AssetSymbol;
  readonly chain: ChainId;
  /** Digits behind the point in one unit; decimals come from here and never from a request or a chain. */
  readonly decimals: number;
  /** `native`: the chain's own coin; else the token standard of `contract`. */
  readonly standard: "native" | "erc20" | "erc721" | "erc1155";
  readonly contract?: Account;
  /** The contract takes a part of each transfer: less arrives than was sent. Shown, not counted. */
  readonly feeOnTransfer?: true;
  /** The contract's code can be replaced by others. Shown. */
  readonly proxy?: true;
};

/**
 * What kinds of contracts have meanings of their own:
 * `weth` wraps the native asset (it is an ERC-20 asset as well) · `permit2` Uniswap's Permit2 · `multicall` runs calls of
 * itself (`multicall(bytes[])`), in its caller's name · `multicall3` calls others in its own name · `safe` a Safe account ·
 * `multisend`, `multisend-call-only` what a Safe may delegate to · `other` nothing but its ABI.
 */
export const CONTRACT_KINDS = [
  "weth",
  "permit2",
  "multicall",
  "multicall3",
  "safe",
  "multisend",
  "multisend-call-only",
  "other",
] as const;
export type ContractKind = (typeof CONTRACT_KINDS)[number];

/** A parameter and a function as in a contract's JSON ABI; what else stands there is not needed. */
export type AbiParameter = {
  readonly name: string;
  readonly type: string;
  readonly components?: readonly AbiParameter[];
};
export type AbiFunction = { readonly name: string; readonly inputs: readonly AbiParameter[] };

/** A contract that the registry vouches for: at this account, and nowhere else, its kind and ABI give calls a meaning. */
export type PinnedContract = {
  readonly account: Account;
  readonly name: string;
  readonly kind: ContractKind;
  /** Makes function and arguments of a call facts; what the kind says of a function goes first. */
  readonly abi?: readonly AbiFunction[];
  /** How calls are shown, by canonical signature: never a ground for a decision. */
  readonly display?: Readonly<Record<string, CallDisplay>>;
};

/** What of an ERC-7730 descriptor (`display.formats`) is used. */
export type CallDisplay = {
  readonly intent: string;
  readonly fields: readonly {
    /** As in ERC-7730, e.g. `#.params.amountIn` or `path.[0]`. */
    readonly path: string;
    readonly label: string;
    readonly format?: "raw" | "amount" | "tokenAmount" | "addressName" | "date";
    readonly params?: { readonly tokenPath?: string };
  }[];
};

/** The asset registry as the decoders use it: everything they know of contracts. Built once per policy version. */
export type AssetRegistry = {
  readonly bySymbol: ReadonlyMap<AssetSymbol, Asset>;
  readonly nativeOf: ReadonlyMap<ChainId, Asset>;
  readonly byContract: ReadonlyMap<Account, Asset>;
  readonly contracts?: ReadonlyMap<Account, PinnedContract>;
  /**
   * Chains that charge for publishing a transaction besides its gas (rollups), with the most that one may cost, in wei.
   * The bytes do not bound that charge, so the registry does.
   */
  readonly l1FeeMax?: ReadonlyMap<ChainId, bigint>;
};
