import assert from "node:assert/strict";
import { Signature, Transaction } from "ethers";
import { completeTransaction, parseFields } from "../../../../src/chains/evm/fields.ts";
import { encodeUnsigned } from "../../../../src/chains/evm/transaction.ts";
import { refusal, refusalOf } from "./refusal.ts";

// Goal: JSON fields become exactly the bytes that ethers makes of them, or are refused with the field's name.

const TO = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const minimal = { to: TO, value: "1000" };
const whole = { ...minimal, nonce: 1, gas: "0x5208", maxFeePerGas: "30", maxPriorityFeePerGas: 2 };
const encoded = (json: unknown) =>
  `0x${Buffer.from(encodeUnsigned(completeTransaction(parseFields(json), { chainId: 5n }))).toString("hex")}`;

describe("chains/evm/fields", () => {
  it("of a thousand unknown fields ten are named, each cut", () => {
    const names = Array.from({ length: 1000 }, (_, n) => `${n}${"x".repeat(200)}`);
    const unknown = { ...minimal, ...Object.fromEntries(names.map((name) => [name, 1])) };
    const error = refusalOf(() => parseFields(unknown));
    assert.equal(error.code, "unknown-field");
    const named = error.facts["fields"] as string[];
    assert.equal(named.length, 10);
    assert.ok(named.every((name) => name.length <= 80) && error.message.length < 1000);
  });

  const ethersWhole = { chainId: 5, to: TO, value: 1000, nonce: 1, gasLimit: 21000 };
  for (const [name, json, expected] of [
    ["EIP-1559, inferred", whole, { ...ethersWhole, type: 2, maxFeePerGas: 30, maxPriorityFeePerGas: 2 }],
    [
      "EIP-1559, named",
      { ...whole, type: "0x2", chainId: "5" },
      { ...ethersWhole, type: 2, maxFeePerGas: 30, maxPriorityFeePerGas: 2 },
    ],
    [
      "legacy, inferred",
      { ...minimal, nonce: 1, gas: 21000, gasPrice: "0x1e" },
      { ...ethersWhole, type: 0, gasPrice: 30 },
    ],
    [
      "EIP-2930, inferred",
      {
        ...minimal,
        nonce: 1,
        gas: 21000,
        gasPrice: 30,
        accessList: [{ address: TO, storageKeys: [`0x${"AB".repeat(32)}`] }],
      },
      { ...ethersWhole, type: 1, gasPrice: 30, accessList: [{ address: TO, storageKeys: [`0x${"ab".repeat(32)}`] }] },
    ],
    [
      "a contract creation",
      { ...whole, to: null, data: "0x6000" },
      { ...ethersWhole, type: 2, to: null, data: "0x6000", maxFeePerGas: 30, maxPriorityFeePerGas: 2 },
    ],
  ] as const) {
    it(`makes the bytes that ethers makes: ${name}`, () => {
      assert.equal(
        encoded(json),
        Transaction.from(expected as Parameters<typeof Transaction.from>[0]).unsignedSerialized,
      );
    });
  }

  const [r, s] = [`0x${"01".repeat(32)}`, `0x${"02".repeat(32)}`];
  const authorization = { chainId: 5, address: TO, nonce: "0x3", yParity: "0x1", r, s };
  const hash = `0x01${"ab".repeat(31)}`;
  it("makes the bytes that ethers makes: EIP-4844 and EIP-7702, inferred", () => {
    const fees = { type: 3, maxFeePerGas: 30, maxPriorityFeePerGas: 2 };
    const blobs = { ...ethersWhole, ...fees, maxFeePerBlobGas: 9, blobVersionedHashes: [hash] };
    assert.equal(
      encoded({ ...whole, maxFeePerBlobGas: 9, blobVersionedHashes: [hash] }),
      Transaction.from(blobs).unsignedSerialized,
    );
    const signed = { chainId: 5n, address: TO, nonce: 3n, signature: Signature.from({ r, s, yParity: 1 }) };
    const delegating = { ...ethersWhole, ...fees, type: 4, authorizationList: [signed] };
    assert.equal(
      encoded({ ...whole, authorizationList: [authorization] }),
      Transaction.from(delegating).unsignedSerialized,
    );
  });

  it("refuses a type 3 or 4 that would create a contract, and names the blob price that is missing", () => {
    assert.equal(
      refusal(() => encoded({ ...whole, to: null, authorizationList: [authorization] })),
      "missing-field",
    );
    const error = refusalOf(() => encoded({ ...whole, blobVersionedHashes: [hash] }));
    assert.deepEqual(error.facts["fields"], ["maxFeePerBlobGas"]);
  });

  it("fills what was left out, and never what was written", () => {
    const filling = { chainId: 1n, nonce: 9n, gas: 50_000n, maxFeePerGas: 100n, maxPriorityFeePerGas: 1n };
    const filled = completeTransaction(parseFields({ ...minimal, nonce: 3 }), filling);
    assert.deepEqual(filled, {
      type: "eip1559",
      chainId: 1n,
      nonce: 3n,
      gasLimit: 50_000n,
      maxFeePerGas: 100n,
      maxPriorityFeePerGas: 1n,
      to: TO,
      value: 1000n,
      data: new Uint8Array(0),
      accessList: [],
    });
  });

  it("names every field that is missing", () => {
    const error = refusalOf(() => completeTransaction(parseFields({ ...minimal, gas: "1" }), { chainId: 1n }));
    assert.equal(error.code, "missing-field");
    assert.deepEqual(error.facts["fields"], ["nonce", "maxFeePerGas", "maxPriorityFeePerGas"]);
    const legacy = refusalOf(() =>
      completeTransaction(parseFields({ ...minimal, type: "0x0" }), { chainId: 1n, maxFeePerGas: 1n }),
    );
    assert.deepEqual(legacy.facts["fields"], ["nonce", "gas", "gasPrice"]);
  });

  for (const [name, filling, code] of [
    ["a nonce of 65 bits", { nonce: 2n ** 64n }, "number-too-large"],
    ["the last nonce", { nonce: 2n ** 64n - 1n }, "nonce-too-large"],
    ["a negative gas limit", { gas: -1n }, "number-too-large"],
    ["a price of 257 bits", { maxFeePerGas: 2n ** 256n }, "number-too-large"],
  ] as const) {
    it(`refuses a filling with ${name}: ${code}`, () => {
      const good = { chainId: 1n, nonce: 1n, gas: 1n, maxFeePerGas: 1n, maxPriorityFeePerGas: 1n };
      assert.equal(
        refusal(() => completeTransaction(parseFields(minimal), { ...good, ...filling })),
        code,
      );
    });
  }

  it("refuses the chain of another key", () => {
    assert.equal(
      refusal(() => completeTransaction(parseFields({ ...whole, chainId: 137 }), { chainId: 1n })),
      "wrong-chain",
    );
  });

  const refused: [string, unknown, string][] = [
    ["nothing", undefined, "invalid-field"],
    ["null", null, "invalid-field"],
    ["an array", [], "invalid-field"],
    ["an unknown field", { ...whole, gasLimit: "1" }, "unknown-field"],
    ["an own field named __proto__", JSON.parse(`{"to":"${TO}","value":"1","__proto__":{"gas":"1"}}`), "unknown-field"],
    [
      "an unknown field deep down",
      { ...whole, accessList: [{ address: TO, storageKeys: [], more: 1 }] },
      "unknown-field",
    ],
    ["no recipient", { value: "1" }, "missing-field"],
    ["no value", { to: TO }, "missing-field"],
    ["a recipient without checksum", { ...whole, to: TO.toLowerCase() }, "address-checksum"],
    ["a recipient that is a name", { ...whole, to: "vitalik.eth" }, "invalid-address"],
    [
      "an access list without checksum",
      { ...whole, accessList: [{ address: TO.toLowerCase(), storageKeys: [] }] },
      "address-checksum",
    ],
    ["a short storage key", { ...whole, accessList: [{ address: TO, storageKeys: ["0x01"] }] }, "invalid-data"],
    ["an unknown type", { ...whole, type: "0x7" }, "invalid-field"],
    ["a type as a number", { ...whole, type: 2 }, "invalid-field"],
    ["both kinds of price", { ...whole, gasPrice: 1 }, "conflicting-fields"],
    [
      "a priority fee in a legacy transaction",
      { ...minimal, type: "0x0", maxPriorityFeePerGas: 1 },
      "conflicting-fields",
    ],
    ["an access list in a legacy transaction", { ...minimal, type: "0x0", accessList: [] }, "conflicting-fields"],
    ["a 300-digit number", { ...whole, value: "9".repeat(300) }, "number-too-large"],
    ["a million digits", { ...whole, value: "9".repeat(1_000_000) }, "number-too-large"],
    ["257 bits", { ...whole, value: (2n ** 256n).toString() }, "number-too-large"],
    ["65 bits of gas", { ...whole, gas: (2n ** 64n).toString() }, "number-too-large"],
    ["the last nonce", { ...whole, nonce: "0xffffffffffffffff" }, "nonce-too-large"],
    ["chain id zero", { ...whole, chainId: 0 }, "chain-id-zero"],
    ["data without 0x", { ...whole, data: "6000" }, "invalid-data"],
    ["half a byte of data", { ...whole, data: "0x600" }, "invalid-data"],
    ...["", " 1", "1 ", "+1", "-1", "01", "1.5", "1e18", "1_000", "0x", "0x01", "0X1", "NaN", "１"].map(
      (value): [string, unknown, string] => [
        `the number ${JSON.stringify(value)}`,
        { ...whole, value },
        "invalid-number",
      ],
    ),
    ...[-1, 1.5, 2 ** 53, NaN, Infinity].map((value): [string, unknown, string] => [
      `the number ${value}`,
      { ...whole, value },
      Number.isFinite(value) ? "invalid-number" : "invalid-field",
    ]),
    [
      "a blob hash of another version",
      { ...whole, blobVersionedHashes: [`0x02${"ab".repeat(31)}`] },
      "unknown-blob-version",
    ],
    ["blobs without hashes", { ...whole, blobVersionedHashes: [] }, "no-blobs"],
    ["an empty list of authorizations", { ...whole, authorizationList: [] }, "no-authorizations"],
    [
      "blob hashes in a type 2",
      { ...whole, type: "0x2", blobVersionedHashes: [`0x01${"ab".repeat(31)}`] },
      "conflicting-fields",
    ],
    [
      "an authorization with s in the upper half",
      {
        ...whole,
        authorizationList: [
          { chainId: 5, address: TO, nonce: 1, yParity: 0, r: `0x${"01".repeat(32)}`, s: `0x${"f0".repeat(32)}` },
        ],
      },
      "invalid-signature",
    ],
    ["a number that is a boolean", { ...whole, value: true }, "invalid-field"],
  ];
  for (const [name, json, code] of refused) {
    it(`refuses ${name}: ${code}`, () =>
      assert.equal(
        refusal(() => parseFields(json)),
        code,
      ));
  }
});
