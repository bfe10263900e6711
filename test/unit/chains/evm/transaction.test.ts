import assert from "node:assert/strict";
import { SigningKey, Transaction } from "ethers";
import { serializeTransaction, type TransactionSerializable } from "viem";
import {
  decodeSigned,
  decodeUnsigned,
  encodeSigned,
  encodeUnsigned,
  signingDigest,
  transactionHash,
} from "../../../../src/chains/evm/transaction.ts";
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
    ["more than a node takes", new Uint8Array(131_073), "transaction-too-large"],
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

  it("what a caller does to its bytes afterwards changes nothing", () => {
    const unsigned = bytesOf({ ...eip1559, data: "0xa9059cbb" });
    const before = encodeUnsigned(decodeUnsigned(unsigned));
    const transaction = decodeUnsigned(unsigned);
    unsigned.fill(0);
    assert.deepEqual(encodeUnsigned(transaction), before);
  });
});
