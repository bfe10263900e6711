import assert from "node:assert/strict";
import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign as signWithOpenssl,
  verify as verifyWithOpenssl,
} from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { SigningKey } from "ethers";
import fc from "fast-check";
import { verifyP256, verifySecp256k1 } from "../../../src/vault/verify.ts";
import { ORDER, word } from "../../support/software-hsm.ts";

// Goal: a signature that leaves the vault recovers to exactly this key over exactly this digest, in its low form; all
// else is refused by one code (I7).
// Method: ethers signs and recovers; OpenSSL judges the published vectors.

const hex = (bytes: Uint8Array): string => `0x${Buffer.from(bytes).toString("hex")}`;
const bytesOf = (text: string): Buffer => Buffer.from(text.slice(2), "hex");

function signed(seed = randomBytes(32), digest: Uint8Array = randomBytes(32)) {
  const key = new SigningKey(seed);
  const { r, s, yParity } = key.sign(digest);
  return { key, digest, publicKey: bytesOf(key.publicKey), r: bytesOf(r), s: bytesOf(s), yParity };
}
const invalid = { code: "signature-invalid" };
const highOf = (s: Uint8Array): Buffer => word(ORDER - BigInt(hex(s)));

describe("vault/verify", () => {
  it("either half of the order comes out low, with the parity by which ethers recovers the key", () => {
    fc.assert(
      fc.property(
        fc
          .uint8Array({ minLength: 32, maxLength: 32 })
          .filter((seed) => seed.some((byte) => byte !== 0 && byte !== 255)),
        fc.uint8Array({ minLength: 32, maxLength: 32 }),
        fc.boolean(),
        (seed, digest, high) => {
          const { publicKey, r, s, yParity } = signed(Buffer.from(seed), digest);
          const made = verifySecp256k1(Buffer.concat([r, high ? highOf(s) : s]), digest, publicKey);
          assert.deepEqual([hex(made.r32), hex(made.s32), made.yParity], [hex(r), hex(s), yParity]);
          const signature = { r: hex(made.r32), s: hex(made.s32), yParity: made.yParity };
          assert.equal(SigningKey.recoverPublicKey(digest, signature), hex(publicKey));
        },
      ),
      { numRuns: 50 },
    );
  });

  it("every bit of signature, digest and key counts", () => {
    const { publicKey, digest, r, s } = signed();
    const good = [Buffer.concat([r, s]), Buffer.from(digest), publicKey];
    for (const [part, bytes] of good.entries()) {
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const changed = good.map((each) => Buffer.from(each)) as [Buffer, Buffer, Buffer];
        changed[part]![bit >> 3]! ^= 1 << (bit & 7);
        assert.throws(() => verifySecp256k1(...changed), invalid, `part ${part}, bit ${bit}`);
      }
    }
  });

  it("another key's signature over this digest is refused, and this key's over another", () => {
    const digest = randomBytes(32);
    const [mine, other] = [signed(undefined, digest), signed(undefined, digest)];
    assert.throws(() => verifySecp256k1(Buffer.concat([other.r, other.s]), digest, mine.publicKey), invalid);
    assert.throws(() => verifySecp256k1(Buffer.concat([mine.r, mine.s]), randomBytes(32), mine.publicKey), invalid);
  });

  const { publicKey, digest, r, s } = signed();
  const zero = Buffer.alloc(32);
  const n = word(ORDER);
  for (const [what, signature] of [
    ["r = 0", Buffer.concat([zero, s])],
    ["s = 0", Buffer.concat([r, zero])],
    ["r = s = 0", Buffer.concat([zero, zero])],
    ["r = n", Buffer.concat([n, s])],
    ["s = n", Buffer.concat([r, n])],
    ["r + n, which is r again to whoever reduces", Buffer.concat([Buffer.alloc(32, 255), s])],
    ["r = s = 1", Buffer.concat([word(1n), word(1n)])],
    ["r and s swapped", Buffer.concat([s, r])],
    ["63 bytes", Buffer.concat([r, s]).subarray(1)],
    ["65 bytes", Buffer.concat([r, s, zero.subarray(31)])],
    ["nothing", Buffer.alloc(0)],
    ["a DER signature", bytesOf("0x3006020101020101")],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(() => verifySecp256k1(signature, digest, publicKey), invalid);
    });
  }
});

