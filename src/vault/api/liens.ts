import type { LienBody, LienReleaseBody } from "../../domain/custody.ts";
import { decimalsFor } from "../custody.ts";
import { lienView, liensOf, placeLien, releaseLien } from "../liens.ts";
import type { Answer, Call } from "./routes.ts";

/* Liens spoken as REST. */

export async function getLiens({ gateway, client }: Call): Promise<Answer> {
  const decimals = decimalsFor(gateway, client);
  const liens = (await liensOf(gateway, client)).map((lien) => lienView(lien, decimals));
  return { status: 200, body: { client, liens } };
}

export async function postLien({ gateway, client, caller, body }: Call<LienBody>): Promise<Answer> {
  const { lien, leaf } = await placeLien(gateway, client, body, caller.name);
  return { status: 201, body: { client, lien: lienView(lien, decimalsFor(gateway, client)), leaf } };
}

export async function postLienRelease(call: Call<LienReleaseBody>): Promise<Answer> {
  const { gateway, client, caller, body, parameters } = call;
  const { lien, leaf } = await releaseLien(gateway, client, parameters["lien"]!, body, caller.name);
  return { status: 200, body: { client, lien: lien && lienView(lien, decimalsFor(gateway, client)), leaf } };
}
