import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../../../src/adapters/sqlite/schema.ts";
import { LISTED_BY_REFERENCE } from "../../../src/adapters/sqlite/store.ts";

// Goal: a caller who asks for a request by its own words for it costs the vault a look-up, however many there are.
// Method: SQLite itself says how it would find them.

describe("adapters/sqlite: plans", () => {
  it("a request is found by its reference, newest first, through an index and without sorting", () => {
    const folder = mkdtempSync(join(tmpdir(), "portcullis-plans-"));
    try {
      const database = openDatabase(join(folder, "store.db"));
      const asked = { client: "acme", reference: "a", caller: null, state: null, key: null };
      const times = { since: null, until: null, before: null, limit: 1 };
      const plan = database.prepare(`EXPLAIN QUERY PLAN ${LISTED_BY_REFERENCE}`).all({ ...asked, ...times });
      database.close();
      const steps = plan.map((step) => (step as { detail: string }).detail);
      assert.ok(steps[0]!.includes("USING INDEX requests_by_reference (client=? AND reference=?)"), steps.join("\n"));
      assert.deepEqual(
        steps.filter((step) => /SCAN|TEMP B-TREE/.test(step)),
        [],
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
