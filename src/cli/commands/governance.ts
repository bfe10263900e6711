import type { Command } from "commander";
import type { PolicyVersionView } from "../../domain/api.ts";
import type { ScheduledView } from "../../domain/governance.ts";
import {
  compileClient,
  compileHouse,
  type Compiled,
  type CompiledHouse,
  type CompiledPolicy,
} from "../../policy/compile.ts";
import { durationText } from "../../policy/explain.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import { asOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output } from "../output.ts";
import { activePolicy, type StoredPolicy } from "../policy-apply.ts";
import { resolvePolicy } from "../policy-check.ts";

type Person = {
  readonly name: string;
  readonly role: string;
  readonly keys: readonly string[];
  readonly since: string;
};
type Of = {
  readonly of: string;
  readonly version: number;
  readonly hash: string;
  readonly activeSince: string;
  readonly signedBy: readonly string[];
  readonly people: readonly Person[];
  readonly groups: Readonly<Record<string, readonly string[]>>;
  readonly scheduled?: ScheduledView;
};
type Governance = {
  readonly gateway: string;
  readonly policyQuorum: number;
  readonly officers: number;
  readonly policyDelay: string;
  readonly documents: readonly Of[];
};

/** `governance …`: who may do what now, since when, and by whose signatures. */
export function governanceCommands(program: Command): void {
  program
    .command("governance")
    .description("who decides")
    .command("show")
    .description("who may do what now, since when, signed by whom; what waits")
    .addOption(asOption())
    .addOption(jsonOption())
    .action(async (options: CommonOptions) => {
      const governance = await readGovernance(gatewayOf(options));
      output(options.json).result(governance, governanceText(governance));
    });
}

async function readGovernance(gateway: GatewayClient): Promise<Governance> {
  const house = (await activePolicy(gateway, "house"))!;
  const compiled = compileHouse(resolvePolicy(house));
  const { clients } = await gateway.get<{ clients: { client: string }[] }>("/v1/clients");
  const documents = [await documentOf(gateway, house, compiled)];
  for (const { client } of clients) {
    const policy = await activePolicy(gateway, client);
    if (policy) documents.push(await documentOf(gateway, policy, compileClient(resolvePolicy(policy))));
  }
  return {
    gateway: gateway.caller.gateway,
    policyQuorum: compiled.policyQuorum,
    officers: officersOf(compiled),
    policyDelay: compiled.policyDelayMs === 0 ? "none" : durationText(compiled.policyDelayMs),
    documents,
  };
}

const officersOf = ({ callers }: CompiledHouse): number =>
  [...callers.values()].filter(({ role }) => role === "policy-officer").length;

async function documentOf(gateway: GatewayClient, stored: StoredPolicy, compiled: Compiled): Promise<Of> {
  const { client, version, hash, appliedAt, signatures } = stored;
  const since = await declaredSince(gateway, stored);
  const { scheduled } = await gateway.get<{ scheduled: ScheduledView | null }>(
    `/v1/clients/${client}/policy/scheduled`,
  );
  const groups: ReadonlyMap<string, ReadonlySet<string>> = isClients(compiled) ? compiled.groups : new Map();
  return {
    of: client,
    version,
    hash,
    activeSince: appliedAt,
    signedBy: signatures.map(({ person }) => person),
    people: [...compiled.callers].map(([name, { role, keys }]) => ({
      name,
      role,
      keys,
      since: since.get(`${name} ${role}`)!,
    })),
    groups: Object.fromEntries([...groups].map(([name, members]) => [name, [...members]])),
    ...(scheduled === null ? {} : { scheduled }),
  };
}

const isClients = (compiled: Compiled): compiled is CompiledPolicy => compiled.of === "client";

/** Since when each caller has had its role without a break: back through the versions until one that says otherwise. */
async function declaredSince(gateway: GatewayClient, stored: StoredPolicy): Promise<ReadonlyMap<string, string>> {
  const names = (policy: StoredPolicy): Set<string> => {
    const resolved = resolvePolicy(policy);
    const { callers } = policy.client === "house" ? compileHouse(resolved) : compileClient(resolved);
    return new Set([...callers].map(([name, { role }]) => `${name} ${role}`));
  };
  const since = new Map([...names(stored)].map((name) => [name, stored.appliedAt]));
  let open = new Set(since.keys());
  const path = `/v1/clients/${stored.client}/policy`;
  const { versions } = await gateway.get<{ versions: PolicyVersionView[] }>(`${path}/versions?limit=500`);
  for (const { version, appliedAt } of versions.filter((each) => each.version < stored.version)) {
    if (open.size === 0) break;
    const had = names(await gateway.get<StoredPolicy>(`${path}?version=${version}`));
    open = new Set([...open].filter((name) => had.has(name)));
    for (const name of open) since.set(name, appliedAt);
  }
  return since;
}

function governanceText({ gateway, policyQuorum, officers, policyDelay, documents }: Governance): string {
  const spare = policyQuorum < officers ? "" : "\nno officer to spare: with one key lost nothing can be changed again";
  const head = `${gateway}: ${policyQuorum} of ${officers} policy officers sign a change; what is not only tightening waits: ${policyDelay}${spare}`;
  return [head, ...documents.map(documentText)].join("\n\n");
}

const documentText = ({ of, version, hash, activeSince, signedBy, people, groups, scheduled }: Of): string =>
  [
    `${of}: version ${version}, active since ${activeSince}, signed by ${signedBy.join(", ") || "nobody: the gateway was founded with it"}`,
    `  ${hash}`,
    ...people.map(
      ({ name, role, keys, since }) => `  ${name}: ${role} since ${since}, ${keys.map(keyText).join(" or ")}`,
    ),
    ...Object.entries(groups).map(([name, members]) => `  group ${name}: ${members.join(", ")}`),
    ...(scheduled === undefined
      ? []
      : [
          `  ! version ${scheduled.version} waits until ${scheduled.activeAt}, signed by ${scheduled.signatures.map(({ person }) => person).join(", ")}`,
        ]),
  ].join("\n");

/** Enough of a key to know it by. */
const keyText = (key: string): string => (key.length <= 64 ? key : `${key.slice(0, 40)}…${key.slice(-16)}`);
