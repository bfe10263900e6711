import type { BlockRef, ChainReader, Holding, TransactionSeen } from "../../custody/chain-reader.ts";
import type { Asset } from "../../domain/assets.ts";
import { addressOf, evmChain, type Account, type ChainId } from "../../domain/chain.ts";
import { GatewayError } from "../../domain/errors.ts";
import { answerError, JsonRpc, type RpcCall, type RpcReply } from "./json-rpc.ts";

/* An EVM chain as its node tells it. What is read at a block names it by its hash (EIP-1898), so that one chain is read. */

type Block = {
  readonly number: string;
  readonly hash: string;
  readonly timestamp: string;
  readonly transactions: readonly unknown[];
};
type Receipt = Readonly<Record<string, unknown>>;

/** @param lagMsMax how old the node's newest block may be @throws {GatewayError} `node-unreachable`, `node-answer` */
export async function evmChainReader(url: string, lagMsMax: number): Promise<ChainReader> {
  const rpc = new JsonRpc(url);
  return new EvmChainReader(rpc, evmChain(quantity(await rpc.one("eth_chainId"), "eth_chainId")), lagMsMax);
}

class EvmChainReader implements ChainReader {
  readonly chain: ChainId;
  readonly #rpc: JsonRpc;
  readonly #lagMsMax: number;

  constructor(rpc: JsonRpc, chain: ChainId, lagMsMax: number) {
    this.chain = chain;
    this.#rpc = rpc;
    this.#lagMsMax = lagMsMax;
  }

  async settled(confirmations: number): Promise<{ block: BlockRef; head: number }> {
    const newest = await this.#block("eth_getBlockByNumber", "latest");
    if (!newest) throw answerError("expected a newest block, found none");
    const ageMs = Date.now() - Number(quantity(newest.timestamp, "timestamp")) * 1000;
    if (ageMs > this.#lagMsMax) {
      throw new GatewayError(
        "node-lags",
        `expected a block of the last ${this.#lagMsMax / 1000} s, found one ${Math.round(ageMs / 1000)} s old`,
        {
          facts: { chain: this.chain, block: newest.number },
          hint: "the node is still following its chain, or has lost it; `--max-lag` says how much is accepted",
        },
      );
    }
    const head = blockNumber(newest.number);
    const number = head - confirmations + 1;
    const hash = await this.hashAt(Math.max(0, number));
    if (hash === undefined) throw answerError(`expected block ${number}, found none below block ${head}`);
    return { block: { chain: this.chain, number: Math.max(0, number), hash }, head };
  }

  async hashAt(number: number): Promise<string | undefined> {
    const block = await this.#block("eth_getBlockByNumber", hex(number));
    if (block && blockNumber(block.number) !== number) throw answerError(`expected block ${number}, found another`);
    return block?.hash;
  }

  async #block(method: string, which: string, full = false): Promise<Block | undefined> {
    const block = (await this.#rpc.one(method, which, full)) as Block | null;
    if (block === null) return undefined;
    if (typeof block === "object" && isHash(block.hash) && Array.isArray(block.transactions)) return block;
    throw answerError(`expected a block from \`${method}\`, found something else`);
  }

