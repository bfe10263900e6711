import assert from "node:assert/strict";
import { computeAddress, getAddress, SigningKey } from "ethers";
import fc from "fast-check";
import { checksumAddress as viemChecksum } from "viem";
import { addressOfPublicKey, checksumAddress, evmAccount, parseAddress } from "../../../../src/chains/evm/address.ts";
import { refusal, refusalOf } from "./refusal.ts";

// Goal: one spelling of an address inside, and no other accepted from outside.

// EIP-55, test cases.
const EIP55 = [
  "0x52908400098527886E0F7030069857D2E4169EE7",
  "0xde709f2102306220921060314715629080e2fb77",
  "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
  "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
];

describe("chains/evm/address", () => {
  it("spells addresses as EIP-55, ethers and viem do", () => {
    for (const right of EIP55) {
      assert.equal(checksumAddress(right.toLowerCase()), right);
      assert.equal(parseAddress(right), right);
    }
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 20, maxLength: 20 }), (bytes) => {
        const hex = `0x${Buffer.from(bytes).toString("hex")}` as const;
        assert.equal(checksumAddress(bytes), getAddress(hex));
        assert.equal(checksumAddress(hex), viemChecksum(hex));
      }),
    );
  });

  it("stays right when more addresses pass by than the cache holds", () => {
    for (let index = 0; index < 9000; index++) checksumAddress(`0x${index.toString(16).padStart(40, "0")}`);
    for (const right of EIP55) assert.equal(checksumAddress(right), right);
  });

  const right = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
  for (const [name, text] of [
    ["in lower case", right.toLowerCase()],
    ["in upper case", `0x${right.slice(2).toUpperCase()}`],
    ["with one letter in the wrong case", right.replace("A", "a")],
    ["with one digit changed", right.replace("5", "6")],
  ] as const) {
    it(`refuses an address ${name}, and says the right spelling`, () => {
      const error = refusalOf(() => parseAddress(text));
      assert.equal(error.code, "address-checksum");
      assert.match(error.hint!, new RegExp(getAddress(text.toLowerCase())));
    });
  }

  for (const text of [
    "",
    "0x",
    right.slice(2),
    right.slice(0, -1),
    `${right}0`,
    ` ${right}`,
    `${right}\n`,
    "vitalik.eth",
    right.replace("0x", "0X"),
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () =>
      assert.equal(
        refusal(() => parseAddress(text)),
        "invalid-address",
      ));
  }

  it("refuses bytes that are not 20", () => {
    assert.equal(
      refusal(() => checksumAddress(new Uint8Array(19))),
      "invalid-address",
    );
    assert.equal(
      refusal(() => checksumAddress(new Uint8Array(0))),
      "invalid-address",
    );
  });

  it("derives the address of a public key as ethers does", () => {
    const key = new SigningKey(`0x${"11".repeat(32)}`);
    const publicKey = Uint8Array.from(Buffer.from(key.publicKey.slice(2), "hex"));
    assert.equal(addressOfPublicKey(publicKey), computeAddress(key));
    assert.equal(
      refusal(() => addressOfPublicKey(publicKey.subarray(1))),
      "invalid-public-key",
    );
  });

  it("writes accounts as CAIP-10 with the checksum", () => {
    assert.equal(evmAccount(1n, right.toLowerCase()), `eip155:1:${right}`);
  });
});
