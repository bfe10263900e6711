import { GatewayError } from "../domain/errors.ts";
import { cancellationSigningText, type OfficerSignature } from "../domain/governance.ts";
import type { CallerName, ClientId } from "../domain/names.ts";
import type { CompiledHouse, CompiledPolicy } from "../policy/compile.ts";
import { compileFor } from "./compilers.ts";
import { freshly, StaleDirectory, type Directory } from "./directory.ts";
import { frozenCallers } from "./frozen.ts";
import { HOUSE } from "../domain/names.ts";
import { appendLeaf } from "./log.ts";
import { requireOfficer } from "./officers.ts";
import { activate, requireAcceptable, type Accepted, type Applied } from "./policy-change.ts";
import type { ScheduledPolicyRow, Store, StoreTransaction } from "./ports.ts";

/*
 * A change that is not proven to be only tightening waits for `house.yaml`'s `policyDelay`. It is signed when it begins to
 * wait, and held against everything again when the time has come; until then any one officer ends it.
 */

export type Dependencies = { readonly store: Store; readonly directory: Directory; readonly origin: string };

/** @throws {GatewayError} `policy-scheduled` where another change waits already */
export async function schedule(
  transaction: StoreTransaction,
  { owner, previous }: Accepted,
  { version, hash }: CompiledPolicy | CompiledHouse,
  { entry, files, signatures, by }: Applied,
  delayMs: number,
): Promise<ScheduledPolicyRow> {
  const waiting = await transaction.scheduledPolicy(owner.id);
  if (waiting) {
    throw new GatewayError(
      "policy-scheduled",
      `version ${waiting.version} of \`${owner.id}\` waits already until ${new Date(waiting.activeAt).toISOString()}`,
      { hint: "any officer may cancel it: `portcullis policy cancel`" },
    );
  }
  const activeAt = (await transaction.now()) + delayMs;
  const previousHash = previous?.hash ?? null;
  const said = { version, policy: hash, previousPolicy: previousHash, signatures, by, activeAt };
  const { index } = await appendLeaf(transaction, owner, "policy-scheduled", said);
  const row = { client: owner.id, version, hash, previousHash, entry, files, signatures, by, activeAt, leaf: index };
  await transaction.putScheduledPolicy(row);
  return row;
}

/** Why a change that waited never became active. */
type Cancelled = { readonly because: string; readonly [said: string]: unknown };

async function cancel(
  transaction: StoreTransaction,
  { client, version, hash, leaf }: ScheduledPolicyRow,
  cancelled: Cancelled,
): Promise<void> {
  const owner = (await transaction.client(client))!;
  await transaction.removeScheduledPolicy(client);
  await appendLeaf(transaction, owner, "policy-cancelled", { version, policy: hash, scheduled: leaf, ...cancelled });
}

/** A change that is active at once leaves the one that waited without the version that it was made for. */
export async function supersede(transaction: StoreTransaction, client: ClientId, by: CallerName): Promise<void> {
  const waiting = await transaction.scheduledPolicy(client);
  if (waiting) await cancel(transaction, waiting, { because: "superseded", by });
}

/** Those that officers have cancelled in what a restore has lost would come back: all begin anew. */
export async function cancelAll(transaction: StoreTransaction, cancelled: Cancelled): Promise<void> {
  for (const { client } of await transaction.scheduledPolicies())
    await cancel(transaction, (await transaction.scheduledPolicy(client))!, cancelled);
}

/**
 * Any one officer ends it, by a signature over the change that is meant.
 * @throws {GatewayError} `policy-not-found`, `policy-signatures`
 */
export async function cancelScheduled(
  { store, directory, origin }: Dependencies,
  client: ClientId,
  { policy, signature }: { readonly policy: string; readonly signature: OfficerSignature },
  by: CallerName,
): Promise<ScheduledPolicyRow> {
  return store.write(async (transaction) => {
    if ((await transaction.policyHash(HOUSE)) !== directory.house.policy.hash) throw new StaleDirectory(HOUSE);
    const waiting = await transaction.scheduledPolicy(client);
    if (waiting?.hash !== policy)
      throw new GatewayError("policy-not-found", `expected a change of \`${client}\` that waits, found no such one`);
    const text = cancellationSigningText({ origin, client, version: waiting.version, hash: policy });
    const barred = frozenCallers((await transaction.client(HOUSE))!);
    requireOfficer(directory.house.policy, signature, text, CANCELLATION, barred);
    await cancel(transaction, waiting, { because: "officer", by, signature });
    return waiting;
  });
}

const CANCELLATION = {
  code: "policy-signatures",
  what: "this cancellation",
  hint: "sign exactly the text in `text`: `portcullis policy cancel` does",
};

/** Makes active whatever has waited long enough. @returns whose policies are others now */
export async function activateDue(dependencies: Dependencies): Promise<ClientId[]> {
  const { store, directory } = dependencies;
  const due = await store.read(async (reader) => {
    const now = await reader.now();
    return (await reader.scheduledPolicies()).filter(({ activeAt }) => activeAt <= now);
  });
  for (const { client } of due) {
    await freshly(directory, () => activateOne(dependencies, client));
    if (client === HOUSE) await directory.refreshHouse();
    else await directory.refreshClient(client);
  }
  return due.map(({ client }) => client);
}

async function activateOne({ store, directory, origin }: Dependencies, client: ClientId): Promise<void> {
  await store.write(async (transaction) => {
    const waiting = await transaction.scheduledPolicy(client);
    if (!waiting || waiting.activeAt > (await transaction.now())) return;
    await requireAsLogged(transaction, waiting);
    const compiled = compileFor(client, waiting);
    const { owner, previous, refused } = await accepted(transaction, { directory, origin }, waiting, compiled);
    if (refused !== undefined) return cancel(transaction, waiting, { because: refused });
    const { entry, files, signatures, by, leaf } = waiting;
    await transaction.removeScheduledPolicy(client);
    await activate(
      transaction,
      owner,
      compiled,
      { previous, directory },
      { entry, files, signatures, by, scheduled: leaf },
    );
  });
}

/** Officers who signed and have gone since do not count any more; nor does what another change has overtaken. */
async function accepted(
  transaction: StoreTransaction,
  dependencies: Pick<Dependencies, "directory" | "origin">,
  { client, hash, signatures }: ScheduledPolicyRow,
  compiled: CompiledPolicy | CompiledHouse,
): Promise<Accepted & { readonly refused?: string }> {
  try {
    if (compiled.hash !== hash)
      throw new GatewayError("policy-conflict", "the document is not the one that was signed");
    return await requireAcceptable(transaction, dependencies, client, compiled, signatures);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return { owner: (await transaction.client(client))!, previous: undefined, refused: error.code };
  }
}

/** The row is a cache of its leaf: whoever moved its time in the store moves nothing. */
async function requireAsLogged(
  transaction: StoreTransaction,
  { leaf, hash, activeAt }: ScheduledPolicyRow,
): Promise<void> {
  const opening = JSON.parse((await transaction.leaf(leaf))?.opening ?? "{}") as Record<string, unknown>;
  if (opening["type"] === "policy-scheduled" && opening["policy"] === hash && opening["activeAt"] === activeAt) return;
  throw new GatewayError("store-fault", `the change that waits is not the one that leaf ${leaf} scheduled`);
}