  async balances(holdings: readonly Holding[], at: BlockRef, progress?: (done: number) => void) {
    return (
      await this.#rpc.batch(
        holdings.map((holding) => balanceCall(holding, at)),
        progress,
      )
    ).map(amountIn);
  }

  async supplies(assets: readonly Asset[], at: BlockRef): Promise<(bigint | undefined)[]> {
    return (await this.#rpc.batch(assets.map((asset) => viewCall(asset, TOTAL_SUPPLY, at)))).map(amountIn);
  }

  async transactions(hashes: readonly string[]): Promise<TransactionSeen[]> {
    const receipts = await this.#rpc.all(hashes.map((hash) => call("eth_getTransactionReceipt", hash)));
    const open = hashes.filter((_, index) => receipts[index] === null);
    const known = await this.#rpc.all(open.map((hash) => call("eth_getTransactionByHash", hash)));
    const waiting = new Set(open.filter((_, index) => known[index] !== null));
    return hashes.map((hash, index) => {
      const receipt = receipts[index] as Receipt | null;
      return receipt === null ? { state: waiting.has(hash) ? "waiting" : "unknown" } : seenIn(receipt, hash);
    });
  }

  async sent(accounts: readonly Account[], at: BlockRef): Promise<bigint[]> {
    const counts = await this.#rpc.all(accounts.map((account) => countCall(account, byHash(at))));
    return counts.map((count) => quantity(count, "eth_getTransactionCount"));
  }

  /** The first block after which the number is used has the transaction: nodes have no index by sender. */
  async outgoing(account: Account, nonce: bigint, at: BlockRef): Promise<string | undefined> {
    let [low, high] = [0, at.number];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const [reply] = await this.#rpc.batch([countCall(account, hex(middle))]);
      if (!("result" in reply!)) return undefined; // a node that keeps no old state
      if (quantity(reply.result, "eth_getTransactionCount") > nonce) high = middle;
      else low = middle + 1;
    }
    const block = await this.#block("eth_getBlockByNumber", hex(low), true);
    const found = (block?.transactions as Receipt[] | undefined)?.find(
      (each) => isFrom(each, account) && quantity(each["nonce"], "nonce") === nonce,
    );
    return found && isHash(found["hash"]) ? found["hash"] : undefined;
  }

  async requireStill(block: BlockRef): Promise<void> {
    if ((await this.hashAt(block.number)) === block.hash) return;
    throw new GatewayError(
      "chain-reorganized",
      `expected block ${block.number} to stay \`${block.hash}\`, found another`,
      {
        facts: { chain: block.chain },
        hint: "what was read belongs to a chain that is no more: read again, with more `--confirmations`",
      },
    );
  }
}

/** EIP-20 and EIP-721 `balanceOf(address)`; EIP-20 `totalSupply()`. */
const BALANCE_OF = "0x70a08231";
const TOTAL_SUPPLY = "0x18160ddd";

const call = (method: string, ...params: unknown[]): RpcCall => ({ method, params });
const byHash = ({ hash }: BlockRef) => ({ blockHash: hash, requireCanonical: true });
const hex = (number: number): string => `0x${number.toString(16)}`;

const countCall = (account: Account, block: unknown): RpcCall =>
  call("eth_getTransactionCount", addressOf(account), block);

const viewCall = ({ contract }: Asset, data: string, at: BlockRef): RpcCall =>
  call("eth_call", { to: addressOf(contract!), data }, byHash(at));

function balanceCall({ account, asset }: Holding, at: BlockRef): RpcCall {
  const address = addressOf(account);
  if (asset.standard === "native") return call("eth_getBalance", address, byHash(at));
  return viewCall(asset, `${BALANCE_OF}${address.slice(2).toLowerCase().padStart(64, "0")}`, at);
}

/** A refusal, an empty answer (no contract is there) and anything but one number say nothing: not that it is zero. */
function amountIn(reply: RpcReply): bigint | undefined {
  const text = "result" in reply ? reply.result : undefined;
  return typeof text === "string" && /^0x[0-9a-f]{1,64}$/i.test(text) ? BigInt(text) : undefined;
}

function seenIn(receipt: Receipt, hash: string): TransactionSeen {
  if (receipt["transactionHash"] !== hash) throw answerError(`expected the receipt of \`${hash}\`, found another`);
  const number = (name: string): bigint => quantity(receipt[name], name);
  const optional = (name: string): bigint =>
    receipt[name] === undefined || receipt[name] === null ? 0n : number(name);
  const fee =
    number("gasUsed") * number("effectiveGasPrice") +
    optional("blobGasUsed") * optional("blobGasPrice") +
    optional("l1Fee"); // rollups of the OP stack
  const status = number("status");
  if (status > 1n) throw answerError(`expected a receipt with status 0 or 1, found ${status}`);
  return { state: status === 1n ? "mined" : "reverted", block: blockNumber(receipt["blockNumber"]), fee };
}

const isHash = (value: unknown): value is string => typeof value === "string" && /^0x[0-9a-f]{64}$/.test(value);

const isFrom = ({ from }: Receipt, account: Account): boolean =>
  typeof from === "string" && from.toLowerCase() === addressOf(account).toLowerCase();

function quantity(value: unknown, name: string): bigint {
  if (typeof value === "string" && /^0x[0-9a-f]{1,64}$/i.test(value)) return BigInt(value);
  throw answerError(`expected \`${name}\` as a number from the node, found something else`);
}

function blockNumber(value: unknown): number {
  const number = Number(quantity(value, "blockNumber"));
  if (Number.isSafeInteger(number)) return number;
  throw answerError("expected the number of a block, found a larger one");
}
