import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { GatewayError } from "../domain/errors.ts";
import { readCalls, togetherOf, type RpcRoad } from "./proxy-rpc.ts";
import type { Answer, GatewayClient } from "../sdk/client.ts";

export type RunningProxy = { readonly url: string; readonly stop: () => Promise<void> };

/** As much as the gateway's own edge takes by default. */
const BODY_BYTES_MAX = 256 * 1024;

/**
 * Signs for programs that cannot: whoever reaches this port of this machine acts as the caller, so it listens on
 * loopback only and talks to no browser. Keeps nothing.
 */
export async function startProxy(client: GatewayClient, port: number): Promise<RunningProxy> {
  const server = createServer((request, response) => {
    forward(client, request, response)
      .catch((error: unknown) => answerError(response, error))
      .finally(() => !server.listening && request.socket.end());
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening").catch((error: NodeJS.ErrnoException) => {
    throw new GatewayError("port-unavailable", `cannot listen on port ${port}: ${error.code ?? error.message}`, {
      hint: "another port, or 0 for a free one",
    });
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => stop(server),
  };
}

async function forward(client: GatewayClient, request: IncomingMessage, response: ServerResponse): Promise<void> {
  refuseBrowsers(request);
  const body = await readBody(request);
  const [method, target] = [request.method!, targetFor(client, request)];
  const given = request.headers["idempotency-key"];
  const key = typeof given === "string" ? given : undefined;
  if (method === "POST" && /^\/rpc\//.test(target)) return forwardRpc(client, target, body, key, response);
  if (method === "GET" && OPEN.test(target)) return pass(await unsigned(client, "GET", target), response);
  pass(await client.send(method, target, body, key), response);
}

/** Said to everybody, and of nobody: there is no request that such an answer could be bound to. */
const OPEN = /^\/(?:livez|readyz|upcheck|healthcheck|openapi\.json|docs(?:\/.*)?|v1\/log\/(?:checkpoint|tile\/.+))$/;
const KNOWN = /^\/(?:v1|rpc|api\/v1\/eth1)\//;

/**
 * Programs that know one URL and no path speak JSON-RPC to it. What is no path of a gateway is answered here: from there a
 * `404` could also be a liar's, and would not be believed.
 */
function targetFor({ caller }: GatewayClient, { method, url }: IncomingMessage): string {
  const target = url!;
  if (method === "POST" && target === "/" && caller.client !== undefined) return `/rpc/${caller.client}`;
  const path = target.split("?")[0]!;
  const isPath = /^\/(?![/\\])/.test(target); // what is none, such as `//host/x`, is refused by the client
  if (!isPath || KNOWN.test(`${path}/`) || OPEN.test(path)) return target;
  throw new GatewayError("not-found", "expected a path of a gateway", {
    hint: "`/v1/…`, `/rpc/CLIENT`, `/api/v1/eth1/…`",
  });
}

function pass(answer: Answer, response: ServerResponse): void {
  response.statusCode = answer.status;
  for (const name of ["content-type", "retry-after", "location"]) {
    const value = answer.headers[name];
    if (value !== undefined) response.setHeader(name, value);
  }
  response.end(answer.body);
}

/** What no vault signs: the edge's own words, and a chain node's. */
async function unsigned({ caller }: GatewayClient, method: string, target: string, body?: string): Promise<Answer> {
  try {
    const response = await fetch(new URL(target, caller.url), {
      method,
      ...(body === undefined ? {} : { body, headers: { "content-type": "application/json" } }),
      redirect: "error",
    });
    const headers = Object.fromEntries(response.headers);
    return { status: response.status, headers, body: Buffer.from(await response.arrayBuffer()) };
  } catch (error) {
    throw new GatewayError("gateway-unreachable", `cannot reach \`${caller.url}\``, { cause: error });
  }
}

/** Only what the vault alone answers, or what no other reader would read otherwise, is divided. */
async function forwardRpc(
  client: GatewayClient,
  target: string,
  body: Buffer,
  key: string | undefined,
  response: ServerResponse,
): Promise<void> {
  const calls = readCalls(body);
  if (calls === undefined) return pass(await client.send("POST", target, body, key), response);
  const road: RpcRoad = {
    vault: (own) => client.send("POST", target, Buffer.from(JSON.stringify(own)), key),
    node: (reads) => unsigned(client, "POST", target, JSON.stringify(reads)),
  };
  pass(await togetherOf(road, calls, body), response);
}

/** A web page that the user visits could reach loopback: its requests carry an Origin, or another name as Host. */
function refuseBrowsers({ headers, socket }: IncomingMessage): void {
  const expected = ["127.0.0.1", "localhost"].map((name) => `${name}:${socket.localPort}`);
  if (headers.origin === undefined && headers["sec-fetch-site"] === undefined && expected.includes(headers.host ?? ""))
    return;
  throw new GatewayError("not-permitted", "expected a program on this machine, found a browser or another host name");
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) throw new GatewayError("body-too-large", `expected at most ${BODY_BYTES_MAX} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const STATUS: Readonly<Record<string, number>> = {
  "invalid-target": 400,
  "invalid-body": 400,
  "not-permitted": 403,
  "not-found": 404,
  "body-too-large": 413,
};

function answerError(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy();
  const { code, message, hint } =
    error instanceof GatewayError ? error : new GatewayError("proxy-failed", "the proxy could not forward this");
  const status = STATUS[code] ?? 502;
  response.statusCode = status;
  response.setHeader("content-type", "application/problem+json");
  response.end(
    `${JSON.stringify({ type: `urn:portcullis:problem:${code}`, title: code.replaceAll("-", " "), status, code, detail: message, ...(hint ? { hint } : {}) })}\n`,
  );
}

/** How long requests under way may take before the proxy ends without them. */
const STOP_WITHIN_MS = 10_000;

async function stop(server: Server): Promise<void> {
  server.close();
  server.closeIdleConnections();
  const force = setTimeout(() => server.closeAllConnections(), STOP_WITHIN_MS);
  await once(server, "close").finally(() => clearTimeout(force));
}
