import { policySigningText, type PolicyBody } from "../domain/api.ts";
import type { AssetRegistry } from "../domain/assets.ts";
import { GatewayError } from "../domain/errors.ts";
import { HOUSE, type CallerName, type ClientId } from "../domain/names.ts";
import type { Compiled, CompiledHouse, CompiledPolicy } from "../policy/compile.ts";
import { compilers } from "./compilers.ts";
import { StaleDirectory, type Directory } from "./directory.ts";
import { frozenCallers } from "./frozen.ts";
import { heldDigest } from "./ledger.ts";
import { appendLeaf } from "./log.ts";
import { requireQuorum } from "./officers.ts";
import type { ClientRow, PolicyRow, StoreTransaction } from "./ports.ts";
import { recount } from "./recount.ts";

/* What makes a policy the active one, in one transaction: asked when it is signed, and again when it was to wait. */

/** A change that may be made: whose, and of which version. */
export type Accepted = { readonly owner: ClientRow; readonly previous: PolicyRow | undefined };

export type Applied = Pick<PolicyBody, "entry" | "files"> &
  Pick<PolicyRow, "signatures"> & {
    readonly by: CallerName;
    /** The leaf since which it has waited. */
    readonly scheduled?: number;
  };

/**
 * @throws {GatewayError} `policy-conflict` (version, a caller or key that belongs to another), `policy-signatures`
 * @throws {StaleDirectory}
 */
export async function requireAcceptable(
  transaction: StoreTransaction,
  { directory, origin }: { readonly directory: Directory; readonly origin: string },
  client: ClientId,
  compiled: CompiledPolicy | CompiledHouse,
  signatures: PolicyRow["signatures"],
): Promise<Accepted> {
  const owner = await transaction.client(client);
  if (!owner) throw new GatewayError("client-not-found", `expected a client of this gateway, found \`${client}\``);
  await requireOthersCurrent(transaction, client, directory);
  const previous = await transaction.policy(client);
  requireNewer(compiled, previous);
  await requireOwnCallers(transaction, client, compiled, directory);
  const { version, hash } = compiled;
  const text = { origin, client, version, hash, previousHash: previous?.hash ?? null };
  await requireSigned(transaction, directory.house, signatures, text);
  return { owner, previous };
}

/**
 * Quorum, callers' names and the counters of the house are taken from the directory: it must be what is active in this
 * very transaction, or an officer whom the change before this one removed would still count.
 */
async function requireOthersCurrent(
  transaction: StoreTransaction,
  client: ClientId,
  directory: Directory,
): Promise<void> {
  if ((await transaction.policyHash(HOUSE)) !== directory.house.policy.hash) throw new StaleDirectory(HOUSE);
  if (client !== HOUSE) return;
  for (const { row, policy } of directory.clients()) {
    if ((await transaction.policyHash(row.id)) !== policy?.hash) throw new StaleDirectory(row.id);
  }
}

/** Versions only grow: an old document, once replaced, never comes back under its own number. */
function requireNewer(compiled: Compiled, previous: PolicyRow | undefined): void {
  if (compiled.version > (previous?.version ?? 0)) return;
  throw new GatewayError(
    "policy-conflict",
    `expected a version above ${previous!.version}, found ${compiled.version}`,
    {
      facts: { active: previous!.version, found: compiled.version },
      hint: "raise `version` in the document and have it signed again",
    },
  );
}

/** One public key belongs to one client for ever, and a name means one caller wherever it is valid. */
async function requireOwnCallers(
  transaction: StoreTransaction,
  client: ClientId,
  compiled: Compiled,
  directory: Directory,
): Promise<void> {
  const inForce = client === HOUSE ? directory.clients().map(({ policy }) => policy) : [directory.house.policy];
  for (const [name, { keys }] of compiled.callers) {
    if (inForce.some((other) => other?.callers.has(name))) {
      throw new GatewayError(
        "policy-conflict",
        `caller \`${name}\` is declared in another document already: choose another name`,
      );
    }
    for (const key of keys) {
      const owner = await transaction.callerKeyOwner(key);
      if (owner !== undefined && owner !== client) {
        throw new GatewayError(
          "policy-conflict",
          `the key of caller \`${name}\` belongs to \`${owner}\`: one public key belongs to one client for ever`,
        );
      }
    }
  }
}

