import assert from "node:assert/strict";
import type { StoreReader } from "../../../../src/vault/ports.ts";
import { GatewayClient } from "../../../../src/sdk/client.ts";
import { fittingPage } from "../../../../src/vault/api/page.ts";
import { route } from "../../../../src/vault/api/router.ts";
import { newKey, REQUESTS, testVault, transferBody } from "../../../support/vault.ts";

// Goal: no list is too large to be answered, and following the cursor shows everything once.

const withLongReference = (record: string): string =>
  JSON.stringify({ ...(JSON.parse(record) as object), reference: "x".repeat(500_000) });

describe("vault/api/page", () => {
  it("ends with the item that reaches two MiB, and has one at least", () => {
    const items = Array.from({ length: 10 }, (_, n) => `${n}${"x".repeat(1024 * 1024)}`);
    assert.deepEqual(fittingPage(items), items.slice(0, 2));
    assert.deepEqual(fittingPage([items.join("")]).length, 1);
    assert.deepEqual(fittingPage([1, 2, 3]), [1, 2, 3]);
    assert.deepEqual(fittingPage([]), []);
  });

  it("every page of large requests fits a frame, and together they are all", async () => {
    const vault = await testVault();
    try {
      for (let n = 0; n < 12; n++) await vault.call("payouts", "POST", REQUESTS, transferBody(1), newKey());
      // The real rows, each grown to what a large payload would make of it.
      const grown = (reader: StoreReader): StoreReader => ({
        ...reader,
        requests: async (...asked) =>
          (await reader.requests(...asked)).map((row) => ({ ...row, record: withLongReference(row.record) })),
      });
      const { store } = vault.gateway;
      const read: typeof store.read = (work) => store.read((reader) => work(grown(reader)));
      const gateway = { ...vault.gateway, store: { ...store, read } };
      const client = new GatewayClient(vault.callers.get("payouts")!);
      const ids: string[] = [];
      let cursor: string | null = null;
      let pages = 0;
      do {
        const target: string = `${REQUESTS}?limit=100${cursor === null ? "" : `&cursor=${cursor}`}`;
        const body = Buffer.alloc(0);
        const { headers } = client.signRequest("GET", target, body, undefined);
        const answer = await route(gateway, { method: "GET", target, headers, body });
        const page = answer.body as { requests: { id: string }[]; cursor: string | null };
        assert.ok(JSON.stringify(page).length < 3 * 1024 * 1024);
        ids.push(...page.requests.map(({ id }) => id));
        cursor = page.cursor;
        pages++;
      } while (cursor !== null);
      assert.deepEqual([new Set(ids).size, ids.length, pages], [12, 12, 3]);
    } finally {
      await vault.close();
    }
  });
});
