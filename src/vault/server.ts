import { chmod, mkdir, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import { once } from "node:events";
import { GatewayError } from "../domain/errors.ts";
import { parseCount } from "../tlog/checkpoint.ts";
import { splitTarget } from "../domain/http-signature.ts";
import type { AnswerSigner } from "./auth/answers.ts";
import { problemOfError, RETRY_AFTER_S } from "./api/problems.ts";
import { bodyBytes, route, type Routed } from "./api/router.ts";
import type { Answer } from "./api/routes.ts";
import { Connections, type ConnectionBounds } from "./connections.ts";
import type { Gateway } from "./gateway.ts";
import { metricsOf, readinessOf } from "./health.ts";
import {
  encodeFrame,
  MAX_BODY_BYTES,
  METRICS_TARGET,
  WITNESS_TARGET,
  writeFrame,
  type Frame,
  type RequestHead,
} from "./protocol.ts";

/** Requests under way at once, over all connections, and their bodies; more are answered 503 and have done nothing. */
const IN_FLIGHT_MAX = 1024;
const IN_FLIGHT_BYTES_MAX = 64 * 1024 * 1024;

export type VaultServer = {
  /** Takes no more requests, answers those under way, closes. */
  readonly stop: () => Promise<void>;
};

/**
 * Serves frames on a Unix socket; the vault listens nowhere else.
 * @param mode of the socket: 0600, or 0660 where the edge reaches it through its group
 */
export async function serveVault(
  gateway: Gateway,
  signer: AnswerSigner,
  socket: { path: string; mode: number },
  bounds?: ConnectionBounds,
): Promise<VaultServer> {
  const connections = new Connections(bounds);
  const inFlight = new Set<Promise<void>>();
  let inFlightBytes = 0;
  let stopping = false;

  const isFull = (bodyBytes: number): boolean =>
    inFlight.size >= IN_FLIGHT_MAX || inFlightBytes + bodyBytes > IN_FLIGHT_BYTES_MAX;

  const answer = async (connection: Socket, { head, body }: Frame<RequestHead>): Promise<void> => {
    const routed = await answerTo(traced(gateway, head), head, body, stopping || isFull(body.length));
    const { status, headers, broadcast, wanted, bytes } = fitting(routed);
    // Bound to the request's signature only where that signature was verified: a hostile edge could otherwise have any
    // refusal signed as the answer to a request that was really executed.
    const signed = signer.headers(status, bytes, routed.authenticated ? head.headers["signature"] : undefined);
    if (!connection.destroyed) {
      const answerHead = {
        id: head.id,
        status,
        headers: { "content-type": "application/json", ...headers, ...signed },
        ...(broadcast ? { broadcast } : {}),
        ...(wanted ? { wanted } : {}),
      };
      writeFrame(connection, encodeFrame(answerHead, bytes));
      connections.wrote(connection);
    }
  };

  const server = createServer((connection) => {
    connections.add(connection, (frame) => {
      if (!isRequestHead(frame.head)) return void connection.destroy();
      const work = answer(connection, frame).catch((error: unknown) => gateway.fault(error));
      inFlight.add(work);
      inFlightBytes += frame.body.length;
      void work.finally(() => {
        inFlight.delete(work);
        inFlightBytes -= frame.body.length;
      });
    });
  });
  await mkdir(dirname(socket.path), { recursive: true, mode: 0o750 });
  await rm(socket.path, { force: true });
  // Born closed to everybody: between bind and chmod nobody else may connect.
  const mask = process.umask(0o177);
  server.listen(socket.path);
  await once(server, "listening").finally(() => process.umask(mask));
  await chmod(socket.path, socket.mode);

  return {
    stop: async () => {
      stopping = true;
      server.close();
      gateway.changed.close();
      while (inFlight.size > 0) await Promise.all(inFlight);
      connections.end();
    },
  };
}

/** Faults of one request carry its id. It comes from a stranger: what is none is left out. */
const traced = (gateway: Gateway, { trace }: RequestHead): Gateway =>
  typeof trace === "string" && /^[0-9a-f]{16}$/.test(trace)
    ? { ...gateway, fault: (error) => gateway.fault(error, trace) }
    : gateway;

/** The edge is another process under another user: even its frames are read as a stranger's. */
function isRequestHead(head: unknown): head is RequestHead {
  const { id, method, target, headers, assist } = (head ?? {}) as Partial<Record<keyof RequestHead, unknown>>;
  return (
    Number.isSafeInteger(id) &&
    typeof method === "string" &&
    typeof target === "string" &&
    typeof headers === "object" &&
    headers !== null &&
    Object.values(headers).every((value) => typeof value === "string") &&
    (assist === undefined || Array.isArray(assist))
  );
}

/** An answer over the bound of a frame would end the connection of everybody: it becomes a refusal of its own. */
function fitting({
  status,
  headers,
  broadcast,
  wanted,
  body,
}: Answer): Pick<Answer, "status" | "headers" | "broadcast" | "wanted"> & { readonly bytes: Uint8Array } {
  const bytes = bodyBytes(body);
  if (bytes.length <= MAX_BODY_BYTES)
    return {
      ...{ status, headers: headers ?? {}, bytes },
      ...(broadcast ? { broadcast } : {}),
      ...(wanted ? { wanted } : {}),
    };
  const problem = problemOfError(
    new GatewayError("answer-too-large", "the answer is larger than a frame", { hint: "ask for less: `limit=50`" }),
  );
  return { status: problem.status, headers: { "content-type": "application/problem+json" }, bytes: bodyBytes(problem) };
}

async function answerTo(gateway: Gateway, head: RequestHead, body: Buffer, overloaded: boolean): Promise<Routed> {
  const status = head.method === "GET" ? statusOf(gateway, head.target) : undefined;
  if (status) return status;
  if (head.target.startsWith(WITNESS_TARGET)) return witnessed(gateway, head, body);
  if (overloaded) {
    const problem = problemOfError(
      new GatewayError("vault-busy", "the vault has more requests under way than it takes; nothing was done"),
    );
    return {
      authenticated: false,
      status: problem.status,
      body: problem,
      headers: { "content-type": "application/problem+json", "retry-after": String(RETRY_AFTER_S[problem.status]) },
    };
  }
  const { method, target, headers, assist } = head;
  return route(gateway, { method, target, headers, body, ...(assist ? { assist } : {}) });
}

/** The edge carries; what counts is verified by `Witnessing`. */
async function witnessed(
  { witnessing, store }: Gateway,
  { method, target }: RequestHead,
  body: Buffer,
): Promise<Routed> {
  try {
    const old = parseCount(target.slice(WITNESS_TARGET.length));
    if (method === "POST") {
      const added = await witnessing.cosign(store, body.toString("utf8"));
      return { authenticated: false, status: 200, body: { added } };
    }
    if (method !== "GET" || old === undefined) throw new GatewayError("not-found", "expected the size of a tree");
    const text = await store.read((reader) => witnessing.request(reader, old));
    return { authenticated: false, status: 200, body: Buffer.from(text), headers: PLAIN };
  } catch (error) {
    const problem = problemOfError(error);
    return { authenticated: false, status: problem.status, body: problem };
  }
}

const PLAIN = { "content-type": "text/plain; charset=utf-8" };

/** As Web3Signer says it. */
function healthcheck(gateway: Gateway): Routed {
  const isUp = readinessOf(gateway).status === "ready";
  const status = isUp ? "UP" : "DOWN";
  const body = { status, checks: [{ id: "vault", status }], outcome: status };
  return { authenticated: false, status: isUp ? 200 : 503, body };
}

/** Asked by machines that have no key: how the gateway is, and nothing of what it does. */
function statusOf(gateway: Gateway, target: string): Routed | undefined {
  const { path } = splitTarget(target);
  if (path === "/readyz") {
    const readiness = readinessOf(gateway);
    return { authenticated: false, status: readiness.status === "ready" ? 200 : 503, body: readiness };
  }
  if (path === "/upcheck") return { authenticated: false, status: 200, body: Buffer.from("OK"), headers: PLAIN };
  if (path === "/healthcheck") return healthcheck(gateway);
  if (target !== METRICS_TARGET) return undefined;
  const headers = { "content-type": "text/plain; version=0.0.4; charset=utf-8" };
  return { authenticated: false, status: 200, body: Buffer.from(metricsOf(gateway)), headers };
}
