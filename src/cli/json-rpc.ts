import { GatewayError } from "../domain/errors.ts";

const TIMEOUT_MS = 10_000;

/**
 * One call of an Ethereum node's JSON-RPC.
 * @throws {GatewayError} `node-unreachable`, or `node-refused` with the node's own words
 */
export async function askNode(url: string, method: string, params: readonly unknown[]): Promise<unknown> {
  const answer = await post(url, { jsonrpc: "2.0", id: 1, method, params });
  if (answer.error)
    throw new GatewayError("node-refused", `the node refused \`${method}\`: ${String(answer.error.message)}`);
  return answer.result;
}

type Answer = { readonly result?: unknown; readonly error?: { readonly message?: unknown } };

async function post(url: string, body: unknown): Promise<Answer> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return (await response.json()) as Answer;
  } catch (cause) {
    const message = `expected the JSON-RPC of an Ethereum node at \`${url}\`, found none: ${(cause as Error).message}`;
    throw new GatewayError("node-unreachable", message, { cause });
  }
}
