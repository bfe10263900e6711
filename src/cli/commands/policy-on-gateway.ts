import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import type { PolicyVersionView, SigningRequestView } from "../../domain/api.ts";
import type { Decision } from "../../domain/decision.ts";
import { cancellationSigningText, type ScheduledView } from "../../domain/governance.ts";
import { GatewayError } from "../../domain/errors.ts";
import { explainDecision, reasonText } from "../../policy/decision-text.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import { asOption, clientOf, clientOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { signText } from "../officers.ts";
import { withKey, type KeyOptions } from "../person-signer.ts";
import { output, table } from "../output.ts";
import { applyProposal, proposePolicy, signProposal, type Proposal, type StoredPolicy } from "../policy-apply.ts";
import { findingsText } from "../policy-check.ts";
import { comparisonJson, comparisonText } from "../policy-comparison.ts";
import { explainTest } from "../policy-explain.ts";
import { simulateFile, type Simulation } from "../policy-simulate.ts";

/** What asks a gateway: decisions that were made or would be, and what makes a policy the active one. */
export function policyGatewayCommands(policy: Command): void {
  policy
    .command("explain <request>")
    .description(
      "why: of a request's id, of a FILE with a request's body as it would be decided now, or of a document's test",
    )
    .option("--test <name>", "FILE is a policy document: explain that test of it, without a gateway")
    .option("--caller <name>", "decide as if this caller asked")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(explain);
  policy
    .command("simulate <file>")
    .description("decide recorded requests again under a changed policy, and list those that would turn")
    .requiredOption("--since <time>", "from when: ISO 8601, or a time back from now such as 24h or 30d")
    .addOption(asOption())
    .addOption(jsonOption())
    .action(simulate);
  withKey(policy.command("sign <file>"))
    .description("check a policy, show what it changes, and sign it as a policy officer, for `apply` by another")
    .option("--yes", "sign without asking", false)
    .addOption(asOption())
    .addOption(jsonOption())
    .action(sign);
  withKey(policy.command("apply <file>"))
    .description("check a policy, show what it changes, and make it the active one with your signature as an officer")
    .option("--signature <person:signature...>", "signatures of other officers, as `policy sign` prints them", [])
    .option("--yes", "apply without asking", false)
    .addOption(asOption())
    .addOption(jsonOption())
    .action(apply);
  withKey(policy.command("cancel"))
    .description("end a change that waits, as any one policy officer")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(cancel);
  policy
    .command("show")
    .description("what is active, since when, by whose signatures")
    .option("--version <number>", "an older version")
    .option("--history", "every version that ever stood", false)
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action(show);
}

// ---- explain ----------------------------------------------------------------------------------------------------

type ExplainOptions = CommonOptions & { readonly test?: string; readonly caller?: string };
/** As JSON has it: times are texts, and what a vault reserves is left out. */
type ShownDecision = Omit<Decision, "missing" | "expiresAt" | "charges"> & {
  readonly missing: Omit<Decision["missing"], "notBefore"> & { readonly notBefore?: string };
  readonly expiresAt?: string;
};

async function explain(request: string, options: ExplainOptions): Promise<void> {
  const decision =
    options.test === undefined ? await askedDecision(request, options) : explainTest(request, options.test);
  output(options.json).result(decision, explainDecision(decision));
}

async function askedDecision(request: string, options: ExplainOptions): Promise<Decision> {
  const gateway = gatewayOf(options);
  const path = `/v1/clients/${clientOf(gateway, options)}`;
  if (!existsSync(request)) {
    const view = await gateway.get<SigningRequestView>(`${path}/signing-requests/${encodeURIComponent(request)}`);
    if (view.decision !== undefined) return decisionFrom(view.decision);
    throw new GatewayError("not-decided", `request \`${view.id}\` was refused before a policy was asked`, {
      hint: view.problem?.detail ?? "",
    });
  }
  const body = { ...readJson(request), ...(options.caller === undefined ? {} : { caller: options.caller }) };
  const { decision } = await gateway.call<{ decision: unknown }>("POST", `${path}/evaluations`, { body });
  return decisionFrom(decision);
}

