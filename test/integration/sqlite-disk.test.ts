import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

// Goal: a full disk is an answer, and when there is room again the embedded store goes on by itself: what it said it had
// kept is there, what it refused is not.
// Method: a process with a small disk of its own, which nobody else sees.

const PROGRAM = fileURLToPath(new URL("../support/full-disk.ts", import.meta.url));

describe("the embedded store on a full disk", () => {
  it("refuses what does not fit, keeps what did, and goes on when there is room", async () => {
    const folder = mkdtempSync(join(tmpdir(), "portcullis-disk-"));
    // As another user than root the process is root of a namespace that holds nobody else.
    const apart = process.getuid?.() === 0 ? ["--mount"] : ["--mount", "--map-root-user"];
    try {
      const command = [...apart, process.execPath, "--import", "tsx", PROGRAM, folder];
      const { stdout } = await promisify(execFile)("unshare", command, { timeout: 50_000 });
      const { kept, ...rest } = JSON.parse(stdout) as Record<string, unknown> & { kept: number };
      assert.deepEqual(rest, { refused: "store-unavailable", before: "before", lost: 0 });
      assert.ok(kept >= 10, `only ${kept} were kept before the disk was full`);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
