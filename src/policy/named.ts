import type { ResolvedPolicy } from "./parse.ts";
import { isAllow, type ClientPolicy, type PolicyDocument } from "./document.ts";
import { HOUSE } from "../domain/names.ts";

export type Existing = { readonly keys: ReadonlySet<string>; readonly clients: ReadonlySet<string> };

/**
 * Rules and limits that name a key or a client which is not there. A file alone cannot tell; a deny rule or a limit
 * whose key is mistyped holds nothing, and nobody would see it.
 */
export function absentNames({ document }: ResolvedPolicy, { keys, clients }: Existing): string[] {
  const absent: string[] = [];
  for (const [where, { key = [], from = [], to = [] }] of placesOf(document)) {
    const ownKeys = [...key, ...from.filter((word) => !word.startsWith("account:"))];
    // The house's rules are about keys of all clients.
    const missingKeys = document.kind === "ClientPolicy" ? ownKeys.filter((name) => !keys.has(name)) : [];
    const named = to.filter((word) => word.startsWith("client:")).map((word) => word.slice("client:".length));
    const missingClients = named.filter((name) => name !== HOUSE && !clients.has(name));
    for (const name of new Set(missingKeys))
      absent.push(`${where} names key \`${name}\`, which \`${(document as ClientPolicy).client}\` does not have`);
    for (const name of new Set(missingClients)) absent.push(`${where} names client \`${name}\`, which is not there`);
  }
  return absent;
}

type Place = { readonly key?: readonly string[]; readonly from?: readonly string[]; readonly to?: readonly string[] };

function placesOf(document: PolicyDocument): (readonly [where: string, place: Place])[] {
  return [
    ...(document.rules ?? []).map(
      (rule) => [`${isAllow(rule) ? "allow" : "deny"} rule \`${rule.id}\``, rule as Place] as const,
    ),
    ...Object.entries(document.limits ?? {}).map(([name, limit]) => [`limit \`${name}\``, limit as Place] as const),
  ];
}
