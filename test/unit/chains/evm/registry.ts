import { parseAbi } from "viem";
import { evmAccount } from "../../../../src/chains/evm/address.ts";
import type { AbiFunction, Asset, AssetRegistry, ContractKind, PinnedContract } from "../../../../src/domain/assets.ts";
import { evmChain, type Account, type AssetSymbol, type ChainId } from "../../../../src/domain/chain.ts";

/* Addresses and registry of the tests of intents; real addresses, so that real payloads mean what they mean outside. */

export const CHAIN_ID = 1n;
export const account = (address: string): Account => evmAccount(CHAIN_ID, address);

export const OWN = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
export const OTHER = "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359";
export const THIRD = "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb";
export const ZERO = "0x0000000000000000000000000000000000000000";
export const UNPINNED = "0xdAC17F958D2ee523a2206206994597C13D831ec7";

export const USDC = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
export const DAI = "0x6B175474E89094C44Da98b954EedeAC495271d0F";
export const WETH = "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2";
export const APE = "0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D";
export const ITEMS = "0x495f947276749Ce646f68AC8c248420045cb7b5e";
export const PERMIT2 = "0x000000000022D473030F116dDEE9F6B43aC78BA3";
export const MULTICALL3 = "0xcA11bde05977b3631167028862bE2a173976CA11";
export const ROUTER = "0x68b3465833fb72A70ecDF485E0e4C7bD8665Fc45";
export const SAFE = "0x849D52316331967b6fF1198e5E32A0eB168D039d";
export const MULTISEND = "0x38869bf66a61cF6bDB996A6aE40D5853Fd43B526";
export const MULTISEND_CALL_ONLY = "0x9641d764fc13c8B624c04430C7356C1C7C8102e2";

const asset = (symbol: string, standard: Asset["standard"], decimals: number, contract?: string): Asset => ({
  symbol: symbol as AssetSymbol,
  chain: evmChain(CHAIN_ID),
  decimals,
  standard,
  ...(contract === undefined ? {} : { contract: account(contract) }),
});

const ASSETS = [
  asset("ETH", "native", 18),
  asset("USDC", "erc20", 6, USDC),
  asset("DAI", "erc20", 18, DAI),
  asset("WETH", "erc20", 18, WETH),
  asset("BAYC", "erc721", 0, APE),
  asset("ITEMS", "erc1155", 0, ITEMS),
];

const contract = (name: string, kind: ContractKind, address: string, abi?: readonly unknown[]): PinnedContract => ({
  account: account(address),
  name,
  kind,
  ...(abi ? { abi: abi as AbiFunction[] } : {}),
});

export const ROUTER_ABI = parseAbi([
  "struct Params { address tokenIn; address tokenOut; uint24 fee; address recipient; uint256 amountIn; uint256 amountOutMinimum; uint160 sqrtPriceLimitX96; }",
  "function exactInputSingle(Params params) payable",
  "function swapExactTokensForTokens(uint256 amountIn, uint256 amountOutMin, address[] path, address to)",
  "function multicall(bytes[] data) payable",
  "function multicall(uint256 deadline, bytes[] data) payable",
]);

const CONTRACTS = [
  contract("WETH9", "weth", WETH),
  contract("Permit2", "permit2", PERMIT2),
  contract("Multicall3", "multicall3", MULTICALL3),
  contract("Uniswap router", "multicall", ROUTER, ROUTER_ABI),
  contract("treasury Safe", "safe", SAFE),
  contract("MultiSend", "multisend", MULTISEND),
  contract("MultiSendCallOnly", "multisend-call-only", MULTISEND_CALL_ONLY),
];

export const registry: AssetRegistry = {
  bySymbol: new Map(ASSETS.map((value) => [value.symbol, value])),
  nativeOf: new Map<ChainId, Asset>([[evmChain(CHAIN_ID), ASSETS[0]!]]),
  byContract: new Map(ASSETS.flatMap((value) => (value.contract ? [[value.contract, value] as const] : []))),
  contracts: new Map(CONTRACTS.map((value) => [value.account, value])),
};

/** The rest of a call, where a test is about what is called and with what. */
export const CALL = {
  type: "eip1559",
  chainId: 1n,
  nonce: 0n,
  gasLimit: 1n,
  maxFeePerGas: 1n,
  maxPriorityFeePerGas: 1n,
  accessList: [],
} as const;
