// Goal: the HSM's module may run in another process; that process may die at any time, and no caller sees it.
// Method: SoftHSM behind `p11-kit server` on a Unix socket, killed and started again under load.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { openHsm } from "../../src/adapters/pkcs11/hsm.ts";
import { redeemPermit } from "../../src/vault/permit.ts";
import type { Hsm, KeyRef, Token, TokenRef } from "../../src/vault/ports.ts";
import { P11KitServer } from "../support/p11-kit.ts";
import { isSecp256k1SignedBy, permitFor } from "../support/pkcs11.ts";
import { SCRATCH_PIN, scratchHsm, type ScratchHsm } from "../support/softhsm.ts";

const DEATHS = 20;

describe("a module in another process", () => {
  let scratch: ScratchHsm;
  let server: P11KitServer;
  let hsm: Hsm;
  let ref: TokenRef;
  let key: KeyRef;
  let token: Token;

  before(async () => {
    scratch = await scratchHsm();
    ref = await scratch.hsm.createToken("acme", SCRATCH_PIN);
    key = (await (await scratch.hsm.openToken(ref, SCRATCH_PIN)).generateKey("hot-1", "secp256k1")).key;
    await scratch.hsm.close();
    server = new P11KitServer(scratch);
    await server.start();
    const { modulePath } = server;
    hsm = await openHsm({ modulePath, sessionsPerToken: 4, queueLimit: 64, redeem: redeemPermit });
    token = await hsm.openToken(ref, SCRATCH_PIN);
  });
  after(async () => {
    await hsm.close();
    await server.remove();
    scratch.remove();
  });

  async function signOnce(): Promise<void> {
    const digest = randomBytes(32);
    assert.ok(isSecp256k1SignedBy(key.publicKey, digest, await token.sign(key, permitFor(key, digest))));
  }

  it("keys are made there, prove themselves and sign", async () => {
    await token.proveKey(key);
    const made = await token.generateKey("hot-2", "secp256k1");
    assert.equal(made.attributes["CKA_NEVER_EXTRACTABLE"], true);
    await signOnce();
  });

  it(`the process is killed ${DEATHS} times under load: every signature is made`, async () => {
    let running = true;
    let signed = 0;
    const worker = async () => {
      for (; running; signed += 1) await signOnce();
    };
    const workers = Promise.all([worker(), worker(), worker()]);
    const deaths = async () => {
      for (let death = 0; death < DEATHS; death += 1) {
        await delay(50);
        await server.kill();
        await delay(100);
        await server.start();
        const before = signed;
        while (signed === before) await delay(5);
      }
    };
    await Promise.race([deaths().finally(() => (running = false)), workers]);
    await workers;
    assert.ok(signed > DEATHS);
  });
});
