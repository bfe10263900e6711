import type { Request, Response } from "express";
import { isVaultMethod, NODE_METHODS, RPC_ERROR, type RpcCall } from "../domain/rpc.ts";
import { ChainNodeError, type ChainNode, type Nodes } from "./chain-node.ts";

/*
 * What the edge does with a JSON-RPC body: where all of it only reads the chain, a node answers, and no answer of it is the
 * vault's; else the vault gets the body as it is, with what nodes say of fields that were left out.
 */

export const isRpc = ({ method, path }: Pick<Request, "method" | "path">): boolean =>
  method === "POST" && /^\/rpc\/[a-z0-9-]{1,24}$/.test(path);

/** @returns undefined for what the vault shall refuse by itself */
export function callsOf(body: Buffer): readonly RpcCall[] | undefined {
  try {
    const parsed: unknown = JSON.parse(body.toString("utf8"));
    const calls = (Array.isArray(parsed) ? parsed : [parsed]).map(callOf);
    return calls.length > 0 && calls.length <= CALLS_MAX ? calls : undefined;
  } catch {
    return undefined;
  }
}

const CALLS_MAX = 100;

/** @throws for anything but a call */
function callOf(value: unknown): RpcCall {
  const { id = null, method, params = [] } = value as Partial<RpcCall>;
  if (typeof method !== "string" || !Array.isArray(params) || (typeof id === "object" && id !== null))
    throw new TypeError();
  return { id, method, params: params as unknown[] };
}

export const onlyReads = (calls: readonly RpcCall[]): boolean => calls.every(({ method }) => !isVaultMethod(method));

export async function answerFromNode(
  nodes: Nodes,
  calls: readonly RpcCall[],
  { originalUrl, body }: Request,
  response: Response,
): Promise<void> {
  const isBatch = /^\s*\[/.test((body as Buffer).toString("utf8"));
  const chain = new URL(originalUrl, "http://edge").searchParams.get("chain") ?? undefined;
  const node = nodes.find(chain);
  const replies = await Promise.all(calls.map((call) => replyOf(node, call)));
  response.json(isBatch ? replies : replies[0]);
}

async function replyOf(node: ChainNode | undefined, { id, method, params }: RpcCall) {
  const failed = (code: number, message: string) => ({ jsonrpc: "2.0", id, error: { code, message } });
  if (!NODE_METHODS.has(method)) return failed(RPC_ERROR.methodNotFound, `the method ${method} is not passed on`);
  if (!node)
    return failed(
      RPC_ERROR.methodNotFound,
      "this gateway has no chain node, or several: name one with `?chain=eip155:1`",
    );
  try {
    const { result, error } = await node.call(method, params);
    return error ? { jsonrpc: "2.0", id, error } : { jsonrpc: "2.0", id, result: result ?? null };
  } catch (error) {
    if (error instanceof ChainNodeError) return failed(RPC_ERROR.later, error.message);
    throw error;
  }
}
