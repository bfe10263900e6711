// Goal: a person reads what is wrong and what to do, not a stack trace.
import assert from "node:assert/strict";
import { explain, lastLines, SetUpError } from "../../../scripts/set-up/say.mjs";

describe("set-up: what it says when it fails", () => {
  it("an expected failure: the end of the output, one sentence, a hint", () => {
    const error = new SetUpError("`npm ci` failed", { output: "first\nlast\n", hint: "try again" });
    assert.equal(explain(error), "    first\n    last\nset-up: failed: `npm ci` failed\nset-up: hint: try again\n");
  });
  it("an error of the operating system has no stack", () => {
    const error = Object.assign(new Error("ENOSPC: no space left on device, write"), { syscall: "write" });
    assert.equal(explain(error), "set-up: failed: ENOSPC: no space left on device, write\n");
  });
  it("a fault of the set-up itself has one", () =>
    assert.match(explain(new TypeError("x is undefined")), /TypeError.*\n +at /));
  it("long output is cut at its beginning", () => {
    assert.equal(lastLines("1\n2\n3\n4\n", 2), "    (2 lines before)\n    3\n    4");
  });
});
