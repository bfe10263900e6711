import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { SigningKey, Transaction } from "ethers";
import { serializeTransaction, type Hex, type TransactionSerializable } from "viem";
import {
  decodeSigned,
  decodeUnsigned,
  encodeSigned,
  encodeUnsigned,
  signingDigest,
  transactionHash,
} from "../../../../src/chains/evm/transaction.ts";
import { encodeRlp, integerBytes, RlpReader, type RlpItem } from "../../../../src/chains/evm/rlp.ts";
import { hexOf } from "./arbitraries.ts";
import { refusal, refusalOf } from "./refusal.ts";

// Goal: the bytes of a transaction have one reading, everything else is refused with its own code.
// Method: bytes by ethers and viem, broken by hand; generated input is in test/property/evm-transactions.test.ts.

const hex = (text: string) => Uint8Array.from(Buffer.from(text.replace(/^0x/, ""), "hex"));
const TO = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const key = new SigningKey(`0x${"11".repeat(32)}`);

const eip1559 = {
  type: "eip1559",
  chainId: 1,
  nonce: 7,
  gas: 21_000n,
  maxFeePerGas: 30n,
  maxPriorityFeePerGas: 2n,
  to: TO,
  value: 5n,
} as const;
const legacy = { type: "legacy", chainId: 1, nonce: 7, gas: 21_000n, gasPrice: 30n, to: TO, value: 5n } as const;
const unprotected = { type: "legacy", nonce: 7, gas: 21_000n, gasPrice: 30n, to: TO, value: 5n } as const;
const bytesOf = (transaction: TransactionSerializable) => hex(serializeTransaction(transaction));

function signatureOf(unsigned: Uint8Array) {
  const { r, s, yParity } = key.sign(signingDigest(unsigned));
  return { r32: hex(r), s32: hex(s), yParity };
}

/** The items of a typed transaction, and the same transaction with one of them replaced. */
function decodeUnsignedItems(typed: Uint8Array): RlpItem[] {
  const read = (reader: RlpReader): RlpItem[] => {
    const items: RlpItem[] = [];
    while (reader.hasMore) items.push(reader.nextIsList ? read(reader.list("item")) : reader.bytes("item"));
    return items;
  };
  return read(RlpReader.listIn(typed, 1, "transaction"));
}
const withItems = (typed: Uint8Array, index: number, item: RlpItem) =>
  encodeRlp(decodeUnsignedItems(typed).with(index, item), [typed[0]!]);

