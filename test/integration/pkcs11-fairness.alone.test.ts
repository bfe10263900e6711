// Goal: one client's flood is not another's trouble: never refused, and not kept waiting behind it.
// Method: 256 requests in flight on one token, ten a second on another; the same ten a second alone beforehand.
import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import type { KeyRef, Token } from "../../src/vault/ports.ts";
import { permitFor } from "../support/pkcs11.ts";
import { SCRATCH_PIN, scratchHsm, type ScratchHsm } from "../support/softhsm.ts";

const FLOOD = 256;

/** On a machine that does other things as well, single milliseconds are not the pool's. */
const NOISE_MS = 2;

for (const [where, options] of [
  ["signed for by the vault's own threads", {}],
  ["signed for by processes", { signers: { count: 3, hangMs: 5_000 } }],
] as const)
  describe(`two clients on one HSM, ${where}`, () => {
    let scratch: ScratchHsm;
    before(async () => {
      scratch = await scratchHsm(options);
    });
    after(() => scratch.close());

    async function client(name: string): Promise<{ token: Token; key: KeyRef }> {
      const token = await scratch.hsm.openToken(await scratch.hsm.createToken(name, SCRATCH_PIN), SCRATCH_PIN);
      return { token, key: (await token.generateKey("hot-1", "secp256k1")).key };
    }

    async function medianMs({ token, key }: { token: Token; key: KeyRef }): Promise<number> {
      const taken: number[] = [];
      for (let request = 0; request < 15; request += 1) {
        await delay(100);
        const started = performance.now();
        await token.sign(key, permitFor(key));
        taken.push(performance.now() - started);
      }
      return taken.sort((a, b) => a - b)[7]!;
    }

    it("one floods: the other is never refused, and its median stays under three times its median alone", async () => {
      const [flooding, calm] = [await client("flooding"), await client("calm")];
      const alone = await medianMs(calm);
      let running = true;
      let signed = 0;
      const flood = Array.from({ length: FLOOD }, async () => {
        while (running) {
          await flooding.token.sign(flooding.key, permitFor(flooding.key));
          signed += 1;
        }
      });
      const beside = await medianMs(calm).finally(() => (running = false));
      await Promise.all(flood);
      assert.ok(signed > FLOOD, `the flood signed ${signed}`);
      assert.ok(
        beside < 3 * alone + NOISE_MS,
        `${beside.toFixed(2)} ms beside the flood, ${alone.toFixed(2)} ms alone`,
      );
    });
  });
