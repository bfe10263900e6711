import fc from "fast-check";
import { address, fixedBytes, hexOf } from "./arbitraries.ts";

/* Generated typed data: structs in structs and arrays, values as wallets write them. */

type Field = { name: string; type: string };
export type Document = {
  types: Record<string, Field[]>;
  primaryType: string;
  domain: Record<string, unknown>;
  message: Record<string, unknown>;
};

const widths = fc.integer({ min: 1, max: 32 });
const text = fc.string({ unit: "grapheme", maxLength: 30 });
const bytes = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max }).map(hexOf);

type Generated = { type: string; value: fc.Arbitrary<unknown> };
const elementary: fc.Arbitrary<Generated> = fc.oneof(
  fc.constant({ type: "address", value: address }),
  fc.constant({ type: "bool", value: fc.boolean() }),
  fc.constant({ type: "string", value: text }),
  fc.constant({ type: "bytes", value: bytes(0, 70) }),
  widths.map((size) => ({ type: `bytes${size}`, value: bytes(size, size) })),
  widths.map((size) => ({ type: `uint${size * 8}`, value: fc.bigInt(0n, (1n << BigInt(size * 8)) - 1n).map(String) })),
  widths.map((size) => {
    const half = 1n << BigInt(size * 8 - 1);
    return { type: `int${size * 8}`, value: fc.bigInt(-half, half - 1n).map(String) };
  }),
);

/** Struct number n may hold structs of higher numbers: deep, and never without end. */
function structs(
  count: number,
): fc.Arbitrary<{ types: Record<string, Field[]>; value: fc.Arbitrary<Record<string, unknown>> }> {
  const build = (index: number, made: Generated[], types: Record<string, Field[]>): ReturnType<typeof structs> => {
    const member = fc
      .tuple(
        made.length ? fc.oneof(elementary, fc.constantFrom(...made)) : elementary,
        fc.constantFrom("", "[]", "[2]", "[][1]"),
      )
      .map(([{ type, value }, suffix]) => ({ type: type + suffix, value: arrayOf(value, suffix) }));
    return fc.array(member, { minLength: index === 0 ? 1 : 0, maxLength: 4 }).chain((members) => {
      const fields = members.map(({ type }, at) => ({ name: `m${at}`, type }));
      const value = fc.record(Object.fromEntries(members.map((one, at) => [`m${at}`, one.value])), {
        noNullPrototype: true,
      });
      const all = { ...types, [`Struct${index}`]: fields };
      return index === 0
        ? fc.constant({ types: all, value })
        : build(index - 1, [...made, { type: `Struct${index}`, value }], all);
    });
  };
  return build(count - 1, [], {});
}

function arrayOf(value: fc.Arbitrary<unknown>, suffix: string): fc.Arbitrary<unknown> {
  switch (suffix) {
    case "[]":
      return fc.array(value, { maxLength: 3 });
    case "[2]":
      return fc.tuple(value, value);
    case "[][1]":
      return fc.array(value, { maxLength: 2 }).map((inner) => [inner]);
    default:
      return value;
  }
}

const DOMAIN: Record<string, { type: string; value: fc.Arbitrary<unknown> }> = {
  name: { type: "string", value: text },
  version: { type: "string", value: text },
  chainId: { type: "uint256", value: fc.bigInt(1n, 2n ** 53n - 1n).map(String) },
  verifyingContract: { type: "address", value: address },
  salt: { type: "bytes32", value: fixedBytes(32).map(hexOf) },
};

const domain = fc.subarray(Object.keys(DOMAIN), { minLength: 1 }).chain((names) =>
  fc
    .record(Object.fromEntries(names.map((name) => [name, DOMAIN[name]!.value])), { noNullPrototype: true })
    .map((values) => ({
      fields: names.map((name) => ({ name, type: DOMAIN[name]!.type })),
      values,
    })),
);

export const typedDocument: fc.Arbitrary<Document> = fc
  .tuple(
    domain,
    fc
      .integer({ min: 1, max: 5 })
      .chain(structs)
      .chain(({ types, value }) => value.map((message) => ({ types, message }))),
  )
  .map(([{ fields, values }, { types, message }]) => {
    // ethers refuses types that nothing refers to.
    const used = usedTypes(types, "Struct0");
    const kept = Object.fromEntries(Object.entries(types).filter(([name]) => used.has(name)));
    return { types: { EIP712Domain: fields, ...kept }, primaryType: "Struct0", domain: values, message };
  });

function usedTypes(types: Record<string, Field[]>, name: string, used = new Set<string>()): Set<string> {
  used.add(name);
  for (const { type } of types[name]!) {
    const inner = type.replace(/\[.*/, "");
    if (types[inner] && !used.has(inner)) usedTypes(types, inner, used);
  }
  return used;
}
