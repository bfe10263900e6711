import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";

// Goal: a line of the edge's log names the request and never what proves or opens anything.
// Method: a process that logs what should not be logged; what stands on its stderr.

const lines = (level: string): Record<string, unknown>[] => {
  const program = `
    import { edgeLog } from "./src/edge/log.ts";
    const log = edgeLog("${level}");
    log.warn({ requestId: "a", headers: { signature: "secret-1" }, body: "secret-2", request: { pin: "secret-3", signature: "secret-4" } }, "one");
    log.debug({ requestId: "b" }, "two");
  `;
  const args = ["-c", `"${process.execPath}" --import tsx --input-type=module -e '${program}' 2>&1 >/dev/null`];
  return execFileSync("sh", args)
    .toString()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
};

describe("edge/log", () => {
  it("JSON lines with time and level; what is secret is left out", () => {
    const [first, second] = lines("debug");
    assert.deepEqual(
      [first!["level"], first!["msg"], first!["requestId"], second!["msg"]],
      ["warn", "one", "a", "two"],
    );
    assert.ok(!Number.isNaN(Date.parse(first!["time"] as string)));
    assert.doesNotMatch(JSON.stringify(first), /secret/);
  });
  it("what is below the level is not written", () => assert.equal(lines("warn").length, 1));
});
