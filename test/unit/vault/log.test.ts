import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { leafEntry, leafSalt } from "../../../src/vault/log.ts";
import { route } from "../../../src/vault/api/router.ts";
import { checkLog, leafHash, leavesOf, logOf } from "../../support/log-check.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody } from "../../support/vault.ts";

// Goal: a leaf is what its page of the documentation says, byte for byte, and each act of the vault leaves one.

const HASH_OF_THE_EXAMPLE = "6fb836872e6573b7eb95f0078628de1c205fb27c71f7209033ee3b2ecbfcfb34";

describe("vault/log", () => {
  it("the entry of a leaf, and its RFC 6962 hash, as written down by hand", () => {
    const commitment = Buffer.from("00".repeat(31) + "01", "hex");
    const entry = leafEntry(7, 1_700_000_000_000, commitment);
    assert.equal(entry, "portcullis/leaf/v1\n7\n1700000000000\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=\n");
    // printf '\0portcullis/leaf/v1\n7\n1700000000000\nAAAA…AE=\n' | sha256sum
    const hash = createHash("sha256").update(`\0${entry}`).digest("hex");
    assert.equal(hash, HASH_OF_THE_EXAMPLE);
    assert.equal(Buffer.from(leafHash(7, 1_700_000_000_000, commitment)).toString("hex"), HASH_OF_THE_EXAMPLE);
  });

  it("the salt is HMAC-SHA-256 of the number under the client's own key: no two leaves share one", () => {
    const key = Buffer.alloc(32, 1);
    assert.deepEqual(leafSalt(key, 12), createHmac("sha256", key).update("portcullis/leaf-salt/v1\n12").digest());
    const salts = [leafSalt(key, 1), leafSalt(key, 12), leafSalt(Buffer.alloc(32, 2), 1)].map((salt) =>
      salt.toString("hex"),
    );
    assert.equal(new Set(salts).size, 3);
  });

  it("every kind of act is a leaf in one chain, and each chain holds", async () => {
    const vault = await testVault({
      policy: {
        rules: [
          { id: "small", allow: ["transfer"], to: ["anyone"], amount: { ETH: { max: "10" } } },
          {
            id: "large",
            allow: ["transfer"],
            to: ["anyone"],
            amount: { ETH: { over: "10", max: "20" } },
            approvals: { officers: "1" },
          },
        ],
        groups: { officers: ["alice"] },
      },
    });
    try {
      const post = (value: number) => vault.call("payouts", "POST", REQUESTS, transferBody(value), newKey());
      assert.deepEqual([(await post(5)).status, (await post(15)).status, (await post(25)).status], [201, 202, 403]);
      await vault.call("alice", "POST", REQUESTS, transferBody(5), newKey());
      await vault.apply("acme", { ...acmePolicy, callers: vault.clientCallers, version: "2" });
      const leaves = checkLog(await logOf(vault.store));
      assert.deepEqual(
        leaves.map(({ client, opening }) => `${client} ${opening.type}`),
        [
          "house genesis",
          "acme client-added",
          "acme key-created",
          "acme policy-applied",
          "acme authorized",
          "acme signed",
          "acme pending",
          "acme denied",
          "acme refused",
          "acme policy-applied",
        ],
      );
      const [first, second] = leavesOf(leaves, "policy-applied").map(({ opening }) => opening);
      assert.deepEqual([first!["previousPolicy"], second!["previousPolicy"]], [null, first!["policy"]]);
    } finally {
      await vault.close();
    }
  });

  it("a stranger leaves no trace, and a caller's refusals are bounded", async () => {
    const vault = await testVault();
    try {
      const before = (await logOf(vault.store)).leaves.length;
      const stranger = await route(vault.gateway, {
        method: "GET",
        target: REQUESTS,
        headers: {},
        body: Buffer.alloc(0),
      });
      assert.equal(stranger.status, 401);
      assert.equal((await logOf(vault.store)).leaves.length, before);
      for (let n = 0; n < 200; n++) await vault.call("trading", "GET", `${REQUESTS}?limit=0`);
      const after = checkLog(await logOf(vault.store));
      const recorded = leavesOf(after, "refused").length;
      assert.ok(recorded >= 1 && recorded <= 120, `${recorded} refusals were recorded`);
      assert.equal(after.length, before + recorded);
    } finally {
      await vault.close();
    }
  });
});
