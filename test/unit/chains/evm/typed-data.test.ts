import assert from "node:assert/strict";
import { TypedDataEncoder } from "ethers";
import fc from "fast-check";
import { hashTypedData, type TypedDataDefinition } from "viem";
import { parseTypedData, typeHashOf } from "../../../../src/chains/evm/typed-data.ts";
import { GatewayError } from "../../../../src/domain/errors.ts";
import { hexOf } from "./arbitraries.ts";
import { cpuMsOf } from "./cpu.ts";
import { refusal } from "./refusal.ts";
import { typedDocument, type Document } from "./typed-data-arbitraries.ts";
import { RUNS_TIMEOUT_MS, runs } from "./runs.ts";

// Goal: the digest is that of ethers and viem, for documents whose every part is hashed; all others are refused.

const TO = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
const byEthers = ({ types: { EIP712Domain: _domain, ...types }, domain, message }: Document) =>
  TypedDataEncoder.hash(domain, types, message);

/** EIP-712's own example. */
const mail = {
  types: {
    EIP712Domain: [
      { name: "name", type: "string" },
      { name: "version", type: "string" },
      { name: "chainId", type: "uint256" },
      { name: "verifyingContract", type: "address" },
    ],
    Person: [
      { name: "name", type: "string" },
      { name: "wallet", type: "address" },
    ],
    Mail: [
      { name: "from", type: "Person" },
      { name: "to", type: "Person" },
      { name: "contents", type: "string" },
    ],
  },
  primaryType: "Mail",
  domain: {
    name: "Ether Mail",
    version: "1",
    chainId: 1,
    verifyingContract: "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
  },
  message: {
    from: { name: "Cow", wallet: "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826" },
    to: { name: "Bob", wallet: "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB" },
    contents: "Hello, Bob!",
  },
};

