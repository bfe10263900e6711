// Goal: one key is found or none, and a public key is read whichever way the module writes it.
import assert from "node:assert/strict";
import { exactlyOne, rawPoint } from "../../../../src/adapters/pkcs11/keys.ts";

const found = (id: string, label: string) => ({ handle: Buffer.alloc(8), id, label });
const wanted = { id: "aa", label: "hot-1" };

describe("finding a key", () => {
  it("one key with this id and label is found among others", () => {
    const key = found("aa", "hot-1");
    assert.equal(exactlyOne([found("bb", "hot-2"), key], wanted), key);
  });

  const cases: [string, ReturnType<typeof found>[], string][] = [
    ["no key", [], "key-not-found"],
    ["only others", [found("bb", "hot-2")], "key-not-found"],
    ["the label under another id", [found("bb", "hot-1")], "key-not-found"],
    ["the id under another label", [found("aa", "hot-2")], "key-not-found"],
    ["two with both", [found("aa", "hot-1"), found("aa", "hot-1")], "key-ambiguous"],
    ["a second with the label", [found("aa", "hot-1"), found("bb", "hot-1")], "key-ambiguous"],
    ["a second with the id", [found("aa", "hot-1"), found("aa", "hot-2")], "key-ambiguous"],
  ];
  for (const [what, keys, code] of cases) {
    it(`${what}: ${code}`, () => assert.throws(() => exactlyOne(keys, wanted), { code }));
  }
});

describe("CKA_EC_POINT", () => {
  const secp256k1 = Buffer.concat([Buffer.from([0x04]), Buffer.alloc(64, 0x41)]);
  const ed25519 = Buffer.alloc(32, 0x20);
  const octetString = (point: Buffer) => Buffer.concat([Buffer.from([0x04, point.length]), point]);

  it("a secp256k1 point is read bare and as an OCTET STRING", () => {
    assert.deepEqual(rawPoint(secp256k1, "secp256k1"), Uint8Array.from(secp256k1));
    assert.deepEqual(rawPoint(octetString(secp256k1), "secp256k1"), Uint8Array.from(secp256k1));
  });

  it("an ed25519 key is read bare and as an OCTET STRING, also when it begins like one", () => {
    const lookalike = Buffer.concat([Buffer.from([0x04, 0x20]), Buffer.alloc(30, 1)]);
    for (const key of [ed25519, lookalike]) {
      assert.deepEqual(rawPoint(key, "ed25519"), Uint8Array.from(key));
      assert.deepEqual(rawPoint(octetString(key), "ed25519"), Uint8Array.from(key));
    }
  });

  for (const bytes of [0, 1, 31, 33, 64, 66, 68]) {
    it(`${bytes} bytes are neither`, () =>
      assert.throws(() => rawPoint(Buffer.alloc(bytes, 4), "secp256k1"), { code: "hsm-unavailable" }));
  }
});