const WYCHEPROOF = new URL("../../../../shared/vectors/wycheproof/", import.meta.url);
const VECTORS = new URL("ecdsa_secp256k1_sha256_p1363_test.json", WYCHEPROOF);
if (existsSync(VECTORS)) {
  type Vectors = {
    testGroups: {
      publicKey: { uncompressed: string };
      publicKeyPem: string;
      tests: { tcId: number; comment: string; msg: string; sig: string; result: string }[];
    }[];
  };
  /** p − n: only below it can r stand for an x ≥ n, which no Ethereum signature can say (yellow paper, appendix F). */
  const WRAPS_BELOW = 0xfffffffffffffffffffffffffffffffffffffffffffffffffffffffefffffc2fn - ORDER;

  describe("vault/verify: wycheproof, ECDSA secp256k1 SHA-256, r ‖ s", () => {
    it("takes what is valid and recoverable, and nothing else", () => {
      const { testGroups } = JSON.parse(readFileSync(VECTORS, "utf8")) as Vectors;
      let taken = 0;
      for (const group of testGroups) {
        const publicKey = Buffer.from(group.publicKey.uncompressed, "hex");
        const oracle = createPublicKey(group.publicKeyPem);
        for (const { tcId, comment, msg, sig, result } of group.tests) {
          const [message, signature] = [Buffer.from(msg, "hex"), Buffer.from(sig, "hex")];
          const digest = createHash("sha256").update(message).digest();
          const attempt = () => verifySecp256k1(signature, digest, publicKey);
          const isValid = verifyWithOpenssl("sha256", message, { key: oracle, dsaEncoding: "ieee-p1363" }, signature);
          assert.equal(isValid, result === "valid", `the oracle on ${tcId}`);
          const r = BigInt(hex(signature.subarray(0, 32)) + (signature.length === 0 ? "0" : ""));
          if (!isValid) assert.throws(attempt, invalid, `${tcId} ${comment}`);
          else if (r >= WRAPS_BELOW) {
            taken += 1;
            const { r32, s32, yParity } = attempt();
            const recovered = SigningKey.recoverPublicKey(digest, { r: hex(r32), s: hex(s32), yParity });
            assert.equal(recovered, hex(publicKey), `${tcId} ${comment}`);
          }
        }
      }
      assert.ok(taken > 100);
    });
  });
}

const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

describe("vault/verify: P-256", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { x, y } = publicKey.export({ format: "jwk" });
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x!, "base64url"), Buffer.from(y!, "base64url")]);
  const message = Buffer.from("a message");
  const sha256 = (text: string) => createHash("sha256").update(text).digest();
  const digest = sha256("a message");
  const signed = (): Buffer => signWithOpenssl("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" });
  const word = (value: bigint) => Buffer.from(value.toString(16).padStart(64, "0"), "hex");

  it("takes either half of the order, and returns the lower", () => {
    for (let run = 0; run < 20; run += 1) {
      const signature = signed();
      const s = BigInt(hex(signature.subarray(32)));
      const other = Buffer.concat([signature.subarray(0, 32), word(P256_ORDER - s)]);
      const low = s < P256_ORDER - s ? signature : other;
      for (const half of [signature, other]) {
        const { r32, s32 } = verifyP256(half, digest, point);
        assert.deepEqual(Buffer.concat([r32, s32]), low);
      }
    }
  });

  it("refuses another message, another key, a flipped bit and another length", () => {
    const signature = signed();
    const stranger = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" });
    const theirs = Buffer.concat([
      Buffer.of(4),
      Buffer.from(stranger.x!, "base64url"),
      Buffer.from(stranger.y!, "base64url"),
    ]);
    assert.throws(() => verifyP256(signature, sha256("a massage"), point), invalid);
    assert.throws(() => verifyP256(signature, digest, theirs), invalid);
    for (const index of [0, 31, 32, 63]) {
      const flipped = Buffer.from(signature);
      flipped[index]! ^= 1;
      assert.throws(() => verifyP256(flipped, digest, point), invalid);
    }
    for (const length of [0, 63])
      assert.throws(() => verifyP256(signature.subarray(0, length), digest, point), invalid);
    assert.throws(() => verifyP256(Buffer.concat([signature, Buffer.of(0)]), digest, point), invalid);
    assert.throws(() => verifyP256(Buffer.alloc(64), digest, point), invalid);
  });
});
