import type { Payload } from "../domain/api.ts";
import type { AssetRegistry } from "../domain/assets.ts";
import { evmChainId, rawAccount, type Account, type ChainId } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import { claimId, type Intent } from "../domain/intent.ts";
import { intentOfRawDigest } from "../domain/raw.ts";
import {
  decodeAuthorization,
  encodeAuthorization,
  intentOfAuthorization,
  requireOneChain,
} from "../chains/evm/authorization.ts";
import { completeTransaction, parseFields, parseUnsignedAuthorization, type Filling } from "../chains/evm/fields.ts";
import { intentOf } from "../chains/evm/intent.ts";
import {
  decodeSigned,
  decodeUnsigned,
  encodeSigned,
  encodeUnsigned,
  signingDigest,
  transactionHash,
} from "../chains/evm/transaction.ts";
import { intentOfMessage, messageBytes, messageDigest } from "../chains/evm/message.ts";
import { intentOfTypedData } from "../chains/evm/typed-data-intent.ts";
import { parseTypedData } from "../chains/evm/typed-data.ts";
import type { KeyRow } from "./ports.ts";
import { recoverSecp256k1, type VerifiedSignature } from "./verify.ts";

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
  readonly understand: (filling?: Filling) => Understood;
  /** Reads bytes that were authorized before. */
  readonly understandBytes: (unsigned: Uint8Array) => Understood;
};

export type PayloadContext = { readonly key: KeyRow; readonly registry: AssetRegistry };

/**
 * Step 1 for every kind of payload.
 * @throws {GatewayError} whatever the decoder refuses, by its own code
 */
export function readPayload(payload: Payload, context: PayloadContext): ReadPayload {
  requirePurpose(payload.type === "raw-digest" ? "raw" : "transactions", context.key);
  switch (payload.type) {
    case "evm-transaction": {
      if (payload.unsigned !== undefined) {
        const bytes = Buffer.from(payload.unsigned.slice(2), "hex");
        return readWhole(bytes, (unsigned) => understandEvm(unsigned, context));
      }
      return readEvmFields(payload.transaction, context);
    }
    case "evm-typed-data": {
      // Read before it is written: what is nested too deeply is refused, and never walked by a recursion.
      parseTypedData(payload.typedData);
      const bytes = Buffer.from(JSON.stringify(payload.typedData));
      return readWhole(bytes, (document) => understandTypedData(document, payload.chain, context));
    }
    case "evm-message":
      return readWhole(messageBytes(payload.message), (bytes) => understandMessage(bytes, payload.chain, context));
    case "evm-authorization":
      return readWhole(encodeAuthorization(parseUnsignedAuthorization(payload)), (unsigned) =>
        understandAuthorization(unsigned, context),
      );
    case "raw-digest":
      return readWhole(Buffer.from(payload.digest.slice(2), "hex"), (digest) => understandRaw(digest, context));
    default:
      return payload satisfies never;
  }
}

const MADE_FOR = { transactions: "transactions", raw: "raw digests" } as const;

/** I3: fixed at creation, and the two never meet: no digest that a caller chooses is ever signed by a key with funds. */
function requirePurpose(purpose: KeyRow["purpose"], key: KeyRow): void {
  if (key.purpose === purpose) return;
  throw new GatewayError(
    "wrong-purpose",
    `expected a key made for ${MADE_FOR[purpose]}, found \`${key.name}\`, made for ${MADE_FOR[key.purpose]}`,
  );
}

/** A payload of which nothing was left out. */
function readWhole(bytes: Uint8Array, understandBytes: ReadPayload["understandBytes"]): ReadPayload {
  const understood = understandBytes(bytes);
  return { claims: understood.intent.claims.map(claimId), understand: () => understood, understandBytes };
}

