import type { PolicyBody } from "../domain/api.ts";
import { HOUSE, type CallerName, type ClientId } from "../domain/names.ts";
import type { CompiledHouse, CompiledPolicy } from "../policy/compile.ts";
import { diffHouses, diffPolicies } from "../policy/diff.ts";
import { compileFor } from "./compilers.ts";
import { StaleDirectory, type Directory } from "./directory.ts";
import { activate, requireAcceptable } from "./policy-change.ts";
import type { PolicyRow, ScheduledPolicyRow } from "./ports.ts";
import { schedule, supersede, type Dependencies } from "./scheduled-policies.ts";

/* How a policy is changed: checked, signed by officers, then at once or after a delay, by a leaf (DESIGN section 6.10). */

export type PolicyDependencies = Dependencies;

/** What came of it: the active policy, or one that waits. */
export type Changed = { readonly policy: PolicyRow } | { readonly scheduled: ScheduledPolicyRow };

/**
 * @throws {GatewayError} `policy-invalid` with all findings, `policy-conflict` (version, previous hash, a caller or key
 * that belongs to another), `policy-signatures`, `policy-scheduled`
 */
export async function changePolicy(
  dependencies: PolicyDependencies,
  client: ClientId,
  body: PolicyBody,
  by: CallerName,
): Promise<Changed> {
  const { store, directory } = dependencies;
  const compiled = compileFor(client, body);
  const active = activeOf(directory, client);
  const delayMs = delayOf(directory.house.policy, active, compiled);
  const applied = { entry: body.entry, files: body.files, signatures: body.signatures, by };
  const changed = await store.write(async (transaction): Promise<Changed> => {
    // Also that the delay is the one that is asked for in this very transaction.
    const accepted = await requireAcceptable(transaction, dependencies, client, compiled, body.signatures);
    if (accepted.previous?.hash !== active?.hash) throw new StaleDirectory(client);
    if (delayMs > 0) return { scheduled: await schedule(transaction, accepted, compiled, applied, delayMs) };
    await supersede(transaction, client, by);
    const { owner, previous } = accepted;
    return { policy: await activate(transaction, owner, compiled, { previous, directory }, applied) };
  });
  if (client === HOUSE) await directory.refreshHouse();
  else await directory.refreshClient(client);
  return changed;
}

const activeOf = (directory: Directory, client: ClientId): CompiledPolicy | CompiledHouse | undefined =>
  client === HOUSE ? directory.house.policy : directory.find(client)?.policy;

/** The longest that a proof may keep the vault from its requests: what is not proven by then waits. */
const PROOF_MS = 500;

/** None where the change is proven to be only tightening: then nothing is permitted that was not, and nobody asked less. */
function delayOf(
  { policyDelayMs }: CompiledHouse,
  before: CompiledPolicy | CompiledHouse | undefined,
  after: CompiledPolicy | CompiledHouse,
): number {
  if (policyDelayMs === 0) return 0;
  const isTighter = before !== undefined && ["tightening", "none"].includes(verdictOf(before, after));
  return isTighter ? 0 : policyDelayMs;
}

function verdictOf(before: CompiledPolicy | CompiledHouse, after: CompiledPolicy | CompiledHouse): string {
  if (before.of === "house" && after.of === "house") return diffHouses(before, after, PROOF_MS).verdict;
  if (before.of === "client" && after.of === "client") return diffPolicies(before, after, PROOF_MS).verdict;
  return "mixed";
}
