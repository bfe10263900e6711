import { getAddress, Signature, SigningKey } from "ethers";
import fc from "fast-check";
import type { EvmTransaction } from "../../../../src/chains/evm/transaction.ts";

/* Generated input for the EVM codecs. Checksums and signatures come from ethers: an oracle is never the code under test. */

export const hexOf = (bytes: Uint8Array): `0x${string}` => `0x${Buffer.from(bytes).toString("hex")}`;
export const bytesOf = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replace(/^0x/, ""), "hex"));

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
  value: uint(256),
  data: bytes(300),
};
const to = fc.option(address, { nil: undefined });

// viem and ethers refuse to write a priority fee above the maximum.
const fees = fc
  .tuple(uint(256), uint(256))
  .map(([one, other]): [bigint, bigint] => (one < other ? [one, other] : [other, one]));
const dynamicFee = <T>(own: { [K in keyof T]: fc.Arbitrary<T[K]> }) =>
  fc
    .tuple(fees, record({ chainId, accessList, ...common }))
    .chain(([[maxPriorityFeePerGas, maxFeePerGas], shared]) =>
      record(own).map((rest) => ({ ...shared, maxPriorityFeePerGas, maxFeePerGas, ...rest })),
    );

/** Of any 32 bytes: recovery finds some signer for most of them, and where it does not, nobody asks here. */
const signer = new SigningKey(`0x${"22".repeat(32)}`);
export const signature = fixedBytes(32).map((digest) => {
  const { r, s, yParity } = Signature.from(signer.sign(digest));
  return { r32: bytesOf(r), s32: bytesOf(s), yParity };
});
const authorization = fc
  .tuple(record({ chainId: uint(52), address, nonce: uint(52) }), signature)
  .map(([unsigned, signed]) => ({ ...unsigned, ...signed }));

const blobHash = fixedBytes(31).map((value) => `0x01${hexOf(value).slice(2)}`);

export const transaction: fc.Arbitrary<EvmTransaction> = fc.oneof(
  record({
    type: fc.constant("legacy" as const),
    chainId: fc.option(chainId, { nil: undefined }),
    gasPrice: uint(256),
    to,
    ...common,
  }),
  record({ type: fc.constant("eip2930" as const), chainId, gasPrice: uint(256), accessList, to, ...common }),
  dynamicFee({ type: fc.constant("eip1559" as const), to }),
  dynamicFee({
    type: fc.constant("eip4844" as const),
    to: address,
    maxFeePerBlobGas: uint(256),
    blobVersionedHashes: fc.array(blobHash, { minLength: 1, maxLength: 6 }),
  }),
  dynamicFee({
    type: fc.constant("eip7702" as const),
    to: address,
    authorizationList: fc.array(authorization, { minLength: 1, maxLength: 3 }),
  }),
);
