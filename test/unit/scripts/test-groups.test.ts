// Goal: every test runs, in the agreed order, and no failure is lost on its way to the last line.
import assert from "node:assert/strict";
import { groupTests, judge, readArguments } from "../../../scripts/test-groups.mjs";

describe("npm test: groups", () => {
  it("pure tests share a process; every other file has its own; the order is fixed", () => {
    const groups = groupTests([
      "test/vectors/evm.test.ts",
      "test/fault/crash.test.ts",
      "test/later/new.test.ts",
      "test/e2e/b.test.ts",
      "test/e2e/a.test.ts",
      "test/contract/store.test.ts",
      "test/property/limits.test.ts",
      "test/unit/deep/names.test.ts",
      "test/integration/hsm.test.ts",
      "test/unit/amount.test.ts",
    ]);
    assert.deepEqual(
      groups.map(({ files }) => files),
      [
        ["test/unit/amount.test.ts", "test/unit/deep/names.test.ts", "test/property/limits.test.ts"],
        ["test/contract/store.test.ts"],
        ["test/integration/hsm.test.ts"],
        ["test/e2e/a.test.ts"],
        ["test/e2e/b.test.ts"],
        ["test/fault/crash.test.ts"],
        ["test/vectors/evm.test.ts"],
        ["test/later/new.test.ts"],
      ],
    );
  });
  it("a file that is named twice runs once", () => {
    assert.deepEqual(groupTests(["test/e2e/a.test.ts", "test/e2e/a.test.ts"]), [
      { name: "test/e2e/a.test.ts", files: ["test/e2e/a.test.ts"], mayBeEmpty: false, alone: false },
    ]);
  });
  it("what measures time comes last, each file by itself and beside no other", () => {
    const groups = groupTests(["test/unit/b.alone.test.ts", "test/e2e/a.alone.test.ts", "test/later/new.test.ts"]);
    assert.deepEqual(
      groups.map(({ name, alone }) => [name, alone]),
      [
        ["test/later/new.test.ts", false],
        ["test/e2e/a.alone.test.ts", true],
        ["test/unit/b.alone.test.ts", true],
      ],
    );
  });
});

describe("npm test: arguments", () => {
  for (const [args, expected] of [
    [[], { soak: false, paths: [], mochaFlags: [] }],
    [["--soak"], { soak: true, paths: [], mochaFlags: [] }],
    [["test/unit", "test/e2e/a.test.ts"], { soak: false, paths: ["test/unit", "test/e2e/a.test.ts"], mochaFlags: [] }],
    [
      ["test/unit", "--grep", "two requests"],
      { soak: false, paths: ["test/unit"], mochaFlags: ["--grep", "two requests"] },
    ],
    [["--grep", "x", "--soak"], { soak: true, paths: [], mochaFlags: ["--grep", "x"] }],
  ] as const) {
    it(`${JSON.stringify(args)}`, () => assert.deepEqual(readArguments(args), expected));
  }
});

describe("npm test: the worth of one process", () => {
  const counts = { passed: 3, failed: 0, skipped: 1 };
  it("what it counted, when it ended well", () => assert.deepEqual(judge(counts, 0), { ...counts, fault: undefined }));
  it("failures are its own count", () => {
    assert.deepEqual(judge({ ...counts, failed: 2 }, 2), { ...counts, failed: 2, fault: undefined });
  });
  it("a process that never came to its end is one failure", () => {
    assert.equal(judge(undefined, "SIGSEGV").failed, 1);
    assert.equal(judge(undefined, 0).failed, 1);
  });
  it("a process that found no test is a failure", () => {
    assert.equal(judge({ passed: 0, failed: 0, skipped: 0 }, 1).fault, "has no test");
  });
  it("a crash after the last test is a failure too", () => assert.equal(judge(counts, "SIGSEGV").failed, 1));
});
