import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync, existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { findSoftHsm } from "../../src/adapters/pkcs11/softhsm.ts";
import { PROGRAM, run, start } from "../support/program.ts";

// Goal: a gateway begins on tokens that others made, as on an HSM that others run; what cannot begin leaves nothing.
// Method: SoftHSM's own tool makes the tokens; `portcullis init` is told their labels and PINs.

const TOKENS = ["gateway", "log", "house"] as const;

describe("init on tokens that administrators made", () => {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-adoption-"));
  const conf = join(folder, "softhsm2.conf");
  const pin = (name: string) => join(folder, `${name}.pin`);
  const init = (dir: string, adopt: readonly string[], module = findSoftHsm()) =>
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
        module,
        "--module-env",
        `SOFTHSM2_CONF=${conf}`,
        "--adopt",
        ...adopt,
      ],
      { encoding: "utf8" },
    );

  const withPinsOf = (texts: readonly string[]) => texts.map((text) => `${text}${pin(text.split("=")[0]!)}`);
  const refusalOf = ({ stdout }: { readonly stdout: string }) =>
    (JSON.parse(stdout) as { error: { code: string; message: string } }).error;

  before(() => {
    chmodSync(folder, 0o711); // as root the edge has a user of its own, who passes through to the socket
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

  it("a client's token made while it serves is adopted; its keys are made, attested, verified offline and disabled", async () => {
    const at = (name: string) => join(folder, "gateway", name);
    chmodSync(join(folder, "gateway"), 0o711);
    const made = ["--init-token", "--free", "--label", "admin-acme", "--pin", "their-pin-1", "--so-pin", "so-pin-1234"];
    const config = readFileSync(at("portcullis.yaml"), "utf8");
    writeFileSync(at("portcullis.yaml"), config.replace(/listen: .*/, `listen: 127.0.0.1:0`));
    const serving = await start<{ url: string }>(["serve", "--config", at("portcullis.yaml"), "--json"]);
    try {
      execFileSync("softhsm2-util", made, { env: { ...process.env, SOFTHSM2_CONF: conf } });
      writeFileSync(pin("acme"), "their-pin-1\n");
      const operator = JSON.parse(readFileSync(at("callers/operator.json"), "utf8")) as object;
      writeFileSync(at("operator.json"), JSON.stringify({ ...operator, url: serving.ready.url }));
      const ok = async <T>(...args: string[]): Promise<T> => {
        const { code, stdout, stderr } = await run([...args, "--as", at("operator.json"), "--json"]);
        assert.equal(code, 0, stdout + stderr);
        return JSON.parse(stdout) as T;
      };
      const adopt = ["client", "add", "acme", "--token", "admin-acme", "--pin-file", pin("acme")];
      const added = await ok<{ token: { label: string }; pinKept?: object }>(...adopt);
      assert.deepEqual([added.token.label, added.pinKept], ["admin-acme", undefined]);
      const theirs = [
        "--module",
        findSoftHsm(),
        "--token-label",
        "admin-acme",
        "--login",
        "--pin",
        "their-pin-1",
        "-O",
      ];
      const asBefore = spawnSync("pkcs11-tool", theirs, { env: { ...process.env, SOFTHSM2_CONF: conf } });
      assert.notEqual(asBefore.status, 0, "the administrators' PIN opens it no more");

      await ok("key", "create", "hot-1", "--client", "acme", "--chain", "eip155:1");
      for (const curve of ["p256", "ed25519"]) {
        const args = ["key", "create", `raw-${curve}`, "--client", "acme", "--purpose", "raw", "--curve", curve];
        const { purpose, chains } = await ok<{ purpose: string; chains: string[] }>(...args);
        assert.deepEqual([purpose, chains], ["raw", []]);
      }
      await ok("client", "rotate-pin", "acme");
      await ok("key", "attest", "--client", "acme", "--out", at("attested.json"));
      await serving.stop();
      const verified = await run(["statement", "verify", at("attested.json"), "--gateway", at("gateway.json")]);
      assert.equal(verified.code, 0, verified.stderr);
      assert.match(verified.stdout, /software token: no hardware attestation[^]*hot-1 +secp256k1 +active +proven now/);
      writeFileSync(at("changed.json"), readFileSync(at("attested.json"), "utf8").replace("eip155:1:", "eip155:2:"));
      assert.equal((await run(["statement", "verify", at("changed.json"), "--gateway", at("gateway.json")])).code, 1);

      const again = await start<{ url: string }>(["serve", "--config", at("portcullis.yaml"), "--json"]);
      writeFileSync(at("operator.json"), JSON.stringify({ ...operator, url: again.ready.url }));
      const { keys } = await ok<{ keys: { usable: boolean }[] }>("key", "list", "--client", "acme");
      assert.deepEqual(
        keys.map(({ usable }) => usable),
        [true, true, true],
      );
      assert.equal((await ok<{ state: string }>("key", "disable", "hot-1", "--client", "acme")).state, "disabled");
      await again.stop();
    } finally {
      await serving.stop();
    }
  });

  for (const [what, adopt, code] of [
    ["a label that no token has", ["gateway=nobody:", "log=admin-log:", "house=admin-house:"], "token-not-found"],
    ["a token left out", ["gateway=admin-gateway:", "log=admin-log:"], "usage"],
  ] as const) {
    it(`${what}: \`${code}\`, and nothing is left behind`, () => {
      const dir = `refused-${code}`;
      const refused = init(dir, withPinsOf(adopt));
      assert.equal(refusalOf(refused).code, code);
      assert.notEqual(refused.status, 0);
      assert.equal(existsSync(join(folder, dir, "vault")), false);
    });
  }

  it("an empty PIN is tried on no token", () => {
    writeFileSync(pin("empty"), "\n");
    const others = withPinsOf(["log=admin-log:", "house=admin-house:"]);
    const { code, message } = refusalOf(init("refused-empty", [`gateway=admin-gateway:${pin("empty")}`, ...others]));
    assert.deepEqual([code, message], ["usage", `expected a PIN in \`${pin("empty")}\`, found nothing`]);
  });

  it("of a module that cannot be loaded it says what the loader says", () => {
    const all = withPinsOf(["gateway=admin-gateway:", "log=admin-log:", "house=admin-house:"]);
    for (const [module, reason] of [
      [join(folder, "no-such.so"), /: cannot open shared object file/],
      [pin("log"), /: (invalid ELF header|file too short)$/],
      [folder, /: cannot read file data: Is a directory$/],
    ] as const) {
      const { code, message } = refusalOf(init("refused-module", all, module));
      assert.equal(code, "hsm-unavailable");
      assert.match(message, reason);
    }
  });
});
