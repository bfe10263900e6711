// Goal: keys are born in the token, prove themselves, and sign for permits only (I1, I2, I3).
// Method: a real SoftHSM in a folder of its own; signatures are held against ethers and Node's own verification.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import pkcs11 from "pkcs11js";
import type { KeyRef, Token, TokenRef } from "../../src/vault/ports.ts";
import { answerTo, inRawSession, isSignedBy, permitFor } from "../support/pkcs11.ts";
import { reopened, SCRATCH_PIN, scratchHsm, type ScratchHsm } from "../support/softhsm.ts";

describe("the HSM adapter on SoftHSM", () => {
  let scratch: ScratchHsm;
  let ref: TokenRef;
  let token: Token;

  beforeEach(async () => {
    scratch = await scratchHsm();
    ref = await scratch.hsm.createToken("acme", SCRATCH_PIN);
    token = await scratch.hsm.openToken(ref, SCRATCH_PIN);
  });
  afterEach(() => scratch.close());

  async function restarted(): Promise<Token> {
    scratch = await reopened(scratch);
    return scratch.hsm.openToken(ref, SCRATCH_PIN);
  }

  async function assertSigns(signer: Token, key: KeyRef): Promise<void> {
    const digest = randomBytes(32);
    const signature = await signer.sign(key, permitFor(key, digest));
    assert.ok(isSignedBy[key.curve](key.publicKey, digest, signature));
  }

  describe("keys", () => {
    it("a secp256k1 key shows I1 and signs under its public key", async () => {
      const { key, attributes } = await token.generateKey("hot-1", "secp256k1");
      assert.match(key.id, /^[0-9a-f]{32}$/);
      assert.equal(key.publicKey.length, 65);
      assert.deepEqual(attributes, await token.proveKey(key));
      assert.equal(attributes["CKA_EXTRACTABLE"], false);
      assert.equal(attributes["CKA_LOCAL"], true);
      await assertSigns(token, key);
    });

    for (const [curve, bytes] of [
      ["p256", 65],
      ["ed25519", 32],
    ] as const) {
      it(`a ${curve} key does too`, async () => {
        const { key } = await token.generateKey("hot-1", curve);
        assert.equal(key.publicKey.length, bytes);
        await token.proveKey(key);
        await assertSigns(token, key);
        await assertSigns(await restarted(), key);
      });
    }

    it("a key proves itself again after a restart, and signs unasked only after it has", async () => {
      const { key } = await token.generateKey("hot-1", "secp256k1");
      const again = await restarted();
      await assertSigns(again, key);
      await again.proveKey(key);
    });

    it("a name is used once, also by two at a time", async () => {
      const both = await Promise.allSettled([
        token.generateKey("hot-1", "secp256k1"),
        token.generateKey("hot-1", "ed25519"),
      ]);
      assert.deepEqual(
        both.map(({ status }) => status),
        ["fulfilled", "rejected"],
      );
      await assert.rejects(token.generateKey("hot-1", "secp256k1"), { code: "key-exists" });
    });

    it("without the PIN neither object is seen, with it neither can be changed, copied or destroyed", async () => {
      const { key } = await token.generateKey("hot-1", "secp256k1");
      const byId = [{ type: pkcs11.CKA_ID, value: Buffer.from(key.id, "hex") }];
      await scratch.hsm.close();
      inRawSession(scratch, "acme", false, (lib, session) => {
        lib.C_FindObjectsInit(session, byId);
        assert.deepEqual(lib.C_FindObjects(session, 10), []);
      });
      inRawSession(scratch, "acme", true, (lib, session) => {
        lib.C_FindObjectsInit(session, byId);
        const objects = lib.C_FindObjects(session, 10);
        lib.C_FindObjectsFinal(session);
        assert.equal(objects.length, 2);
        for (const object of objects) {
          const label = [{ type: pkcs11.CKA_LABEL, value: "x" }];
          assert.notEqual(
            answerTo(() => lib.C_DestroyObject(session, object)),
            "CKR_OK",
          );
          assert.notEqual(
            answerTo(() => lib.C_SetAttributeValue(session, object, label)),
            "CKR_OK",
          );
          assert.notEqual(
            answerTo(() => lib.C_CopyObject(session, object, label)),
            "CKR_OK",
          );
        }
      });
    });

    it("a key of another client's token is not found", async () => {
      const other = await scratch.hsm.createToken("other", SCRATCH_PIN);
      const { key } = await (await scratch.hsm.openToken(other, SCRATCH_PIN)).generateKey("hot-1", "secp256k1");
      await assert.rejects(token.proveKey(key), { code: "key-not-found" });
      await assert.rejects(token.sign(key, permitFor(key)), { code: "key-not-found" });
    });

    it("another public key than the one at its creation is refused", async () => {
      const { key } = await token.generateKey("hot-1", "secp256k1");
      const other = (await token.generateKey("hot-2", "secp256k1")).key;
      const forged = { ...key, publicKey: other.publicKey };
      const facts = { attribute: "publicKey", label: key.label, id: key.id };
      const refused = { code: "key-refused", facts };
      const unsigned = { ...refused, facts: { ...facts, unsigned: true } };
      await assert.rejects(token.sign(forged, permitFor(forged)), unsigned);
      const again = await restarted();
      await assert.rejects(again.proveKey(forged), refused);
      await assert.rejects(again.sign(forged, permitFor(forged)), unsigned);
    });
  });

  describe("permits", () => {
    let key: KeyRef;
    beforeEach(async () => {
      key = (await token.generateKey("hot-1", "secp256k1")).key;
    });

    it("a permit is worth one signature", async () => {
      const permit = permitFor(key);
      await token.sign(key, permit);
      await assert.rejects(token.sign(key, permit), { code: "permit-invalid" });
    });

    it("of two signatures for one permit at the same instant one is refused", async () => {
      const permit = permitFor(key);
      const both = await Promise.allSettled([token.sign(key, permit), token.sign(key, permit)]);
      assert.deepEqual(
        both.map(({ status }) => status),
        ["fulfilled", "rejected"],
      );
    });

    it("a permit for another key is refused, and spent", async () => {
      const other = (await token.generateKey("hot-2", "secp256k1")).key;
      const permit = permitFor(key);
      await assert.rejects(token.sign(other, permit), { code: "permit-invalid" });
      await assert.rejects(token.sign(key, permit), { code: "permit-invalid" });
    });

    it("what was not minted is no permit", async () => {
      await assert.rejects(token.sign(key, {} as never), { code: "permit-invalid" });
    });

    for (const bytes of [0, 31, 33, 64]) {
      it(`a digest of ${bytes} bytes is not signed`, async () => {
        await assert.rejects(token.sign(key, permitFor(key, randomBytes(bytes))), { code: "permit-invalid" });
      });
    }

    it("64 concurrent signatures on 4 sessions all verify", async () => {
      await Promise.all(Array.from({ length: 64 }, () => assertSigns(token, key)));
    });

    it("what the queue does not hold is refused without a signature, and the rest is signed", async () => {
      const all = await Promise.allSettled(Array.from({ length: 300 }, () => token.sign(key, permitFor(key))));
      const refused = all.filter((result) => result.status === "rejected");
      assert.equal(refused.length, 300 - 256 - 4);
      for (const { reason } of refused) assert.equal((reason as { code: string }).code, "hsm-busy");
    });
  });

  describe("tokens", () => {
    it("a label is given once", async () => {
      await assert.rejects(scratch.hsm.createToken("acme", SCRATCH_PIN), { code: "token-exists" });
    });

    for (const label of ["", " acme", "acme ", "a".repeat(33), "ac\u0000me", "äcme"]) {
      it(`${JSON.stringify(label)} is no label`, async () => {
        await assert.rejects(scratch.hsm.createToken(label, SCRATCH_PIN), { code: "label-invalid" });
      });
    }

    it("a PIN that the HSM would refuse leaves no token behind", async () => {
      await assert.rejects(scratch.hsm.createToken("short", "123"), { code: "pin-invalid" });
      await scratch.hsm.createToken("short", "1234");
    });

    it("a token is known by label and serial", async () => {
      const wrong = [
        { ...ref, serial: "0000" },
        { ...ref, label: "acm" },
      ];
      for (const each of wrong) {
        await assert.rejects(scratch.hsm.openToken(each, SCRATCH_PIN), { code: "token-not-found" });
      }
    });

    it("tokens made by another process are listed after a refresh, and open ones go on", async () => {
      const { key } = await token.generateKey("hot-1", "secp256k1");
      const command = ["--init-token", "--free", "--label", "elsewhere", "--pin", "1234", "--so-pin", "123456"];
      execFileSync("softhsm2-util", command, { env: { ...process.env, ...scratch.environment }, stdio: "pipe" });
      const labels = async () => (await scratch.hsm.listTokens()).map(({ label }) => label).sort();
      assert.deepEqual(await labels(), ["acme"]);
      const signatures = Array.from({ length: 20 }, () => token.sign(key, permitFor(key)));
      await scratch.hsm.refresh();
      assert.equal((await Promise.all(signatures)).length, 20);
      assert.deepEqual(await labels(), ["acme", "elsewhere"]);
      await assertSigns(token, key);
    });

    it("a changed PIN opens the token from then on, and the old one no more", async () => {
      const { key } = await token.generateKey("hot-1", "secp256k1");
      await assert.rejects(scratch.hsm.changePin(ref, "another-pin", "a-new-pin"), { code: "pin-incorrect" });
      await assert.rejects(scratch.hsm.changePin(ref, SCRATCH_PIN, "123"), { code: "pin-invalid" });
      await scratch.hsm.changePin(ref, SCRATCH_PIN, "a-new-pin");
      await assertSigns(token, key);
      await scratch.hsm.refresh();
      await assertSigns(token, key);
      scratch = await reopened(scratch);
      await assert.rejects(scratch.hsm.openToken(ref, SCRATCH_PIN), { code: "pin-incorrect" });
      await assertSigns(await scratch.hsm.openToken(ref, "a-new-pin"), key);
    });

    it("a token with keys of an earlier life is adopted whole: every key proven, of every curve", async () => {
      const made = [];
      for (const curve of ["secp256k1", "p256", "ed25519"] as const) {
        made.push((await token.generateKey(`hot-${curve}`, curve)).key);
      }
      const adopted = (await (await restarted()).adoptKeys()).map(({ key }) => key);
      const byLabel = (one: KeyRef, other: KeyRef) => one.label.localeCompare(other.label);
      assert.deepEqual(adopted.sort(byLabel), made.sort(byLabel));
    });

    it("opening an open token again returns the same one, to the same PIN only", async () => {
      assert.equal(await scratch.hsm.openToken({ ...ref }, SCRATCH_PIN), token);
      await assert.rejects(scratch.hsm.openToken(ref, "another-pin"), { code: "pin-incorrect" });
    });
  });

  describe("closing", () => {
    it("signatures under way and in the queue are finished first, later ones refused", async () => {
      const { key } = await token.generateKey("hot-1", "secp256k1");
      const signatures = Array.from({ length: 40 }, () => token.sign(key, permitFor(key)));
      const closing = scratch.hsm.close();
      assert.equal((await Promise.all(signatures)).length, 40);
      await closing;
      await assert.rejects(token.sign(key, permitFor(key)), { code: "hsm-unavailable" });
      await assert.rejects(scratch.hsm.openToken(ref, SCRATCH_PIN), { code: "hsm-unavailable" });
    });

    it("the module is finalized, so that the process may begin anew; closing twice is closing once", async () => {
      await Promise.all([scratch.hsm.close(), scratch.hsm.close()]);
      const lib = new pkcs11.PKCS11();
      lib.load(scratch.modulePath);
      assert.equal(
        answerTo(() => lib.C_GetSlotList(true)),
        "CKR_CRYPTOKI_NOT_INITIALIZED",
      );
      assert.equal((await restarted()).ref.serial, ref.serial);
    });

    it("one process opens the module once", async () => {
      await assert.rejects(scratchHsm(), {
        code: "hsm-unavailable",
        facts: { ckr: "CKR_CRYPTOKI_ALREADY_INITIALIZED" },
      });
    });
  });
});
