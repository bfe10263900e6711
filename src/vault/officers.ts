import { GatewayError } from "../domain/errors.ts";
import type { CallerName } from "../domain/names.ts";
import type { CompiledHouse } from "../policy/compile.ts";
import { verifyEd25519 } from "./verify.ts";

/* What policy officers decide together, each by a signature over a text that names everything that it changes (I15). */

export type OfficerSignature = { readonly person: CallerName; readonly signature: string };

/** What they decide, for whoever reads a refusal. */
export type Decided = { readonly code: string; readonly what: string; readonly hint: string };

/**
 * Counts officers, not signatures; a signature that does not verify is an error, not a missing one.
 * @param barred officers whose signatures count for nothing at present
 * @throws {GatewayError} `code` of what is decided
 */
export function requireQuorum(
  house: CompiledHouse,
  signatures: readonly OfficerSignature[],
  text: string,
  { code, what, hint }: Decided,
  barred: ReadonlySet<CallerName> = new Set(),
): void {
  const persons = new Set<CallerName>();
  for (const { person, signature } of signatures) {
    const officer = house.callers.get(person);
    if (officer?.role !== "policy-officer" || !officer.keys.some((key) => verifiesWith(key, text, signature))) {
      throw new GatewayError(
        code,
        `expected a signature of a policy officer over ${what}, found none of \`${person}\``,
        { facts: { person, text }, hint },
      );
    }
    if (barred.has(person)) {
      throw new GatewayError(code, `expected officers who are not frozen, found \`${person}\``, {
        facts: { person },
        hint: "officers unfreeze one another: see docs/operations.md",
      });
    }
    persons.add(person);
  }
  if (persons.size >= house.policyQuorum) return;
  throw new GatewayError(code, `expected signatures of ${house.policyQuorum} policy officers, found ${persons.size}`, {
    facts: { text },
  });
}

function verifiesWith(key: string, text: string, signature: string): boolean {
  const match = /^ed25519:([A-Za-z0-9+/]{43}=)$/.exec(key);
  const raw = Buffer.from(signature, "base64");
  return match !== null && raw.length === 64 && verifyEd25519(raw, text, Buffer.from(match[1]!, "base64"));
}
