import { keccak_256 } from "@noble/hashes/sha3.js";
import type { AssetRegistry } from "../../domain/assets.ts";
import { chainOf, evmChain, evmChainId, type Account } from "../../domain/chain.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { Claim, Intent, Operation } from "../../domain/intent.ts";
import { addressOfPublicKey, evmAccount } from "./address.ts";
import { toHex } from "./bytes.ts";
import { Unfolding } from "./calls/unfold.ts";
import { encodeRlp, RlpReader } from "./rlp.ts";
import type { EvmSignature } from "./signature.ts";
import {
  authorizationItems,
  readAuthorization,
  type Authorization,
  type SignedAuthorization,
} from "./transaction-fields.ts";

/** EIP-7702: MAGIC. */
const MAGIC = 0x05;

/**
 * The public key under which a signature is one of this digest: SEC 1 uncompressed, 65 bytes; undefined if there is none.
 * Given from outside, since decoding needs no curve but for this.
 */
export type RecoverPublicKey = (digest32: Uint8Array, signature: EvmSignature) => Uint8Array | undefined;

export const encodeAuthorization = (authorization: Authorization): Uint8Array =>
  encodeRlp(authorizationItems(authorization), [MAGIC]);

/**
 * Reads 0x05 ‖ rlp([chain_id, address, nonce]), whose Keccak an authority signs.
 * @throws {GatewayError} for anything but the one canonical encoding
 */
export function decodeAuthorization(unsigned: Uint8Array): Authorization {
  if (unsigned[0] !== MAGIC)
    throw new GatewayError("not-an-authorization", "expected an EIP-7702 authorization, beginning with 5");
  const reader = RlpReader.listIn(unsigned, 1, "authorization");
  const authorization = readAuthorization(reader, "authorization");
  reader.end("authorization");
  return authorization;
}

/** What it does to sign that authorization with this account; whoever has the signature decides when. */
export function intentOfAuthorization(authorization: Authorization, account: Account, registry: AssetRegistry): Intent {
  requireChain(authorization, account);
  const { native } = new Unfolding(registry, account, false);
  const { operation, claim } = delegation(authorization, account);
  return {
    chain: chainOf(account),
    account,
    operations: [operation],
    fee: { asset: native.symbol, max: 0n },
    claims: [claim],
  };
}

/** Whose account an authorization in a transaction of `sender` delegates. */
export function authorityOf(
  authorization: SignedAuthorization,
  sender: Account,
  recover: RecoverPublicKey | undefined,
): ReturnType<typeof delegation> {
  requireChain(authorization, sender);
  const digest32 = keccak_256(encodeAuthorization(authorization));
  const publicKey = recover?.(digest32, authorization);
  if (!publicKey) {
    throw new GatewayError("authority-unknown", "expected to find who signed an EIP-7702 authorization, found nobody");
  }
  const authority = evmAccount(evmChainId(chainOf(sender))!, addressOfPublicKey(publicKey));
  const { operation, claim } = delegation(authorization, authority);
  return { operation, claim: { ...claim, authorization: toHex(digest32) } };
}

function delegation(authorization: Authorization, authority: Account): { operation: Operation; claim: Claim } {
  const to = evmAccount(evmChainId(chainOf(authority))!, authorization.address);
  return {
    operation: { kind: "delegate", from: authority, to },
    claim: { kind: "evm-nonce", account: authority, nonce: authorization.nonce },
  };
}

/** I14: chain id 0 hands the account over on every chain at once. */
export function requireOneChain({ chainId }: Authorization): void {
  if (chainId !== 0n) return;
  throw new GatewayError("authorization-for-every-chain", "expected an authorization for one chain, found chain id 0");
}

function requireChain(authorization: Authorization, account: Account): void {
  requireOneChain(authorization);
  const { chainId } = authorization;
  if (evmChain(chainId) === chainOf(account)) return;
  throw new GatewayError(
    "wrong-chain",
    `expected an authorization for \`${chainOf(account)}\`, found chain id ${chainId}`,
    {
      facts: { expected: chainOf(account), found: evmChain(chainId) },
    },
  );
}
