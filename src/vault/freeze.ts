import { GatewayError } from "../domain/errors.ts";
import {
  targetOf,
  targetText,
  unfreezeSigningText,
  type Freeze,
  type FreezeBody,
  type FreezeTarget,
  type OutView,
  type UnfreezeBody,
} from "../domain/freeze.ts";
import { HOUSE, type CallerName, type ClientId } from "../domain/names.ts";
import { StaleDirectory, type Directory } from "./directory.ts";
import { isSameTarget } from "./frozen.ts";
import { appendLeaf } from "./log.ts";
import { requireQuorum } from "./officers.ts";
import type { ClientRow, RequestRow, Store, StoreTransaction } from "./ports.ts";
import { readRecord } from "./record.ts";

/* How a freeze begins, by one person, and ends, by the officers' quorum. Both are one transaction and one leaf. */

export type FreezeDependencies = { readonly store: Store; readonly directory: Directory };

/** Who does it: `of` is the client whose document declares them, or the house. */
export type Person = { readonly name: CallerName; readonly of: ClientId };

/**
 * From the moment at which this resolves no signature of the target is released by any vault (I16).
 * @returns the freeze that stands, and whether it is this one
 * @throws {GatewayError} `key-not-found`, `caller-not-found`; whatever the store refuses: then nothing is frozen
 */
export async function freeze(
  { store, directory }: FreezeDependencies,
  client: ClientId,
  body: FreezeBody,
  by: Person,
): Promise<{ readonly freeze: Freeze; readonly isNew: boolean }> {
  const target = targetOf(body);
  const frozen = await store.write(async (transaction) => {
    const row = (await transaction.client(client))!;
    const standing = row.freezes.find((each) => isSameTarget(each, target));
    if (standing) return { freeze: standing, isNew: false };
    await requireThere(transaction, directory, row, target);
    return { freeze: await beginFreeze(transaction, row, target, { by: by.name, reason: body.reason }), isNew: true };
  });
  await refresh(directory, client);
  return frozen;
}

const onlyTarget = (target: FreezeTarget): FreezeTarget =>
  target.kind === "client"
    ? { kind: "client" }
    : target.kind === "key"
      ? { kind: "key", name: target.name }
      : { kind: "caller", name: target.name };

/** Writes leaf and row, in the place of a freeze of the same. @param said who, and why: the leaf says it too */
export async function beginFreeze(
  transaction: StoreTransaction,
  row: ClientRow,
  target: FreezeTarget,
  { by, reason }: { readonly by: string; readonly reason?: string | undefined },
): Promise<Freeze> {
  const said = reason === undefined ? { by } : { by, reason };
  const { at, opening, ...leaf } = await appendLeaf(transaction, row, "frozen", {
    target: targetText(target),
    ...said,
  });
  const begun = { ...onlyTarget(target), ...said, at, leaf };
  await transaction.putFreezes(row.id, [...row.freezes.filter((each) => !isSameTarget(each, target)), begun]);
  return begun;
}

/** Names that are nobody's would be frozen without end, and fill the row. */
async function requireThere(
  transaction: StoreTransaction,
  directory: Directory,
  { id }: ClientRow,
  target: FreezeTarget,
): Promise<void> {
  if (target.kind === "client") return;
  if (target.kind === "key") {
    if ((await transaction.keys(id)).some(({ name }) => name === target.name)) return;
    throw new GatewayError("key-not-found", `expected a key of client \`${id}\`, found \`${target.name}\``);
  }
  const policy = id === HOUSE ? directory.house.policy : directory.get(id).policy;
  if ((await transaction.policyHash(id)) !== policy?.hash) throw new StaleDirectory(id);
  if (policy?.callers.has(target.name)) return;
  throw new GatewayError(
    "caller-not-found",
    `expected a caller that the policy of \`${id}\` declares, found \`${target.name}\``,
  );
}