describe("chains/evm/typed-data", function () {
  this.timeout(RUNS_TIMEOUT_MS);
  it("EIP-712's example has the digest that the EIP gives", () => {
    const data = parseTypedData(mail);
    assert.equal(hexOf(data.digest32), "0xbe609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2");
    assert.equal(typeHashOf(data), "0xa0cedeb2dc280ba39b857546d74f5549c3a1d7bdc2dd96bf881f76108e23dac2");
    assert.equal(data.encodedType, "Mail(Person from,Person to,string contents)Person(string name,address wallet)");
    assert.deepEqual(data.domain, { ...mail.domain, chainId: "1" });
    assert.deepEqual(data.message, [["Cow", mail.message.from.wallet], ["Bob", mail.message.to.wallet], "Hello, Bob!"]);
  });

  it("the digest is the one of ethers and of viem", () => {
    fc.assert(
      fc.property(typedDocument, (document) => {
        const digest = hexOf(parseTypedData(document).digest32);
        assert.equal(digest, hashTypedData(document as unknown as TypedDataDefinition));
        // ethers writes the fields of a domain in the order of the EIP only.
        const order = Object.keys(document.domain).join();
        if (document.types["EIP712Domain"]!.map((field) => field.name).join() === order)
          assert.equal(digest, byEthers(document));
      }),
      { numRuns: runs(500) },
    );
  });

  it("a type may hold itself, as long as its values end", () => {
    const types = {
      ...mail.types,
      Node: [
        { name: "label", type: "string" },
        { name: "children", type: "Node[]" },
      ],
    };
    const leaf = (label: string, ...children: object[]) => ({ label, children });
    const document = { ...mail, types, primaryType: "Node", message: leaf("a", leaf("b"), leaf("c", leaf("d"))) };
    assert.equal(hexOf(parseTypedData(document).digest32), hashTypedData(document as unknown as TypedDataDefinition));
  });

  it("an address of programs has no checksum, one with a wrong checksum is refused", () => {
    const lower = { ...mail, message: { ...mail.message, to: { name: "Bob", wallet: TO.toLowerCase() } } };
    assert.equal(hexOf(parseTypedData(lower).digest32), hashTypedData(lower as unknown as TypedDataDefinition));
    const wrong = { ...mail, message: { ...mail.message, to: { name: "Bob", wallet: TO.replace("A", "a") } } };
    assert.equal(
      refusal(() => parseTypedData(wrong)),
      "address-checksum",
    );
  });

  const { EIP712Domain: domainType, ...rest } = mail.types;
  /** A document whose message has one field. */
  const one = (type: string, value: unknown, more: object = {}) => ({
    ...mail,
    types: { EIP712Domain: domainType, One: [{ name: "a", type }], ...more },
    primaryType: "One",
    message: { a: value },
  });
  const cow = mail.message.from;
  const nested = (depth: number): object => (depth === 0 ? { a: [] } : { a: [nested(depth - 1)] });
  const refused: [string, unknown, string][] = [
    ["a text", JSON.stringify(mail), "typed-data-shape"],
    ["null", null, "typed-data-shape"],
    ["a field beside the four", { ...mail, note: "sign this" }, "typed-data-shape"],
    ["no domain", { types: mail.types, primaryType: "Mail", message: mail.message }, "typed-data-shape"],
    ["a primary type that is not defined", { ...mail, primaryType: "Letter" }, "typed-data-shape"],
    ["the domain as primary type", { ...mail, primaryType: "EIP712Domain", message: mail.domain }, "typed-data-shape"],
    ["types without the domain's", { ...mail, types: rest }, "typed-data-type"],
    ["a domain without fields", { ...mail, types: { ...mail.types, EIP712Domain: [] }, domain: {} }, "typed-data-type"],
    [
      "a domain with a field of its own",
      { ...mail, types: { ...mail.types, EIP712Domain: [{ name: "owner", type: "address" }] }, domain: { owner: TO } },
      "typed-data-type",
    ],
    [
      "a domain with a chain id of eight bits",
      { ...mail, types: { ...mail.types, EIP712Domain: [{ name: "chainId", type: "uint8" }] }, domain: { chainId: 1 } },
      "typed-data-type",
    ],
    [
      "a domain with a value that its type does not have",
      { ...mail, domain: { ...mail.domain, salt: `0x${"00".repeat(32)}` } },
      "typed-data-fields",
    ],
    [
      "a domain with a value missing",
      { ...mail, types: { ...mail.types, EIP712Domain: [...domainType, { name: "salt", type: "bytes32" }] } },
      "typed-data-fields",
    ],
    ["a message with a field too many", { ...mail, message: { ...mail.message, amount: "1" } }, "typed-data-fields"],
    ["a message with a field missing", { ...mail, message: { from: cow, to: cow } }, "typed-data-fields"],
    [
      "a field too many deep down",
      { ...mail, message: { ...mail.message, to: { ...cow, alias: "x" } } },
      "typed-data-fields",
    ],
    ["null for a struct", { ...mail, message: { ...mail.message, to: null } }, "typed-data-value"],
    ["a list for a struct", { ...mail, message: { ...mail.message, to: ["Cow", TO] } }, "typed-data-value"],
    [
      "a struct named like an elementary type",
      one("uint256", "1", { uint256: [{ name: "x", type: "bool" }] }),
      "typed-data-type",
    ],
    ["a struct with a bracket in its name", { ...mail, types: { ...mail.types, "A(b": [] } }, "typed-data-type"],
    [
      "a member with a comma in its name",
      { ...mail, types: { ...mail.types, Person: [{ name: "a,b", type: "bool" }] } },
      "typed-data-type",
    ],
    [
      "a member twice",
      { ...mail, types: { ...mail.types, Person: [...mail.types.Person, ...mail.types.Person] } },
      "typed-data-type",
    ],
    [
      "a member with more than name and type",
      one("uint256", "1", { Two: [{ name: "a", type: "bool", internalType: "bool" }] }),
      "typed-data-type",
    ],
    ["members that are no list", { ...mail, types: { ...mail.types, Two: {} } }, "typed-data-type"],
    ["a type that nobody defined", one("Ghost", {}), "typed-data-type"],
    ["uint without a width", one("uint", "1"), "typed-data-type"],
    ["a type of 7 bits", one("uint7", "1"), "typed-data-type"],
    ["the domain as a member", one("EIP712Domain", mail.domain), "typed-data-type"],
    ["256 in 8 bits", one("uint8", 256), "typed-data-value"],
    ["a negative unsigned number", one("uint8", -1), "typed-data-value"],
    ["-129 in 8 bits", one("int8", "-129"), "typed-data-value"],
    ["a float", one("uint256", 1.5), "typed-data-value"],
    ["a number beyond 2^53 that is no text", one("uint256", 2 ** 53), "typed-data-value"],
    ["300 digits", one("uint256", "9".repeat(300)), "typed-data-value"],
    ["a number with leading zeros", one("uint256", "007"), "typed-data-value"],
    ["a number with an exponent", one("uint256", "1e3"), "typed-data-value"],
    ["a number that is empty", one("uint256", ""), "typed-data-value"],
    ["a number that is null", one("uint256", null), "typed-data-value"],
    ["a bool that is 1", one("bool", 1), "typed-data-value"],
    ["a bool that is a text", one("bool", "false"), "typed-data-value"],
    ["a text that is a number", one("string", 1), "typed-data-value"],
    ["half a surrogate pair", one("string", "\ud800"), "typed-data-value"],
    ["bytes as text", one("bytes", "hello"), "typed-data-value"],
    ["half a byte", one("bytes", "0x0"), "typed-data-value"],
    ["31 bytes of bytes32", one("bytes32", `0x${"00".repeat(31)}`), "typed-data-value"],
    ["33 bytes of bytes32", one("bytes32", `0x${"00".repeat(33)}`), "typed-data-value"],
    ["a short address", one("address", "0x01"), "invalid-address"],
    ["an address that is a number", one("address", 1), "typed-data-value"],
    ["three items of two", one("bool[2]", [true, true, true]), "typed-data-value"],
    ["an object for a list", one("bool[]", { 0: true, length: 1 }), "typed-data-value"],
    [
      "65 types",
      {
        ...mail,
        types: { ...mail.types, ...Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`T${index}`, []])) },
      },
      "typed-data-too-large",
    ],
    [
      "257 members",
      one("bool", true, { Wide: Array.from({ length: 257 }, (_, index) => ({ name: `m${index}`, type: "bool" })) }),
      "typed-data-too-large",
    ],
    [
      "10,001 values",
      one(
        "bool[]",
        Array.from({ length: 10_001 }, () => true),
      ),
      "typed-data-too-large",
    ],
    ["a thousand structs within each other", { ...one("One[]", []), message: nested(1000) }, "typed-data-too-large"],
    ["a thousand brackets", one(`bool${"[]".repeat(1000)}`, []), "typed-data-type"],
  ];
  for (const [name, json, code] of refused) {
    it(`refuses ${name}: ${code}`, () =>
      assert.equal(
        refusal(() => parseTypedData(json)),
        code,
      ));
  }

  it("an own field named __proto__ is a field too many", () => {
    const text = JSON.stringify(mail).replace('"contents":', '"__proto__":{"contents":"x"},"contents":');
    assert.equal(
      refusal(() => parseTypedData(JSON.parse(text))),
      "typed-data-fields",
    );
  });

  it("any JSON is answered with a digest or a refusal", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom("types", "domain", "message", "primaryType", "all"), (json, part) => {
        try {
          parseTypedData(part === "all" ? json : { ...mail, [part]: json });
        } catch (error) {
          assert.ok(error instanceof GatewayError, String(error));
        }
      }),
    );
  });

  it("answers within 250 ms of CPU on types that all refer to all others", () => {
    const names = Array.from({ length: 15 }, (_, index) => `T${index}`);
    const members = names.map((name, index) => ({ name: `m${index}`, type: `${name}[]` }));
    const types = { EIP712Domain: domainType, ...Object.fromEntries(names.map((name) => [name, members])) };
    const empty = Object.fromEntries(members.map(({ name }) => [name, []]));
    const message = Object.fromEntries(members.map(({ name }) => [name, [empty]]));
    const cpuMs = cpuMsOf(() => parseTypedData({ ...mail, types, primaryType: "T0", message }));
    assert.ok(cpuMs < 250, `${cpuMs} ms`);
  });
});
