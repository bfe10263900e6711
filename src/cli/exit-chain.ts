import { setTimeout as sleep } from "node:timers/promises";
import type { Held } from "../custody/exit.ts";
import type { Asset } from "../domain/assets.ts";
import { addressOf, evmChain, type Account, type ChainId } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import type { KeyName } from "../domain/names.ts";
import { askNode } from "./json-rpc.ts";

/* What returning assets asks of a chain's node: what there is, what a transfer costs, and to take what was signed. */

export type ExitNode = {
  readonly url: string;
  readonly chain: ChainId;
  readonly gasPriceMax: bigint;
  readonly tip: bigint;
};

/** EIP-20 `transfer(address,uint256)` and `balanceOf(address)`. */
const TRANSFER = "a9059cbb";
const BALANCE_OF = "70a08231";

const word = (hex: string): string => hex.replace(/^0x/, "").toLowerCase().padStart(64, "0");

export const transferData = (to: Account, amount: bigint): string =>
  `0x${TRANSFER}${word(addressOf(to))}${word(amount.toString(16))}`;

/** Prices may double until everybody has approved. @throws {GatewayError} `node-unreachable`, `node-refused`, `node-answer` */
export async function exitNode(url: string): Promise<ExitNode> {
  const [id, price] = [await number(url, "eth_chainId"), await number(url, "eth_gasPrice")];
  const tip = await number(url, "eth_maxPriorityFeePerGas");
  return { url, chain: evmChain(id), gasPriceMax: price * 2n, tip: tip < price ? tip : price };
}

/** A transfer takes a quarter more than the node says, so that one which was refused for that is not the rule. */
export async function heldBy(
  { url }: ExitNode,
  key: KeyName,
  account: Account,
  asset: Asset,
  exit: Account | undefined,
): Promise<Held> {
  const from = addressOf(account);
  const isNative = asset.standard === "native";
  const to = isNative ? undefined : addressOf(asset.contract!);
  const amount = isNative
    ? await number(url, "eth_getBalance", from, "latest")
    : await number(url, "eth_call", { to, data: `0x${BALANCE_OF}${word(from)}` }, "latest");
  const isMoved = isNative || asset.standard === "erc20";
  if (amount === 0n || exit === undefined || !isMoved) return { key, account, asset, amount, gas: 0n };
  const call = isNative ? { from, to: addressOf(exit), value: "0x1" } : { from, to, data: transferData(exit, amount) };
  const gas = await number(url, "eth_estimateGas", call);
  return { key, account, asset, amount, gas: isNative && gas === 21_000n ? gas : (gas * 5n) / 4n };
}

async function number(url: string, method: string, ...params: unknown[]): Promise<bigint> {
  const answer = await askNode(url, method, params);
  if (typeof answer === "string" && /^0x[0-9a-f]{1,64}$/i.test(answer)) return BigInt(answer);
  throw new GatewayError("node-answer", `expected a number from \`${method}\`, found something else`);
}

/** Sends it unless the chain has it already. */
export async function sendOnce({ url }: ExitNode, hash: string, signed: string): Promise<void> {
  if ((await askNode(url, "eth_getTransactionByHash", [hash])) === null)
    await askNode(url, "eth_sendRawTransaction", [signed]);
}

/** @returns whether it succeeded; undefined where it is not mined in time */
export async function minedWithin({ url }: ExitNode, hash: string, seconds: number): Promise<boolean | undefined> {
  for (let waited = 0; waited <= seconds; waited++) {
    const receipt = (await askNode(url, "eth_getTransactionReceipt", [hash])) as { status?: string } | null;
    if (receipt) return receipt.status === "0x1";
    if (waited < seconds) await sleep(1_000);
  }
  return undefined;
}
