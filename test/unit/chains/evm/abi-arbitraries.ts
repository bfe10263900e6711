import fc from "fast-check";
import type { AbiParameter } from "../../../../src/domain/assets.ts";
import type { AbiValue } from "../../../../src/chains/evm/abi.ts";
import { address, fixedBytes, hexOf } from "./arbitraries.ts";

/* Generated types of the contract ABI, with values of them. */

export type Typed = { readonly parameter: AbiParameter; readonly value: fc.Arbitrary<AbiValue> };

const widths = fc.integer({ min: 1, max: 32 }).map((bytes) => bytes * 8);
const well = fc.string({ unit: "binary", maxLength: 40 });

const elementary: fc.Arbitrary<Typed> = fc.oneof(
  fc.constant({ parameter: { name: "", type: "address" }, value: address }),
  fc.constant({ parameter: { name: "", type: "bool" }, value: fc.boolean() }),
  fc.constant({ parameter: { name: "", type: "bytes" }, value: fc.uint8Array({ maxLength: 70 }) }),
  fc.constant({ parameter: { name: "", type: "string" }, value: well }),
  widths.map((bits) => ({
    parameter: { name: "", type: `uint${bits}` },
    value: fc.bigInt(0n, (1n << BigInt(bits)) - 1n),
  })),
  widths.map((bits) => {
    const half = 1n << BigInt(bits - 1);
    return { parameter: { name: "", type: `int${bits}` }, value: fc.bigInt(-half, half - 1n) };
  }),
  fc
    .integer({ min: 1, max: 32 })
    .map((size) => ({ parameter: { name: "", type: `bytes${size}` }, value: fixedBytes(size) })),
);

const arrayOf = ({ parameter, value }: Typed, length: number | undefined): Typed => ({
  parameter: { ...parameter, type: `${parameter.type}[${length ?? ""}]` },
  value:
    length === undefined
      ? fc.array(value, { maxLength: 3 })
      : fc.array(value, { minLength: length, maxLength: length }),
});

const tupleOf = (members: readonly Typed[]): Typed => ({
  parameter: {
    name: "",
    type: "tuple",
    components: members.map(({ parameter }, index) => ({ ...parameter, name: `m${index}` })),
  },
  value: fc.tuple(...members.map(({ value }) => value)),
});

export const { typed } = fc.letrec<{ typed: Typed }>((tie) => ({
  typed: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    elementary,
    fc
      .tuple(tie("typed"), fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }))
      .map(([item, length]) => arrayOf(item, length)),
    fc.array(tie("typed"), { minLength: 1, maxLength: 4 }).map(tupleOf),
  ),
}));

/** The same values as ethers and viem take and give them: bytes as hex. */
export const asHex = (value: AbiValue): unknown =>
  value instanceof Uint8Array ? hexOf(value) : Array.isArray(value) ? (value as AbiValue[]).map(asHex) : value;
