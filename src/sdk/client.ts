import { createHash, sign, type KeyObject } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { PolicyBody, Problem, SigningRequestBody, SigningRequestView } from "../domain/api.ts";
import { GatewayError, quoted } from "../domain/errors.ts";
import {
  gatewayTag,
  requestComponents,
  requestSignatureBase,
  signatureInput,
  splitTarget,
} from "../domain/http-signature.ts";
import { AnswerVerifier, type ReceivedAnswer } from "./answers.ts";
import { askInParts, type BatchAnswer, type BatchItem } from "./batch.ts";
import { privateKeyOf, readCallerFile, type CallerFile } from "./caller-file.ts";

export { newCaller, readCallerFile, type CallerFile } from "./caller-file.ts";
export type { BatchItem } from "./batch.ts";
export type { Problem, SigningRequestBody, SigningRequestView } from "../domain/api.ts";
export { GatewayError } from "../domain/errors.ts";

/** The gateway said no, and signed it: `problem` is RFC 9457, with the decision where a policy denied. */
export class RefusedError extends GatewayError {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.code, problem.detail, {
      facts: problem,
      ...(problem.hint === undefined ? {} : { hint: problem.hint }),
    });
    this.name = "RefusedError";
    this.problem = problem;
  }
}

export type Answer = {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
};

/** Faults that pass: no answer at all, one that cannot be believed, or one that says `later`. */
const RETRY_AFTER_MS = [100, 250, 500, 1000, 2000, 4000] as const;

/**
 * Another way to the vault than HTTP: carries one signed request there, and its answer back.
 * @throws {GatewayError} `gateway-unreachable`
 */
export type Transport = (
  request: { readonly method: string; readonly target: string; readonly headers: Readonly<Record<string, string>> },
  body: Buffer,
) => Promise<Answer>;

/** @param file a caller file, or its path */
export const connect = (file: string | CallerFile, transport?: Transport): GatewayClient =>
  new GatewayClient(typeof file === "string" ? readCallerFile(file) : file, transport);

/** RFC 9421, section 3.3, by what node:crypto calls the key. */
const ALGORITHMS = {
  ed25519: { name: "ed25519", hash: null },
  ec: { name: "ecdsa-p256-sha256", hash: "sha256" },
} as const;

/** Signs requests as one caller, and believes no answer that the vault has not signed. */
export class GatewayClient {
  readonly caller: CallerFile;
  readonly #transport: Transport | undefined;
  readonly #privateKey: KeyObject;
  readonly #algorithm: (typeof ALGORITHMS)[keyof typeof ALGORITHMS];
  readonly #verifier: AnswerVerifier;

  constructor(caller: CallerFile, transport?: Transport) {
    this.caller = caller;
    this.#transport = transport;
    this.#privateKey = privateKeyOf(caller);
    this.#algorithm = ALGORITHMS[this.#privateKey.asymmetricKeyType as keyof typeof ALGORITHMS];
    this.#verifier = new AnswerVerifier(caller);
  }

  /**
   * Asks for a signature. Repeats itself under the same idempotency key while nobody can say what became of the request,
   * so that a withdrawal is never lost and never made twice.
   * @param options.idempotencyKey one for each withdrawal, kept by you until you have a final answer
   * @returns the request: `signed`, or `pending` | `ready` | `authorized` (ask again with the same key)
   * @throws {RefusedError} a denial or refusal; `answer-untrusted` or `gateway-unreachable` after the last repetition
   */
  async sign(
    client: string,
    body: SigningRequestBody | Record<string, unknown>,
    options: { idempotencyKey: string },
  ): Promise<SigningRequestView> {
    return this.call<SigningRequestView>("POST", `/v1/clients/${client}/signing-requests`, { body, ...options });
  }

  /**
   * Asks for many signatures at once; each is decided on its own, and a refusal of one is its own. Repeats itself as
   * `sign` does, and where one of them is not yet final for a reason that passes.
   * @param options.idempotencyKey one for the whole list, which stays the same list in the same order
   * @returns in their order; one that is `pending` or `ready` goes on when the same is asked again
   * @throws {RefusedError} nothing of it was taken
   */
  async signBatch(
    client: string,
    requests: readonly (SigningRequestBody | Record<string, unknown>)[],
    { idempotencyKey }: { idempotencyKey: string },
  ): Promise<BatchItem[]> {
    const target = `/v1/clients/${client}/signing-requests/batch`;
    const ask = async (part: readonly unknown[], key: string): Promise<readonly BatchAnswer[]> => {
      const options = { body: { requests: part }, idempotencyKey: key };
      return (await this.call<{ answers: BatchAnswer[] }>("POST", target, options)).answers;
    };
    return askInParts(ask, requests, idempotencyKey, RETRY_AFTER_MS);
  }

  async get<T>(target: string): Promise<T> {
    return this.call<T>("GET", target);
  }

  async putPolicy(client: string, body: PolicyBody, options: { idempotencyKey: string }): Promise<unknown> {
    return this.call("PUT", `/v1/clients/${client}/policy`, { body, ...options });
  }

