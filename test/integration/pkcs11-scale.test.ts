// Goal: three hundred clients and a thousand keys in one token start within five seconds, every key proven (I1).
// Method: SoftHSM and SQLite as a vault has them; a start from nothing but store and tokens is timed.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { evmAccount, addressOfPublicKey } from "../../src/chains/evm/address.ts";
import type { ClientId, KeyName } from "../../src/domain/names.ts";
import { Pins } from "../../src/vault/pins.ts";
import { Directory } from "../../src/vault/directory.ts";
import { compilers } from "../../src/vault/compilers.ts";
import type { KeyRow, PinRow, TokenRef } from "../../src/vault/ports.ts";
import { reopened, SCRATCH_PIN, scratchHsm, type ScratchHsm } from "../support/softhsm.ts";
import { CHAIN, testVault, type TestVault } from "../support/vault.ts";

const SOAK = process.env["SOAK"] !== undefined;

/** Making as many as the goal names takes SoftHSM long: that is for the soak. */
const TOKENS = SOAK ? 300 : 40;
const KEYS = SOAK ? 1_000 : 100;
const START_WITHIN_MS = 5_000;

describe("a vault with many tokens and keys", function () {
  this.timeout(SOAK ? 900_000 : 60_000);
  let scratch: ScratchHsm;
  let vault: TestVault;

  const temporary = process.env["TMPDIR"];

  before(async () => {
    // Making so many waits for the disk at each of them; a start only reads.
    if (existsSync("/dev/shm")) process.env["TMPDIR"] = "/dev/shm";
    scratch = await scratchHsm();
    vault = await testVault({ hsm: scratch.hsm });
    const refs: TokenRef[] = [];
    for (let index = 0; index < TOKENS; index += 1) {
      refs.push(await scratch.hsm.createToken(`client-${index}`, SCRATCH_PIN));
    }
    const pins: PinRow[] = [];
    for (const ref of refs) pins.push(await vault.gateway.pins.seal(ref.label, ref, SCRATCH_PIN));
    const big = await scratch.hsm.openToken(refs[0]!, SCRATCH_PIN);
    const keys: KeyRow[] = [];
    for (let index = 0; index < KEYS; index += 1) {
      const { key } = await big.generateKey(`key-${index}`, "secp256k1");
      const accounts = [evmAccount(31337n, addressOfPublicKey(key.publicKey))];
      const { id, curve, publicKey, label } = key;
      const name = label as KeyName;
      const client = "client-0" as ClientId;
      keys.push({
        client,
        name,
        id,
        curve,
        publicKey,
        purpose: "transactions",
        chains: [CHAIN],
        accounts,
        state: "active",
        leaf: 0,
      });
    }
    await vault.store.write(async (transaction) => {
      for (const [index, token] of refs.entries()) {
        const saltKey = Buffer.alloc(32, index);
        await transaction.insertClient({
          id: token.label as ClientId,
          owner: "client",
          status: "active",
          token,
          saltKey,
          freezes: [],
        });
        await transaction.putPin(pins[index]!);
      }
      for (const key of keys) await transaction.insertKey(key);
    });
  });
  after(async () => {
    await vault.close();
    await scratch.close();
    if (temporary === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = temporary;
  });

  it(`${TOKENS} tokens and ${KEYS} keys in one of them start within ${START_WITHIN_MS} ms`, async () => {
    const gatewayToken = (await scratch.hsm.listTokens()).find(({ label }) => label === "gateway")!;
    scratch = await reopened(scratch);
    const startedAt = performance.now();
    const sealer = await scratch.hsm.openGatewayToken(gatewayToken, "test-pin-0123456789");
    const { store } = vault;
    const directory = new Directory({
      store,
      hsm: scratch.hsm,
      pins: new Pins({ store, sealer }),
      compile: compilers,
    });
    await directory.load();
    const tookMs = performance.now() - startedAt;
    assert.deepEqual(
      directory.clients().filter(({ token }) => !token),
      [],
    );
    assert.equal(directory.get("client-0" as ClientId).keys.size, KEYS);
    assert.ok(tookMs < START_WITHIN_MS, `started in ${tookMs.toFixed(0)} ms`);
  });
});
