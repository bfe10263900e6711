import { GatewayError } from "../domain/errors.ts";
import type { ResolvedPolicy } from "./parse.ts";

/**
 * Refuses what the format has and this version would not keep: a promise in a policy is kept or refused, never ignored.
 * @throws {GatewayError} `policy-unsupported`
 */
export function requireSupported<Policy extends ResolvedPolicy>(policy: Policy): Policy {
  const { document } = policy;
  if (document.kind !== "HousePolicy" || document.policyDelay === undefined) return policy;
  throw new GatewayError(
    "policy-unsupported",
    "expected no `policyDelay`: this version makes a signed change active at once",
    {
      hint: "leave `policyDelay` out; raise `policyQuorum` instead",
    },
  );
}