describe("chains/evm/transaction", () => {
  it("reads the fields of an EIP-1559 transaction", () => {
    assert.deepEqual(decodeUnsigned(bytesOf(eip1559)), {
      type: "eip1559",
      chainId: 1n,
      nonce: 7n,
      maxPriorityFeePerGas: 2n,
      maxFeePerGas: 30n,
      gasLimit: 21_000n,
      to: TO,
      value: 5n,
      data: new Uint8Array(0),
      accessList: [],
    });
  });

  it("reads a legacy transaction with and without EIP-155, and a contract creation", () => {
    assert.equal(decodeUnsigned(bytesOf(legacy)).chainId, 1n);
    assert.equal(decodeUnsigned(bytesOf(unprotected)).chainId, undefined);
    assert.equal(decodeUnsigned(bytesOf({ ...eip1559, to: null })).to, undefined);
  });

  for (const [name, unsigned] of [
    ["legacy", bytesOf(legacy)],
    ["legacy without EIP-155", bytesOf(unprotected)],
    [
      "EIP-2930",
      bytesOf({ ...legacy, type: "eip2930", accessList: [{ address: TO, storageKeys: [`0x${"ab".repeat(32)}`] }] }),
    ],
    ["EIP-1559", bytesOf(eip1559)],
  ] as const) {
    it(`${name}: the signed transaction is the one that ethers makes`, () => {
      const expected = Transaction.from(`0x${Buffer.from(unsigned).toString("hex")}`);
      expected.signature = key.sign(expected.unsignedHash);
      const transaction = decodeUnsigned(unsigned);
      const raw = encodeSigned(transaction, signatureOf(unsigned));
      assert.equal(`0x${Buffer.from(raw).toString("hex")}`, expected.serialized);
      assert.equal(transactionHash(raw), expected.hash);
      assert.deepEqual(decodeSigned(raw), { transaction, ...signatureOf(unsigned) });
      assert.equal(Transaction.from(expected.serialized).from, expected.from);
    });
  }

  // [nonce, gasPrice, gasLimit, to, value, data, …] with `to` and value left short.
  const list = (...items: string[]) => {
    const payload = items.join("");
    return hex((0xc0 + payload.length / 2).toString(16) + payload);
  };
  const to = `94${TO.slice(2)}`;
  const refused: [string, Uint8Array, string][] = [
    ["no bytes", new Uint8Array(0), "empty-transaction"],
    ["an unknown type", hex("05c0"), "unknown-transaction-type"],
    ["a string", hex("83010203"), "unknown-transaction-type"],
    ["more than a node takes", new Uint8Array(131_073).fill(0xf9), "transaction-too-large"],
    ["more blobs than a node takes", new Uint8Array(1_048_577).fill(3), "transaction-too-large"],
    ["a byte behind the end", Uint8Array.from([...bytesOf(eip1559), 0]), "rlp-trailing-bytes"],
    ["a type without a list", hex("02"), "rlp-missing-item"],
    ["too few fields", list("01", "02", "03"), "rlp-missing-item"],
    ["a recipient of 19 bytes", list("01", "02", "03", `93${TO.slice(4)}`, "80", "80"), "wrong-length"],
    ["a recipient that is a list", list("01", "02", "03", "c0", "80", "80"), "rlp-expected-bytes"],
    ["a nonce with a leading zero", list("820001", "02", "03", to, "80", "80"), "rlp-leading-zero"],
    ["a nonce of zero as a byte", list("00", "02", "03", to, "80", "80"), "rlp-leading-zero"],
    ["a nonce that is the last of 64 bits", list("88ffffffffffffffff", "02", "03", to, "80", "80"), "nonce-too-large"],
    ["a gas limit of nine bytes", list("01", "02", "89010000000000000000", to, "80", "80"), "number-too-large"],
    ["seven fields", list("01", "02", "03", to, "80", "80", "01"), "rlp-missing-item"],
    ["EIP-155 with chain id zero", list("01", "02", "03", to, "80", "80", "80", "80", "80"), "chain-id-zero"],
    [
      "a signature where chain id, 0, 0 is due",
      list("01", "02", "03", to, "80", "80", "25", "01", "01"),
      "already-signed",
    ],
    ["ten fields", list("01", "02", "03", to, "80", "80", "01", "80", "80", "80"), "rlp-extra-items"],
    [
      "an access list that is a string",
      hex("02 ca 01 80 80 80 80 80 80 80 80 80".replaceAll(" ", "")),
      "rlp-expected-list",
    ],
    [
      "an access list entry with three items",
      hex(`02 e1 01 80 80 80 80 80 80 80 d8 d7 94${"11".repeat(20)} c0 80`.replaceAll(" ", "")),
      "rlp-extra-items",
    ],
    [
      "a storage key of one byte",
      hex(`02 e1 01 80 80 80 80 80 80 80 d8 d7 94${"11".repeat(20)} c1 07`.replaceAll(" ", "")),
      "wrong-length",
    ],
    [
      "a typed transaction with chain id zero",
      hex("02 c9 80 80 80 80 80 80 80 80 c0".replaceAll(" ", "")),
      "chain-id-zero",
    ],
  ];
  for (const [name, bytes, code] of refused) {
    it(`refuses ${name}: ${code}`, () =>
      assert.equal(
        refusal(() => decodeUnsigned(bytes)),
        code,
      ));
  }

  it("refuses a signed typed transaction as one to sign, and says why", () => {
    const unsigned = bytesOf(eip1559);
    const error = refusalOf(() => decodeUnsigned(encodeSigned(decodeUnsigned(unsigned), signatureOf(unsigned))));
    assert.equal(error.code, "rlp-extra-items");
    assert.match(error.hint!, /unsigned/);
  });

  describe("signatures", () => {
    const unsigned = bytesOf(eip1559);
    const transaction = decodeUnsigned(unsigned);
    const good = signatureOf(unsigned);
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const scalar = (value: bigint) => hex(value.toString(16).padStart(64, "0"));
    const highS = scalar(order - BigInt(`0x${Buffer.from(good.s32).toString("hex")}`));
    for (const [name, signature] of [
      ["r of zero", { ...good, r32: new Uint8Array(32) }],
      ["s of zero", { ...good, s32: new Uint8Array(32) }],
      ["r of the order", { ...good, r32: scalar(order) }],
      ["s in the upper half", { ...good, s32: highS }],
      ["31 bytes of r", { ...good, r32: good.r32.subarray(1) }],
    ] as const) {
      it(`refuses ${name}`, () =>
        assert.equal(
          refusal(() => encodeSigned(transaction, signature)),
          "invalid-signature",
        ));
    }

    it("refuses a signed transaction with a parity of two, or a legacy v that means nothing", () => {
      const raw = encodeSigned(transaction, good);
      raw[raw.length - 67] = 2;
      assert.equal(
        refusal(() => decodeSigned(raw)),
        "invalid-signature",
      );
      const old = decodeUnsigned(bytesOf({ type: "legacy", nonce: 1, gas: 1n, gasPrice: 1n, to: TO }));
      for (const v of [0, 1, 26, 29, 34]) {
        const signed = encodeSigned(old, good);
        signed[signed.length - 67] = v || 0x80;
        assert.equal(
          refusal(() => decodeSigned(signed)),
          "invalid-signature",
        );
      }
    });
  });

  describe("blobs", () => {
    const commitment = new Uint8Array(48).fill(7);
    const hash = `0x01${createHash("sha256").update(commitment).digest("hex").slice(2)}` as const;
    const sidecar = {
      blob: `0x${"00".repeat(131_072)}`,
      commitment: hexOf(commitment),
      proof: `0x${"09".repeat(48)}`,
    } as const;
    const fields = { ...eip1559, type: "eip4844", maxFeePerBlobGas: 3n, blobVersionedHashes: [hash] } as const;
    const alone = bytesOf(fields);
    const accompanied = bytesOf({ ...fields, sidecars: [sidecar] });

    it("a sidecar travels with the transaction, and changes neither what is signed nor its hash", () => {
      const transaction = decodeUnsigned(accompanied);
      assert.deepEqual(encodeUnsigned(transaction), accompanied);
      assert.deepEqual(signingDigest(accompanied), signingDigest(alone));
      const raw = encodeSigned(transaction, signatureOf(accompanied));
      const { r, s, yParity } = key.sign(signingDigest(alone));
      const byViem = serializeTransaction(
        { ...fields, sidecars: [sidecar] },
        { r: r as `0x${string}`, s: s as `0x${string}`, yParity },
      );
      assert.deepEqual(raw, hex(byViem));
      assert.deepEqual(decodeSigned(raw).transaction, transaction);
      assert.equal(transactionHash(raw), transactionHash(encodeSigned(decodeUnsigned(alone), signatureOf(alone))));
    });

    it("cells' proofs are read in a sidecar of version 1 (EIP-7594)", () => {
      const items = [
        decodeUnsignedItems(alone),
        Uint8Array.of(1),
        [new Uint8Array(131_072)],
        [commitment],
        Array.from({ length: 128 }, () => new Uint8Array(48)),
      ];
      const transaction = decodeUnsigned(encodeRlp(items, [3]));
      assert.equal(transaction.type === "eip4844" && transaction.sidecar?.version, 1);
      assert.equal(
        refusal(() => decodeUnsigned(encodeRlp([items[0]!, Uint8Array.of(2), ...items.slice(2)], [3]))),
        "blob-sidecar-mismatch",
      );
    });

    const withBlobs = (...sidecars: { blob: Hex; commitment: Hex; proof: Hex }[]): TransactionSerializable => ({
      ...fields,
      sidecars,
    });
    const refusedBlobs: [string, TransactionSerializable, string][] = [
      [
        "another blob's commitment",
        withBlobs({ ...sidecar, commitment: `0x${"08".repeat(48)}` }),
        "blob-sidecar-mismatch",
      ],
      ["two blobs for one hash", withBlobs(sidecar, sidecar), "blob-sidecar-mismatch"],
      ["half a blob", withBlobs({ ...sidecar, blob: "0x00" }), "wrong-length"],
    ];
    for (const [name, transaction, code] of refusedBlobs) {
      it(`refuses ${name}: ${code}`, () =>
        assert.equal(
          refusal(() => decodeUnsigned(bytesOf(transaction))),
          code,
        ));
    }

    it("refuses a blob transaction without blobs, and hashes of another version", () => {
      assert.equal(
        refusal(() => decodeUnsigned(withItems(alone, 10, []))),
        "no-blobs",
      );
      assert.equal(
        refusal(() => decodeUnsigned(withItems(alone, 10, [new Uint8Array(32).fill(2)]))),
        "unknown-blob-version",
      );
    });

    it("refuses a blob transaction that would create a contract", () => {
      assert.equal(
        refusal(() => decodeUnsigned(withItems(alone, 5, new Uint8Array(0)))),
        "wrong-length",
      );
    });
  });

  describe("authorizations", () => {
    const authorization = {
      chainId: 1,
      address: TO,
      nonce: 3,
      r: `0x${"01".repeat(32)}`,
      s: `0x${"02".repeat(32)}`,
      yParity: 0,
    } as const;
    const bytes = bytesOf({ ...eip1559, type: "eip7702", authorizationList: [authorization] });
    const item = (...parts: (bigint | Uint8Array)[]) =>
      parts.map((part) => (typeof part === "bigint" ? integerBytes(part) : part));
    const to = hex(TO);
    const [r, s] = [hex(authorization.r), hex(authorization.s)];
    const refusedLists: [string, RlpItem, string][] = [
      ["an empty list", [], "no-authorizations"],
      ["a parity of two", [item(1n, to, 3n, 2n, r, s)], "invalid-signature"],
      ["r of zero", [item(1n, to, 3n, 1n, 0n, s)], "invalid-signature"],
      ["s in the upper half", [item(1n, to, 3n, 1n, r, new Uint8Array(32).fill(0xf0))], "invalid-signature"],
      ["the last nonce", [item(1n, to, 0xffff_ffff_ffff_ffffn, 1n, r, s)], "nonce-too-large"],
      ["an address of 19 bytes", [item(1n, to.subarray(1), 3n, 1n, r, s)], "wrong-length"],
      ["a field more", [item(1n, to, 3n, 1n, r, s, 0n)], "rlp-extra-items"],
    ];
    it("chain id zero is read here, for the refusal comes with the intent", () => {
      const read = decodeUnsigned(withItems(bytes, 9, [item(0n, to, 3n, 0n, r, s)]));
      assert.equal(read.type === "eip7702" && read.authorizationList[0]?.chainId, 0n);
    });
    for (const [name, list, code] of refusedLists) {
      it(`refuses ${name}: ${code}`, () =>
        assert.equal(
          refusal(() => decodeUnsigned(withItems(bytes, 9, list))),
          code,
        ));
    }
  });

  it("what a caller does to its bytes afterwards changes nothing", () => {
    const unsigned = bytesOf({ ...eip1559, data: "0xa9059cbb" });
    const before = encodeUnsigned(decodeUnsigned(unsigned));
    const transaction = decodeUnsigned(unsigned);
    unsigned.fill(0);
    assert.deepEqual(encodeUnsigned(transaction), before);
  });
});
