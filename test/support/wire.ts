import { createHash, createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { request as httpRequest, type Agent } from "node:http";
import type { CallerFile } from "../../src/sdk/client.ts";

/*
 * A caller of its own, written from RFC 9421 and the API's description and from nothing in `src/`: it can do everything
 * that the SDK would never do.
 */

export type WireRequest = {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  readonly body: Uint8Array;
};

export type WireAnswer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
};

/**
 * Sends exactly this, and takes whatever comes back.
 * @param agent keeps connections, where that matters; by default each request has its own
 */
export function send(
  url: string,
  { method, target, headers, body }: WireRequest,
  agent: Agent | false = false,
): Promise<WireAnswer> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const request = httpRequest({ hostname, port, method, path: target, headers, agent }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const flat = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
        resolve({
          status: response.statusCode!,
          headers: Object.fromEntries(flat) as Record<string, string>,
          body: Buffer.concat(chunks),
        });
      });
    });
    request.on("error", reject);
    request.end(body);
  });
}

/** What a caller may get wrong, on purpose. */
export type Signing = {
  readonly label?: string;
  readonly components?: readonly string[];
  readonly created?: number;
  readonly keyid?: string;
  readonly alg?: string;
  readonly tag?: string;
  /** Appended to the parameters, e.g. `;nonce="1"`. */
  readonly further?: string;
};

export const contentDigest = (body: Uint8Array): string =>
  `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;

const COMPONENTS = ["@method", "@path", "@query", "content-digest", "idempotency-key"];

/** RFC 9421, sections 2.3 and 2.5: a request with its signature. */
export function signed(
  caller: CallerFile,
  request: { method: string; target: string; body: Uint8Array; idempotencyKey?: string },
  signing: Signing = {},
): WireRequest {
  const { method, target, body, idempotencyKey } = request;
  const url = new URL(target, "http://any");
  const values: Record<string, string> = {
    "@method": method,
    "@path": url.pathname,
    "@query": url.search === "" ? "?" : url.search,
    "@authority": "any",
    "content-type": "application/json",
    "content-digest": contentDigest(body),
    ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
  };
  const components = signing.components ?? COMPONENTS.filter((name) => name in values);
  const parameters = [
    `created=${signing.created ?? Math.floor(Date.now() / 1000)}`,
    `keyid="${signing.keyid ?? caller.caller}"`,
    `alg="${signing.alg ?? "ed25519"}"`,
    `tag="${signing.tag ?? `portcullis:${caller.gateway}`}"`,
  ].join(";");
  const covered = components.map((name) => `"${name}"`).join(" ");
  const input = `(${covered});${parameters}${signing.further ?? ""}`;
  const base = [...components.map((name) => `"${name}": ${values[name]}`), `"@signature-params": ${input}`].join("\n");
  const key = createPrivateKey({ key: Buffer.from(caller.privateKey, "base64"), format: "der", type: "pkcs8" });
  const label = signing.label ?? "mine";
  const headers = {
    "content-type": "application/json",
    "content-digest": values["content-digest"]!,
    ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
    "signature-input": `${label}=${input}`,
    signature: `${label}=:${sign(null, Buffer.from(base), key).toString("base64")}:`,
  };
  return { method, target, headers, body };
}

const ed25519 = (raw: Buffer) =>
  createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });

/**
 * RFC 9421, section 2.4: is this answer, with this status and body, the vault's to that request? Its key must be
 * certified by the log token's key, which the caller knows from its caller file.
 */
export function isVaultsAnswer(answer: WireAnswer, request: WireRequest, caller: CallerFile): boolean {
  const { headers, status, body } = answer;
  const [certificate, certificateSignature] = (headers["portcullis-answer-key"] ?? "")
    .split(".")
    .map((part) => Buffer.from(part, "base64"));
  if (!certificate || !certificateSignature || headers["content-digest"] !== contentDigest(body)) return false;
  const answersKey = ed25519(Buffer.from(caller.answersKey.replace("ed25519:", ""), "base64"));
  if (!verify(null, certificate, answersKey, certificateSignature)) return false;
  const [, gateway] = /^gateway: (.*)$/m.exec(certificate.toString())!;
  const [, key] = /^public-key: ed25519:(.*)$/m.exec(certificate.toString())!;
  const input = headers["signature-input"]!.replace(/^answer=/, "");
  const [, label, value] = /^([a-z0-9]+)=(:[^:]+:)$/.exec(String(request.headers["signature"] ?? "")) ?? [];
  const base = [
    `"@status": ${status}`,
    `"content-digest": ${headers["content-digest"]}`,
    ...(label === undefined ? [] : [`"signature";req;key="${label}": ${value}`]),
    `"@signature-params": ${input}`,
  ].join("\n");
  const covered = ['"@status"', '"content-digest"', ...(label === undefined ? [] : [`"signature";req;key="${label}"`])];
  const [, signature] = /^answer=:([^:]+):$/.exec(headers["signature"]!)!;
  return (
    gateway === caller.gateway &&
    input.startsWith(`(${covered.join(" ")});`) &&
    input.endsWith(`;tag="portcullis:${caller.gateway}"`) &&
    verify(null, Buffer.from(base), ed25519(Buffer.from(key!, "base64")), Buffer.from(signature!, "base64"))
  );
}
