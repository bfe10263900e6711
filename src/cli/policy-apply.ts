import { randomUUID } from "node:crypto";
import { policySigningText, type PolicyBody } from "../domain/api.ts";
import type { ScheduledView } from "../domain/governance.ts";
import { GatewayError } from "../domain/errors.ts";
import { compareDocuments, type Comparison } from "../policy/compare.ts";
import type { Finding } from "../policy/finding.ts";
import { absentNames, type Existing } from "../policy/named.ts";
import { policyHash } from "../policy/parse.ts";
import { RefusedError, type GatewayClient } from "../sdk/client.ts";
import { readSignature, signText } from "./officers.ts";
import type { KeyOptions } from "./person-signer.ts";
import { requireApplicable, resolvePolicy } from "./policy-check.ts";

/** A policy that is or was in force, as the gateway tells it. */
export type StoredPolicy = {
  readonly client: string;
  readonly version: number;
  readonly hash: string;
  readonly previousHash: string | null;
  readonly appliedAt: string;
  readonly leaf: number;
  readonly signatures: readonly { readonly person: string; readonly signature: string }[];
  readonly entry: string;
  readonly files: Readonly<Record<string, string>>;
};

/** @returns undefined where the client has no policy yet */
export async function activePolicy(gateway: GatewayClient, client: string): Promise<StoredPolicy | undefined> {
  try {
    return await gateway.get<StoredPolicy>(`/v1/clients/${client}/policy`);
  } catch (error) {
    if (error instanceof RefusedError && error.code === "policy-not-found") return undefined;
    throw error;
  }
}

/** What an officer is about to sign: checked, tested, compared with what is active. */
export type Proposal = Pick<PolicyBody, "entry" | "files"> & {
  readonly client: string;
  readonly version: number;
  readonly hash: string;
  /** What officers sign. */
  readonly text: string;
  /** Undefined for a client's first policy. */
  readonly comparison: Comparison | undefined;
  readonly findings: readonly Finding[];
  /** What it names and the gateway does not have. */
  readonly absent: readonly string[];
};

/** @throws {GatewayError} what is wrong with the document; `policy-conflict` if its version has not grown */
export async function proposePolicy(gateway: GatewayClient, file: string): Promise<Proposal> {
  const { client, policy, entry, files, findings } = requireApplicable(file);
  const [version, hash] = [Number(policy.document.version), policyHash(policy)];
  const active = await activePolicy(gateway, client);
  if (active && active.version >= version) {
    throw new GatewayError(
      "policy-conflict",
      `expected a version above ${active.version}, which is active, found ${version}`,
      { hint: "raise `version` in the document" },
    );
  }
  const fields = { origin: gateway.caller.gateway, client, version, hash, previousHash: active?.hash ?? null };
  const comparison = active && compareDocuments(resolvePolicy(active), policy);
  const absent = absentNames(policy, await existing(gateway, client));
  return { client, version, hash, entry, files, findings, absent, comparison, text: policySigningText(fields) };
}

async function existing(gateway: GatewayClient, client: string): Promise<Existing> {
  const { clients } = await gateway.get<{ clients: { client: string; keys: string[] }[] }>("/v1/clients");
  const own = clients.find((one) => one.client === client)?.keys ?? [];
  return { keys: new Set(own), clients: new Set(clients.map((one) => one.client)) };
}

export const signProposal = (gateway: GatewayClient, { text }: Proposal, key: KeyOptions = {}): string =>
  signText(gateway, text, key).signature;

/** @param others signatures of other officers, as `person:signature` */
export async function applyProposal(
  gateway: GatewayClient,
  proposal: Proposal,
  others: readonly string[] = [],
  key: KeyOptions = {},
): Promise<StoredPolicy | ScheduledView> {
  const { client, entry, files } = proposal;
  const own = signText(gateway, proposal.text, key);
  const body = { entry, files, signatures: [own, ...others.map(readSignature)] };
  return gateway.call("PUT", `/v1/clients/${client}/policy`, { body, idempotencyKey: randomUUID() });
}

export const applyPolicyFile = async (gateway: GatewayClient, file: string): Promise<StoredPolicy | ScheduledView> =>
  applyProposal(gateway, await proposePolicy(gateway, file));
