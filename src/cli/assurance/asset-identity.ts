import type { Asset } from "../../domain/assets.ts";
import { addressOf } from "../../domain/chain.ts";

/**
 * What an asset is, whatever a client's registry calls it: `eip155:1/native`, `eip155:1/erc20:0x…` (CAIP-19 without the
 * number that it has for native coins). One that no registry names any more is one of nobody else's.
 */
export const identityOf = (asset: Asset | undefined, client: string, symbol: string): string => {
  if (!asset) return `unregistered:${client}/${symbol}`;
  const { chain, standard, contract } = asset;
  return contract === undefined ? `${chain}/native` : `${chain}/${standard}:${addressOf(contract)}`;
};

export type AssetIdentity = { readonly chain: string; readonly standard: string; readonly contract?: string };

/** @returns undefined for what stands on no chain */
export function readIdentity(text: string): AssetIdentity | undefined {
  const [, chain, standard, contract] =
    /^(eip155:[1-9][0-9]{0,15})\/(native|erc20|erc721|erc1155)(?::(0x[0-9a-fA-F]{40}))?$/.exec(text) ?? [];
  if (chain === undefined || standard === undefined || (standard === "native") !== (contract === undefined))
    return undefined;
  return { chain, standard, ...(contract === undefined ? {} : { contract }) };
}
