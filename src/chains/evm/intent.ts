import { bytesToHex } from "@noble/hashes/utils.js";
import type { Asset, AssetRegistry } from "../../domain/assets.ts";
import { addressOf, chainOf, evmChain, type Account } from "../../domain/chain.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { Intent, Operation } from "../../domain/intent.ts";
import { evmAccount } from "./address.ts";
import type { EvmTransaction } from "./transaction.ts";

/**
 * What a transaction would do when this account signs it: facts from the bytes, meanings from the pinned registry.
 * @param account the address of the key that would sign, on the chain it is meant for
 * @throws {GatewayError} `no-replay-protection`, `wrong-chain`, `unknown-chain`, `priority-fee-above-max-fee`, and what
 * cannot be known: `contract-creation`, `undecoded-call`, `calldata-length`, `calldata-padding`
 */
export function intentOf(transaction: EvmTransaction, account: Account, registry: AssetRegistry): Intent {
  requireChain(transaction, account);
  const native = registry.nativeOf.get(chainOf(account));
  if (!native) {
    throw new GatewayError("unknown-chain", `expected \`${chainOf(account)}\` in the asset registry, found nothing`, {
      hint: "name the chain's native asset in the asset registry",
    });
  }
  return {
    chain: chainOf(account),
    account,
    operations: operationsOf(transaction, account, native, registry),
    fee: { asset: native.symbol, max: transaction.gasLimit * worstPrice(transaction) },
    claims: [{ kind: "evm-nonce", account, nonce: transaction.nonce }],
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

/** The most that one unit of gas can cost; a block's proposer may take all of it. */
function worstPrice(transaction: EvmTransaction): bigint {
  if (transaction.type !== "eip1559") return transaction.gasPrice;
  const { maxFeePerGas, maxPriorityFeePerGas } = transaction;
  if (maxPriorityFeePerGas <= maxFeePerGas) return maxFeePerGas;
  // EIP-1559: no node takes it. Signed, it would burn the nonce's claim for nothing.
  throw new GatewayError(
    "priority-fee-above-max-fee",
    `expected a priority fee of at most ${maxFeePerGas} wei, found ${maxPriorityFeePerGas}`,
  );
}

function operationsOf(tx: EvmTransaction, from: Account, native: Asset, registry: AssetRegistry): readonly Operation[] {
  if (tx.to === undefined) {
    throw new GatewayError("contract-creation", "expected a recipient, found a contract creation", {
      hint: "this gateway does not sign contract creations",
    });
  }
  const to = evmAccount(tx.chainId!, tx.to);
  const ether: Operation = { kind: "transfer", asset: native.symbol, from, to, amount: tx.value };
  // Nothing sent and nothing said is a transfer of zero: how a stuck nonce is freed.
  if (tx.data.length === 0) return [ether];
  const call = callOperation(tx.data, from, to, registry);
  return tx.value === 0n ? [call] : [call, ether];
}

/** ERC-20 `transfer(address,uint256)`: a selector is four bytes of a hash, so it has this meaning at pinned tokens only. */
const TRANSFER = "a9059cbb";
const SELECTOR_BYTES = 4;
const WORD_BYTES = 32;

function callOperation(data: Uint8Array, from: Account, to: Account, registry: AssetRegistry): Operation {
  const selector = bytesToHex(data.subarray(0, SELECTOR_BYTES));
  const asset = registry.byContract.get(to);
  if (asset?.standard !== "erc20" || selector !== TRANSFER) throw undecoded(selector, to, asset);
  requireLength(data, SELECTOR_BYTES + 2 * WORD_BYTES);
  const recipient = addressWord(data, 0);
  const amount = BigInt(`0x${bytesToHex(wordAt(data, 1))}`);
  return { kind: "transfer", asset: asset.symbol, from, to: evmAccount(chainNumber(to), recipient), amount };
}

const chainNumber = (account: Account): bigint => BigInt(chainOf(account).slice("eip155:".length));

/** Bytes behind the arguments are read by no standard token, but by some contracts: what is not understood is refused. */
function requireLength(data: Uint8Array, expected: number): void {
  if (data.length === expected) return;
  throw new GatewayError("calldata-length", `expected ${expected} bytes of calldata, found ${data.length}`, {
    facts: { expected, found: data.length },
  });
}

const wordAt = (data: Uint8Array, index: number): Uint8Array =>
  data.subarray(SELECTOR_BYTES + index * WORD_BYTES, SELECTOR_BYTES + (index + 1) * WORD_BYTES);

/** The ABI leaves the upper twelve bytes zero. Old contracts ignore them, newer ones revert: one spelling is enough. */
function addressWord(data: Uint8Array, index: number): Uint8Array {
  const word = wordAt(data, index);
  if (word.subarray(0, 12).every((byte) => byte === 0)) return word.subarray(12);
  throw new GatewayError("calldata-padding", "expected an address padded with zeros in calldata", {
    facts: { argument: index },
  });
}

function undecoded(selector: string, to: Account, asset: Asset | undefined): GatewayError {
  const where = asset ? `\`${asset.symbol}\`` : "a contract that the asset registry does not name";
  return new GatewayError(
    "undecoded-call",
    `expected a call that can be decoded, found \`0x${selector}\` at ${where}`,
    {
      facts: { to, selector: `0x${selector}` },
      hint: asset
        ? "of a token, `transfer` alone is understood"
        : `pin ${addressOf(to)} in the asset registry with its symbol and decimals`,
    },
  );
}
