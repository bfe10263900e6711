import assert from "node:assert/strict";
import { chmodSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newBootSecret, readBootSecret, writeSecretFile } from "../../../../src/adapters/files/boot-secret.ts";
import { newSoPin } from "../../../../src/adapters/files/so-pin.ts";

// Goal: the boot secret comes from where it is said to be, and from no place that others can read; an SO PIN is two shares,
// of which neither says anything alone, or nothing.

describe("adapters/files: the boot secret", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "portcullis-secret-"))));
  afterEach(() => {
    delete process.env["CREDENTIALS_DIRECTORY"];
    rmSync(folder, { recursive: true });
  });
  const at = (name: string) => join(folder, name);
  const refused = { code: "boot-secret" };

  it("is 128 random bits and more, written for its owner alone and never over another", () => {
    const secret = newBootSecret();
    assert.ok(Buffer.from(secret, "base64url").length * 8 >= 128);
    assert.notEqual(secret, newBootSecret());
    writeSecretFile(at("boot.secret"), secret);
    assert.equal(statSync(at("boot.secret")).mode & 0o777, 0o600);
    assert.throws(() => writeSecretFile(at("boot.secret"), "another"), /EEXIST/);
    assert.equal(readBootSecret({ file: at("boot.secret") }), secret);
  });

  it("is not read from a file that others can read, nor from an empty or missing one", () => {
    writeFileSync(at("boot.secret"), "secret\n", { mode: 0o600 });
    for (const mode of [0o640, 0o604, 0o660, 0o644]) {
      chmodSync(at("boot.secret"), mode);
      assert.throws(() => readBootSecret({ file: at("boot.secret") }), refused);
    }
    writeFileSync(at("empty"), "\n", { mode: 0o600 });
    for (const name of ["empty", "missing"]) assert.throws(() => readBootSecret({ file: at(name) }), refused);
  });

  it("comes by systemd's credentials, where there are some", () => {
    assert.throws(() => readBootSecret({ credential: "portcullis-boot" }), refused);
    process.env["CREDENTIALS_DIRECTORY"] = folder;
    assert.throws(() => readBootSecret({ credential: "portcullis-boot" }), refused);
    writeFileSync(at("portcullis-boot"), "secret\n", { mode: 0o400 });
    assert.equal(readBootSecret({ credential: "portcullis-boot" }), "secret");
  });

  it("comes by a descriptor, from a file as often as a vault is started", () => {
    writeFileSync(at("boot.secret"), "secret\n");
    const descriptor = openSync(at("boot.secret"), "r");
    assert.equal(readBootSecret({ descriptor }), "secret");
    assert.equal(readBootSecret({ descriptor }), "secret");
    closeSync(descriptor);
    assert.throws(() => readBootSecret({ descriptor }), refused);
  });

  it("an SO PIN is the XOR of two files for two persons; neither holds it", () => {
    const soPin = newSoPin("acme", [at("first"), at("second")])!;
    const files = ["first", "second"].map((name) => join(at(name), "so-pin-acme.share"));
    const shares = files.map((path) => BigInt(`0x${readFileSync(path, "utf8").trim()}`));
    assert.equal((shares[0]! ^ shares[1]!).toString(16).padStart(48, "0"), soPin);
    for (const path of files) {
      assert.equal(statSync(path).mode & 0o777, 0o600);
      assert.ok(!readFileSync(path, "utf8").includes(soPin));
    }
    assert.throws(() => newSoPin("acme", [at("first"), at("second")]), /EEXIST/, "never over a living token's");
    assert.equal(newSoPin("acme", undefined), undefined);
  });
});
