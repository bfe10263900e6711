import type { Owed } from "../../custody/liabilities.ts";
import { identityOf } from "./asset-identity.ts";
import type { LogFacts } from "./log-facts.ts";

/** Every position of everybody whose assets are not the custodian's own: of an omnibus client each sub-account's. */
export function owedIn(facts: LogFacts): Owed[] {
  const clients = facts.all().filter(({ client }) => facts.policyOf(client)?.owner !== "house");
  return clients.flatMap(({ client, register }) => {
    const owners = [...register.subAccounts].map(([name, part]) => ({
      owner: `${client}/${name}`,
      positions: part.positions(),
    }));
    const rest = register
      .positions()
      .map(({ asset }) => ({ asset, closing: register.unallocated(asset) }))
      .filter(({ closing }) => owners.length === 0 || closing !== 0n);
    return [...owners, { owner: client, positions: rest }].flatMap(({ owner, positions }) =>
      positions.map(({ asset, closing }) => ({
        client: owner,
        asset: identityOf(facts.registryOf(client)?.bySymbol.get(asset), client, asset),
        amount: closing,
      })),
    );
  });
}
