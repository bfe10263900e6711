import { setTimeout as sleep } from "node:timers/promises";
import type { ChainReader } from "../custody/chain-reader.ts";
import type { Asset } from "../domain/assets.ts";
import { addressOf, type Account } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import type { ChainHost } from "./host.ts";
import { askNode } from "./json-rpc.ts";

/* What sending asks of a chain's node besides reading it: what it costs, and to take what was signed. */

export type ChainSender = {
  readonly reader: ChainReader;
  readonly url: string;
  readonly gasPriceMax: bigint;
  readonly tip: bigint;
};

/** A node that is further behind would be asked for balances of yesterday. */
const LAG_MS_MAX = 3_600_000;

/** Prices may double until everybody has approved. @throws {GatewayError} `node-unreachable`, `node-refused`, `node-answer` */
export async function senderOn(host: ChainHost, url: string): Promise<ChainSender> {
  const reader = await host.readChain(url, LAG_MS_MAX);
  const [price, tip] = [await number(url, "eth_gasPrice"), await number(url, "eth_maxPriorityFeePerGas")];
  return { reader, url, gasPriceMax: price * 2n, tip: tip < price ? tip : price };
}

/** EIP-20 `transfer(address,uint256)`. */
const TRANSFER = "a9059cbb";

const word = (hex: string): string => hex.replace(/^0x/, "").toLowerCase().padStart(64, "0");

export const transferData = (to: Account, amount: bigint): string =>
  `0x${TRANSFER}${word(addressOf(to))}${word(amount.toString(16))}`;

/** The gas of moving it: a quarter more than the node says, so that one which was refused for that is not the rule. */
export async function transferGas(
  { url }: ChainSender,
  {
    asset,
    from,
    to,
    amount,
  }: { readonly asset: Asset; readonly from: Account; readonly to: Account; readonly amount: bigint },
): Promise<bigint> {
  const isNative = asset.standard === "native";
  const call = isNative
    ? { from: addressOf(from), to: addressOf(to), value: "0x1" }
    : { from: addressOf(from), to: addressOf(asset.contract!), data: transferData(to, amount) };
  const gas = await number(url, "eth_estimateGas", call);
  return isNative && gas === 21_000n ? gas : withMargin(gas);
}

/** @param data of a call of the account by itself, without value */
export const selfCallGas = async ({ url }: ChainSender, account: Account, data: string): Promise<bigint> => {
  const own = addressOf(account);
  return withMargin(await number(url, "eth_estimateGas", { from: own, to: own, data }));
};

const withMargin = (gas: bigint): bigint => (gas * 5n) / 4n;

async function number(url: string, method: string, ...params: unknown[]): Promise<bigint> {
  const answer = await askNode(url, method, params);
  if (typeof answer === "string" && /^0x[0-9a-f]{1,64}$/i.test(answer)) return BigInt(answer);
  throw new GatewayError("node-answer", `expected a number from \`${method}\`, found something else`);
}

/** Sends it unless the chain has it already. */
export async function sendOnce({ reader, url }: ChainSender, hash: string, signed: string): Promise<void> {
  const [seen] = await reader.transactions([hash]);
  if (seen!.state === "unknown") await askNode(url, "eth_sendRawTransaction", [signed]);
}

/** @returns what became of it; undefined where it is not mined in time */
export async function minedWithin(
  { reader }: ChainSender,
  hash: string,
  seconds: number,
): Promise<"mined" | "reverted" | undefined> {
  for (let waited = 0; waited <= seconds; waited++) {
    const [seen] = await reader.transactions([hash]);
    if (seen!.state === "mined" || seen!.state === "reverted") return seen!.state;
    if (waited < seconds) await sleep(1_000);
  }
  return undefined;
}
