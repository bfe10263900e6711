import type { Payload } from "../domain/api.ts";
import type { AssetRegistry } from "../domain/assets.ts";
import { evmChainId, type Account, type ChainId } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import { claimId, type Intent } from "../domain/intent.ts";
import { completeTransaction, parseFields } from "../chains/evm/fields.ts";
import { intentOf } from "../chains/evm/intent.ts";
import {
  decodeSigned,
  decodeUnsigned,
  encodeSigned,
  encodeUnsigned,
  signingDigest,
  transactionHash,
} from "../chains/evm/transaction.ts";
import type { KeyRow } from "./ports.ts";
import type { RecoverableSignature } from "./verify.ts";

/** A payload that is ready to be decided: these bytes, what they would do, what would be signed. */
export type Understood = { readonly unsigned: Uint8Array; readonly intent: Intent; readonly digest32: Uint8Array };

/**
 * A payload that was read. What the caller left out is filled by `understand`, as late as the moment of the decision,
 * so that waiting never makes the bytes stale.
 */
export type ReadPayload = {
  /** The account whose next nonce `understand` wants, where the caller left it out. */
  readonly nonceOf?: Account;
  /** What is claimed for certain, as the store names it: only so that it can be looked up early. */
  readonly claims: readonly string[];
  readonly understand: (nonce?: bigint) => Understood;
  /** Reads bytes that were authorized before. */
  readonly understandBytes: (unsigned: Uint8Array) => Understood;
};

export type PayloadContext = { readonly key: KeyRow; readonly registry: AssetRegistry };

/**
 * Step 1 for every kind of payload.
 * @throws {GatewayError} whatever the decoder refuses, by its own code
 */
export function readPayload(payload: Payload, context: PayloadContext): ReadPayload {
  if (context.key.purpose !== "transactions") {
    throw new GatewayError(
      "wrong-purpose",
      `expected a key made for transactions, found \`${context.key.name}\`, made for raw digests`,
    );
  }
  switch (payload.type) {
    case "evm-transaction": {
      if (payload.unsigned !== undefined) {
        const understood = understandEvm(Buffer.from(payload.unsigned.slice(2), "hex"), context);
        return {
          claims: understood.intent.claims.map(claimId),
          understand: () => understood,
          understandBytes: (unsigned) => understandEvm(unsigned, context),
        };
      }
      return readEvmFields(payload.transaction, context);
    }
    default:
      return payload.type satisfies never;
  }
}

function readEvmFields(fields: unknown, context: PayloadContext): ReadPayload {
  const partial = parseFields(fields);
  const chainId = partial.chainId ?? onlyChain(context.key);
  const account = accountOn(context.key, `eip155:${chainId}` as ChainId);
  return {
    ...(partial.nonce === undefined ? { nonceOf: account } : {}),
    claims: partial.nonce === undefined ? [] : [claimId({ kind: "evm-nonce", account, nonce: partial.nonce })],
    understand: (nonce) => {
      const filled = { chainId, ...(nonce === undefined ? {} : { nonce }) };
      return understandEvm(encodeUnsigned(completeTransaction(partial, filled)), context);
    },
    understandBytes: (unsigned) => understandEvm(unsigned, context),
  };
}

function onlyChain(key: KeyRow): bigint {
  const [chain, ...others] = key.chains;
  if (chain === undefined || others.length > 0) {
    throw new GatewayError("missing-field", "expected `chainId`: this key lives on several chains", {
      facts: { fields: ["chainId"], chains: key.chains },
    });
  }
  return evmChainId(chain)!;
}

/** I14: the key's own network, never the request's. */
function accountOn(key: KeyRow, chain: ChainId): Account {
  const index = key.chains.indexOf(chain);
  const account = key.accounts.find((candidate) => candidate.startsWith(`${chain}:`));
  if (index < 0 || !account) {
    throw new GatewayError(
      "wrong-chain",
      `expected a transaction for ${key.chains.map((own) => `\`${own}\``).join(" or ")}, found \`${chain}\``,
      {
        facts: { expected: key.chains, found: chain },
      },
    );
  }
  return account;
}

function understandEvm(unsigned: Uint8Array, { key, registry }: PayloadContext): Understood {
  const transaction = decodeUnsigned(unsigned);
  if (transaction.chainId === undefined) {
    throw new GatewayError("no-replay-protection", "expected a chain id, found a legacy transaction without EIP-155", {
      hint: "sign with EIP-155, or better as type 2 (EIP-1559)",
    });
  }
  const account = accountOn(key, `eip155:${transaction.chainId}` as ChainId);
  return { unsigned, intent: intentOf(transaction, account, registry), digest32: signingDigest(unsigned) };
}

export type SignedPayload = {
  readonly signature: string;
  readonly signedTransaction: string;
  readonly transactionHash: string;
};

/**
 * Step 6, the last part: the chain's own encoding of the signed payload, decoded again.
 * @throws {GatewayError} `signed-differs` if what would leave is not exactly what was authorized (I3)
 */
export function encodeSignedPayload(unsigned: Uint8Array, signature: RecoverableSignature): SignedPayload {
  const raw = encodeSigned(decodeUnsigned(unsigned), signature);
  if (Buffer.compare(encodeUnsigned(decodeSigned(raw).transaction), unsigned) !== 0) {
    throw new GatewayError("signed-differs", "the signed transaction does not decode to the one that was authorized");
  }
  const hex = (...parts: Uint8Array[]) => `0x${Buffer.concat(parts).toString("hex")}`;
  return {
    signature: hex(signature.r32, signature.s32, Uint8Array.of(27 + signature.yParity)),
    signedTransaction: hex(raw),
    transactionHash: transactionHash(raw),
  };
}
