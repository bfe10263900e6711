import { evmAccount } from "../../../../src/chains/evm/address.ts";
import type { Asset, AssetRegistry } from "../../../../src/domain/assets.ts";
import { evmChain, type Account, type AssetSymbol, type ChainId } from "../../../../src/domain/chain.ts";

/** Addresses and registry of the tests of intents; real addresses, so that real payloads mean what they mean outside. */
export const CHAIN_ID = 1n;
export const account = (address: string): Account => evmAccount(CHAIN_ID, address);

export const OWN = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
export const OTHER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";
export const USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
export const UNPINNED = "0xdAC17F958D2ee523a2206206994597C13D831ec7";

const asset = (symbol: string, standard: Asset["standard"], decimals: number, contract?: string): Asset => ({
  symbol: symbol as AssetSymbol,
  chain: evmChain(CHAIN_ID),
  decimals,
  standard,
  ...(contract === undefined ? {} : { contract: account(contract) }),
});

const ASSETS = [asset("ETH", "native", 18), asset("USDC", "erc20", 6, USDC)];

export const registry: AssetRegistry = {
  bySymbol: new Map(ASSETS.map((value) => [value.symbol, value])),
  nativeOf: new Map<ChainId, Asset>([[evmChain(CHAIN_ID), ASSETS[0]!]]),
  byContract: new Map(ASSETS.flatMap((value) => (value.contract ? [[value.contract, value] as const] : []))),
};
