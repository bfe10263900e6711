import type { ObservationBody, ReportBody, StatementBody } from "../../domain/custody.ts";
import { decimalsFor, observe, positionsOf, report, stateAccount } from "../custody.ts";
import { saySignedOutside } from "../signed-outside.ts";
import type { Answer, Call } from "./routes.ts";

/* Positions, statements and what is observed, spoken as REST. */

export async function getPositions({ gateway, client }: Call): Promise<Answer> {
  const register = await gateway.store.read((reader) => gateway.registers.of(reader, client));
  return { status: 200, body: { client, positions: positionsOf(register, decimalsFor(gateway, client)) } };
}

export async function postObservation({ gateway, client, caller, body }: Call<ObservationBody>): Promise<Answer> {
  if (body.what !== "signed-outside")
    return { status: 201, body: { client, leaf: await observe(gateway, client, body, caller.name) } };
  const { leaf, isFrozen } = await saySignedOutside(gateway, client, body.use, caller.name);
  return { status: 201, body: { client, leaf, isFrozen } };
}

export const postReport = async ({ gateway, client, caller, body }: Call<ReportBody>): Promise<Answer> => ({
  status: 201,
  body: { client, ...(await report(gateway, client, body, caller.name)) },
});

export const postStatement = async ({ gateway, client, caller, body }: Call<StatementBody>): Promise<Answer> => ({
  status: 201,
  body: await stateAccount(gateway, client, body, caller.name),
});
