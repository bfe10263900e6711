import {
  createServer as createHttpServer,
  IncomingMessage,
  ServerResponse,
  type RequestListener,
  type Server,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { TlsOptions } from "node:tls";
import express, { type NextFunction, type Request, type Response } from "express";
import helmet from "helmet";
import type { Logger } from "pino";
import { FORWARDED_HEADERS, METRICS_TARGET, WITNESS_TARGET, type RequestHead } from "../vault/protocol.ts";
import { Nodes } from "./chain-node.ts";
import { DOCS_POLICY, docsPage, type OpenApi } from "./docs-page.ts";
import { edgeLog, logged, REQUEST_ID_HEADER } from "./log.ts";
import { answerFromNode, callsOf, isRpc, onlyReads } from "./json-rpc.ts";
import { knownHosts, rateOf, ratePerAddress, refuseTooMany, type Rate } from "./rim.ts";
import { VaultUnreachable, waitOf, type VaultAnswer, type VaultLink } from "./vault-link.ts";

export type EdgeLimits = {
  readonly bodyBytes: number;
  readonly inFlight: number;
  /** Of one address. */
  readonly requestsPerSecond?: number;
  /** Calls that a chain node answers, of one address: each of a batch counts. */
  readonly readsPerSecond?: number;
  /** Names that callers use for this gateway, beside addresses and `localhost`; without it, any. */
  readonly hosts?: readonly string[];
};

/**
 * The network-facing side: bounds and forwards. It reads no body, believes no header and decides nothing; what it says
 * itself carries no signature of the vault, so that no caller takes it for an answer.
 */
export function createApp(
  link: VaultLink,
  limits: EdgeLimits,
  log: Logger = edgeLog("silent"),
  nodes = new Nodes({}),
): express.Express {
  const app = express();
  app.disable("x-powered-by");
  app.disable("etag");
  app.get("/livez", (_request, response) => void response.json({ status: "live" }));
  app.use(logged(log));
  app.use(helmet());
  if (limits.hosts) app.use(knownHosts(limits.hosts, problem));
  if (limits.requestsPerSecond !== undefined) app.use(ratePerAddress(limits.requestsPerSecond, problem));
  app.get(METRICS_TARGET, (_request, response) =>
    problem(response, 404, "not-found", "metrics are on the admin port, where there is one"),
  );
  app.use(WITNESS_TARGET, (_request, response) => problem(response, 404, "not-found", "expected a path of this API"));
  app.use(boundedTo(limits.inFlight));
  app.get("/docs", (_request, response, next) => void showDocs(link, response).catch(next));
  app.use(express.raw({ type: () => true, limit: limits.bodyBytes, inflate: false }));
  const mayRead: Rate = limits.readsPerSecond === undefined ? () => true : rateOf(limits.readsPerSecond);
  app.use((request, response, next) => void answer(link, { nodes, mayRead }, request, response).catch(next));
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) => onError(error, response));
  return app;
}

/** For the host's own monitoring: one path, without a caller. */
export function createAdminApp(link: VaultLink): express.Express {
  const app = express();
  app.disable("x-powered-by");
  app.get(
    METRICS_TARGET,
    (request, response) => void forward(link, request, response).catch((error: unknown) => onError(error, response)),
  );
  app.use((_request, response) => problem(response, 404, "not-found", `expected ${METRICS_TARGET}`));
  return app;
}

/**
 * A request takes its place before its body comes and keeps it until its answer is sent or its sender has gone. Those
 * who only wait for a change are counted apart, so that they close the door to nobody.
 */
function boundedTo(places: number): express.RequestHandler {
  const taken = { requests: 0, polls: 0 };
  return (request, response, next) => {
    const kind = waitOf({ method: request.method, target: request.originalUrl }) > 0 ? "polls" : "requests";
    if (taken[kind] >= places) {
      response.setHeader("retry-after", "1");
      return problem(
        response,
        503,
        "edge-busy",
        "the gateway has more requests under way than it takes; nothing was done",
      );
    }
    taken[kind] += 1;
    response.once("close", () => (taken[kind] -= 1));
    next();
  };
}

/** Of JSON-RPC alone the body is looked into: what only reads the chain never comes to the vault. */
async function answer(
  link: VaultLink,
  { nodes, mayRead }: { readonly nodes: Nodes; readonly mayRead: Rate },
  request: Request,
  response: Response,
): Promise<void> {
  const calls = isRpc(request) && Buffer.isBuffer(request.body) ? callsOf(request.body) : undefined;
  // Only the vault knows whose key a request names: it says what it wants of a node, if anything.
  if (!calls) return forward(link, request, response, nodes.some && isFillable(request) ? { assist: [] } : {}, nodes);
  if (onlyReads(calls)) {
    if (!mayRead(request.socket.remoteAddress, calls.length)) return refuseTooMany(response, problem);
    return answerFromNode(nodes, calls, request, response);
  }
  const help = nodes.some ? { assist: await nodes.assist(calls) } : {};
  return forward(link, request, response, help, nodes);
}

