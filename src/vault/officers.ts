import { OFFICER_NAMESPACE } from "../domain/approval.ts";
import { GatewayError } from "../domain/errors.ts";
import type { OfficerSignature } from "../domain/governance.ts";
import type { CallerName } from "../domain/names.ts";
import type { CompiledHouse } from "../policy/compile.ts";
import { verifyPerson } from "./auth/person-signature.ts";

/* What policy officers decide together, each by a signature over a text that names everything that it changes (I15). */

/** What they decide, for whoever reads a refusal. */
export type Decided = { readonly code: string; readonly what: string; readonly hint: string };

/**
 * Counts officers, not signatures; a signature that does not verify is an error, not a missing one.
 * @param barred officers whose signatures count for nothing at present
 * @throws {GatewayError} `code` of what is decided; `wrong-namespace`
 */
export function requireQuorum(
  house: CompiledHouse,
  signatures: readonly OfficerSignature[],
  text: string,
  { code, what, hint }: Decided,
  barred: ReadonlySet<CallerName> = new Set(),
): void {
  const persons = new Set<CallerName>();
  for (const signature of signatures) {
    requireOfficer(house, signature, text, { code, what, hint }, barred);
    persons.add(signature.person);
  }
  if (persons.size >= house.policyQuorum) return;
  throw new GatewayError(code, `expected signatures of ${house.policyQuorum} policy officers, found ${persons.size}`, {
    facts: { text },
  });
}

/** One officer's signature. @throws {GatewayError} `code` of what is decided; `wrong-namespace` */
export function requireOfficer(
  house: CompiledHouse,
  { person, signature }: OfficerSignature,
  text: string,
  { code, what, hint }: Decided,
  barred: ReadonlySet<CallerName>,
): void {
  const officer = house.callers.get(person);
  if (officer?.role !== "policy-officer" || !verifiesWith(officer.keys, text, signature)) {
    throw new GatewayError(code, `expected a signature of a policy officer over ${what}, found none of \`${person}\``, {
      facts: { person, text },
      hint,
    });
  }
  if (barred.has(person)) {
    throw new GatewayError(code, `expected officers who are not frozen, found \`${person}\``, {
      facts: { person },
      hint: "officers unfreeze one another: see docs/operations.md",
    });
  }
}

/** @throws {GatewayError} `wrong-namespace` */
function verifiesWith(keys: readonly string[], text: string, signature: string): boolean {
  try {
    verifyPerson(keys, { text, signature, namespace: OFFICER_NAMESPACE });
    return true;
  } catch (error) {
    if (error instanceof GatewayError && error.code === "person-signature-invalid") return false;
    throw error;
  }
}
