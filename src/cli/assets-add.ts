import { evmAccount, parseAddress } from "../chains/evm/address.ts";
import type { Asset } from "../domain/assets.ts";
import { GatewayError, quoted } from "../domain/errors.ts";
import { askNode } from "./json-rpc.ts";

/** What a node says of a token. A node may lie, and so may a contract: the entry is there to be compared by a person. */
export type TokenEntry = {
  readonly symbol: string;
  readonly chain: string;
  readonly decimals: number;
  readonly standard: Asset["standard"];
  readonly contract: string;
  readonly proxy: boolean;
};

const SELECTORS = {
  decimals: "0x313ce567",
  symbol: "0x95d89b41",
  /** ERC-165, with the interface's id as its argument. */
  supports: "0x01ffc9a7",
} as const;
/** ERC-165 ids: EIP-721, EIP-1155. */
const COLLECTIONS = { "80ac58cd": "erc721", d9b67a26: "erc1155" } as const;
/** EIP-1967: keccak256("eip1967.proxy.implementation") − 1, and the same of "beacon". */
const PROXY_SLOTS = [
  "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc",
  "0xa3f0ad74e5423aebfd80d3ef4346578335a9a72aeaee59ff6cb3582b35133d50",
];

/**
 * Reads what an entry of the registry needs from a node.
 * @param symbol overrides the contract's own, which need not be one
 * @throws {GatewayError} `address-…`, `node-…`, `not-a-contract`, `not-a-token`, `symbol-unusable`
 */
export async function tokenFromNode(url: string, text: string, symbol?: string): Promise<TokenEntry> {
  const address = parseAddress(text);
  const chainId = BigInt((await askNode(url, "eth_chainId", [])) as string);
  if ((await askNode(url, "eth_getCode", [address, "latest"])) === "0x") {
    throw new GatewayError(
      "not-a-contract",
      `expected a contract at \`${address}\` of chain ${chainId}, found no code`,
    );
  }
  const standard = await standardOf(url, address);
  return {
    symbol: usableSymbol(symbol ?? symbolIn(await call(url, address, SELECTORS.symbol))),
    chain: `eip155:${chainId}`,
    decimals: standard === "erc20" ? decimalsIn(address, await call(url, address, SELECTORS.decimals)) : 0,
    standard,
    contract: evmAccount(chainId, address),
    proxy: await isProxy(url, address),
  };
}

/** @returns the words of the answer; none where the contract does not have the function */
async function call(url: string, to: string, data: string): Promise<string> {
  try {
    return ((await askNode(url, "eth_call", [{ to, data }, "latest"])) as string).slice(2);
  } catch (error) {
    if (error instanceof GatewayError && error.code === "node-refused") return "";
    throw error;
  }
}

async function standardOf(url: string, address: string): Promise<Asset["standard"]> {
  for (const [id, standard] of Object.entries(COLLECTIONS)) {
    const answer = await call(url, address, `${SELECTORS.supports}${id.padEnd(64, "0")}`);
    if (/^0{63}1$/.test(answer)) return standard;
  }
  return "erc20";
}

async function isProxy(url: string, address: string): Promise<boolean> {
  for (const slot of PROXY_SLOTS) {
    if (BigInt((await askNode(url, "eth_getStorageAt", [address, slot, "latest"])) as string) !== 0n) return true;
  }
  return false;
}

function decimalsIn(address: string, answer: string): number {
  const decimals = /^[0-9a-f]{64}$/.test(answer) ? BigInt(`0x${answer}`) : -1n;
  if (decimals >= 0n && decimals <= 36n) return Number(decimals);
  throw new GatewayError(
    "not-a-token",
    `expected \`decimals()\` of \`${address}\` to be 0 to 36, found ${quoted(answer)}`,
    {
      hint: "the address may be of a contract that is no ERC-20 token",
    },
  );
}

/** ABI `string`, or `bytes32` as some early tokens have it. */
function symbolIn(answer: string): string {
  const bytes = Buffer.from(answer, "hex");
  if (bytes.length === 32) return bytes.toString("latin1").replace(/\0+$/, "");
  const length = bytes.length >= 64 ? bytes.readUInt32BE(60) : 0;
  return bytes.subarray(64, 64 + length).toString("utf8");
}

function usableSymbol(symbol: string): string {
  if (/^[A-Z][A-Za-z0-9.-]{0,15}$/.test(symbol)) return symbol;
  throw new GatewayError("symbol-unusable", `expected a symbol such as \`USDC\`, found ${quoted(symbol)}`, {
    hint: "give it one of your own with `--symbol`: it is only this registry's name for the contract",
  });
}

/** As it would stand under `assets:`. */
export const entryText = ({ symbol, chain, decimals, standard, contract, proxy }: TokenEntry): string =>
  [
    `  ${symbol}:`,
    "    {",
    `      chain: "${chain}",`,
    `      decimals: ${decimals},`,
    `      standard: ${standard},`,
    `      contract: "${contract}",`,
    ...(proxy ? ["      proxy: true,"] : []),
    "    }",
  ].join("\n");
