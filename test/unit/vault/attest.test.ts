import assert from "node:assert/strict";
import { createPublicKey, verify } from "node:crypto";
import { GatewayError } from "../../../src/domain/errors.ts";
import type { Statement } from "../../../src/domain/statement.ts";
import { verifyStatement } from "../../../src/sdk/statement.ts";
import type { Hsm, Token } from "../../../src/vault/ports.ts";
import { hsmInSoftware } from "../../support/software-hsm.ts";
import { newKey, testVault, type TestVault } from "../../support/vault.ts";

// Goal: what a client's keys show is said once, signed, and verified by whoever has the statement key; a key that does not
// prove itself is named with the attribute; what was changed is no statement.

/** `weak` turns extractable after its creation. */
function hsmWithAWeakKey(): Hsm {
  const hsm = hsmInSoftware();
  const refusing = (token: Token): Token => ({
    ...token,
    proveKey: async (key) => {
      if (key.label !== "weak") return token.proveKey(key);
      throw new GatewayError("key-refused", "expected key `weak` with CKA_EXTRACTABLE false, found true", {
        facts: { attribute: "CKA_EXTRACTABLE" },
      });
    },
  });
  return { ...hsm, openToken: async (ref, pin) => refusing(await hsm.openToken(ref, pin)) };
}

type Report = {
  client: string;
  attestation: string;
  isolation: string;
  token: { label: string; serial: string };
  keys: { key: string; proven: boolean; publicKey: string; accounts: string[]; refused?: { attribute: string } }[];
};

describe("vault/attest", () => {
  let vault: TestVault;
  beforeEach(async () => (vault = await testVault({ hsm: hsmWithAWeakKey() })));
  afterEach(() => vault.close());

  const attest = async (as = "inspector") => {
    const { status, body } = await vault.call(as, "GET", "/v1/clients/acme/attestation");
    return { status, statement: body as Statement };
  };
  const statementKey = async () =>
    `ed25519:${Buffer.from(await vault.logToken.publicKey("statement")).toString("base64")}`;

  it("names token, keys and addresses, and OpenSSL verifies it under the log token's statement key", async () => {
    const { status, statement } = await attest();
    assert.equal(status, 200);
    const x = Buffer.from(await vault.logToken.publicKey("statement")).toString("base64url");
    const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
    assert.ok(verify(null, Buffer.from(statement.text), key, Buffer.from(statement.signature, "base64")));
    const { kind, content } = verifyStatement(statement, await statementKey());
    const { client, isolation, token, keys } = content as Report;
    const { row } = vault.gateway.directory.get("acme" as never);
    assert.deepEqual([kind, client, isolation], ["key-attestation", "acme", "none (a test)"]);
    assert.deepEqual([token.label, token.serial], [row.token.label, row.token.serial]);
    assert.deepEqual(
      keys.map((each) => [each.key, each.proven, each.publicKey, each.accounts]),
      [["hot-1", true, `0x${Buffer.from(vault.key.publicKey).toString("hex")}`, [...vault.key.accounts]]],
    );
  });

  it("a key that does not prove itself is in the report, with the attribute", async () => {
    const body = { name: "weak", chains: ["eip155:1"] };
    await vault.call("operator", "POST", "/v1/clients/acme/keys", body, newKey());
    const { keys } = verifyStatement((await attest()).statement, await statementKey()).content as Report;
    const weak = keys.find(({ key }) => key === "weak");
    assert.deepEqual([weak?.proven, weak?.refused?.attribute], [false, "CKA_EXTRACTABLE"]);
  });

  it("changed, signed by another, or of another type it is refused", async () => {
    const { statement } = await attest();
    const key = await statementKey();
    const refused = { code: "statement-invalid" };
    const changes: object[] = [
      { text: statement.text.replace('"proven":true', '"proven":false') },
      { text: statement.text.replace("key-attestation", "key-attested") },
      { signature: statement.signature.replace(/^./, (letter) => (letter === "A" ? "B" : "A")) },
      { signature: "" },
      { more: 1 },
    ];
    for (const change of changes) assert.throws(() => verifyStatement({ ...statement, ...change }, key), refused);
    const other = `ed25519:${Buffer.alloc(32, 7).toString("base64")}`;
    assert.throws(() => verifyStatement({ ...statement, key: other }, other), refused);
    const text = "portcullis/statement/v1\nno json\n";
    const signature = Buffer.from(await vault.logToken.sign("statement", text)).toString("base64");
    assert.throws(() => verifyStatement({ text, signature, key }, key), refused);
  });

  it("a wallet service does not ask for it", async () => assert.equal((await attest("payouts")).status, 403));
});
