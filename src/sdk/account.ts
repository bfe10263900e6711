import { createHash } from "node:crypto";
import { isFinal, type RequestState } from "../domain/request.ts";
import { GatewayError, RefusedError, type GatewayClient, type SigningRequestView } from "./client.ts";

export type AccountOptions = {
  readonly client: string;
  readonly key: string;
  /** The caller's own words for what is signed; kept with each request, never interpreted. */
  readonly reference?: string;
  /** Of an omnibus client: whose assets it moves. */
  readonly subAccount?: string;
  /** How long to wait for people to approve, ms. Default 0: `ApprovalNeededError` at once. */
  readonly approvalMs?: number;
};

type Result = NonNullable<SigningRequestView["result"]>;

/** People have to approve first. The same call later goes on with the same request. */
export class ApprovalNeededError extends GatewayError {
  readonly request: SigningRequestView;
  constructor(request: SigningRequestView) {
    super("approval-needed", `request \`${request.id}\` is \`${request.state}\`: it needs approval`, {
      facts: { requestId: request.id },
      hint: "repeat the call when it is approved; `approvalMs` waits for it",
    });
    this.name = "ApprovalNeededError";
    this.request = request;
  }
}

/** The longest that one answer is waited for. */
const POLL_S = 30;

/**
 * One key of one client, as a library's account or signer. What is asked decides the idempotency key: the same payload
 * is the same request, so that a repeated call never signs twice. Only a signed final refusal lets the next call of the
 * same payload begin a request of its own.
 */
export class GatewayAccount {
  /** EIP-55. */
  readonly address: string;
  readonly #gateway: GatewayClient;
  readonly #options: AccountOptions;
  /** Payload → how many requests of it have ended without a signature. */
  readonly #refused = new Map<string, number>();

  private constructor(gateway: GatewayClient, options: AccountOptions, address: string) {
    this.#gateway = gateway;
    this.#options = options;
    this.address = address;
  }

  /** @throws {GatewayError} `key-not-found`; what the gateway refuses */
  static async open(gateway: GatewayClient, options: AccountOptions): Promise<GatewayAccount> {
    type Keys = { keys: readonly { name: string; accounts: readonly string[] }[] };
    const { keys } = await gateway.get<Keys>(`/v1/clients/${options.client}/keys`);
    const account = keys.find(({ name }) => name === options.key)?.accounts.find((each) => each.startsWith("eip155:"));
    if (account) return new GatewayAccount(gateway, options, account.split(":")[2]!);
    throw new GatewayError("key-not-found", `expected a key \`${options.key}\` with an Ethereum address, found none`, {
      hint: `client \`${options.client}\` has ${keys.map(({ name }) => name).join(", ") || "no keys"}`,
    });
  }

  /** @throws {RefusedError | ApprovalNeededError | GatewayError} */
  async sign(payload: Record<string, unknown> & { readonly type: string }): Promise<Result> {
    const { client, key, reference, subAccount, approvalMs = 0 } = this.#options;
    const whose = subAccount === undefined ? {} : { subAccount };
    const body = { key, payload, ...whose, ...(reference === undefined ? {} : { reference }) };
    const digest = createHash("sha256")
      .update(JSON.stringify([client, body]))
      .digest("hex");
    const attempt = this.#refused.get(digest) ?? 0;
    const ask = () => this.#gateway.sign(client, body, { idempotencyKey: `${digest}-${attempt}` });
    const deadline = performance.now() + approvalMs;
    try {
      for (;;) {
        const request = await ask();
        if (request.result) return request.result;
        const leftMs = deadline - performance.now();
        if (request.state === "authorized") continue; // a retry finishes it
        if (leftMs <= 0) throw new ApprovalNeededError(request);
        await this.#change(request, leftMs);
      }
    } catch (error) {
      if (hasEnded(error)) this.#refused.set(digest, attempt + 1);
      throw error;
    }
  }

  async #change({ id }: SigningRequestView, withinMs: number): Promise<void> {
    const waitS = Math.max(1, Math.min(POLL_S, Math.ceil(withinMs / 1000)));
    await this.#gateway.get(`/v1/clients/${this.#options.client}/signing-requests/${id}?wait=${waitS}s`);
  }
}

/** The gateway has recorded that the request ended so; other refusals leave it as it was. */
const hasEnded = (error: unknown): boolean =>
  error instanceof RefusedError && isFinal((error.problem["request"] as { state?: RequestState })?.state ?? "pending");

/** What JSON does not know, as the gateway reads it: numbers as decimal text, bytes as hex. */
export function asJson(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (value instanceof Uint8Array) return hexOf(value);
  if (Array.isArray(value)) return value.map(asJson);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, asJson(each)]));
}

/** A text as its bytes: one that looks like hex stays a text. */
export const messageBytes = (message: string | Uint8Array): string =>
  hexOf(typeof message === "string" ? Buffer.from(message, "utf8") : message);

const hexOf = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString("hex")}`;