/** A frozen officer's signature counts for no policy. */
async function requireSigned(
  transaction: StoreTransaction,
  { policy }: Directory["house"],
  signatures: PolicyRow["signatures"],
  text: Parameters<typeof policySigningText>[0],
): Promise<void> {
  const barred = frozenCallers((await transaction.client(HOUSE))!);
  requireQuorum(policy, signatures, policySigningText(text), POLICY, barred);
}

const POLICY = {
  code: "policy-signatures",
  what: "this policy",
  hint: "sign exactly the text in `text`: `portcullis policy sign` does",
};

/** A pledged asset keeps its symbol: under another one it could leave. */
async function requirePledged(
  transaction: StoreTransaction,
  { id }: ClientRow,
  { registry }: CompiledPolicy,
): Promise<void> {
  const pledged = (await transaction.holdings(id))?.encumbered(new Set()) ?? [];
  for (const { liens, asset: symbol, chain, contract } of pledged) {
    const asset = registry.bySymbol.get(symbol);
    if (asset?.chain === chain && asset.contract === contract) continue;
    throw new GatewayError(
      "policy-conflict",
      `expected \`${symbol}\` to stay the asset that \`${liens.join("`, `")}\` is on`,
      {
        facts: { asset: symbol, liens },
        hint: "keep the symbol, its chain and contract in the asset registry until the lien is released",
      },
    );
  }
}

/** What is booked to sub-accounts keeps its symbol, as what is pledged does: under another meaning it would be another's. */
async function requireBooked(
  transaction: StoreTransaction,
  { id }: ClientRow,
  { registry, subAccounts }: CompiledPolicy,
  before: AssetRegistry | undefined,
): Promise<void> {
  if (!subAccounts || !before) return;
  const { register } = (await transaction.holdings(id, "always"))!;
  for (const { asset } of register.positions()) {
    const [was, is] = [before.bySymbol.get(asset), registry.bySymbol.get(asset)];
    if (was?.chain === is?.chain && was?.contract === is?.contract && was?.decimals === is?.decimals) continue;
    throw new GatewayError("policy-conflict", `expected \`${asset}\` to stay the asset that sub-accounts hold`, {
      facts: { asset },
      hint: "keep the symbol, its chain, contract and decimals in the asset registry",
    });
  }
}

/** Makes it the active one, and counts the past under its limits. */
export async function activate(
  transaction: StoreTransaction,
  owner: ClientRow,
  compiled: CompiledPolicy | CompiledHouse,
  { previous, directory }: Pick<Accepted, "previous"> & { readonly directory: Directory },
  { entry, files, signatures, by, scheduled }: Applied,
): Promise<PolicyRow> {
  for (const { keys } of compiled.callers.values())
    for (const key of keys) await transaction.insertCallerKey(key, owner.id);
  const before = previous && compiled.of === "client" ? compilers.client(previous).registry : undefined;
  if (compiled.of === "client") await requirePledged(transaction, owner, compiled);
  if (compiled.of === "client") await requireBooked(transaction, owner, compiled, before);
  const counted = await recount(transaction, { of: owner.id, compiled, directory, before });
  const [now, heldBefore] = [await transaction.now(), await transaction.heldSince(owner.id)];
  const held = new Map([...compiled.addresses.keys()].map((account) => [account, heldBefore.get(account) ?? now]));
  const { index, at } = await appendLeaf(transaction, owner, "policy-applied", {
    version: compiled.version,
    policy: compiled.hash,
    previousPolicy: previous?.hash ?? null,
    signatures,
    held: heldDigest(held),
    counted,
    by,
    ...(scheduled === undefined ? {} : { scheduled }),
  });
  const row: PolicyRow = {
    client: owner.id,
    version: compiled.version,
    hash: compiled.hash,
    previousHash: previous?.hash ?? null,
    entry,
    files,
    signatures,
    appliedAt: at,
    leaf: index,
  };
  await transaction.insertPolicy(row, held);
  return row;
}