function readEvmFields(fields: unknown, context: PayloadContext): ReadPayload {
  const partial = parseFields(fields);
  const chainId = partial.chainId ?? evmChainId(onlyChain(context.key, "chainId"))!;
  const account = accountOn(context.key, `eip155:${chainId}` as ChainId);
  return {
    ...(partial.nonce === undefined ? { nonceOf: account } : {}),
    claims: partial.nonce === undefined ? [] : [claimId({ kind: "evm-nonce", account, nonce: partial.nonce })],
    understand: (filling = {}) =>
      understandEvm(encodeUnsigned(completeTransaction(partial, { ...filling, chainId })), context),
    understandBytes: (unsigned) => understandEvm(unsigned, context),
  };
}

function onlyChain(key: KeyRow, field: string): ChainId {
  const [chain, ...others] = key.chains;
  if (chain === undefined || others.length > 0) {
    throw new GatewayError("missing-field", `expected \`${field}\`: this key lives on several chains`, {
      facts: { fields: [field], chains: key.chains },
    });
  }
  return chain;
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
  return {
    unsigned,
    intent: intentOf(transaction, account, registry, recoverSecp256k1),
    digest32: signingDigest(unsigned),
  };
}

/** @param bytes the document as JSON, in UTF-8 */
function understandTypedData(
  bytes: Uint8Array,
  chain: string | undefined,
  { key, registry }: PayloadContext,
): Understood {
  const data = parseTypedData(JSON.parse(Buffer.from(bytes).toString("utf8")));
  const { chainId } = data.domain;
  const named = chain ?? (chainId === undefined ? onlyChain(key, "chain") : `eip155:${chainId}`);
  const account = accountOn(key, named as ChainId);
  return { unsigned: bytes, intent: intentOfTypedData(data, account, registry), digest32: data.digest32 };
}

function understandMessage(
  bytes: Uint8Array,
  chain: string | undefined,
  { key, registry }: PayloadContext,
): Understood {
  const account = accountOn(key, (chain ?? onlyChain(key, "chain")) as ChainId);
  return { unsigned: bytes, intent: intentOfMessage(bytes, account, registry), digest32: messageDigest(bytes) };
}

function understandAuthorization(unsigned: Uint8Array, { key, registry }: PayloadContext): Understood {
  const authorization = decodeAuthorization(unsigned);
  requireOneChain(authorization);
  const account = accountOn(key, `eip155:${authorization.chainId}` as ChainId);
  return {
    unsigned,
    intent: intentOfAuthorization(authorization, account, registry),
    digest32: signingDigest(unsigned),
  };
}

const understandRaw = (digest: Uint8Array, { key }: PayloadContext): Understood => ({
  unsigned: digest,
  intent: intentOfRawDigest(digest, rawAccount(key.curve, key.publicKey)),
  digest32: digest,
});

export type SignedPayload = {
  /** r ‖ s ‖ v, 65 bytes: as EIP-191 and EIP-712 signatures are checked by contracts and libraries; 64 on other curves. */
  readonly signature: string;
  readonly signedTransaction?: string;
  readonly transactionHash?: string;
};

const hex = (...parts: Uint8Array[]) => `0x${Buffer.concat(parts).toString("hex")}`;

/**
 * Step 6, the last part: the chain's own encoding of the signed payload, decoded again.
 * @throws {GatewayError} `signed-differs` if what would leave is not exactly what was authorized (I3)
 */
export function encodeSignedPayload(type: string, unsigned: Uint8Array, made: VerifiedSignature): SignedPayload {
  const { r32, s32, yParity } = made;
  // Of a curve that no chain here uses: such a key signs raw digests alone.
  if (yParity === undefined) return { signature: hex(r32, s32) };
  const signature = hex(r32, s32, Uint8Array.of(27 + yParity));
  if (type !== "evm-transaction") return { signature };
  const raw = encodeSigned(decodeUnsigned(unsigned), { r32, s32, yParity });
  if (Buffer.compare(encodeUnsigned(decodeSigned(raw).transaction), unsigned) !== 0) {
    throw new GatewayError("signed-differs", "the signed transaction does not decode to the one that was authorized");
  }
  return { signature, signedTransaction: hex(raw), transactionHash: transactionHash(raw) };
}
