import assert from "node:assert/strict";
import fc from "fast-check";
import { Transaction } from "micro-eth-signer";
import { serializeTransaction } from "viem";
import { decodeUnsigned } from "../../src/chains/evm/transaction.ts";
import { runs } from "../unit/chains/evm/runs.ts";

// Goal: a third library, which shares no code with ethers and viem, reads the same of the same bytes.
// Method: random EIP-1559 transactions, written by viem, read by micro-eth-signer and by us.

const uint = (bits: number) => fc.bigInt(0n, (1n << BigInt(bits)) - 1n);
const hex = (bytes: Uint8Array) => `0x${Buffer.from(bytes).toString("hex")}` as const;

describe("property: micro-eth-signer", () => {
  it("reads the fields of a type 2 transaction as we do", () => {
    const fields = fc.record({
      nonce: fc.integer({ min: 0, max: 1_000_000 }),
      gas: fc.integer({ min: 21_000, max: 30_000_000 }).map(BigInt),
      fee: fc.integer({ min: 1, max: 10_000 }).map((gwei) => BigInt(gwei) * 10n ** 9n),
      value: uint(66),
      to: fc.uint8Array({ minLength: 20, maxLength: 20 }).map(hex),
      data: fc.uint8Array({ maxLength: 300 }).map(hex),
    });
    fc.assert(
      fc.property(fields, ({ nonce, gas, fee, value, to, data }) => {
        const written = serializeTransaction({
          chainId: 1,
          nonce,
          gas,
          maxFeePerGas: fee,
          maxPriorityFeePerGas: 1n,
          value,
          to,
          data,
        });
        const { raw } = Transaction.fromHex(written.slice(2));
        assert.ok("maxFeePerGas" in raw);
        const ours = decodeUnsigned(Buffer.from(written.slice(2), "hex"));
        assert.ok(ours.type === "eip1559");
        assert.deepEqual(
          [
            ours.chainId,
            ours.nonce,
            ours.gasLimit,
            ours.maxFeePerGas,
            ours.value,
            ours.to?.toLowerCase(),
            hex(ours.data),
          ],
          [
            raw.chainId,
            raw.nonce,
            raw.gasLimit,
            raw.maxFeePerGas,
            raw.value,
            raw.to.toLowerCase(),
            raw.data === "" ? "0x" : raw.data,
          ],
        );
      }),
      { numRuns: runs(300) },
    );
  });
});
