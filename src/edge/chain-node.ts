import type { Assist, Broadcast, PricesByChain, RpcCall, Wanted } from "../domain/rpc.ts";

/*
 * The edge's own chain nodes: untrusted help. They fill what a body left out, take what was signed, and are read by those
 * who ask. The vault believes nothing of it; callers who must not be lied to about the chain ask a node of their own.
 */

export type ChainNodes = Readonly<Record<string, string>>;

/** A node that is slower than this is away. */
const PATIENCE_MS = 10_000;

type Reply = { readonly result?: unknown; readonly error?: { readonly code: number; readonly message: string } };

export class ChainNodeError extends Error {}

export class ChainNode {
  readonly chain: string;
  readonly #url: string;

  constructor(chain: string, url: string) {
    this.chain = chain;
    this.#url = url;
  }

  /** The node's reply, as it is. @throws {ChainNodeError} if there is none */
  async call(method: string, params: readonly unknown[]): Promise<Reply> {
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
        redirect: "error",
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      return (await response.json()) as Reply;
    } catch (error) {
      throw new ChainNodeError(`the chain node of ${this.chain} does not answer`, { cause: error });
    }
  }

  async #quantity(method: string, ...params: unknown[]): Promise<string | undefined> {
    const { result } = await this.call(method, params);
    return typeof result === "string" && /^0x[0-9a-f]+$/.test(result) ? result : undefined;
  }

  /** For a transaction as the caller wrote it; what the node does not know is left out. */
  async assist(transaction: Readonly<Record<string, unknown>>): Promise<Assist> {
    const wants = (name: string): boolean => transaction[name] === undefined || transaction[name] === null;
    const [gas, nonce, fees] = await Promise.all([
      wants("gas") && wants("gasLimit") ? this.#quantity("eth_estimateGas", bare(transaction)) : undefined,
      wants("nonce") ? this.#quantity("eth_getTransactionCount", transaction["from"], "pending") : undefined,
      this.#fees(transaction),
    ]);
    return { ...(gas === undefined ? {} : { gas }), ...(nonce === undefined ? {} : { nonce }), ...fees };
  }

  /** Of whatever type the transaction is that goes on: the edge does not know it. */
  async prices(): Promise<Assist> {
    const [legacy, other] = await Promise.all([this.#gasPrice(), this.#fees({})]);
    return { ...legacy, ...other };
  }

  async #gasPrice(): Promise<Assist> {
    const gasPrice = await this.#quantity("eth_gasPrice");
    return gasPrice === undefined ? {} : { gasPrice };
  }

  /** Twice the base fee lasts through six full blocks. */
  async #fees(transaction: Readonly<Record<string, unknown>>): Promise<Assist> {
    if (transaction["gasPrice"] !== undefined) return {};
    if (transaction["type"] === "0x0" || transaction["type"] === "0x1") return this.#gasPrice();
    const { result: block } = await this.call("eth_getBlockByNumber", ["latest", false]);
    const base = (block as { baseFeePerGas?: string } | null)?.baseFeePerGas;
    const asked = transaction["maxPriorityFeePerGas"];
    const tip = typeof asked === "string" ? asked : await this.#quantity("eth_maxPriorityFeePerGas");
    if (base === undefined || tip === undefined) return {};
    const most = 2n * BigInt(base) + BigInt(tip);
    return { maxFeePerGas: `0x${most.toString(16)}`, maxPriorityFeePerGas: tip };
  }

  /** @returns whether the node has it, from us or from before */
  async broadcast(raw: string): Promise<boolean> {
    const { result, error } = await this.call("eth_sendRawTransaction", [raw]);
    return typeof result === "string" || /already known|already imported|nonce too low/i.test(error?.message ?? "");
  }
}

/** Prices that nobody has named yet would make the estimate fail on a poor account. */
const bare = ({ from, to, value, data, input, accessList }: Readonly<Record<string, unknown>>) => ({
  ...{ from, to, value, data: data ?? input, accessList },
});

export class Nodes {
  readonly #nodes: ReadonlyMap<string, ChainNode>;

  constructor(urls: ChainNodes) {
    this.#nodes = new Map(Object.entries(urls).map(([chain, url]) => [chain, new ChainNode(chain, url)]));
  }

  /** The one that is named; the only one where none is. */
  find(chain: string | undefined): ChainNode | undefined {
    return chain === undefined && this.#nodes.size === 1 ? [...this.#nodes.values()][0] : this.#nodes.get(chain ?? "");
  }

  get some(): boolean {
    return this.#nodes.size > 0;
  }

  /** Help with each call of a body; a node that is away is no help, and no fault. */
  assist(calls: readonly RpcCall[]): Promise<(Assist | PricesByChain | null)[]> {
    return Promise.all(calls.map((call) => this.#assistOne(call).catch(() => null)));
  }

  async #assistOne({ method, params }: RpcCall): Promise<Assist | PricesByChain | null> {
    if (method === "portcullis_resume") return this.#prices();
    if (method !== "eth_sendTransaction" && method !== "eth_signTransaction") return null;
    const [transaction] = params;
    if (typeof transaction !== "object" || transaction === null) return null;
    const fields = transaction as Readonly<Record<string, unknown>>;
    return (await this.find(chainOf(fields["chainId"]))?.assist(fields)) ?? null;
  }

  /** What the vault has asked for, one for each request of a body. */
  assistWith(wanted: readonly (Wanted | null)[]): Promise<(Assist | null)[]> {
    return Promise.all(
      wanted.map(async (each) => {
        const node = each ? this.#nodes.get(each.chain) : undefined;
        return node ? node.assist(each!.transaction).catch(() => null) : null;
      }),
    );
  }

  async #prices(): Promise<PricesByChain> {
    const known = [...this.#nodes.values()].map(async (node) =>
      node.prices().then(
        (prices) => [[node.chain, prices]] as const,
        () => [],
      ),
    );
    return Object.fromEntries((await Promise.all(known)).flat());
  }

  /** Until a node has it, or nobody would want it any more; a repeated call hands it over again. */
  async broadcast(broadcasts: readonly Broadcast[]): Promise<void> {
    await Promise.all(
      broadcasts.map(async ({ chain, raw }) => {
        const node = this.find(chain);
        if (!node || (await tried(node, raw))) return;
        void later(node, raw);
      }),
    );
  }
}

const tried = (node: ChainNode, raw: string): Promise<boolean> => node.broadcast(raw).catch(() => false);

const AGAIN_AFTER_MS = [1_000, 3_000, 10_000, 30_000, 60_000] as const;

async function later(node: ChainNode, raw: string): Promise<void> {
  for (const delayMs of AGAIN_AFTER_MS) {
    await new Promise((resolve) => setTimeout(resolve, delayMs).unref());
    if (await tried(node, raw)) return;
  }
}

function chainOf(chainId: unknown): string | undefined {
  if (typeof chainId !== "string" && typeof chainId !== "number") return undefined;
  try {
    return `eip155:${BigInt(chainId)}`;
  } catch {
    return undefined;
  }
}
