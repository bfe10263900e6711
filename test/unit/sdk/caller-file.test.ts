import assert from "node:assert/strict";
import { createPrivateKey, sign, verify, createPublicKey } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newCaller, privateKeyOf, readCallerFile, writeCallerFile } from "../../../src/sdk/caller-file.ts";

// Goal: a caller's private key is written once, for its owner alone, and read back as it was.

const gateway = { gateway: "prod", url: "http://127.0.0.1:8420", answersKey: `ed25519:${"A".repeat(43)}=` };

describe("sdk/caller-file", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-caller-"));
    path = join(folder, "payouts.json");
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("is readable by its owner only, whatever the umask", () => {
    const before = process.umask(0);
    try {
      writeCallerFile(path, newCaller(gateway, "payouts", "acme"));
    } finally {
      process.umask(before);
    }
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  it("never replaces a file", () => {
    writeFileSync(path, "a key that would be gone");
    assert.throws(() => writeCallerFile(path, newCaller(gateway, "payouts")), { code: "EEXIST" });
    assert.equal(readFileSync(path, "utf8"), "a key that would be gone");
  });

  it("comes back as it was written", () => {
    for (const file of [newCaller(gateway, "payouts", "acme"), newCaller(gateway, "officer")]) {
      writeCallerFile(path, file);
      assert.deepEqual(readCallerFile(path), file);
      rmSync(path);
    }
  });

  it("holds a key pair that belongs together, and a new one each time", () => {
    const [file, other] = [newCaller(gateway, "payouts"), newCaller(gateway, "payouts")];
    const x = Buffer.from(file.publicKey.slice("ed25519:".length), "base64").toString("base64url");
    const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    const text = Buffer.from("text");
    assert.ok(verify(null, text, publicKey, sign(null, text, privateKeyOf(file))));
    assert.notEqual(file.publicKey, other.publicKey);
    assert.doesNotThrow(() =>
      createPrivateKey({ key: Buffer.from(other.privateKey, "base64"), format: "der", type: "pkcs8" }),
    );
  });

  for (const [what, change] of [
    ["an unknown field", { extra: 1 }],
    ["another kind", { kind: "portcullis/caller/v2" }],
    ["no URL", { url: "somewhere" }],
    ["an answers key of another form", { answersKey: "A".repeat(44) }],
    ["no private key", { privateKey: undefined }],
  ] as const) {
    it(`${what} is refused`, () => {
      writeFileSync(path, JSON.stringify({ ...newCaller(gateway, "payouts"), ...change }));
      assert.throws(() => readCallerFile(path), { code: "caller-file-invalid" });
    });
  }

  it("a file that is not there, or no JSON, is refused with its path", () => {
    assert.throws(() => readCallerFile(path), { code: "caller-file-invalid", message: new RegExp(path) });
    writeFileSync(path, "{");
    assert.throws(() => readCallerFile(path), { code: "caller-file-invalid" });
  });
});
