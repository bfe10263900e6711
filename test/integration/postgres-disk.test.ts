import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

// Goal: a database server whose disk is full is an answer, and when there is room again the store goes on by itself: what
// it said it had kept is there.
// Method: a real server on a small disk of its own, which nobody else sees.

const PROGRAM = fileURLToPath(new URL("../support/full-postgres-disk.ts", import.meta.url));

describe("the store in PostgreSQL on a full disk", () => {
  it("refuses what does not fit, keeps what did, and goes on when there is room", async () => {
    const folder = mkdtempSync(join(tmpdir(), "portcullis-disk-"));
    // The server runs as no root, not even of a namespace: another user than root stays himself there.
    const apart = process.getuid?.() === 0 ? ["--mount"] : ["--mount", "--user", "--map-current-user", "--keep-caps"];
    try {
      const command = [...apart, process.execPath, "--import", "tsx", PROGRAM, folder];
      const { stdout } = await promisify(execFile)("unshare", command, { timeout: 100_000 });
      const { kept, ...rest } = JSON.parse(stdout) as Record<string, unknown> & { kept: number };
      const refused = { code: "store-unavailable", sqlState: "53100" };
      assert.deepEqual(rest, { refused, before: "before", lost: 0 });
      assert.ok(kept >= 10, `only ${kept} were kept before the disk was full`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
