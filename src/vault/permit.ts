import { GatewayError } from "../domain/errors.ts";
import type { SigningOrder, SigningPermit } from "./ports.ts";

/** Minted and not yet redeemed. Weak, so that a permit that nobody can use any more costs nothing. */
const orders = new WeakMap<SigningPermit, SigningOrder>();

/**
 * Turns a durable authorization into the right to one signature. Called by step 4 of `sign.ts` after its COMMIT, and by
 * nothing else (the linter enforces it).
 */
export function mintPermit(order: SigningOrder): SigningPermit {
  const permit = Object.freeze({}) as SigningPermit;
  orders.set(permit, { ...order, digest32: Uint8Array.from(order.digest32) });
  return permit;
}

/**
 * Spends a permit: works once, also when the signature fails afterwards.
 * @throws {GatewayError} `permit-invalid` if it was not minted here or was spent before
 */
export function redeemPermit(permit: SigningPermit): SigningOrder {
  const order = orders.get(permit);
  if (!order) throw new GatewayError("permit-invalid", "expected a permit that was minted here and not yet redeemed");
  orders.delete(permit);
  return order;
}