function decisionFrom(json: unknown): Decision {
  const { missing, expiresAt, ...shown } = json as ShownDecision;
  const { notBefore, ...others } = missing;
  return {
    ...shown,
    missing: { ...others, ...(notBefore === undefined ? {} : { notBefore: Date.parse(notBefore) }) },
    ...(expiresAt === undefined ? {} : { expiresAt: Date.parse(expiresAt) }),
    charges: [],
  };
}

function readJson(file: string): Record<string, unknown> {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Record<string, unknown>;
  } catch (error) {
    throw new GatewayError("usage", `cannot read a JSON body from \`${file}\`: ${(error as Error).message}`);
  }
}

// ---- simulate ---------------------------------------------------------------------------------------------------

async function simulate(file: string, options: CommonOptions & { since: string }): Promise<void> {
  const simulation = await simulateFile(gatewayOf(options), file, options.since);
  output(options.json).result(simulation, simulationText(simulation));
}

const simulationText = ({ client, decided, skipped, turned }: Simulation): string =>
  [
    `${client}: ${decided} ${decided === 1 ? "request" : "requests"} decided again, ${turned.length} would turn`,
    ...turned.map(({ id, was, decision }) => {
      const [reason] = decision.reasons;
      return `  ${id}: was ${was}, would be ${decision.outcome}${reason ? `: ${reasonText(reason)}` : ""}`;
    }),
    ...(skipped > 0 ? [`  ${skipped} left out: a nonce that is taken denies them under any policy`] : []),
  ].join("\n");

// ---- sign, apply ------------------------------------------------------------------------------------------------

/** `--signature` names other officers' signatures here, and no key. */
const keyOf = ({ sshKey, keyFile }: KeyOptions): KeyOptions => ({
  ...(sshKey === undefined ? {} : { sshKey }),
  ...(keyFile === undefined ? {} : { keyFile }),
});

async function sign(file: string, options: CommonOptions & KeyOptions & { yes: boolean }): Promise<void> {
  const gateway = gatewayOf(options);
  const proposal = await proposePolicy(gateway, file);
  await confirm(proposal, "sign", options);
  const signature = signProposal(gateway, proposal, keyOf(options));
  const { caller: person } = gateway.caller;
  output(options.json).result(
    { person, signature, text: proposal.text, ...proposalJson(proposal) },
    `${proposal.text}\n${person}:${signature}`,
  );
}

async function apply(
  file: string,
  options: CommonOptions & KeyOptions & { yes: boolean; signature: string[] },
): Promise<void> {
  const gateway = gatewayOf(options);
  const proposal = await proposePolicy(gateway, file);
  await confirm(proposal, "apply", options);
  const applied = await whileCounting(
    applyProposal(gateway, proposal, options.signature, keyOf(options)),
    output(options.json).note,
  );
  output(options.json).result(
    { ...applied, ...proposalJson(proposal) },
    "activeAt" in applied
      ? `${applied.client}: version ${applied.version} waits until ${applied.activeAt}\n  ${applied.hash}, leaf ${applied.leaf}\n  any officer may end it: portcullis policy cancel --client ${applied.client}`
      : `${applied.client}: version ${applied.version} is active\n  ${applied.hash}, leaf ${applied.leaf}`,
  );
}

/** The past is counted under the new limits before they hold: a person is told why it takes its time. */
async function whileCounting<T>(applying: Promise<T>, note: (text: string) => void): Promise<T> {
  let seconds = 0;
  const timer = setInterval(() => {
    seconds += 2;
    note(`the gateway counts the past under the new limits: ${seconds} s`);
  }, 2_000);
  return applying.finally(() => clearInterval(timer));
}

const proposalJson = ({ comparison, absent }: Proposal) => ({
  ...(comparison ? { verdict: comparisonJson(comparison).verdict, changes: comparisonJson(comparison).changes } : {}),
  absent,
});

