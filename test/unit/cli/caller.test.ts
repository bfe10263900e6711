import assert from "node:assert/strict";
import { createPrivateKey, createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "yaml";
import { publicKeyText } from "../../../src/sdk/caller-file.ts";
import { run } from "../../support/program.ts";

// Goal: `caller keygen` writes the private key where the caller is, for its owner alone, and prints the line by which a
// policy knows the public one, with the role that was asked for.
// Method: the program as people run it; Node's OpenSSL and a YAML parser read what it wrote.

const PREFIXES = { ed25519: "ed25519:", "ecdsa-p256": "ecdsa-p256:" } as const;

describe("caller keygen", () => {
  let folder: string;
  const at = (name: string) => join(folder, name);

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-keygen-"));
    const answersKey = publicKeyText(generateKeyPairSync("ed25519").privateKey);
    writeFileSync(at("gateway.json"), JSON.stringify({ gateway: "trial", url: "http://127.0.0.1:8420", answersKey }));
  });
  after(() => rmSync(folder, { recursive: true }));

  const keygen = (name: string, ...args: string[]) =>
    run(["caller", "keygen", name, "--gateway", at("gateway.json"), "--out", at(`${name}.json`), ...args]);

  for (const [role, algorithm, given] of [
    ["wallet-service", "ed25519", []],
    ["operator", "ed25519", ["--role", "operator"]],
    ["secured-party", "ecdsa-p256", ["--role", "secured-party", "--algorithm", "ecdsa-p256", "--client", "acme"]],
  ] as const) {
    it(`${given.join(" ") || "without more"}: the printed line declares a ${role} with the file's own key`, async () => {
      const { code, stdout, stderr } = await keygen("alice", ...given);
      assert.equal(code, 0, stderr);
      const written = JSON.parse(readFileSync(at("alice.json"), "utf8")) as Record<string, string>;
      const line = stdout.split("\n").find((each) => each.includes("alice: {"))!;
      const declared = parse(line) as { alice: { role: string; keys: string[] } };
      assert.deepEqual(declared.alice, { role, keys: [written["publicKey"]!] });
      assert.equal(statSync(at("alice.json")).mode & 0o777, 0o600);
      const key = { key: Buffer.from(written["privateKey"]!, "base64"), format: "der", type: "pkcs8" } as const;
      const spki = createPublicKey(createPrivateKey(key)).export({ format: "der", type: "spki" });
      const [prefix, bytes] = [PREFIXES[algorithm], Buffer.from(written["publicKey"]!.split(":")[1]!, "base64")];
      assert.ok(written["publicKey"]!.startsWith(prefix) && spki.subarray(-bytes.length).equals(bytes));
      assert.equal(written["client"], given.some((arg) => arg === "--client") ? "acme" : undefined);
      assert.ok(!stdout.includes(written["privateKey"]!), "the private key is on no screen");
      rmSync(at("alice.json"));
    });
  }

  it("a role that nobody knows, or a name that is none, makes no file", async () => {
    assert.equal((await keygen("bob", "--role", "owner")).code, 2);
    assert.equal((await keygen("Bob")).code, 2);
    for (const name of ["bob", "Bob"]) assert.throws(() => statSync(at(`${name}.json`)), /ENOENT/);
  });
});
