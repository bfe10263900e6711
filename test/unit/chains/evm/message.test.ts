import assert from "node:assert/strict";
import { hashMessage as ethersHash } from "ethers";
import fc from "fast-check";
import { hashMessage } from "viem";
import { createSiweMessage } from "viem/siwe";
import { intentOfMessage, messageDigest } from "../../../../src/chains/evm/message.ts";
import { bytesOf, hexOf } from "./arbitraries.ts";
import { account, OTHER, OWN, registry } from "./registry.ts";
import { refusal } from "./refusal.ts";

// Goal: a message is told as the text that a person would read, or as a digest where a contract could take it for one.

const utf8 = (text: string) => new TextEncoder().encode(text);
const operation = (message: Uint8Array) => intentOfMessage(message, account(OWN), registry).operations[0]!;

describe("chains/evm/message", () => {
  it("the digest is the one of ethers and viem", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (message) => {
        assert.equal(hexOf(messageDigest(message)), ethersHash(message));
        assert.equal(hexOf(messageDigest(message)), hashMessage({ raw: message }));
      }),
    );
  });

  for (const text of [
    "Hello, world!",
    "",
    "zwei\nZeilen\tund ein Tab",
    "日本語 🚀",
    "0x1234",
    "a".repeat(16_384),
    "f".repeat(63),
  ]) {
    it(`the text ${JSON.stringify(text.slice(0, 30))} is shown as it is`, () => {
      assert.deepEqual(operation(utf8(text)), { kind: "message", from: account(OWN), format: "text", text });
    });
  }

  const digest = "ab".repeat(32);
  for (const [name, message] of [
    ["32 bytes", bytesOf(digest)],
    ["64 hex digits as text", utf8(digest)],
    ["the same with 0x", utf8(`0x${digest}`)],
    ["the same in upper case", utf8(digest.toUpperCase())],
    ["the same with blanks around", utf8(` \n${digest}\t`)],
  ] as const) {
    it(`${name} are a raw digest`, () => {
      assert.deepEqual(operation(message), { kind: "raw-digest", from: account(OWN), digest: `0x${digest}` });
    });
  }

  it("32 bytes are a raw digest also where they read as a text", () => {
    assert.equal(operation(utf8("I agree to the terms of service.")).kind, "raw-digest");
  });

  for (const [name, message] of [
    ["bytes that are no UTF-8", bytesOf("ff00ff")],
    ["a text that turns its direction", utf8("pay \u202e001 ETH")],
    ["a text with a zero-width blank", utf8("a\u200bb")],
    ["a text with a byte order mark", utf8("\ufeffhello")],
    ["a text with an escape", utf8("\u001b[2J")],
    ["a text with a carriage return", utf8("pay 1\rpay 9")],
    ["a text with a character that nobody has assigned", utf8("\u{e1000}")],
  ] as const) {
    it(`${name} is opaque`, () =>
      assert.deepEqual(operation(message), { kind: "message", from: account(OWN), format: "opaque" }));
  }

  it("refuses more than a person reads", () =>
    assert.equal(
      refusal(() => operation(new Uint8Array(16_385))),
      "message-too-large",
    ));

  describe("Sign-In with Ethereum", () => {
    const fields = {
      address: OWN,
      chainId: 1,
      domain: "example.com",
      nonce: "abcdefgh12",
      uri: "https://example.com/login",
      version: "1",
      issuedAt: new Date(0),
    } as const;
    const minimal = createSiweMessage(fields);

    it("is parsed", () => {
      const text = createSiweMessage({
        ...fields,
        scheme: "https",
        statement: "I accept the terms.",
        expirationTime: new Date(1000),
        notBefore: new Date(500),
        requestId: "r-1",
        resources: ["https://example.com/a", "ipfs://b"],
      });
      assert.deepEqual(operation(utf8(text)), {
        kind: "message",
        from: account(OWN),
        format: "siwe",
        text,
        siwe: {
          scheme: "https",
          domain: "example.com",
          address: OWN,
          statement: "I accept the terms.",
          uri: "https://example.com/login",
          version: "1",
          chainId: "1",
          nonce: "abcdefgh12",
          issuedAt: "1970-01-01T00:00:00.000Z",
          expirationTime: "1970-01-01T00:00:01.000Z",
          notBefore: "1970-01-01T00:00:00.500Z",
          requestId: "r-1",
          resources: "https://example.com/a ipfs://b",
        },
      });
    });

    it("needs neither statement nor dates", () => {
      const found = operation(utf8(minimal));
      assert.ok(found.kind === "message" && found.format === "siwe");
      assert.equal(found.siwe?.["statement"], undefined);
    });

    for (const [name, text, code] of [
      ["another account's sign-in", createSiweMessage({ ...fields, address: OTHER }), "siwe-other-account"],
      ["an address without checksum", minimal.replace(OWN, OWN.toLowerCase()), "siwe-other-account"],
      ["another chain", createSiweMessage({ ...fields, chainId: 137 }), "wrong-chain"],
      ["another version", minimal.replace("Version: 1", "Version: 2"), "siwe-malformed"],
      ["a short nonce", minimal.replace("abcdefgh12", "abc"), "siwe-malformed"],
      ["a line more", `${minimal}\nTransfer: everything`, "siwe-malformed"],
      ["a line feed at the end", `${minimal}\n`, "siwe-malformed"],
      ["a text before it", `hello ${minimal}`, "siwe-malformed"],
      [
        "a statement of two lines",
        createSiweMessage({ ...fields, statement: "one" }).replace("one", "one\ntwo"),
        "siwe-malformed",
      ],
      ["fields in another order", minimal.replace(/(Version: 1)\n(Chain ID: 1)/, "$2\n$1"), "siwe-malformed"],
    ] as const) {
      it(`refuses ${name}: ${code}`, () =>
        assert.equal(
          refusal(() => operation(utf8(text))),
          code,
        ));
    }
  });
});
