import type { Account, AssetSymbol } from "../domain/chain.ts";
import type { CounterId } from "../domain/decision.ts";
import type { CompiledPolicy } from "./compile.ts";
import { bookNamed } from "./match.ts";

/** What came back: reported by an observer, to an account of the client's own. */
export type Return = { readonly asset: AssetSymbol; readonly from: Account };

/** The counters of `outstanding` limits that it may lower: sent there, and back from there. */
export function returnedTo(policy: CompiledPolicy, { asset, from }: Return): CounterId[] {
  const known = policy.addresses.get(from);
  return policy.limits
    .filter(({ window, to, asset: of }) => {
      return (
        window.kind === "outstanding" && of?.symbol === asset && to !== undefined && bookNamed(to, { known, to: from })
      );
    })
    .map(({ name }) => `${policy.client}/${name}/-` as CounterId);
}
