import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { findSoftHsm } from "../../src/adapters/pkcs11/softhsm.ts";
import { PROGRAM } from "../support/program.ts";

// Goal: a gateway begins on tokens that others made, as on an HSM that others run; what cannot begin leaves nothing.
// Method: SoftHSM's own tool makes the tokens; `portcullis init` is told their labels and PINs.

const TOKENS = ["gateway", "log", "house"] as const;

describe("init on tokens that administrators made", () => {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-adoption-"));
  const conf = join(folder, "softhsm2.conf");
  const pin = (name: string) => join(folder, `${name}.pin`);
  const init = (dir: string, adopt: readonly string[]) =>
    spawnSync(
      process.execPath,
      [
        PROGRAM,
        "init",
        "--json",
        "--name",
        "adopted",
        "--dir",
        join(folder, dir),
        "--module",
        findSoftHsm(),
        "--module-env",
        `SOFTHSM2_CONF=${conf}`,
        "--adopt",
        ...adopt,
      ],
      { encoding: "utf8" },
    );

  before(() => {
    mkdirSync(join(folder, "tokens"));
    writeFileSync(
      conf,
      `directories.tokendir = ${join(folder, "tokens")}\nobjectstore.backend = file\nlog.level = ERROR\n`,
    );
    for (const name of TOKENS) {
      writeFileSync(pin(name), `user-pin-${name}`);
      const made = [
        "--init-token",
        "--free",
        "--label",
        `admin-${name}`,
        "--pin",
        `user-pin-${name}`,
        "--so-pin",
        "so-pin-1234",
      ];
      execFileSync("softhsm2-util", made, { env: { ...process.env, SOFTHSM2_CONF: conf } });
    }
  });
  after(() => rmSync(folder, { recursive: true }));

  it("takes them, and the configuration names them by label and serial", () => {
    const { status, stdout } = init(
      "gateway",
      TOKENS.map((name) => `${name}=admin-${name}:${pin(name)}`),
    );
    assert.equal(status, 0, stdout);
    const { hsm } = parse(readFileSync(join(folder, "gateway", "portcullis.yaml"), "utf8")) as {
      hsm: { environment: object; logToken: { label: string; serial: string } };
    };
    assert.equal(hsm.logToken.label, "admin-log");
    assert.match(hsm.logToken.serial, /^[0-9a-f]{16}$/);
    assert.deepEqual(hsm.environment, { SOFTHSM2_CONF: conf });
  });

  for (const [what, adopt, code] of [
    ["a label that no token has", ["gateway=nobody:", "log=admin-log:", "house=admin-house:"], "token-not-found"],
    ["a token left out", ["gateway=admin-gateway:", "log=admin-log:"], "usage"],
  ] as const) {
    it(`${what}: \`${code}\`, and nothing is left behind`, () => {
      const dir = `refused-${code}`;
      const { stdout, status } = init(
        dir,
        adopt.map((text) => `${text}${pin(text.split("=")[0]!)}`),
      );
      assert.equal((JSON.parse(stdout) as { error: { code: string } }).error.code, code);
      assert.notEqual(status, 0);
      assert.equal(existsSync(join(folder, dir, "vault")), false);
    });
  }
});
