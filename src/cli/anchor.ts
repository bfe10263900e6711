import { readAnchor, type LogAnchor } from "../domain/anchor.ts";
import { evmAccount } from "../chains/evm/address.ts";
import { chainOf, type Account, type ChainId } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import { askNode } from "./json-rpc.ts";

/* A checkpoint of the log as it stands in a chain: told by the reader's own node. */

export type Anchored = LogAnchor & {
  readonly transaction: string;
  readonly chain: ChainId;
  readonly block: number;
  /** The block's time. */
  readonly at: string;
  readonly sender: Account;
};

type Sent = {
  readonly hash: string;
  readonly from: string;
  readonly to: string | null;
  readonly input: string;
  readonly blockNumber: string | null;
};
type Block = { readonly number: string; readonly timestamp: string };

/**
 * @param confirmations so many blocks have to stand, the transaction's own among them
 * @throws {GatewayError} `anchor-invalid`, `node-unreachable`, `node-refused`
 */
export async function readAnchored(url: string, transaction: string, confirmations: number): Promise<Anchored> {
  const ask = <T>(method: string, ...params: unknown[]): Promise<T | null> =>
    askNode(url, method, params) as Promise<T | null>;
  const id = await ask<string>("eth_chainId");
  const sent = await ask<Sent>("eth_getTransactionByHash", transaction);
  if (sent?.hash !== transaction || sent.blockNumber === null)
    throw invalid(transaction, "no block of this chain has it");
  const receipt = await ask<{ status: string }>("eth_getTransactionReceipt", transaction);
  if (receipt?.status !== "0x1") throw invalid(transaction, "it failed");
  const head = await ask<Block>("eth_getBlockByNumber", "latest", false);
  const block = await ask<Block>("eth_getBlockByNumber", sent.blockNumber, false);
  const depth = Number(BigInt(head!.number) - BigInt(sent.blockNumber)) + 1;
  if (depth < confirmations) throw invalid(transaction, `expected ${confirmations} confirmations, found ${depth}`);
  const anchor = readAnchor(Buffer.from(sent.input.slice(2), "hex").toString("latin1"));
  if (!anchor) throw invalid(transaction, "it carries no checkpoint");
  const sender = evmAccount(BigInt(id!), sent.from);
  return {
    ...anchor,
    transaction,
    chain: chainOf(sender),
    block: Number(BigInt(sent.blockNumber)),
    at: new Date(Number(BigInt(block!.timestamp)) * 1000).toISOString(),
    sender,
  };
}

const invalid = (transaction: string, why: string): GatewayError =>
  new GatewayError("anchor-invalid", `expected an anchor of the log in \`${transaction}\`: ${why}`);
