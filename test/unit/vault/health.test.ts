import assert from "node:assert/strict";
import { GatewayError } from "../../../src/domain/errors.ts";
import { metricsOf, readinessOf } from "../../../src/vault/health.ts";
import type { Hsm } from "../../../src/vault/ports.ts";
import { hsmInSoftware } from "../../support/software-hsm.ts";
import { newKey, testVault } from "../../support/vault.ts";

// Goal: readiness and metrics name the token that is away and why, and one that is away leaves the gateway ready.

describe("vault/health", () => {
  it("a token that did not open is named with PKCS#11's reason; with none left the gateway is not ready", async () => {
    const hsm = hsmInSoftware();
    const away = new Set<string>();
    const failing: Hsm = {
      ...hsm,
      openToken: async (ref, pin) => {
        if (!away.has(ref.label)) return hsm.openToken(ref, pin);
        throw new GatewayError("hsm-unavailable", "away", { facts: { ckr: "CKR_TOKEN_NOT_PRESENT" } });
      },
    };
    const vault = await testVault({ hsm: failing });
    await vault.call("operator", "POST", "/v1/clients", { client: "blue" }, newKey());
    assert.deepEqual(readinessOf(vault.gateway).unavailable, []);
    assert.match(metricsOf(vault.gateway), /^portcullis_token_up\{client="blue"\} 1$/m);

    away.add("blue");
    const started = await vault.restarted();
    const { status, clients, unavailable } = readinessOf(started);
    assert.deepEqual([status, clients], ["ready", { available: 1, all: 2 }]);
    assert.deepEqual(unavailable, [{ client: "blue", state: "unavailable", ckr: "CKR_TOKEN_NOT_PRESENT" }]);
    const text = metricsOf(started);
    for (const line of [
      "portcullis_ready 1",
      'portcullis_token_up{client="acme"} 1',
      'portcullis_token_up{client="blue"} 0',
      'portcullis_token_unavailable_reason{client="blue",ckr="CKR_TOKEN_NOT_PRESENT"} 1',
    ])
      assert.ok(text.split("\n").includes(line), line);
    assert.doesNotMatch(text, /^(?!# (HELP|TYPE) |portcullis_[a-z_]+(\{[^}]*\})? [0-9.]+$|$)/m, "nothing else");

    away.clear();
    await started.directory.retry();
    assert.deepEqual(readinessOf(started).unavailable, []);

    away.add("acme").add("blue");
    assert.equal(readinessOf(await vault.restarted()).status, "no-token-available");
    const refusal = () => new GatewayError("store-rolled-back", "an old one");
    assert.equal(readinessOf({ ...vault.gateway, refusal }).status, "store-rolled-back");
    await vault.close();
  });

  it("signatures are counted by client, outcome and time", async () => {
    const vault = await testVault();
    const signatures = {
      made: 3,
      seconds: 1.25,
      within: [
        { seconds: 0.01, count: 1 },
        { seconds: 0.5, count: 2 },
      ],
      failed: new Map([["CKR_DEVICE_REMOVED", 2]]),
      faults: new Map([["CKR_DEVICE_ERROR", 5]]),
    };
    const load = { state: "ready", leased: 0, waiting: 0, oldestMs: 0, signatures } as const;
    const ref = vault.gateway.directory.get("acme" as never).row.token;
    const lines = metricsOf({ ...vault.gateway, health: () => [{ ref, ...load }] }).split("\n");
    for (const line of [
      "# TYPE portcullis_signature_seconds histogram",
      'portcullis_signatures_total{client="acme"} 3',
      'portcullis_signature_failures_total{client="acme",ckr="CKR_DEVICE_REMOVED"} 2',
      'portcullis_hsm_faults_total{client="acme",ckr="CKR_DEVICE_ERROR"} 5',
      'portcullis_signature_seconds_bucket{client="acme",le="0.01"} 1',
      'portcullis_signature_seconds_bucket{client="acme",le="0.5"} 2',
      'portcullis_signature_seconds_bucket{client="acme",le="+Inf"} 3',
      'portcullis_signature_seconds_sum{client="acme"} 1.25',
      'portcullis_signature_seconds_count{client="acme"} 3',
    ])
      assert.ok(lines.includes(line), line);
    await vault.close();
  });
});
