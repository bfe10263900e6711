import { GatewayError } from "../domain/errors.ts";
import { isVaultMethod, RPC_ERROR } from "../domain/rpc.ts";
import { parseJson, parseNamesOnce } from "../domain/strict-json.ts";
import type { Answer } from "../sdk/client.ts";

/*
 * Calls that only read the chain go to the gateway's node, and nobody signs them; all others go to the vault, whose answer
 * is verified. A batch of both is divided, and its answers put together again: each read has its own place and id, so
 * that nothing unsigned can pass for the answer to a call of the vault's.
 */

export type RpcRoad = {
  /** @throws {GatewayError} unless the vault has signed the answer */
  readonly vault: (calls: readonly unknown[]) => Promise<Answer>;
  /** As the edge, or whoever stands there, answers. */
  readonly node: (calls: unknown) => Promise<Answer>;
};

const methodOf = (call: unknown): unknown => (call as { method?: unknown } | null)?.method;
const idOf = (call: unknown): unknown => (call as { id?: unknown } | null)?.id ?? null;

/** Whatever is no call by its looks is the vault's to refuse. */
const isRead = (call: unknown): boolean =>
  typeof methodOf(call) === "string" && !isVaultMethod(methodOf(call) as string);

/** @returns undefined for what goes to the vault as it is: all of it is the vault's, or readers could differ about it */
export function readCalls(body: Buffer): unknown {
  try {
    const calls = parseNamesOnce(body);
    const reads = Array.isArray(calls) ? calls.some(isRead) : isRead(calls);
    return reads ? calls : undefined;
  } catch (error) {
    if (error instanceof GatewayError) return undefined;
    throw error;
  }
}

/** @throws {GatewayError} `invalid-body` for a batch whose answers could be mistaken for one another's */
export async function togetherOf({ vault, node }: RpcRoad, calls: unknown, body: Buffer): Promise<Answer> {
  if (!Array.isArray(calls)) return fromNode(await node(calls), (read) => repliesTo([calls], [read])[0]);
  const [own, reads] = [calls.filter((call) => !isRead(call)), calls.filter(isRead)];
  if (own.length === 0) return fromNode(await node(reads), (read) => repliesTo(reads, read));
  // What is signed for is written anew: no number may change on the way.
  parseJson(body);
  requireIdsOnce(calls);
  const [signed, read] = await Promise.all([vault(own), node(reads).catch(() => undefined)]);
  if (signed.status !== 200) return signed;
  const answers = { own: listIn(signed), reads: repliesTo(reads, read?.status === 200 ? listIn(read) : []) };
  return json(calls.map((call) => (isRead(call) ? answers.reads : answers.own).shift()));
}

/** Clients find an answer by its id: where two calls of a batch have one id, either could be shown the other's. */
function requireIdsOnce(calls: readonly unknown[]): void {
  const ids = new Set(calls.map((call) => String(idOf(call))));
  if (ids.size === calls.length) return;
  throw new GatewayError(
    "invalid-body",
    "expected each id once in a batch that reads the chain and asks for signatures",
  );
}

/** A refusal of the edge's is shown as it is; it is nobody's answer to a call. */
const fromNode = (answer: Answer, write: (read: unknown) => unknown): Answer =>
  answer.status === 200 ? json(write(parsed(answer))) : answer;

const json = (body: unknown): Answer => ({
  status: 200,
  headers: { "content-type": "application/json" },
  body: Buffer.from(JSON.stringify(body)),
});

/** One for each call, in its place and with its id; nothing else of what came is passed on. */
function repliesTo(calls: readonly unknown[], read: unknown): unknown[] {
  const given: readonly unknown[] = Array.isArray(read) ? read : [];
  return calls.map((call, index) => ({ jsonrpc: "2.0", id: idOf(call), ...outcomeIn(given[index]) }));
}

function outcomeIn(reply: unknown): { readonly result: unknown } | { readonly error: unknown } {
  const { result, error } = (reply ?? {}) as { result?: unknown; error?: unknown };
  if (typeof error === "object" && error !== null) return { error };
  if (result !== undefined) return { result };
  return { error: { code: RPC_ERROR.later, message: "the gateway's chain node has not answered" } };
}

const listIn = (answer: Answer): unknown[] => {
  const list = parsed(answer);
  return Array.isArray(list) ? (list as unknown[]) : [];
};

function parsed({ body }: Answer): unknown {
  try {
    return JSON.parse(body.toString("utf8")) as unknown;
  } catch {
    return undefined;
  }
}