async function forward(
  link: VaultLink,
  request: Request,
  response: Response,
  help: Pick<RequestHead, "assist"> = {},
  nodes?: Nodes,
): Promise<void> {
  const body: unknown = request.body;
  const send = (with_: typeof help): Promise<VaultAnswer> => {
    const head = { ...headOf(request), ...with_ };
    const sent = link.send(head, Buffer.isBuffer(body) ? body : Buffer.alloc(0), isRepeatable(request));
    response.once("close", sent.abandon);
    return sent.answer;
  };
  let answer = await send(help);
  if (answer.head.wanted && nodes?.some) answer = await send({ assist: await nodes.assistWith(answer.head.wanted) });
  // Whoever asked has its hash: a node is given a moment to have it too.
  if (answer.head.broadcast) await nodes?.broadcast(answer.head.broadcast);
  response.status(answer.head.status);
  for (const [name, value] of Object.entries(answer.head.headers)) response.setHeader(name, value);
  // What never changes says so itself.
  if (!response.hasHeader("cache-control")) response.setHeader("cache-control", "no-store");
  // Or the connection would be kept for a next request, and the edge would wait for it.
  if (response.app.locals["closing"] === true) response.shouldKeepAlive = false;
  response.end(answer.body);
}

/** What the vault prints, for people. */
async function showDocs(link: VaultLink, response: Response): Promise<void> {
  const { answer } = link.send({ method: "GET", target: "/openapi.json", headers: {} }, Buffer.alloc(0), true);
  const { head, body } = await answer;
  if (head.status !== 200) return problem(response, head.status, "not-ready", "the vault does not print its document");
  response.setHeader("content-security-policy", DOCS_POLICY);
  response.type("html").send(docsPage(JSON.parse(body.toString("utf8")) as OpenApi));
}

function headOf(request: Request): Omit<RequestHead, "id"> {
  const headers: Record<string, string> = {};
  for (const name of FORWARDED_HEADERS) {
    const value = request.headers[name];
    if (typeof value === "string") headers[name] = value;
  }
  const trace = request.res?.getHeader(REQUEST_ID_HEADER);
  return {
    method: request.method,
    target: request.originalUrl,
    headers,
    ...(typeof trace === "string" ? { trace } : {}),
  };
}

/** The vault answers the same signing request the same way for ever; other changes are not sent twice. */
const isRepeatable = ({ method, path }: Request): boolean =>
  method === "GET" ||
  (method === "POST" &&
    (isRpc({ method, path }) || /\/(signing-requests(\/batch)?|evaluations|sign\/[^/]+)$/.test(path)));

/** A signing request may leave fields to a chain node. */
const isFillable = ({ method, path }: Request): boolean =>
  method === "POST" && /\/(signing-requests(\/batch)?|evaluations)$/.test(path);

function problem(response: Response, status: number, code: string, detail: string): void {
  const body = JSON.stringify({
    type: `urn:portcullis:problem:${code}`,
    title: code.replaceAll("-", " "),
    status,
    code,
    detail,
  });
  response.status(status).setHeader("content-type", "application/problem+json").end(body);
}

function onError(error: unknown, response: Response): void {
  if (response.headersSent) return void response.destroy();
  if (error instanceof VaultUnreachable) {
    response.setHeader("retry-after", "1");
    return problem(
      response,
      504,
      "vault-unreachable",
      `${error.message}: repeat the request with the same idempotency key`,
    );
  }
  if (error instanceof RangeError)
    return problem(response, 431, "headers-too-large", "the headers are larger than this gateway takes");
  const { type } = error as { type?: string };
  if (type === "entity.too.large")
    return problem(response, 413, "body-too-large", "the body is larger than this gateway takes");
  if (type === "encoding.unsupported")
    return problem(response, 415, "encoding-unsupported", "expected a body without content encoding");
  return problem(response, 400, "invalid-request", "the request cannot be read");
}

/** How long a sender may take for its head, and for its whole request. */
export type EdgeTimes = { readonly headMs: number; readonly requestMs: number };
const TIMES: EdgeTimes = { headMs: 10_000, requestMs: 30_000 };

/**
 * Express gives every request and response its own prototypes, and so de-optimises both; born with them, the swap
 * changes nothing and the same Express is three times as fast (measured: DESIGN section 8).
 */
export function createEdgeServer(app: express.Express, tls: TlsOptions | undefined, times = TIMES): Server {
  const born = {
    // Node looks every 30 s only: until then nobody's time is up.
    connectionsCheckingInterval: times.headMs / 4,
    IncomingMessage: bornWith(IncomingMessage, app.request),
    ServerResponse: bornWith(ServerResponse, app.response),
  };
  const listener = app as unknown as RequestListener;
  const server = tls ? createHttpsServer({ ...tls, ...born }, listener) : createHttpServer(born, listener);
  server.headersTimeout = times.headMs;
  server.requestTimeout = times.requestMs;
  server.maxHeadersCount = 100;
  server.maxConnections = 10_000;
  return server;
}

/** Node's own constructor under another prototype; a class could not be given one that exists already. */
function bornWith<T extends typeof IncomingMessage | typeof ServerResponse>(constructor: T, prototype: object): T {
  function Born(this: object, ...values: unknown[]): void {
    Reflect.apply(constructor as unknown as (...values: unknown[]) => void, this, values);
  }
  Born.prototype = prototype;
  return Born as unknown as T;
}
