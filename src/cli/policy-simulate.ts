import type { RecordedDecision } from "../domain/api.ts";
import type { Account } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import { intentFromJson } from "../domain/intent.ts";
import type { CallerName, ClientId, KeyName, SubAccountName } from "../domain/names.ts";
import { compileClient, compileHouse, type CompiledLimit, type CompiledPolicy } from "../policy/compile.ts";
import { simulate, type RecordedRequest, type Turned } from "../policy/simulate.ts";
import type { Policies } from "../policy/scene.ts";
import type { GatewayClient } from "../sdk/client.ts";
import type { StoredPolicy } from "./policy-apply.ts";
import { resolvePolicy } from "./policy-check.ts";
import { readPolicyFiles } from "./policy-files.ts";

export type Simulation = {
  readonly client: string;
  readonly since: string;
  readonly decided: number;
  /** Denied under any policy: what they would use up was authorized before. */
  readonly skipped: number;
  readonly turned: readonly Turned[];
};

/**
 * As if the document had stood from the beginning: what it counts is counted from the past as well, and an address that
 * it brings has been held for ever. Ceilings of the house see this client alone.
 * @param sinceText ISO 8601, or a time back from now such as `24h`
 */
export async function simulateFile(gateway: GatewayClient, file: string, sinceText: string): Promise<Simulation> {
  const client = compileClient(resolvePolicy(readPolicyFiles(file)));
  const house = compileHouse(resolvePolicy(await gateway.get<StoredPolicy>("/v1/clients/house/policy")));
  const policies: Policies = { client, house };
  const since = sinceOf(sinceText, Date.now());
  const recorded = await decisionsOf(gateway, client.client, reachBack(policies, since));
  const asked = recorded.filter(({ reasons }) => !reasons.includes("conflict"));
  const requests = asked.map((decision) => requestOf(decision, client)).toSorted((a, b) => a.facts.now - b.facts.now);
  const isAsked = (at: number) => at >= since;
  return {
    client: client.client,
    since: new Date(since).toISOString(),
    decided: requests.filter(({ facts }) => isAsked(facts.now)).length,
    skipped: recorded.filter(({ reasons, decidedAt }) => reasons.includes("conflict") && isAsked(Date.parse(decidedAt)))
      .length,
    turned: simulate(policies, requests, since),
  };
}

const UNITS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

function sinceOf(text: string, now: number): number {
  const back = /^([1-9][0-9]{0,4})([mhd])$/.exec(text);
  const since = back ? now - Number(back[1]) * UNITS[back[2] as keyof typeof UNITS] : Date.parse(text);
  if (!Number.isNaN(since)) return since;
  throw new GatewayError(
    "usage",
    `expected \`--since\` as a time such as \`2026-11-01T00:00:00Z\` or \`30d\`, found \`${text}\``,
  );
}

/** Windows that are open at `since` hold what lies before it. A day more than the windows say: requests wait for people. */
function reachBack({ client, house }: Policies, since: number): number {
  const begins = ({ windowStartsAt }: CompiledLimit) => windowStartsAt(since);
  return Math.max(0, Math.min(since, ...[...client.limits, ...house.limits].map(begins)) - UNITS.d);
}

async function decisionsOf(gateway: GatewayClient, client: string, since: number): Promise<RecordedDecision[]> {
  const all: RecordedDecision[] = [];
  for (let cursor: string | null | undefined; cursor !== null;) {
    const query = new URLSearchParams({ since: new Date(since).toISOString(), ...(cursor ? { cursor } : {}) });
    const page = await gateway.get<{ decisions: RecordedDecision[]; cursor: string | null }>(
      `/v1/clients/${client}/decisions?${query.toString()}`,
    );
    all.push(...page.decisions);
    cursor = page.cursor;
  }
  return all;
}

function requestOf(recorded: RecordedDecision, { client, addresses }: CompiledPolicy): RecordedRequest {
  const held = Object.entries(recorded.heldSince).map(([account, at]) => [account as Account, Date.parse(at)] as const);
  const always = [...addresses.keys()].map((account) => [account, 0] as const);
  return {
    id: recorded.id,
    intent: intentFromJson(recorded.intent),
    outcome: recorded.outcome,
    facts: {
      now: Date.parse(recorded.decidedAt),
      client,
      caller: recorded.caller as CallerName,
      key: recorded.key as KeyName,
      subAccount: recorded.subAccount as SubAccountName | undefined,
      keyPurpose: recorded.keyPurpose,
      submittedAt: Date.parse(recorded.submittedAt),
      approvals: [],
      owners: new Map(Object.entries(recorded.owners) as [Account, ClientId][]),
      heldSince: new Map([...always, ...held]),
    },
  };
}
