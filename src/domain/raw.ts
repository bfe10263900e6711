import { chainOf, type Account, type AssetSymbol } from "./chain.ts";
import { GatewayError } from "./errors.ts";
import type { Intent } from "./intent.ts";

/*
 * Raw digests: 32 bytes whose meaning nobody here knows. A key that signs them signs nothing else, and a key that signs
 * anything else never signs them (I3).
 */

const DIGEST_BYTES = 32;

/** No symbol of a registry: those are upper case. */
const NO_ASSET = "none" as AssetSymbol;

/** @param account of the key, `raw:CURVE:PUBLICKEY` @throws {GatewayError} `wrong-length` */
export function intentOfRawDigest(digest: Uint8Array, account: Account): Intent {
  if (digest.length !== DIGEST_BYTES)
    throw new GatewayError("wrong-length", `expected ${DIGEST_BYTES} bytes, found ${digest.length}`);
  const hex = `0x${Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  return {
    chain: chainOf(account),
    account,
    operations: [{ kind: "raw-digest", from: account, digest: hex }],
    fee: { asset: NO_ASSET, max: 0n },
    claims: [],
  };
}