/** What is about to be signed is shown first; a person at a terminal is asked, a script has decided already. */
async function confirm(
  proposal: Proposal,
  what: string,
  { json, yes }: { json: boolean; yes: boolean },
): Promise<void> {
  const { note } = output(json);
  if (proposal.findings.length > 0) note(findingsText(proposal.findings));
  for (const sentence of proposal.absent) note(`warning: ${sentence}`);
  note(proposal.comparison ? comparisonText(proposal.comparison) : `${proposal.client}: its first policy`);
  if (yes || !process.stdin.isTTY) return;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(`${what} version ${proposal.version}? [y/N] `).finally(() => terminal.close());
  if (!/^y(es)?$/i.test(answer.trim())) throw new GatewayError("not-confirmed", "nothing was signed");
}

// ---- cancel -----------------------------------------------------------------------------------------------------

async function cancel(options: CommonOptions & KeyOptions): Promise<void> {
  const gateway = gatewayOf(options);
  const client = clientOf(gateway, options);
  const path = `/v1/clients/${client}/policy`;
  const { scheduled } = await gateway.get<{ scheduled: ScheduledView | null }>(`${path}/scheduled`);
  if (!scheduled) throw new GatewayError("policy-not-found", `no change of the policy of \`${client}\` waits`);
  const { version, hash } = scheduled;
  const text = cancellationSigningText({ origin: gateway.caller.gateway, client, version, hash });
  const body = { policy: hash, signature: signText(gateway, text, keyOf(options)) };
  const ended = await gateway.call<ScheduledView>("POST", `${path}/cancellation`, {
    body,
    idempotencyKey: randomUUID(),
  });
  output(options.json).result(ended, `${client}: version ${version} does not become active\n  ${hash}`);
}

// ---- show -------------------------------------------------------------------------------------------------------

type ShowOptions = CommonOptions & { readonly version?: string; readonly history: boolean };

async function show(options: ShowOptions): Promise<void> {
  const gateway = gatewayOf(options);
  const path = `/v1/clients/${clientOf(gateway, options)}/policy`;
  if (options.history) return showHistory(await historyOf(gateway, path), options);
  const query = options.version === undefined ? "" : `?version=${encodeURIComponent(options.version)}`;
  const stored = await gateway.get<StoredPolicy>(`${path}${query}`);
  output(options.json).result(stored, storedText(stored));
}

const storedText = ({ version, hash, appliedAt, leaf, signatures, files, entry }: StoredPolicy): string =>
  [
    `# version ${version}, ${hash}`,
    `# applied ${appliedAt}, leaf ${leaf}, signed by ${signersOf(signatures)}`,
    files[entry] ?? "",
  ].join("\n");

/** The founding policy has no officers yet who could have signed it. */
const signersOf = (signatures: StoredPolicy["signatures"]): string =>
  signatures.map(({ person }) => person).join(", ") || "nobody: the gateway was founded with it";

async function historyOf(gateway: GatewayClient, path: string): Promise<PolicyVersionView[]> {
  const all: PolicyVersionView[] = [];
  for (let cursor: number | null | undefined; cursor !== null;) {
    const query = cursor === undefined ? "" : `?cursor=${cursor}`;
    const page = await gateway.get<{ versions: PolicyVersionView[]; cursor: number | null }>(
      `${path}/versions${query}`,
    );
    all.push(...page.versions);
    cursor = page.cursor;
  }
  return all;
}

function showHistory(versions: readonly PolicyVersionView[], { json }: ShowOptions): void {
  const rows = versions.map(({ version, appliedAt, hash, leaf, signatures, active }) => [
    active ? "active" : "",
    String(version),
    appliedAt,
    `leaf ${leaf}`,
    hash.slice(0, 19),
    signersOf(signatures),
  ]);
  output(json).result({ versions }, rows.length > 0 ? table(rows) : "no policy yet");
}