  /** What is no JSON: a receipt. */
  async text(target: string): Promise<string> {
    const answer = await this.#repeat("GET", target, {});
    if (answer.status >= 400) readAnswer(answer);
    return answer.body.toString("utf8");
  }

  /** Any call of the API, with repetition where repeating is safe: a GET, or what an idempotency key protects. */
  async call<T>(
    method: "GET" | "POST" | "PUT",
    target: string,
    options: { body?: unknown; idempotencyKey?: string } = {},
  ): Promise<T> {
    return readAnswer<T>(await this.#repeat(method, target, options));
  }

  async #repeat(
    method: "GET" | "POST" | "PUT",
    target: string,
    options: { body?: unknown; idempotencyKey?: string },
  ): Promise<Answer> {
    const body = options.body === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(options.body));
    for (const delayMs of [...RETRY_AFTER_MS, undefined]) {
      try {
        const answer = await this.send(method, target, body, options.idempotencyKey);
        const passing = answer.status === 503 || isInProgress(answer);
        if (!passing || delayMs === undefined) return answer;
      } catch (error) {
        if (!mayPass(error) || delayMs === undefined) throw error;
      }
      await sleep(delayMs);
    }
    throw new GatewayError("gateway-unreachable", "no answer"); // the last round has returned or thrown
  }

  /**
   * One signed request, one verified answer, nothing repeated.
   * @throws {GatewayError} `gateway-unreachable`, `answer-untrusted`
   */
  async send(method: string, target: string, body: Uint8Array, idempotencyKey: string | undefined): Promise<Answer> {
    const { headers, signature } = this.signRequest(method, target, body, idempotencyKey);
    const answer = await (this.#transport
      ? this.#transport({ method, target, headers }, Buffer.from(body))
      : this.#fetch(method, target, headers, body));
    this.#verifier.verify(answer, { label: "sig1", base64: signature });
    return { ...answer, headers: answer.headers, body: Buffer.from(answer.body) };
  }

  /** The headers that make this request the caller's own (RFC 9421, the profile of the documentation). */
  signRequest(
    method: string,
    target: string,
    body: Uint8Array,
    idempotencyKey: string | undefined,
    nowMs: number = Date.now(),
  ): { headers: Record<string, string>; signature: string } {
    const contentDigest = `sha-256=:${createHash("sha256").update(body).digest("base64")}:`;
    const components = requestComponents(idempotencyKey !== undefined);
    const input = signatureInput(components, {
      created: Math.floor(nowMs / 1000),
      keyid: this.caller.caller,
      alg: this.#algorithm.name,
      tag: gatewayTag(this.caller.gateway),
    });
    const base = requestSignatureBase(
      { method, ...splitTarget(target), contentDigest, idempotencyKey },
      components,
      input,
    );
    const key = { key: this.#privateKey, dsaEncoding: "ieee-p1363" } as const;
    const signature = sign(this.#algorithm.hash, Buffer.from(base), key).toString("base64");
    return {
      signature,
      headers: {
        "content-type": "application/json",
        "content-digest": contentDigest,
        ...(idempotencyKey === undefined ? {} : { "idempotency-key": idempotencyKey }),
        "signature-input": `sig1=${input}`,
        signature: `sig1=:${signature}:`,
      },
    };
  }

  /** A target such as `//host/x` would be a URL of its own: the signature goes to the configured gateway or nowhere. */
  #urlOf(target: string): URL {
    const base = new URL(this.caller.url);
    const url = /^\/(?![/\\])/.test(target) ? new URL(target, base) : undefined;
    if (url?.origin === base.origin) return url;
    throw new GatewayError("invalid-target", `expected a path such as \`/v1/clients\`, found ${quoted(target)}`);
  }

  async #fetch(
    method: string,
    target: string,
    headers: Record<string, string>,
    body: Uint8Array,
  ): Promise<ReceivedAnswer & Answer> {
    const url = this.#urlOf(target);
    try {
      const response = await fetch(url, {
        method,
        headers,
        redirect: "error",
        ...(method === "GET" ? {} : { body: body as Uint8Array<ArrayBuffer> }),
      });
      return {
        status: response.status,
        headers: Object.fromEntries(response.headers),
        body: Buffer.from(await response.arrayBuffer()),
      };
    } catch (error) {
      throw new GatewayError("gateway-unreachable", `cannot reach \`${this.caller.url}\`: ${causeOf(error)}`, {
        cause: error,
      });
    }
  }
}

/** What says `413` without the vault's signature is the edge, or a liar: asking again at once would change nothing. */
const mayPass = (error: unknown): boolean =>
  error instanceof GatewayError &&
  (error.code === "gateway-unreachable" ||
    (error.code === "answer-untrusted" && ![400, 401, 413, 415, 431].includes(error.facts["status"] as number)));

const causeOf = (error: unknown): string => {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message !== "" ? cause.message : message;
};

function isInProgress({ status, body }: Answer): boolean {
  return status === 409 && (JSON.parse(body.toString("utf8")) as Problem).code === "request-in-progress";
}

function readAnswer<T>({ status, body }: Answer): T {
  const json: unknown = JSON.parse(body.toString("utf8"));
  if (status >= 400) throw new RefusedError(json as Problem);
  return json as T;
}
