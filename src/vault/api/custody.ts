import type { ObservationBody, ReportBody, StatementBody } from "../../domain/custody.ts";
import { decimalsFor, observe, positionsOf, report, stateAccount, subAccountPositionsOf } from "../custody.ts";
import { saySignedOutside } from "../signed-outside.ts";
import type { Answer, Call } from "./routes.ts";

/* Positions, statements and what is observed, spoken as REST. */

/** Of an omnibus client each sub-account's too; whoever asks for one of them alone sees that one alone. */
export async function getPositions({ gateway, client, caller }: Call): Promise<Answer> {
  const register = await gateway.store.read((reader) => gateway.registers.of(reader, client));
  const decimals = decimalsFor(gateway, client);
  const policy = gateway.directory.find(client)?.policy;
  const subAccount = policy?.callers.get(caller.name)?.subAccount;
  if (subAccount !== undefined)
    return { status: 200, body: { client, positions: positionsOf(register.subAccount(subAccount), decimals) } };
  const apart = policy?.subAccounts ? subAccountPositionsOf(register, decimals) : {};
  return { status: 200, body: { client, positions: positionsOf(register, decimals), ...apart } };
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
