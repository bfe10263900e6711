import type { FrozenView, FreezeBody, UnfreezeBody } from "../../domain/freeze.ts";
import { targetOf } from "../../domain/freeze.ts";
import { HOUSE } from "../../domain/names.ts";
import { freeze, outstanding, unfreeze } from "../freeze.ts";
import { freezeView } from "../frozen.ts";
import type { Answer, Call } from "./routes.ts";

/* Freezes spoken as REST. The house's path is `/v1/clients/house/…`, and freezes everybody. */

export async function postFreeze({ gateway, client, caller, body }: Call<FreezeBody>): Promise<Answer> {
  const begun = await freeze(gateway, client, body, caller);
  const { out, more } = await outstanding(gateway.store, client, targetOf(body));
  const view: FrozenView = { client, freeze: freezeView(begun.freeze), isNew: begun.isNew, out, more };
  return { status: begun.isNew ? 201 : 200, body: view };
}

export async function postUnfreeze({ gateway, client, caller, body }: Call<UnfreezeBody>): Promise<Answer> {
  const { store, directory, name: origin } = gateway;
  const ended = await unfreeze({ store, directory, origin }, client, body, caller.name);
  return { status: 200, body: { client, unfrozen: freezeView(ended) } };
}

/** From the store: another vault may have frozen it this moment. */
export async function getFreezes({ gateway, client }: Call): Promise<Answer> {
  const [row, house] = await gateway.store.read(
    async (reader) => [(await reader.client(client))!, (await reader.client(HOUSE))!] as const,
  );
  return {
    status: 200,
    body: { client, status: row.status, house: house.status, freezes: row.freezes.map(freezeView) },
  };
}
