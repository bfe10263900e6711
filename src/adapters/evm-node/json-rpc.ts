import { GatewayError } from "../../domain/errors.ts";

/* An Ethereum node's JSON-RPC 2.0 in batches: every call has exactly one answer, or there is none at all. */

export type RpcCall = { readonly method: string; readonly params: readonly unknown[] };
export type RpcReply = { readonly result: unknown } | { readonly refused: string };

/** Nodes and providers commonly refuse more than this in one batch. */
const BATCH = 100;
const IN_FLIGHT = 4;
const PATIENCE_MS = 30_000;

export class JsonRpc {
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  /**
   * @param progress how many calls are answered
   * @returns one reply for each call, in their order
   * @throws {GatewayError} `node-unreachable`, `node-answer` for an answer that lacks one, has one twice, or is none
   */
  async batch(calls: readonly RpcCall[], progress: (done: number) => void = () => undefined): Promise<RpcReply[]> {
    const replies: RpcReply[] = [];
    let [next, done] = [0, 0];
    const work = async (): Promise<void> => {
      while (next < calls.length) {
        const from = next;
        next += BATCH;
        const part = calls.slice(from, next);
        for (const [index, reply] of (await this.#post(part)).entries()) replies[from + index] = reply;
        progress((done += part.length));
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, work));
    return replies;
  }

  /** @throws {GatewayError} also `node-refused`, with the node's own words */
  async all(calls: readonly RpcCall[]): Promise<unknown[]> {
    return (await this.batch(calls)).map((reply, index) => {
      if ("result" in reply) return reply.result;
      throw new GatewayError("node-refused", `the node refused \`${calls[index]!.method}\`: ${reply.refused}`);
    });
  }

  async one(method: string, ...params: unknown[]): Promise<unknown> {
    return (await this.all([{ method, params }]))[0];
  }

  async #post(calls: readonly RpcCall[]): Promise<RpcReply[]> {
    const body = calls.map((call, id) => ({ jsonrpc: "2.0", id, ...call }));
    return repliesIn(await this.#fetch(body), calls.length);
  }

  async #fetch(body: unknown): Promise<unknown> {
    try {
      const response = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        redirect: "error",
        signal: AbortSignal.timeout(PATIENCE_MS),
      });
      return await response.json();
    } catch (cause) {
      const message = `expected the JSON-RPC of a chain node at \`${this.#url}\`, found none: ${(cause as Error).message}`;
      throw new GatewayError("node-unreachable", message, { cause });
    }
  }
}

type Answer = { readonly id?: unknown; readonly result?: unknown; readonly error?: { readonly message?: unknown } };

function repliesIn(answers: unknown, count: number): RpcReply[] {
  const wanted = `expected one answer for each of ${count} calls`;
  if (!Array.isArray(answers)) {
    const said = (answers as Answer | null)?.error?.message;
    throw answerError(`${wanted}, found ${typeof said === "string" ? `a refusal: ${said}` : "no list"}`);
  }
  const replies = new Map<unknown, RpcReply>();
  for (const answer of answers as (Answer | null)[]) {
    const { id, result, error } = answer ?? {};
    if (!isIndex(id, count) || replies.has(id)) throw answerError(`${wanted}, found another`);
    if (error) replies.set(id, { refused: String(error.message) });
    else if (result !== undefined) replies.set(id, { result });
  }
  if (replies.size !== count) throw answerError(`${wanted}, found ${replies.size}`);
  return Array.from({ length: count }, (_, id) => replies.get(id)!);
}

const isIndex = (id: unknown, count: number): id is number =>
  Number.isInteger(id) && Number(id) >= 0 && Number(id) < count;

export const answerError = (message: string): GatewayError =>
  new GatewayError("node-answer", message, { hint: "nothing was compared: ask a node that answers" });
