/** CAIP-2, e.g. `eip155:1`. */
export type ChainId = string & { readonly __brand: "ChainId" };

/** CAIP-10 with the EIP-55 checksum where the chain has one, e.g. `eip155:1:0x742d35Cc…`: the only form inside Portcullis. */
export type Account = string & { readonly __brand: "Account" };

/** A symbol of the pinned asset registry, e.g. `USDC`. */
export type AssetSymbol = string & { readonly __brand: "AssetSymbol" };

/** Source: CAIP-2; EVM chains are `eip155:` and the chain id in decimal. */
export const EVM_CHAIN = /^eip155:([1-9][0-9]{0,15})$/;

export const evmChain = (chainId: bigint | number): ChainId => `eip155:${chainId}` as ChainId;

/** The numeric chain id of an `eip155:` chain, or undefined for chains of another kind. */
export function evmChainId(chain: string): bigint | undefined {
  const match = EVM_CHAIN.exec(chain);
  return match ? BigInt(match[1]!) : undefined;
}

export const chainOf = (account: Account): ChainId => account.slice(0, account.lastIndexOf(":")) as ChainId;
export const addressOf = (account: Account): string => account.slice(account.lastIndexOf(":") + 1);

const RAW = "raw:";

/** Where a key that signs raw digests lives: nowhere. No chain reads these words, and no registry declares them. */
export const rawChain = (curve: string): ChainId => `${RAW}${curve}` as ChainId;

/** @param publicKey SEC 1 uncompressed, or the 32 bytes of Ed25519; named by its compressed form, which CAIP-10 has room for */
export function rawAccount(curve: string, publicKey: Uint8Array): Account {
  const isPoint = publicKey.length === 65;
  const bytes = isPoint ? [2 + (publicKey[64]! & 1), ...publicKey.subarray(1, 33)] : [...publicKey];
  return `${rawChain(curve)}:${bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("")}` as Account;
}

export const isRawChain = (chain: ChainId): boolean => chain.startsWith(RAW);
