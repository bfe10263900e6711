import { parseAmount } from "../../domain/amount.ts";
import type { AssetRegistry } from "../../domain/assets.ts";
import type { AssetSymbol } from "../../domain/chain.ts";
import type { BookEntry } from "../../custody/reconcile.ts";
import { GatewayError } from "../../domain/errors.ts";
import { readRows } from "../csv-or-json.ts";

/* What the custodian's books say, and which tokens stand on which reserves. */

export type Registries = ReadonlyMap<string, AssetRegistry>;

/**
 * `client,asset,amount`, amounts in units of the asset. Of clients that are not asked about nothing is read: a name that was
 * mistyped shows as a break of the one that it was meant for.
 */
export function readBooks(file: string, registries: Registries): BookEntry[] {
  return readRows(file, ["client", "asset", "amount"]).flatMap(({ where, fields: { client, asset, amount } }) => {
    const registry = registries.get(client!);
    if (!registry) return [];
    const { symbol, decimals } = assetIn(registry, asset!, `\`${file}\`, ${where}`);
    return [{ client: client!, asset: symbol, amount: parseAmount(amount!, decimals) }];
  });
}

/** One reserve of a token. */
export type Backing = { readonly client: string; readonly token: AssetSymbol; readonly reserve: AssetSymbol };

/** `token,reserve,client`: each unit of the token stands on a unit of the reserve, which that client's accounts hold. */
export function readBacking(file: string, registries: Registries): Backing[] {
  return readRows(file, ["token", "reserve", "client"]).map(({ where, fields: { token, reserve, client } }) => {
    const at = `\`${file}\`, ${where}`;
    const registry = registries.get(client!);
    if (!registry)
      throw new GatewayError("file-invalid", `expected a client of this run in ${at}, found \`${client}\``);
    return {
      client: client!,
      token: assetIn(registry, token!, at).symbol,
      reserve: assetIn(registry, reserve!, at).symbol,
    };
  });
}

function assetIn({ bySymbol }: AssetRegistry, symbol: string, where: string) {
  const asset = bySymbol.get(symbol as AssetSymbol);
  if (asset) return asset;
  throw new GatewayError("file-invalid", `expected an asset of the client's registry in ${where}, found \`${symbol}\``);
}
