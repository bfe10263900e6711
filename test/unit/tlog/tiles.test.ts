import assert from "node:assert/strict";
import fc from "fast-check";
import { encodeEntryBundle, isInTree, parseEntryBundle, parseTilePath, tilePath } from "../../../src/tlog/tiles.ts";

// Goal: resources of tlog-tiles have one spelling each, and exist exactly where the specification says.

describe("tlog/tiles", () => {
  const SPELLINGS = [
    ["0/000", { level: 0, index: 0, width: 256 }],
    ["0/x001/x234/067", { level: 0, index: 1_234_067, width: 256 }],
    ["1/x001/000.p/17", { level: 1, index: 1000, width: 17 }],
    ["entries/x001/x234/067.p/255", { level: undefined, index: 1_234_067, width: 255 }],
  ] as const;
  for (const [path, resource] of SPELLINGS) {
    it(`\`${path}\` is read and written`, () => {
      assert.deepEqual(parseTilePath(path), resource);
      assert.equal(tilePath(resource), path);
    });
  }

  for (const path of [
    "",
    "0",
    "0/0",
    "0/0000",
    "00/000",
    "64/000",
    "-1/000",
    "0/x000/001",
    "0/001/002",
    "0/x001",
    "0/000.p/0",
    "0/000.p/256",
    "0/000.p/017",
    "0/000.p/",
    "0/000.p/1/",
    "entries",
    "entries/0",
    "Entries/000",
    "0/000 ",
    "../0/000",
  ]) {
    it(`\`${path}\` is no resource`, () => assert.equal(parseTilePath(path), undefined));
  }

  it("every resource is read as it was written", () => {
    fc.assert(
      fc.property(
        fc.option(fc.nat(63), { nil: undefined }),
        fc.nat(1e12),
        fc.integer({ min: 1, max: 256 }),
        (level, index, width) =>
          assert.deepEqual(parseTilePath(tilePath({ level, index, width })), { level, index, width }),
      ),
    );
  });

  it("the tiles of a tree of 70,000", () => {
    const there = [
      "0/000",
      "0/272",
      "0/273.p/112",
      "0/273.p/1",
      "1/000",
      "1/001.p/17",
      "2/000.p/1",
      "entries/273.p/112",
    ];
    const absent = ["0/273", "0/273.p/113", "0/274.p/1", "1/001", "1/001.p/18", "2/000", "3/000.p/1", "entries/273"];
    for (const path of there) assert.ok(isInTree(parseTilePath(path)!, 70_000), path);
    for (const path of absent) assert.ok(!isInTree(parseTilePath(path)!, 70_000), path);
    assert.ok(isInTree(parseTilePath("1/000.p/1")!, 256));
  });

  it("bundles hold what was put in, and nothing half", () => {
    const entries = [Buffer.from("one"), Buffer.alloc(0), Buffer.alloc(300, 7)];
    const bundle = encodeEntryBundle(entries);
    assert.equal(Buffer.from(bundle).subarray(0, 5).toString("hex"), "00036f6e65");
    assert.deepEqual(parseEntryBundle(bundle), entries);
    for (const cut of [1, 4, 6, bundle.length - 1])
      assert.throws(() => parseEntryBundle(bundle.subarray(0, cut)), { code: "malformed-bundle" });
    assert.throws(() => parseEntryBundle(Buffer.alloc(2 * 257)), { code: "malformed-bundle" });
  });
});
