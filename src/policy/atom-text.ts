import { ANOTHER, type Atom } from "./atoms.ts";
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
      `to ${owner === undefined ? (names ?? "an address that is in no address book") : `an account of ${shown(owner, "a client that no rule names")}${names ? ` (${names})` : ""}`}`,
    );
  }
  parts.push(
    `by ${shown(atom.caller, "a caller that no rule names")} with ${shown(atom.key, "a key that no rule names", "key ")}`,
  );
  return parts.join(" ");
}

/** What stands for all that the documents do not name is no name that a person would look for. */
const shown = (name: string, another: string, prefix = ""): string => (name === ANOTHER ? another : `${prefix}${name}`);
