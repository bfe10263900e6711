// Goal: a signature verifies under its own key and message only, in either half of the order.
// Method: keys and signatures of Node's OpenSSL, an implementation other than the one under test for secp256k1;
// for ed25519 the vectors of RFC 8032.
import assert from "node:assert/strict";
import { createECDH, createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";
import {
  freshChallenge,
  proves,
  verifiesEd25519,
  verifiesP256,
  verifiesSecp256k1,
} from "../../../../src/adapters/pkcs11/proof.ts";

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

function secp256k1Signature(text: Buffer) {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
  const d = Buffer.from(privateKey.export({ format: "jwk" }).d!, "base64url");
  const ecdh = createECDH("secp256k1");
  ecdh.setPrivateKey(d);
  const signature = sign("sha256", text, { key: privateKey, dsaEncoding: "ieee-p1363" });
  return { publicKey: ecdh.getPublicKey(), digest: createHash("sha256").update(text).digest(), signature };
}

function otherHalf(signature: Buffer): Buffer {
  const s = ORDER - BigInt(`0x${signature.subarray(32).toString("hex")}`);
  return Buffer.concat([signature.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, "0"), "hex")]);
}

function flipped(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length - 1]! ^= 1;
  return copy;
}

describe("verification without the HSM", () => {
  it("secp256k1: both halves of the order verify", () => {
    const { publicKey, digest, signature } = secp256k1Signature(randomBytes(20));
    assert.ok(verifiesSecp256k1(publicKey, digest, signature));
    assert.ok(verifiesSecp256k1(publicKey, digest, otherHalf(signature)));
  });

  it("secp256k1: another digest, key or signature does not verify, nor do numbers out of range", () => {
    const { publicKey, digest, signature } = secp256k1Signature(randomBytes(20));
    const other = secp256k1Signature(randomBytes(20));
    assert.ok(!verifiesSecp256k1(publicKey, flipped(digest), signature));
    assert.ok(!verifiesSecp256k1(other.publicKey, digest, signature));
    assert.ok(!verifiesSecp256k1(publicKey, digest, flipped(signature)));
    assert.ok(!verifiesSecp256k1(flipped(publicKey), digest, signature));
    for (const byte of [0x00, 0xff]) assert.ok(!verifiesSecp256k1(publicKey, digest, Buffer.alloc(64, byte)));
    assert.ok(!verifiesSecp256k1(publicKey, digest, signature.subarray(1)));
  });

  it("ed25519: RFC 8032, section 7.1, test 2", () => {
    const publicKey = Buffer.from("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "hex");
    const signature = Buffer.from(
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
      "hex",
    );
    assert.ok(verifiesEd25519(publicKey, Buffer.from([0x72]), signature));
    assert.ok(!verifiesEd25519(publicKey, Buffer.from([0x73]), signature));
    assert.ok(!verifiesEd25519(flipped(publicKey), Buffer.from([0x72]), signature));
  });

  it("p256: a signature verifies under its own key and message, in either half", () => {
    const message = randomBytes(20);
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const point = publicKey.export({ format: "der", type: "spki" }).subarray(-65);
    const signature = sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" });
    assert.ok(verifiesP256(point, message, signature));
    assert.ok(!verifiesP256(point, flipped(message), signature));
    assert.ok(!verifiesP256(point, message, flipped(signature)));
    assert.ok(!verifiesP256(flipped(point), message, signature));
    assert.ok(!verifiesP256(point.subarray(1), message, signature));
  });

  it("a key of one curve proves nothing on another", () => {
    const { publicKey, privateKey } = generateKeyPairSync("ed25519");
    const challenge = freshChallenge();
    const raw = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
    const signature = sign(null, challenge.digest32, privateKey);
    assert.ok(proves("ed25519", raw, challenge, signature));
    assert.ok(!proves("secp256k1", raw, challenge, signature));
    assert.ok(!proves("p256", raw, challenge, signature));
    assert.ok(!proves("ed25519", raw, freshChallenge(), signature));
  });

  it("no two challenges are alike, and each is the hash of a text of our own", () => {
    assert.equal(new Set(Array.from({ length: 100 }, () => freshChallenge().digest32.toString("hex"))).size, 100);
    const { preimage, digest32 } = freshChallenge();
    assert.equal(preimage.subarray(0, 27).toString(), "portcullis/key-challenge/v1");
    assert.equal(preimage.length, 27 + 32);
    assert.deepEqual(createHash("sha256").update(preimage).digest(), digest32);
  });
});
