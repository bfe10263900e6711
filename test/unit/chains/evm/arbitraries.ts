import fc from "fast-check";
import { getAddress } from "ethers";
import type { EvmTransaction } from "../../../../src/chains/evm/transaction.ts";

/* Generated input for the EVM codecs. Checksums come from ethers: an oracle is never the code under test. */

export const hexOf = (bytes: Uint8Array): `0x${string}` => `0x${Buffer.from(bytes).toString("hex")}`;

/** Widths matter more than values: each bit length is as likely as the next. */
export const uint = (bits: number): fc.Arbitrary<bigint> =>
  fc.integer({ min: 0, max: bits }).chain((width) => fc.bigInt({ min: 0n, max: (1n << BigInt(width)) - 1n }));

export const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength });
export const fixedBytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
export const address: fc.Arbitrary<string> = fixedBytes(20).map((value) => getAddress(hexOf(value)));

/** Plain objects: that is what is compared with. */
const record = <T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true });

const accessList = fc.array(record({ address, storageKeys: fc.array(fixedBytes(32).map(hexOf), { maxLength: 3 }) }), {
  maxLength: 3,
});

const chainId = uint(52).map((id) => id + 1n);
const common = {
  nonce: uint(52),
  gasLimit: uint(52),
  to: fc.option(address, { nil: undefined }),
  value: uint(256),
  data: bytes(300),
};

export const transaction: fc.Arbitrary<EvmTransaction> = fc.oneof(
  record({
    type: fc.constant("legacy" as const),
    chainId: fc.option(chainId, { nil: undefined }),
    gasPrice: uint(256),
    ...common,
  }),
  record({ type: fc.constant("eip2930" as const), chainId, gasPrice: uint(256), accessList, ...common }),
  record({
    type: fc.constant("eip1559" as const),
    chainId,
    maxFeePerGas: uint(256),
    maxPriorityFeePerGas: uint(256),
    accessList,
    ...common,
  })
    // viem and ethers refuse to write a priority fee above the maximum.
    .filter((value) => value.maxPriorityFeePerGas <= value.maxFeePerGas),
);
