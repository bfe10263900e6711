import assert from "node:assert/strict";
import { encodeFunctionData, erc20Abi, serializeTransaction, type TransactionSerializable } from "viem";
import { intentOf } from "../../../../src/chains/evm/intent.ts";
import { decodeUnsigned } from "../../../../src/chains/evm/transaction.ts";
import { account, OTHER, OWN, registry, UNPINNED, USDC } from "./registry.ts";
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
const intent = (transaction: TransactionSerializable) => {
  const bytes = Uint8Array.from(Buffer.from(serializeTransaction(transaction).slice(2), "hex"));
  return intentOf(decodeUnsigned(bytes), account(OWN), registry);
};
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

  const call = (data: string) => ({ ...base, to: USDC, data: data as `0x${string}` }) as const;
  const refused: [string, TransactionSerializable, string][] = [
    [
      "a legacy transaction that every chain would take",
      { type: "legacy", nonce: 7, gas: 1n, gasPrice: 1n, to: OTHER },
      "no-replay-protection",
    ],
    ["a transaction for another chain", { ...base, chainId: 137, to: OTHER }, "wrong-chain"],
    ["a contract creation", { ...base, data: "0x6000" }, "contract-creation"],
    ["a call of a contract that is not pinned", { ...base, to: UNPINNED, data: transferCall }, "undecoded-call"],
    ["a call to oneself", { ...base, to: OWN, data: transferCall }, "undecoded-call"],
    [
      "another function of a token",
      call(encodeFunctionData({ abi: erc20Abi, functionName: "transferFrom", args: [OTHER, OWN, 1n] })),
      "undecoded-call",
    ],
    ["half a selector", call("0xa905"), "undecoded-call"],
    ["a transfer without its last byte", call(transferCall.slice(0, -2)), "calldata-length"],
    ["a transfer with a byte more", call(`${transferCall}00`), "calldata-length"],
    ["a transfer with a dirty address", call(transferCall.replace("a9059cbb00", "a9059cbb01")), "calldata-padding"],
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
