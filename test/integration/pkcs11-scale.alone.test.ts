// Goal: three hundred clients and a thousand keys in one token start within five seconds, every key proven (I1).
// Method: SoftHSM and SQLite as a vault has them; a start from nothing but store and tokens is timed.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import type { CallerName, ClientId, KeyName } from "../../src/domain/names.ts";
import { addClient, createKey } from "../../src/vault/clients.ts";
import { Pins } from "../../src/vault/pins.ts";
import { Directory } from "../../src/vault/directory.ts";
import { compilers } from "../../src/vault/compilers.ts";
import { reopened, scratchHsm, type ScratchHsm } from "../support/softhsm.ts";
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
    const operator = "operator" as CallerName;
    for (let index = 0; index < TOKENS; index += 1)
      await addClient(vault.gateway, `client-${index}` as ClientId, operator);
    for (let index = 0; index < KEYS; index += 1) {
      const wanted = { name: `key-${index}` as KeyName, chains: [CHAIN], purpose: "transactions" as const };
      await createKey(vault.gateway, "client-0" as ClientId, wanted, operator);
    }
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
