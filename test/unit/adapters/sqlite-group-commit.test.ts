import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteStore } from "../../../src/adapters/sqlite/store.ts";

// Goal: many works of one moment do not keep the vault's thread until the last is done: signers get the orders of the
// first, and answers are read, in between.
// Method: works are counted between two turns of the event loop.

describe("adapters/sqlite: works of one moment", () => {
  it("leave the event loop its turns: no more than a dozen run in each", async () => {
    const folder = mkdtempSync(join(tmpdir(), "portcullis-group-"));
    const store = openSqliteStore(join(folder, "store.db"));
    try {
      let [inThisTurn, most, isOver] = [0, 0, false];
      const turn = () => {
        inThisTurn = 0;
        if (!isOver) setImmediate(turn);
      };
      turn();
      const works = Array.from({ length: 200 }, (_, n) =>
        store.write(async (transaction) => {
          most = Math.max(most, ++inThisTurn);
          await transaction.insertClaim(`claim-${n}`, "r" as never);
        }),
      );
      await Promise.all(works);
      isOver = true;
      assert.ok(most > 1, "they share one COMMIT");
      assert.ok(most <= 12, `${most} in one turn`);
    } finally {
      await store.close();
      rmSync(folder, { recursive: true });
    }
  });
});
