import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { run, type Ran } from "../support/program.ts";

// Goal: the SO PIN of each token that `init` makes is in two files for two persons, and nowhere else; together they are
// worth the keys, one alone is not; without a choice between keeping and not keeping it nothing is made.
// Method: the command as people run it; OpenSC's tool resets a user PIN with what the two files say.

const TOKENS = ["gateway", "house", "log"] as const;

describe("SO PINs", () => {
  let folder: string;
  let made: Ran;
  const at = (...names: string[]) => join(folder, ...names);
  const share = (person: string, token: string) => readFileSync(at(person, `so-pin-${token}.share`), "utf8").trim();
  const xor = (one: string, other: string) =>
    (BigInt(`0x${one}`) ^ BigInt(`0x${other}`)).toString(16).padStart(one.length, "0");

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-so-pin-"));
    const shares = `${at("first")},${at("second")}`;
    made = await run(["init", "--name", "shared", "--dir", at("gateway"), "--so-pin-shares", shares, "--json"]);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  function resetsUserPin(token: string, soPin: string): boolean {
    const { hsm } = parse(readFileSync(at("gateway", "portcullis.yaml"), "utf8")) as {
      hsm: { module: string; environment: Record<string, string> };
    };
    const reset = ["--login", "--login-type", "so", "--so-pin", soPin, "--init-pin", "--new-pin", "set-by-officer"];
    const environment = { ...process.env, SOFTHSM2_CONF: join(at("gateway"), hsm.environment["SOFTHSM2_CONF"]!) };
    const args = ["--module", hsm.module, "--token-label", token, ...reset];
    return spawnSync("pkcs11-tool", args, { env: environment }).status === 0;
  }

  it("two folders hold a share of each token's, for their owners alone", () => {
    assert.equal(made.code, 0, made.stderr);
    for (const person of ["first", "second"]) {
      assert.deepEqual(
        readdirSync(at(person)).sort(),
        TOKENS.map((token) => `so-pin-${token}.share`),
      );
      for (const token of TOKENS) assert.equal(statSync(at(person, `so-pin-${token}.share`)).mode & 0o777, 0o600);
    }
  });

  for (const token of TOKENS) {
    it(`${token}: both shares together reset the user PIN, one alone does not, and nothing was said of it`, () => {
      const [first, second] = [share("first", token), share("second", token)];
      const soPin = xor(first, second);
      assert.equal(resetsUserPin(token, first), false);
      assert.equal(resetsUserPin(token, second), false);
      assert.equal(resetsUserPin(token, soPin), true);
      for (const secret of [soPin, first, second]) assert.ok(!`${made.stdout}${made.stderr}`.includes(secret));
    });
  }

  it("without a word about them nothing is made", async () => {
    const { code } = await run(["init", "--name", "shared", "--dir", at("other"), "--json"]);
    assert.equal(code, 2);
    assert.ok(!readdirSync(folder).includes("other"));
  });
});
