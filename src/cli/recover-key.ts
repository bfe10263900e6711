import { createRequire } from "node:module";
import type { RecoverPublicKey } from "../chains/evm/authorization.ts";

/** libsecp256k1's native addon alone, as the vault has it. */
const secp256k1 = createRequire(import.meta.url)("secp256k1/bindings") as typeof import("secp256k1");

/** Who signed an EIP-7702 authorization that a transaction carries. */
export const recoverPublicKey: RecoverPublicKey = (digest32, { r32, s32, yParity }) => {
  try {
    return secp256k1.ecdsaRecover(Buffer.concat([r32, s32]), yParity, digest32, false);
  } catch {
    return undefined; // no point of the curve has this r with this parity
  }
};
