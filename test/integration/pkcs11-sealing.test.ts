// Goal: what the gateway's token seals opens for the same context only, under a key that nobody can take away.
// Method: SoftHSM; the key's attributes are read by bare PKCS#11, as an outsider with the PIN would.
import assert from "node:assert/strict";
import pkcs11, { type Template } from "pkcs11js";
import type { GatewayToken, TokenRef } from "../../src/vault/ports.ts";
import { findObjects } from "../../src/adapters/pkcs11/keys.ts";
import { answerTo, inRawSession } from "../support/pkcs11.ts";
import { reopened, SCRATCH_PIN, scratchHsm, type ScratchHsm } from "../support/softhsm.ts";

const SECRET = Buffer.from("a-pin-of-a-client");
const secretKeys: Template = [{ type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY }];

describe("the gateway's token seals", () => {
  let scratch: ScratchHsm;
  let ref: TokenRef;
  let token: GatewayToken;

  beforeEach(async () => {
    scratch = await scratchHsm();
    ref = await scratch.hsm.createToken("gateway", SCRATCH_PIN);
    token = await scratch.hsm.openGatewayToken(ref, SCRATCH_PIN);
  });
  afterEach(() => scratch.close());

  it("opens after a restart, and for the same context only", async () => {
    const sealed = await token.seal(SECRET, "acme 1");
    scratch = await reopened(scratch);
    token = await scratch.hsm.openGatewayToken(ref, SCRATCH_PIN);
    assert.deepEqual(Buffer.from(await token.unseal(sealed, "acme 1")), SECRET);
    await assert.rejects(token.unseal(sealed, "acme 2"), { code: "seal-broken" });
    assert.deepEqual(Buffer.from(await token.unseal(sealed, "acme 1")), SECRET, "the token is well afterwards");
  });

  it("no byte of it can be changed", async () => {
    const sealed = await token.seal(SECRET, "acme 1");
    for (let index = 0; index < sealed.length; index += 1) {
      const changed = Buffer.from(sealed);
      changed[index]! ^= 1;
      await assert.rejects(token.unseal(changed, "acme 1"), { code: "seal-broken" });
    }
    for (const cut of [0, 1, 12, sealed.length - 1])
      await assert.rejects(token.unseal(sealed.subarray(0, cut), "acme 1"), { code: "seal-broken" });
  });

  it("the same secret is sealed differently each time, and at the same time by many", async () => {
    const sealed = await Promise.all(Array.from({ length: 20 }, () => token.seal(SECRET, "acme 1")));
    assert.equal(new Set(sealed.map((each) => Buffer.from(each).toString("hex"))).size, 20);
    for (const each of sealed) assert.deepEqual(Buffer.from(await token.unseal(each, "acme 1")), SECRET);
  });

  it("the key shows its value to nobody, wraps nothing and cannot be copied out", async () => {
    await token.seal(SECRET, "acme 1");
    await scratch.hsm.close();
    inRawSession(scratch, "gateway", true, (lib, session) => {
      const [key, ...others] = findObjects(lib, session, secretKeys);
      assert.deepEqual(others, []);
      const value = () => lib.C_GetAttributeValue(session, key!, [{ type: pkcs11.CKA_VALUE }]);
      assert.equal(answerTo(value), "CKR_ATTRIBUTE_SENSITIVE");
      const extractable = [{ type: pkcs11.CKA_EXTRACTABLE, value: true }];
      assert.notEqual(
        answerTo(() => lib.C_SetAttributeValue(session, key!, extractable)),
        "CKR_OK",
      );
      const copied = [
        { type: pkcs11.CKA_EXTRACTABLE, value: true },
        { type: pkcs11.CKA_SENSITIVE, value: false },
      ];
      assert.notEqual(
        answerTo(() => lib.C_CopyObject(session, key!, copied)),
        "CKR_OK",
      );
      const wrapping = () => lib.C_WrapKey(session, { mechanism: 0x210a }, key!, key!, Buffer.alloc(64));
      assert.notEqual(answerTo(wrapping), "CKR_OK");
    });
  });

  for (const [what, changes, code] of [
    ["imported", { CKA_VALUE: Buffer.alloc(32, 7) }, "key-refused"],
    ["that can be extracted", { CKA_EXTRACTABLE: true }, "key-refused"],
    ["that signs as well", { CKA_SIGN: true }, "key-refused"],
  ] as const) {
    it(`a key ${what} is not sealed with`, async () => {
      await scratch.hsm.close();
      const flags = { CKA_TOKEN: true, CKA_PRIVATE: true, CKA_SENSITIVE: true, CKA_ENCRYPT: true, CKA_DECRYPT: true };
      const none = { CKA_EXTRACTABLE: false, CKA_MODIFIABLE: false, CKA_SIGN: false, CKA_VERIFY: false };
      const rest = { CKA_WRAP: false, CKA_UNWRAP: false, CKA_DERIVE: false, ...changes };
      const template = Object.entries({ ...flags, ...none, ...rest }).map(([name, value]) => ({
        type: (pkcs11 as unknown as Record<string, number>)[name]!,
        value,
      }));
      const named = [
        { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_SECRET_KEY },
        { type: pkcs11.CKA_KEY_TYPE, value: pkcs11.CKK_AES },
        { type: pkcs11.CKA_LABEL, value: "pins" },
      ];
      inRawSession(scratch, "gateway", true, (lib, session) => {
        if ("CKA_VALUE" in changes) return void lib.C_CreateObject(session, [...named, ...template]);
        const length = { type: pkcs11.CKA_VALUE_LEN, value: 32 };
        lib.C_GenerateKey(session, { mechanism: pkcs11.CKM_AES_KEY_GEN }, [...named, length, ...template]);
      });
      scratch = await reopened(scratch);
      token = await scratch.hsm.openGatewayToken(ref, SCRATCH_PIN);
      await assert.rejects(token.seal(SECRET, "acme 1"), { code });
    });
  }

  it("no other part of the gateway opens that token", async () => {
    await assert.rejects(scratch.hsm.openToken(ref, SCRATCH_PIN), { code: "token-in-use" });
    await assert.rejects(scratch.hsm.openLogToken(ref, SCRATCH_PIN, "log.example"), { code: "token-in-use" });
  });
});
