import assert from "node:assert/strict";
import { getCreateAddress, hashAuthorization, SigningKey, Wallet } from "ethers";
import { encodeFunctionData, erc20Abi, keccak256, serializeTransaction, type TransactionSerializable } from "viem";
import type { RecoverPublicKey } from "../../../../src/chains/evm/authorization.ts";
import { intentOf } from "../../../../src/chains/evm/intent.ts";
import { decodeUnsigned } from "../../../../src/chains/evm/transaction.ts";
import type { AssetRegistry } from "../../../../src/domain/assets.ts";
import { chainOf } from "../../../../src/domain/chain.ts";
import { bytesOf, hexOf } from "./arbitraries.ts";
import { account, OTHER, OWN, registry, USDC } from "./registry.ts";
import { refusal } from "./refusal.ts";

// Goal: an intent says what the bytes do, at the worst price they permit, and nothing is guessed.

const base = {
  type: "eip1559",
  chainId: 1,
  nonce: 7,
  gas: 60_000n,
  maxFeePerGas: 30n,
  maxPriorityFeePerGas: 2n,
} as const;
const transferCall = encodeFunctionData({ abi: erc20Abi, functionName: "transfer", args: [OTHER, 12_500_000n] });
const unsignedOf = (transaction: TransactionSerializable) => bytesOf(serializeTransaction(transaction));
/** ethers finds who signed an authorization. */
const recover: RecoverPublicKey = (digest, { r32, s32, yParity }) =>
  bytesOf(SigningKey.recoverPublicKey(digest, { r: hexOf(r32), s: hexOf(s32), yParity }));
const intent = (transaction: TransactionSerializable, known: AssetRegistry = registry) =>
  intentOf(decodeUnsigned(unsignedOf(transaction)), account(OWN), known, recover);
const ether = (to: string, amount: bigint) => ({
  kind: "transfer",
  asset: "ETH",
  from: account(OWN),
  to: account(to),
  amount,
});

