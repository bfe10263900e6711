import type { Atom } from "./atoms.ts";
import type { Compiled } from "./compile.ts";
import { amountText } from "./explain.ts";
import { destinationOf, movesAsset } from "./scene.ts";

/** One operation of a class, as an example for people. */
export function atomText(atom: Atom, policy: Compiled): string {
  const { operation, owner } = atom;
  const parts: string[] = [operation.kind];
  if (movesAsset(operation))
    parts.push(`of ${amountText(atom.total, policy.registry.bySymbol.get(operation.asset))} in total`);
  const to = destinationOf(operation);
  if (to !== undefined) {
    const names = policy.addresses.get(to)?.names.join(", ");
    parts.push(
      `to ${owner === undefined ? (names ?? "an address that is in no address book") : `an account of ${owner}${names ? ` (${names})` : ""}`}`,
    );
  }
  parts.push(`by ${atom.caller} with key ${atom.key}`);
  return parts.join(" ");
}
