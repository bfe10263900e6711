import type { RecoveryBody } from "../../domain/recovery.ts";
import type { Answer, Call } from "./routes.ts";

/* The officers' way back after a restore or a failover, spoken as REST. */

export const getRecovery = async ({ gateway }: Call): Promise<Answer> => ({
  status: 200,
  body: await gateway.recovery.state(),
});

export async function putRecovery({ gateway, caller, body }: Call<RecoveryBody>): Promise<Answer> {
  const { leaf, at, promisedSize, lost } = await gateway.recovery.act(body, caller.name);
  return { status: 200, body: { leaf, at: new Date(at).toISOString(), promisedSize, lost } };
}
