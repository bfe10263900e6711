import { keccak_256 } from "@noble/hashes/sha3.js";
import { hexToBytes } from "@noble/hashes/utils.js";
import { readAnchor } from "../../domain/anchor.ts";
import type { AssetRegistry } from "../../domain/assets.ts";
import { addressOf, chainOf, evmChain, type Account } from "../../domain/chain.ts";
import { GatewayError } from "../../domain/errors.ts";
import { claimId, type Claim, type Intent, type Operation } from "../../domain/intent.ts";
import { ADDRESS_BYTES } from "./address.ts";
import { authorityOf, type RecoverPublicKey } from "./authorization.ts";
import { toHex } from "./bytes.ts";
import { transfer } from "./calls/amounts.ts";
import type { Call } from "./calls/meaning.ts";
import { Unfolding } from "./calls/unfold.ts";
import { encodeRlp, integerBytes } from "./rlp.ts";
import type { EvmTransaction } from "./transaction.ts";

/**
 * What a transaction would do when this account signs it: facts from the bytes, meanings from the pinned registry.
 * A call that cannot be decoded is an operation too (`call` without `method`); the policy decides on it as unbounded.
 * @param account the address of the key that would sign, on the chain it is meant for
 * @param recover finds who signed an EIP-7702 authorization; without it type 4 is refused
 * @throws {GatewayError} `no-replay-protection`, `wrong-chain`, `unknown-chain`, `priority-fee-above-max-fee`; calldata
 * that breaks the ABI at a pinned contract: `calldata-length`, `calldata-padding`, `calldata-offset`, `calldata-value`;
 * `unsafe-delegatecall`, `undecoded-refund`, `call-too-deep`, `too-many-operations`, `too-many-arguments`;
 * `authorization-for-every-chain`, `authority-unknown`
 */
export function intentOf(
  transaction: EvmTransaction,
  account: Account,
  registry: AssetRegistry,
  recover?: RecoverPublicKey,
): Intent {
  requireChain(transaction, account);
  const scene = new Unfolding(registry, account, true);
  const delegations = delegationsOf(transaction, account, recover);
  return {
    chain: chainOf(account),
    account,
    operations: [...operationsOf(transaction, account, scene), ...delegations.operations],
    fee: { asset: scene.native.symbol, max: feeMax(transaction, registry, account) },
    claims: once([{ kind: "evm-nonce", account, nonce: transaction.nonce }, ...delegations.claims]),
  };
}

function requireChain(transaction: EvmTransaction, account: Account): void {
  // I14: without EIP-155 the same bytes move the same money on every chain where the account has some.
  if (transaction.chainId === undefined) {
    throw new GatewayError("no-replay-protection", "expected a chain id, found a legacy transaction without EIP-155", {
      hint: "sign with EIP-155, or better as type 2 (EIP-1559)",
    });
  }
  const found = evmChain(transaction.chainId);
  if (found === chainOf(account)) return;
  throw new GatewayError("wrong-chain", `expected a transaction for \`${chainOf(account)}\`, found \`${found}\``, {
    facts: { expected: chainOf(account), found },
  });
}

/** EIP-4844: GAS_PER_BLOB. */
const GAS_PER_BLOB = 131_072n;

/** Everything besides the value that the bytes permit to be taken; value is a transfer. */
function feeMax(transaction: EvmTransaction, registry: AssetRegistry, account: Account): bigint {
  const execution = transaction.gasLimit * worstPrice(transaction);
  const blobs =
    transaction.type === "eip4844"
      ? BigInt(transaction.blobVersionedHashes.length) * GAS_PER_BLOB * transaction.maxFeePerBlobGas
      : 0n;
  return execution + blobs + (registry.l1FeeMax?.get(chainOf(account)) ?? 0n);
}

/** The most that one unit of gas can cost; a block's proposer may take all of it. */
function worstPrice(transaction: EvmTransaction): bigint {
  if ("gasPrice" in transaction) return transaction.gasPrice;
  const { maxFeePerGas, maxPriorityFeePerGas } = transaction;
  if (maxPriorityFeePerGas <= maxFeePerGas) return maxFeePerGas;
  // EIP-1559: no node takes it. Signed, it would burn the nonce's claim for nothing.
  throw new GatewayError(
    "priority-fee-above-max-fee",
    `expected a priority fee of at most ${maxFeePerGas} wei, found ${maxPriorityFeePerGas}`,
  );
}

function operationsOf(tx: EvmTransaction, from: Account, scene: Unfolding): readonly Operation[] {
  if (tx.to === undefined) return creation(tx, from, scene);
  const call = { from, to: scene.account(tx.to), value: tx.value, data: tx.data };
  const anchor = anchorIn(call, scene);
  return anchor ? [anchor] : scene.unfold(call);
}

/** Exactly a checkpoint, in a transaction that moves nothing and calls nobody: all else is a call like any other. */
function anchorIn({ from, to, value, data }: Call, { registry }: Unfolding): Operation | undefined {
  if (to !== from || value !== 0n || registry.contracts?.has(to) || registry.byContract.has(to)) return undefined;
  const text = new TextDecoder("latin1").decode(data);
  const anchor = readAnchor(text);
  if (!anchor) return undefined;
  return { kind: "message", from, format: "anchor", text, anchor: { ...anchor, size: String(anchor.size) } };
}

/** Yellow Paper, equation 88: the new account's address is the Keccak of sender and nonce. */
function creation(tx: EvmTransaction, from: Account, scene: Unfolding): readonly Operation[] {
  const name = keccak_256(encodeRlp([hexToBytes(addressOf(from).slice(2)), integerBytes(tx.nonce)]));
  const creates = scene.account(toHex(name.subarray(-ADDRESS_BYTES)));
  const deploy: Operation = { kind: "deploy", from, creates, codeHash: toHex(keccak_256(tx.data)) };
  return tx.value === 0n ? [deploy] : [deploy, transfer(scene.native, from, creates, tx.value)];
}

type Delegations = { readonly operations: readonly Operation[]; readonly claims: readonly Claim[] };

/**
 * Of two authorizations with one nonce the chain skips the second: both are told, the nonce is claimed once. The first
 * claim stands, so that the transaction's own nonce is never taken for that of an authorization signed before.
 */
const once = (claims: readonly Claim[]): readonly Claim[] =>
  [...new Map(claims.toReversed().map((claim) => [claimId(claim), claim])).values()].toReversed();

/** EIP-7702: each authorization gives its signer's account the code of another, and uses up one of its nonces. */
function delegationsOf(tx: EvmTransaction, account: Account, recover: RecoverPublicKey | undefined): Delegations {
  if (tx.type !== "eip7702") return { operations: [], claims: [] };
  const parts = tx.authorizationList.map((authorization) => authorityOf(authorization, account, recover));
  return { operations: parts.map((part) => part.operation), claims: parts.map((part) => part.claim) };
}
