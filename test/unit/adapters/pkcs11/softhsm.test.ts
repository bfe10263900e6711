// Goal: a folder is ready for SoftHSM's tokens, its own alone, and a missing module is said with what to do.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findSoftHsm, prepareSoftHsm } from "../../../../src/adapters/pkcs11/softhsm.ts";

describe("preparing SoftHSM", () => {
  let directory: string;
  beforeEach(() => (directory = mkdtempSync(join(tmpdir(), "portcullis-softhsm-"))));
  afterEach(() => rmSync(directory, { recursive: true }));

  it("the token folder is its owner's alone, and the configuration names it", () => {
    const folder = join(directory, "a new one");
    const { environment } = prepareSoftHsm(folder);
    assert.equal(statSync(join(folder, "tokens")).mode & 0o777, 0o700);
    assert.equal(statSync(environment.SOFTHSM2_CONF).mode & 0o777, 0o600);
    const configuration = readFileSync(environment.SOFTHSM2_CONF, "utf8");
    assert.match(configuration, new RegExp(`^directories.tokendir = ${join(folder, "tokens")}$`, "m"));
    assert.ok(!configuration.includes("{{"));
  });

  it("preparing twice leaves tokens alone", () => {
    prepareSoftHsm(directory);
    const token = join(directory, "tokens", "some-token");
    mkdirSync(token);
    writeFileSync(join(token, "token.object"), "x");
    prepareSoftHsm(directory);
    assert.equal(readFileSync(join(token, "token.object"), "utf8"), "x");
  });

  it("a path that SoftHSM's file cannot hold is refused", () => {
    assert.throws(() => prepareSoftHsm(join(directory, "a\nlog.level = DEBUG")), { code: "config-invalid" });
  });

  it("without the module, the hint says how to install it", () => {
    assert.throws(() => findSoftHsm([join(directory, "none.so")]), {
      code: "softhsm-missing",
      hint: /apt-get install softhsm2/,
    });
  });
});
