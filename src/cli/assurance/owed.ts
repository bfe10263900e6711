import type { Owed } from "../../custody/liabilities.ts";
import { identityOf } from "./asset-identity.ts";
import type { LogFacts } from "./log-facts.ts";

/** Every position of every client whose assets are not the custodian's own. */
export function owedIn(facts: LogFacts): Owed[] {
  const clients = facts.all().filter(({ client }) => facts.policyOf(client)?.owner !== "house");
  return clients.flatMap(({ client, register }) =>
    register.positions().map(({ asset, closing }) => ({
      client,
      asset: identityOf(facts.registryOf(client)?.bySymbol.get(asset), client, asset),
      amount: closing,
    })),
  );
}
