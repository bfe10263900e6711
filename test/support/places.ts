import { SIGN_STEPS } from "../../src/vault/sign.ts";

/**
 * Where a vault can be told to die: when a step is done, and inside the two transactions. `before COMMIT of …`: everything
 * of that transaction is written, nothing of it is durable.
 */
export const PLACES = [...SIGN_STEPS, "before COMMIT of Reserve", "before COMMIT of Record"] as const;
export type Place = (typeof PLACES)[number];
