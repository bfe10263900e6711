// Goal: what others put into a client's token is never signed with, and each wrong key is refused by attribute (I1).
// Method: OpenSC's and SoftHSM's own tools on the same token folder, and bare PKCS#11 where no tool goes so far.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { KeyRef, Token, TokenRef } from "../../src/vault/ports.ts";
import { importedKey, inRawSession, isSecp256k1SignedBy, permitFor, pkcs11Tool } from "../support/pkcs11.ts";
import { reopened, SCRATCH_PIN, scratchHsm, type ScratchHsm } from "../support/softhsm.ts";

/** The id that every outsider's key is given here. */
const OUTSIDE_ID = "0badc0de";

describe("what others put into a token", () => {
  let scratch: ScratchHsm;
  let ref: TokenRef;

  beforeEach(async () => {
    scratch = await scratchHsm();
    ref = await scratch.hsm.createToken("acme", SCRATCH_PIN);
  });
  afterEach(() => scratch.close());

  async function restarted(): Promise<Token> {
    scratch = await reopened(scratch);
    return scratch.hsm.openToken(ref, SCRATCH_PIN);
  }

  async function ownKey(): Promise<KeyRef> {
    const token = await scratch.hsm.openToken(ref, SCRATCH_PIN);
    return (await token.generateKey("hot-1", "secp256k1")).key;
  }

  const generateOutside = (label: string, ...how: string[]) => {
    const kind = ["--keypairgen", "--key-type", "EC:secp256k1", "--label", label, "--id", OUTSIDE_ID];
    pkcs11Tool(scratch, "acme", "--login", "--pin", SCRATCH_PIN, ...kind, ...how);
  };

  it("a public key planted without a PIN, with a key's label and id, is ignored", async () => {
    const key = await ownKey();
    const file = join(scratch.directory, "planted.der");
    const planted = generateKeyPairSync("ec", { namedCurve: "secp256k1" }).publicKey;
    writeFileSync(file, planted.export({ format: "der", type: "spki" }));
    pkcs11Tool(scratch, "acme", "--write-object", file, "--type", "pubkey", "--label", "hot-1", "--id", key.id);
    const token = await restarted();
    await token.proveKey(key);
    const digest = randomBytes(32);
    assert.ok(isSecp256k1SignedBy(key.publicKey, digest, await token.sign(key, permitFor(key, digest))));
  });

  it("a second private key with the same label makes the name unusable", async () => {
    const key = await ownKey();
    generateOutside("hot-1");
    const token = await restarted();
    await assert.rejects(token.proveKey(key), { code: "key-ambiguous" });
    await assert.rejects(token.sign(key, permitFor(key)), { code: "key-ambiguous" });
    await assert.rejects(token.adoptKeys(), { code: "key-ambiguous" });
  });

  function importWithSoftHsmUtil(): void {
    const file = join(scratch.directory, "imported.pem");
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "secp256k1" });
    writeFileSync(file, privateKey.export({ format: "pem", type: "pkcs8" }));
    const target = ["--token", "acme", "--label", "hot-1", "--id", OUTSIDE_ID, "--pin", SCRATCH_PIN];
    const environment = { ...process.env, ...scratch.environment };
    execFileSync("softhsm2-util", ["--import", file, ...target], { env: environment, stdio: "pipe" });
  }

  async function importWithEverythingRight(): Promise<void> {
    await scratch.hsm.close();
    inRawSession(scratch, "acme", true, (lib, session) =>
      lib.C_CreateObject(session, importedKey("hot-1", OUTSIDE_ID)),
    );
  }

  const wrongWays: [string, string, () => void | Promise<void>][] = [
    ["generated extractable", "CKA_EXTRACTABLE", () => generateOutside("hot-1", "--extractable", "--usage-sign")],
    ["generated for every use", "CKA_MODIFIABLE", () => generateOutside("hot-1")],
    ["imported by softhsm2-util", "CKA_MODIFIABLE", importWithSoftHsmUtil],
    ["imported, with all that an importer can choose", "CKA_ALWAYS_SENSITIVE", importWithEverythingRight],
  ];
  for (const [how, attribute, make] of wrongWays) {
    it(`a key ${how} is refused for ${attribute}`, async () => {
      await make();
      const token = await restarted();
      // Whatever public key is claimed for it: attributes come first.
      const claimed = Uint8Array.from([4, ...randomBytes(64)]);
      const key: KeyRef = { id: OUTSIDE_ID, label: "hot-1", curve: "secp256k1", publicKey: claimed };
      const isRefused = (error: unknown) => {
        const { code, facts } = error as { code: string; facts: Record<string, unknown> };
        assert.deepEqual([code, facts["attribute"]], ["key-refused", attribute]);
        return true;
      };
      await assert.rejects(token.proveKey(key), isRefused);
      await assert.rejects(token.sign(key, permitFor(key)), isRefused);
      await assert.rejects(token.adoptKeys(), isRefused);
    });
  }
});
