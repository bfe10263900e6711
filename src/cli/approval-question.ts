import { createHash } from "node:crypto";
import canonicalizeModule from "canonicalize";
import { completeTransaction, leavesFeeOpen, parseFields } from "../chains/evm/fields.ts";
import { decodeUnsigned, encodeUnsigned } from "../chains/evm/transaction.ts";
import type { ApprovalView, Payload } from "../domain/api.ts";
import { intentContent, type IntentContent } from "../domain/approval.ts";
import { evmChainId } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import type { Intent } from "../domain/intent.ts";
import { asJson } from "../domain/json.ts";
import { compileClient, type CompiledPolicy } from "../policy/compile.ts";
import type { GatewayClient } from "../sdk/client.ts";
import { decodePayload } from "./decode.ts";
import type { StoredPolicy } from "./policy-apply.ts";
import { resolvePolicy } from "./policy-check.ts";

/*
 * What a person is asked to approve, read again on the person's own machine: the payload is decoded here, with the assets
 * of the policy whose hash is signed, and held against what the vault has signed in its answer.
 */

export type Question = {
  readonly view: ApprovalView;
  /** Absent once the request waits no more. */
  readonly asked?: {
    readonly waiting: NonNullable<ApprovalView["waiting"]>;
    readonly policy: CompiledPolicy;
    /** As it was decoded here. */
    readonly intent: Intent;
  };
};

// The package's types say `export default` while Node sees `module.exports`.
const canonicalize = canonicalizeModule as unknown as (value: unknown) => string;
const sha256 = (data: string | Uint8Array): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;

/** @throws {GatewayError} `approval-mismatch`: what the vault says is not what is decoded here */
export async function readQuestion(gateway: GatewayClient, client: string, id: string): Promise<Question> {
  const path = `/v1/clients/${client}`;
  const view = await gateway.get<ApprovalView>(`${path}/signing-requests/${encodeURIComponent(id)}/approvals`);
  const { waiting } = view;
  if (!waiting) return { view };
  const stored = await gateway.get<StoredPolicy>(`${path}/policy`);
  const policy = compileClient(resolvePolicy(stored));
  requireSame("policy", waiting.policy, policy.hash);
  requireSame("log origin", waiting.origin, gateway.caller.gateway);
  const { intent, content } = decodeHere(waiting, policy);
  const { key, subAccount } = view.request;
  const hash = sha256(canonicalize(intentContent({ client, key, subAccount, intent }, content)));
  requireSame("intent", canonicalize(meaningOf(waiting.intent)), canonicalize(meaningOf(asJson(intent))));
  requireSame("intent hash", waiting.intentHash, hash);
  return { view, asked: { waiting, policy, intent } };
}

/** Without what is spent once: a nonce that the caller left out is chosen when it is signed. */
const meaningOf = (intent: unknown): unknown => ({ ...(intent as object), claims: [] });

function requireSame(what: string, said: string, found: string): void {
  if (said === found) return;
  throw new GatewayError("approval-mismatch", `the gateway says another ${what} than what is read here: sign nothing`, {
    facts: { said, found },
    hint: "the gateway and this program may be of different versions; if they are not, report it",
  });
}

function decodeHere(
  { payload, filling, accounts, intent: said }: NonNullable<ApprovalView["waiting"]>,
  { registry, fees }: CompiledPolicy,
): { intent: Intent; content: IntentContent } {
  const { chain } = said as { chain: string };
  const account = accounts.find((candidate) => candidate.startsWith(`${chain}:`));
  if (account === undefined) throw new GatewayError("wrong-chain", `the key has no account on \`${chain}\``);
  if (payload.type !== "evm-transaction") {
    const { intent, digest } = decodePayload({ chain, payload, account }, registry);
    return { intent, content: { digest: digest.slice(2) } };
  }
  const unsigned = transactionBytes(payload, chain, filling);
  const whole = { type: payload.type, unsigned: `0x${Buffer.from(unsigned).toString("hex")}` };
  const { intent } = decodePayload({ chain, payload: whole, account }, registry);
  const callData = sha256(decodeUnsigned(unsigned).data);
  const isOpen = payload.transaction !== undefined && leavesFeeOpen(parseFields(payload.transaction));
  const feeCap = String(fees.get(intent.fee.asset) ?? "uncapped");
  return { intent, content: isOpen ? { callData, feeCap } : { callData } };
}

/** With a nonce of 0 where the caller left it out: what is approved does not cover it. */
function transactionBytes(
  payload: Extract<Payload, { type: "evm-transaction" }>,
  chain: string,
  filling: Readonly<Record<string, string>>,
): Uint8Array {
  const chainId = evmChainId(chain)!;
  if (payload.unsigned === undefined) {
    const filled = Object.fromEntries(Object.entries(filling).map(([name, value]) => [name, BigInt(value)]));
    return encodeUnsigned(completeTransaction(parseFields(payload.transaction), { ...filled, nonce: 0n, chainId }));
  }
  const bytes = Buffer.from(payload.unsigned.slice(2), "hex");
  if (decodeUnsigned(bytes).chainId !== chainId)
    throw new GatewayError("approval-mismatch", `the transaction is not for \`${chain}\`: sign nothing`);
  return bytes;
}
