import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { GatewayClient } from "../../../src/sdk/client.ts";
import { route } from "../../../src/vault/api/router.ts";
import type { Hsm, Token } from "../../../src/vault/ports.ts";
import { hsmInSoftware } from "../../support/software-hsm.ts";
import { CHAIN, newKey, REQUESTS, acmePolicy, testVault, transferBody } from "../../support/vault.ts";

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
});
