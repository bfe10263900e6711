// Goal: the log token's keys sign their own texts only, and prove which public key is theirs (I18).
// Method: a real SoftHSM; verification by Node's own Ed25519.
import assert from "node:assert/strict";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import pkcs11 from "pkcs11js";
import type { LogKeyName, LogToken, TokenRef } from "../../src/vault/ports.ts";
import { inRawSession, isEd25519SignedBy, pkcs11Tool, plantedPublicKey } from "../support/pkcs11.ts";
import { reopened, SCRATCH_PIN, scratchHsm, type ScratchHsm } from "../support/softhsm.ts";

const ORIGIN = "gateway.example.com/log";
const TEXTS: [LogKeyName, string][] = [
  ["checkpoint", `${ORIGIN}\n7\n${randomBytes(32).toString("base64")}\n`],
  ["answers", "portcullis/answers/v1\nkey"],
  ["statement", "portcullis/statement/v1\n"],
];

describe("the log token on SoftHSM", () => {
  let scratch: ScratchHsm;
  let ref: TokenRef;
  let log: LogToken;

  beforeEach(async () => {
    scratch = await scratchHsm();
    ref = await scratch.hsm.createToken("log", SCRATCH_PIN);
    log = await scratch.hsm.openLogToken(ref, SCRATCH_PIN, ORIGIN);
  });
  afterEach(() => scratch.close());

  async function restarted(): Promise<LogToken> {
    scratch = await reopened(scratch);
    return scratch.hsm.openLogToken(ref, SCRATCH_PIN, ORIGIN);
  }

  for (const [name, text] of TEXTS) {
    it(`${name} signs its own text, and no other key does`, async () => {
      const signature = await log.sign(name, text);
      assert.ok(isEd25519SignedBy(await log.publicKey(name), Buffer.from(text), signature));
      for (const [other] of TEXTS.filter(([each]) => each !== name)) {
        await assert.rejects(log.sign(other, text), { code: "wrong-domain" });
      }
    });
  }

  it("a key is made once, also when two ask at a time, and outlives a restart", async () => {
    const [first, second] = await Promise.all([log.publicKey("answers"), log.publicKey("answers")]);
    assert.deepEqual(first, second);
    assert.notDeepEqual(await log.publicKey("statement"), first);
    assert.deepEqual(await (await restarted()).publicKey("answers"), first);
  });

  it("public keys planted beside a log key are not believed", async () => {
    const publicKey = await log.publicKey("answers");
    await scratch.hsm.close();
    const id = inRawSession(scratch, "log", true, (lib, session) => {
      lib.C_FindObjectsInit(session, [{ type: pkcs11.CKA_LABEL, value: "answers" }]);
      return lib.C_GetAttributeValue(session, lib.C_FindObjects(session)!, [{ type: pkcs11.CKA_ID }])[0]!.value;
    });
    inRawSession(scratch, "log", false, (lib, session) => {
      const other = generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }).x!;
      const point = Buffer.concat([Buffer.from("0420", "hex"), Buffer.from(other, "base64url")]);
      lib.C_CreateObject(session, plantedPublicKey("answers", id, Buffer.from("06032b6570", "hex"), point));
    });
    assert.deepEqual(await (await restarted()).publicKey("answers"), publicKey);
  });

  it("a log key that was made elsewhere is refused by attribute", async () => {
    const kind = ["--keypairgen", "--key-type", "EC:edwards25519", "--label", "answers", "--id", "01"];
    pkcs11Tool(scratch, "log", "--login", "--pin", SCRATCH_PIN, ...kind);
    await assert.rejects((await restarted()).publicKey("answers"), { code: "key-refused" });
  });

  it("a token is open for a client or for the log, not for both", async () => {
    await assert.rejects(scratch.hsm.openToken(ref, SCRATCH_PIN), { code: "token-in-use" });
    const client = await scratch.hsm.createToken("acme", SCRATCH_PIN);
    await scratch.hsm.openToken(client, SCRATCH_PIN);
    await assert.rejects(scratch.hsm.openLogToken(client, SCRATCH_PIN, ORIGIN), { code: "token-in-use" });
  });

  it("an origin that could be another text's type is refused", async () => {
    const other = await scratch.hsm.createToken("log-2", SCRATCH_PIN);
    await assert.rejects(scratch.hsm.openLogToken(other, SCRATCH_PIN, "portcullis/answers/v1"), {
      code: "wrong-domain",
    });
  });
});
