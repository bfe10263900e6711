import type { Asset } from "../domain/assets.ts";
import type { Account, ChainId } from "../domain/chain.ts";

/*
 * What custody asks of a chain. One adapter for each kind of node; nothing here knows how one is spoken to, and no answer is
 * believed beyond what it says: what a node does not say is undefined, never zero.
 */

export type BlockRef = { readonly chain: ChainId; readonly number: number; readonly hash: string };

export type Holding = { readonly account: Account; readonly asset: Asset };

/** `waiting`: the node has it, in no block · `unknown`: the node has never heard of it, or has forgotten it. */
export type TransactionSeen =
  | { readonly state: "unknown" | "waiting" }
  | {
      readonly state: "mined" | "reverted";
      readonly block: number;
      /** Paid for it, in the native asset's smallest unit, whatever it is called on that chain. */
      readonly fee: bigint;
    };

export interface ChainReader {
  readonly chain: ChainId;
  /**
   * The newest block that has `confirmations` blocks, itself among them. All else is read at it.
   * @throws {GatewayError} `node-lags` if the node's newest block is older than the reader was told to accept
   */
  settled(confirmations: number): Promise<{ readonly block: BlockRef; readonly head: number }>;
  /** The hash of the block with that number; undefined where the node has none. */
  hashAt(number: number): Promise<string | undefined>;
  /** In their order; undefined where the node did not say. @param progress how many are done */
  balances(
    holdings: readonly Holding[],
    at: BlockRef,
    progress?: (done: number) => void,
  ): Promise<(bigint | undefined)[]>;
  /** How much of each asset there is. */
  supplies(assets: readonly Asset[], at: BlockRef): Promise<(bigint | undefined)[]>;
  transactions(hashes: readonly string[]): Promise<TransactionSeen[]>;
  /** How many transactions each account has sent: all numbers below are used. */
  sent(accounts: readonly Account[], at: BlockRef): Promise<bigint[]>;
  /** The transaction by which an account used that number; undefined where the node cannot say. */
  outgoing(account: Account, nonce: bigint, at: BlockRef): Promise<string | undefined>;
  /** @throws {GatewayError} `chain-reorganized` unless the chain still has this block: nothing that was read counts */
  requireStill(block: BlockRef): Promise<void>;
}