const UNFREEZE = {
  code: "officer-signatures",
  what: "the end of this freeze",
  hint: "sign exactly the text in `text`: `portcullis unfreeze --sign` does",
};

/**
 * Frozen officers count here, and nowhere else: whoever has stolen one officer's key could otherwise freeze the others and
 * leave nobody who could unfreeze them.
 * @throws {GatewayError} `not-frozen`, `officer-signatures`
 */
export async function unfreeze(
  { store, directory, origin }: FreezeDependencies & { readonly origin: string },
  client: ClientId,
  body: UnfreezeBody,
  by: CallerName,
): Promise<Freeze> {
  const target = targetOf(body);
  const house = directory.house;
  const ended = await store.write(async (transaction) => {
    if ((await transaction.policyHash(HOUSE)) !== house.policy.hash) throw new StaleDirectory(HOUSE);
    const row = (await transaction.client(client))!;
    const standing = row.freezes.find((each) => isSameTarget(each, target));
    if (!standing) throw notFrozen(client, target);
    const text = unfreezeSigningText({ origin, client, target: targetText(target), leaf: standing.leaf });
    requireQuorum(house.policy, body.signatures, text, UNFREEZE);
    await appendLeaf(transaction, row, "unfrozen", {
      target: targetText(target),
      frozen: standing.leaf.index,
      signatures: body.signatures,
      by,
    });
    await transaction.putFreezes(
      client,
      row.freezes.filter((each) => each !== standing),
    );
    return standing;
  });
  await refresh(directory, client);
  return ended;
}

const notFrozen = (client: ClientId, target: FreezeTarget) =>
  new GatewayError("not-frozen", `expected a freeze of ${targetText(target)} of \`${client}\`, found none in force`);

/** Done is done: whatever keeps this vault from reading it again now, it is answered, and found in the next transaction. */
const refresh = (directory: Directory, client: ClientId): Promise<void> =>
  (client === HOUSE ? directory.refreshHouse() : directory.refreshClient(client)).catch(() => undefined);

const OUT = { sinceMs: 24 * 3_600_000, requests: 500, page: 100 } as const;

/**
 * What a freeze comes too late for, newest first: what was signed lately, and what is authorized and may have been.
 * Older ones are in the list of requests, those without an outcome in `recover`.
 */
export async function outstanding(
  store: Store,
  client: ClientId,
  target: FreezeTarget,
): Promise<{ readonly out: OutView[]; readonly more: boolean }> {
  return store.read(async (reader) => {
    const since = (await reader.now()) - OUT.sinceMs;
    const whose = client === HOUSE ? (await reader.clients()).map(({ id }) => id) : [client];
    const out: OutView[] = [];
    for (const id of whose) {
      for (let before: RequestRow["id"] | undefined; ;) {
        const page = await reader.requests(id, { limit: OUT.page, ...(before === undefined ? {} : { before }) });
        const young = page.filter(({ submittedAt }) => submittedAt > since);
        out.push(...young.filter((row) => isOut(row, target)).map(outView));
        if (out.length > OUT.requests) return { out: out.slice(0, OUT.requests), more: true };
        if (young.length < OUT.page) break;
        before = page.at(-1)!.id;
      }
    }
    return { out, more: false };
  });
}

function isOut({ state, key, caller }: RequestRow, target: FreezeTarget): boolean {
  if (state !== "signed" && state !== "authorized") return false;
  return target.kind === "client" || target.name === (target.kind === "key" ? key : caller);
}

function outView(row: RequestRow): OutView {
  const { id, client, caller, key, state, submittedAt } = row;
  const { reference, digest, result } = readRecord(row);
  return {
    client,
    id,
    caller,
    key,
    state: state as OutView["state"],
    submittedAt: new Date(submittedAt).toISOString(),
    ...(reference === undefined ? {} : { reference }),
    ...(digest === undefined ? {} : { digest: `0x${digest}` }),
    ...(result?.transactionHash === undefined ? {} : { transactionHash: result.transactionHash }),
  };
}
