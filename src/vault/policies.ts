import { parseAddress } from "../chains/evm/address.ts";
import { policySigningText, type PolicyBody } from "../domain/api.ts";
import { addressOf, chainOf, evmChainId, type Account } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import { HOUSE, type CallerName, type ClientId } from "../domain/names.ts";
import {
  compileClient,
  compileHouse,
  type Compiled,
  type CompiledHouse,
  type CompiledPolicy,
} from "../policy/compile.ts";
import { parsePolicy } from "../policy/parse.ts";
import { requireSupported } from "../policy/supported.ts";
import { StaleDirectory, type Directory, type PolicyCompilers } from "./directory.ts";
import { frozenCallers } from "./frozen.ts";
import { appendLeaf } from "./log.ts";
import { requireQuorum } from "./officers.ts";
import type { ClientRow, PolicyRow, Store, StoreTransaction } from "./ports.ts";
import { recount } from "./recount.ts";

/* How a policy becomes the active one: checked, signed by officers, one transaction, one leaf (DESIGN section 6.10). */

/** An account in a policy must be one that a chain here can have, in its one spelling. */
export function checkAccount(account: string): void {
  if (evmChainId(chainOf(account as Account)) === undefined) {
    throw new GatewayError("invalid-address", `expected an account such as \`eip155:1:0x…\`, found \`${account}\``);
  }
  parseAddress(addressOf(account as Account));
}

const resolve = ({ entry, files }: Pick<PolicyRow, "entry" | "files">) =>
  requireSupported(parsePolicy(entry, new Map(Object.entries(files)), checkAccount));

export const compilers: PolicyCompilers = {
  client: (row) => compileClient(resolve(row)),
  house: (row) => compileHouse(resolve(row)),
};

export type PolicyDependencies = {
  readonly store: Store;
  readonly directory: Directory;
  /** Of the log; signed by officers. */ readonly origin: string;
};

/**
 * @throws {GatewayError} `policy-invalid` with all findings, `policy-conflict` (version, previous hash, a caller or key
 * that belongs to another), `policy-signatures`
 */
export async function applyPolicy(
  { store, directory, origin }: PolicyDependencies,
  client: ClientId,
  body: PolicyBody,
  by: CallerName,
): Promise<PolicyRow> {
  const compiled = compileFor(client, body);
  const house = directory.house;
  const applied = await store.write(async (transaction) => {
    const owner = await transaction.client(client);
    if (!owner) throw new GatewayError("client-not-found", `expected a client of this gateway, found \`${client}\``);
    await requireOthersCurrent(transaction, client, directory);
    const previous = await transaction.policy(client);
    requireNewer(compiled, previous);
    await requireOwnCallers(transaction, client, compiled, directory);
    const signatures = await requireSigned(transaction, house, body, {
      origin,
      client,
      version: compiled.version,
      hash: compiled.hash,
      previousHash: previous?.hash ?? null,
    });
    return activate(transaction, owner, compiled, { previous, body, signatures, by, directory });
  });
  if (client === HOUSE) await directory.refreshHouse();
  else await directory.refreshClient(client);
  return applied;
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

function compileFor(client: ClientId, body: PolicyBody): CompiledPolicy | CompiledHouse {
  if (client === HOUSE) return compilers.house(body);
  const compiled = compilers.client(body);
  if (compiled.client !== client) {
    throw new GatewayError(
      "policy-invalid",
      `expected a policy for \`${client}\`, found one for \`${compiled.client}\``,
    );
  }
  return compiled;
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
      await transaction.insertCallerKey(key, client);
    }
  }
}

/** A frozen officer's signature counts for no policy. */
async function requireSigned(
  transaction: StoreTransaction,
  { policy }: Directory["house"],
  { signatures }: PolicyBody,
  text: Parameters<typeof policySigningText>[0],
): Promise<PolicyRow["signatures"]> {
  const barred = frozenCallers((await transaction.client(HOUSE))!);
  requireQuorum(policy, signatures, policySigningText(text), POLICY, barred);
  return signatures;
}

const POLICY = {
  code: "policy-signatures",
  what: "this policy",
  hint: "sign exactly the text in `text`: `portcullis policy sign` does",
};

type Application = {
  readonly previous: PolicyRow | undefined;
  readonly body: PolicyBody;
  readonly signatures: PolicyRow["signatures"];
  readonly by: CallerName;
  readonly directory: Directory;
};

async function activate(
  transaction: StoreTransaction,
  owner: ClientRow,
  compiled: CompiledPolicy | CompiledHouse,
  application: Application,
): Promise<PolicyRow> {
  const { previous, body, signatures, by, directory } = application;
  const { index, at } = await appendLeaf(transaction, owner, "policy-applied", {
    version: compiled.version,
    policy: compiled.hash,
    previousPolicy: previous?.hash ?? null,
    signatures,
    by,
  });
  const { entry, files } = body;
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
  const held = await transaction.heldSince(owner.id);
  await transaction.insertPolicy(
    row,
    new Map([...compiled.addresses.keys()].map((account) => [account, held.get(account) ?? at])),
  );
  const before = previous && compiled.of === "client" ? compilers.client(previous).registry : undefined;
  await recount(transaction, { of: owner.id, compiled, directory, before });
  return row;
}
