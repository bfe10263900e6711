import { GatewayError } from "../domain/errors.ts";
import { targetText, type Freeze, type FreezeTarget, type FreezeView } from "../domain/freeze.ts";
import { HOUSE, type CallerName, type KeyName } from "../domain/names.ts";
import type { ClientEntry, HouseEntry } from "./directory.ts";
import type { ClientRow, RequestRow, StoreReader } from "./ports.ts";

/* What a freeze keeps from being done: asked before anything is decided, and again before a signature is released (I16). */

/** A row's freezes; one that says it is not `active` and does not say why is frozen all the same. */
type Frozen = Pick<ClientRow, "id" | "status" | "freezes">;

export const isSameTarget = (one: FreezeTarget, other: FreezeTarget): boolean => targetText(one) === targetText(other);

/** Those whom the document of that client declares and who may do nothing at present. */
export const frozenCallers = ({ freezes }: Pick<Frozen, "freezes">): ReadonlySet<CallerName> =>
  new Set(freezes.flatMap((freeze) => (freeze.kind === "caller" ? [freeze.name] : [])));

/** @returns why this caller's request for that key may not be signed, if it may not */
export function freezeOf(
  { client, house }: { readonly client: Frozen; readonly house: Frozen },
  { key, caller }: { readonly key: KeyName; readonly caller: CallerName },
): GatewayError | undefined {
  for (const row of [house, client]) if (row.status !== "active") return clientFrozen(row);
  const ofCaller = (freeze: Freeze): boolean => freeze.kind === "caller" && freeze.name === caller;
  const ofKey = (freeze: Freeze): boolean => freeze.kind === "key" && freeze.name === key;
  const freeze = client.freezes.find((each) => ofKey(each) || ofCaller(each)) ?? house.freezes.find(ofCaller);
  return freeze && refusal(targetText(freeze), freeze);
}

/**
 * Whether it was frozen after these entries were read, which step 2 has held against the store. Almost always nothing
 * of client and house has changed since, and then neither has this.
 */
export async function isFrozenSince(
  reader: StoreReader,
  { client, house }: { readonly client: ClientEntry; readonly house: HouseEntry },
  request: RequestRow,
): Promise<boolean> {
  const [ofHouse, ofClient] = [await reader.revision(HOUSE), await reader.revision(client.row.id)];
  if (ofHouse === house.revision && ofClient === client.revision) return false;
  const rows = { house: (await reader.client(HOUSE))!, client: (await reader.client(client.row.id))! };
  return freezeOf(rows, request) !== undefined;
}

function clientFrozen({ id, status, freezes }: Frozen): GatewayError {
  const freeze = freezes.find(({ kind }) => kind === "client");
  if (freeze) return refusal(id === HOUSE ? "the whole gateway" : `client \`${id}\``, freeze);
  return new GatewayError("client-frozen", `client \`${id}\` is ${status}`);
}

const refusal = (what: string, freeze: Freeze): GatewayError =>
  new GatewayError("client-frozen", `${what} is frozen since ${iso(freeze.at)}`, {
    facts: { target: targetText(freeze), since: iso(freeze.at), by: freeze.by },
    hint: "nothing was decided, and the idempotency key is still free: send the same request again once it is unfrozen",
  });

const iso = (at: number): string => new Date(at).toISOString();

export const freezeView = (freeze: Freeze): FreezeView => ({
  target: targetText(freeze),
  by: freeze.by,
  ...(freeze.reason === undefined ? {} : { reason: freeze.reason }),
  since: iso(freeze.at),
  leaf: freeze.leaf,
});
