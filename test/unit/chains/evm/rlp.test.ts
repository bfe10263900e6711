import assert from "node:assert/strict";
import { encodeRlp as ethersEncode } from "ethers";
import fc from "fast-check";
import { toRlp } from "viem";
import { encodeRlp, integerBytes, RlpReader, type RlpItem } from "../../../../src/chains/evm/rlp.ts";
import { refusal } from "./refusal.ts";

// Goal: one value has one encoding, and the reader takes no other.
// Method: encodings by ethers and viem; then every way to break one by hand, each with its code.

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replaceAll(" ", ""), "hex"));
const text = (bytes: Uint8Array) => `0x${Buffer.from(bytes).toString("hex")}` as const;

type Nested = `0x${string}` | Nested[];
const { tree } = fc.letrec<{ tree: Nested }>((tie) => ({
  tree: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.uint8Array({ maxLength: 80 }).map(text),
    fc.array(tie("tree"), { maxLength: 6 }),
  ),
}));
const toItem = (value: Nested): RlpItem => (typeof value === "string" ? hex(value.slice(2)) : value.map(toItem));

function readAll(reader: RlpReader): Nested[] {
  const items: Nested[] = [];
  while (reader.hasMore) items.push(reader.nextIsList ? readAll(reader.list("item")) : text(reader.bytes("item")));
  return items;
}

describe("chains/evm/rlp", () => {
  it("writes what ethers and viem write, and reads it back", () => {
    fc.assert(
      fc.property(fc.array(tree, { maxLength: 5 }), (value) => {
        const written = encodeRlp(toItem(value));
        assert.equal(text(written), ethersEncode(value));
        assert.equal(text(written), toRlp(value));
        assert.deepEqual(readAll(RlpReader.listIn(written, 0, "list")), value);
      }),
      { numRuns: 500 },
    );
  });

  it("writes and reads payloads whose length needs one, two or three bytes", () => {
    for (const length of [0, 1, 55, 56, 255, 256, 65_535, 65_536, 100_000]) {
      const payload = new Uint8Array(length).fill(200);
      const written = encodeRlp([payload]);
      assert.equal(text(written), ethersEncode([text(payload)]));
      assert.deepEqual(RlpReader.listIn(written, 0, "list").bytes("item"), payload);
    }
  });

  it("writes integers without leading zeros and reads them back", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }), fc.integer({ min: 0, max: 255 }), (number, shift) => {
        const value = number >> BigInt(shift);
        const digits = value === 0n ? "" : value.toString(16);
        assert.equal(text(integerBytes(value)), `0x${digits.length % 2 ? "0" : ""}${digits}`);
        assert.equal(RlpReader.listIn(encodeRlp([integerBytes(value)]), 0, "list").integer("n", 32), value);
      }),
    );
  });

  const refused: [string, string, string][] = [
    ["a byte behind the list", "c101 00", "rlp-trailing-bytes"],
    ["a string where a list is due", "83 010203", "rlp-expected-list"],
    ["no bytes", "", "rlp-missing-item"],
    ["a list longer than the input", "c3 0102", "rlp-truncated"],
    ["a string longer than its list", "c2 8201", "rlp-truncated"],
    ["a length longer than the input", "f9", "rlp-truncated"],
    ["a long form for a short list", "f8 01 01", "rlp-non-minimal"],
    ["a length with a leading zero", `f9 0038 ${"01".repeat(56)}`, "rlp-non-minimal"],
    ["a length of 8 bytes", `ff 0100000000000000`, "rlp-too-large"],
    ["a length of 4 bytes that nothing follows", "fb ffffffff", "rlp-truncated"],
    ["a small byte with a header", "c2 8101", "rlp-non-minimal"],
    ["a zero written as a byte", "c1 00", "rlp-leading-zero"],
    ["an integer with a leading zero", "c3 820001", "rlp-leading-zero"],
    ["an integer that is too long", "c4 83010203", "number-too-large"],
    ["a list where an integer is due", "c1 c0", "rlp-expected-bytes"],
    ["an empty list where an integer is due", "c0", "rlp-missing-item"],
    ["one item too many", "c2 01 02", "rlp-extra-items"],
  ];
  for (const [name, bytes, code] of refused) {
    it(`refuses ${name}: ${code}`, () => {
      const read = () => {
        const reader = RlpReader.listIn(hex(bytes), 0, "list");
        reader.integer("n", 2);
        reader.end("list");
      };
      assert.equal(refusal(read), code);
    });
  }

  it("refuses bytes of another length than the field has", () => {
    assert.equal(
      refusal(() => RlpReader.listIn(hex("c2 8180"), 0, "list").fixedBytes("address", 20)),
      "wrong-length",
    );
  });
});
