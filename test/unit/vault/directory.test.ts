import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { GatewayClient } from "../../../src/sdk/client.ts";
import { route } from "../../../src/vault/api/router.ts";
import type { Gateway } from "../../../src/vault/gateway.ts";
import type { Hsm, Token } from "../../../src/vault/ports.ts";
import { hsmInSoftware } from "../../support/software-hsm.ts";
import { CHAIN, newKey, REQUESTS, acmePolicy, testVault, transferBody, type TestVault } from "../../support/vault.ts";

// Goal: what the vault holds in memory may lag behind the store, and never decides anything while it does.

/** The first proof of `slow` takes its time. */
function hsmThatProvesSlowlyAtFirst(): Hsm {
  const hsm = hsmInSoftware();
  let isFirst = true;
  const slow = (token: Token): Token => ({
    ...token,
    proveKey: async (key) => {
      const waits = isFirst && key.label === "slow";
      if (waits) isFirst = false;
      if (waits) await sleep(100);
      return token.proveKey(key);
    },
  });
  return { ...hsm, openToken: async (ref, pin) => slow(await hsm.openToken(ref, pin)) };
}

describe("vault/directory", () => {
  it("a key that is made while another proves itself is not forgotten when that one is done", async () => {
    const vault = await testVault({ hsm: hsmThatProvesSlowlyAtFirst() });
    const make = (name: string) =>
      vault.call("operator", "POST", "/v1/clients/acme/keys", { name, chains: [CHAIN] }, newKey());
    const slow = make("slow");
    await sleep(40);
    await Promise.all([slow, make("quick")]);
    assert.deepEqual([...vault.gateway.directory.get("acme" as never).keys.keys()].toSorted(), [
      "hot-1",
      "quick",
      "slow",
    ]);
    await vault.close();
  });

  it("a policy that another vault applied decides the next request here", async () => {
    const vault = await testVault();
    const { directory } = await vault.restarted();
    const stale = directory.get("acme" as never).policy!.version;
    await vault.apply("acme", { ...acmePolicy, callers: vault.clientCallers, version: "2", rules: [] });
    assert.equal(stale, 1);
    const body = Buffer.from(JSON.stringify(transferBody(5)));
    const { headers } = new GatewayClient(vault.callers.get("payouts")!).signRequest("POST", REQUESTS, body, "k");
    const answer = await route({ ...vault.gateway, directory }, { method: "POST", target: REQUESTS, headers, body });
    assert.equal(answer.status, 403);
    assert.equal(directory.get("acme" as never).policy!.version, 2);
    await vault.close();
  });

  it("a caller whom another vault's policy removed is a stranger here at once", async () => {
    const vault = await testVault();
    const { directory } = await vault.restarted();
    const { payouts: _removed, ...others } = vault.clientCallers as Record<string, object>;
    await vault.apply("acme", { ...acmePolicy, callers: others, version: "2" });
    const body = Buffer.from(JSON.stringify(transferBody(5)));
    const { headers } = new GatewayClient(vault.callers.get("payouts")!).signRequest("POST", REQUESTS, body, "k");
    const answer = await route({ ...vault.gateway, directory }, { method: "POST", target: REQUESTS, headers, body });
    assert.deepEqual([answer.status, (answer.body as { code: string }).code], [401, "unknown-caller"]);
    await vault.close();
  });

  describe("what another vault did is so here from the next request on", () => {
    let vault: TestVault;
    let here: Gateway;
    before(async () => {
      vault = await testVault();
      here = { ...vault.gateway, directory: (await vault.restarted()).directory };
    });
    after(() => vault.close());

    const ask = async (method: string, target: string, caller: string, content?: object) => {
      const body = content === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(content));
      const key = method === "GET" ? undefined : newKey();
      const { headers } = new GatewayClient(vault.callers.get(caller)!).signRequest(method, target, body, key);
      const answer = await route(here, { method, target, headers, body });
      return [answer.status, (answer.body as { code?: string }).code];
    };

    it("a key that it made signs", async () => {
      const made = { name: "hot-2", chains: [CHAIN] };
      assert.equal((await vault.call("operator", "POST", "/v1/clients/acme/keys", made, newKey())).status, 201);
      assert.deepEqual(await ask("POST", REQUESTS, "payouts", { ...transferBody(5), key: "hot-2" }), [201, undefined]);
    });

    it("a key that it disabled signs nothing", async () => {
      const end = "/v1/clients/acme/keys/hot-2/state";
      const body = { state: "disabled" };
      assert.equal((await vault.call("operator", "POST", end, body, newKey())).status, 200);
      assert.deepEqual(await ask("POST", REQUESTS, "payouts", { ...transferBody(6), key: "hot-2" }), [
        409,
        "key-disabled",
      ]);
    });

    it("a client that it added is found", async () => {
      assert.equal((await vault.call("operator", "POST", "/v1/clients", { client: "blue" }, newKey())).status, 201);
      assert.deepEqual(await ask("GET", "/v1/clients/blue/keys", "operator"), [200, undefined]);
    });

    it("a caller whom it removed reads nothing, and one whom it declared is known, once it has looked again", async () => {
      const { payouts: _removed, ...others } = vault.clientCallers as Record<string, object>;
      const read = () => ask("GET", "/v1/clients/acme/keys", "payouts");
      await vault.apply("acme", { ...acmePolicy, callers: others, version: "2" });
      await here.directory.retry();
      assert.deepEqual(await read(), [401, "unknown-caller"]);
      await vault.apply("acme", { ...acmePolicy, callers: vault.clientCallers, version: "3" });
      await here.directory.retry();
      assert.deepEqual(await read(), [200, undefined]);
    });
  });
});