describe("chains/evm/intent", () => {
  it("a payment in ether", () => {
    assert.deepEqual(intent({ ...base, to: OTHER, value: 5n }), {
      chain: "eip155:1",
      account: account(OWN),
      operations: [ether(OTHER, 5n)],
      fee: { asset: "ETH", max: 1_800_000n },
      claims: [{ kind: "evm-nonce", account: account(OWN), nonce: 7n }],
    });
  });

  it("a payment in a pinned token names the person paid, not the contract", () => {
    assert.deepEqual(intent({ ...base, to: USDC, data: transferCall }).operations, [
      { kind: "transfer", asset: "USDC", from: account(OWN), to: account(OTHER), amount: 12_500_000n },
    ]);
  });

  it("ether sent along with a token's transfer is a transfer besides", () => {
    const { operations } = intent({ ...base, to: USDC, data: transferCall, value: 3n });
    assert.equal(operations.length, 2);
    assert.deepEqual(operations[1], ether(USDC, 3n));
  });

  it("nothing to oneself is a transfer of zero, which frees a nonce", () => {
    assert.deepEqual(intent({ ...base, to: OWN }).operations, [ether(OWN, 0n)]);
  });

  it("the fee is the gas limit at the gas price where there is one", () => {
    const rest = { chainId: 1, nonce: 7, gas: 60_000n } as const;
    assert.equal(intent({ ...rest, type: "legacy", gasPrice: 11n, to: OTHER }).fee.max, 660_000n);
    assert.equal(intent({ ...rest, type: "eip2930", gasPrice: 11n, to: OTHER }).fee.max, 660_000n);
  });

  it("a contract creation names the account that the contract will have, and the ether it gets", () => {
    const creates = account(getCreateAddress({ from: OWN, nonce: 7 }));
    const operations = intent({ ...base, data: "0x6000", value: 3n }).operations;
    assert.deepEqual(operations, [
      { kind: "deploy", from: account(OWN), creates, codeHash: keccak256("0x6000") },
      { ...ether(OTHER, 3n), to: creates },
    ]);
  });

  it("blobs cost their gas at their own price", () => {
    const blobVersionedHashes = [`0x01${"00".repeat(31)}`, `0x01${"11".repeat(31)}`] as const;
    const blobs = { ...base, type: "eip4844", to: OTHER, maxFeePerBlobGas: 5n, blobVersionedHashes } as const;
    assert.equal(intent(blobs).fee.max, 60_000n * 30n + 2n * 131_072n * 5n);
  });

  it("a chain that charges for publishing adds the bound that the registry has for it", () => {
    const l1FeeMax = new Map([[chainOf(account(OWN)), 1000n]]);
    assert.equal(intent({ ...base, to: OTHER }, { ...registry, l1FeeMax }).fee.max, 1_801_000n);
  });

  describe("delegations (EIP-7702)", () => {
    const authority = new Wallet(`0x${"33".repeat(32)}`);
    const delegating = (chainId: number, nonce = 3) => {
      const { address, signature } = authority.authorizeSync({ address: OTHER, nonce, chainId });
      const { r, s, yParity } = signature;
      return {
        ...base,
        type: "eip7702",
        to: OWN,
        authorizationList: [{ address, nonce, chainId, r, s, yParity }],
      } as TransactionSerializable;
    };

    it("the signer's account is handed over, and its nonce is used up", () => {
      const { operations, claims } = intent(delegating(1));
      assert.deepEqual(operations, [
        ether(OWN, 0n),
        { kind: "delegate", from: account(authority.address), to: account(OTHER) },
      ]);
      assert.deepEqual(claims, [
        { kind: "evm-nonce", account: account(OWN), nonce: 7n },
        {
          kind: "evm-nonce",
          account: account(authority.address),
          nonce: 3n,
          authorization: hashAuthorization({ address: OTHER, nonce: 3, chainId: 1 }),
        },
      ]);
    });

    it("the transaction's own nonce is claimed as such, whatever authorization names it too", () => {
      const transaction = decodeUnsigned(unsignedOf(delegating(1, 7)));
      const { claims } = intentOf(transaction, account(authority.address), registry, recover);
      assert.deepEqual(claims, [{ kind: "evm-nonce", account: account(authority.address), nonce: 7n }]);
    });

    it("an authorization for every chain is refused", () =>
      assert.equal(
        refusal(() => intent(delegating(0))),
        "authorization-for-every-chain",
      ));
    it("an authorization for another chain is refused", () =>
      assert.equal(
        refusal(() => intent(delegating(137))),
        "wrong-chain",
      ));
    it("nobody to ask who signed: refused", () => {
      assert.equal(
        refusal(() => intentOf(decodeUnsigned(unsignedOf(delegating(1))), account(OWN), registry)),
        "authority-unknown",
      );
    });
  });

  const refused: [string, TransactionSerializable, string][] = [
    [
      "a legacy transaction that every chain would take",
      { type: "legacy", nonce: 7, gas: 1n, gasPrice: 1n, to: OTHER },
      "no-replay-protection",
    ],
    ["a transaction for another chain", { ...base, chainId: 137, to: OTHER }, "wrong-chain"],
  ];
  for (const [name, transaction, code] of refused) {
    it(`refuses ${name}: ${code}`, () =>
      assert.equal(
        refusal(() => intent(transaction)),
        code,
      ));
  }

  it("refuses a priority fee above the maximum", () => {
    const bytes = Uint8Array.from(Buffer.from("02c901800201808080" + "80c0", "hex"));
    const transaction = { ...decodeUnsigned(bytes), to: OTHER };
    assert.equal(
      refusal(() => intentOf(transaction, account(OWN), registry)),
      "priority-fee-above-max-fee",
    );
  });

  it("refuses a chain whose native asset the registry does not name", () => {
    const empty = { ...registry, nativeOf: new Map() };
    const bytes = Uint8Array.from(Buffer.from(serializeTransaction({ ...base, to: OTHER }).slice(2), "hex"));
    assert.equal(
      refusal(() => intentOf(decodeUnsigned(bytes), account(OWN), empty)),
      "unknown-chain",
    );
  });
});
