import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { parseCheckpoint } from "../../src/tlog/checkpoint.ts";
import { EMPTY_ROOT, leafHash, nodeHash } from "../../src/tlog/hashes.ts";
import { parseNote, parseVkey, verifyNote } from "../../src/tlog/note.ts";
import { GrowingTree } from "../../src/tlog/tree.ts";

// Goal: trees, notes and checkpoints are what Go's and transparency-dev's implementations say they are.
// The vectors are not part of this repository: without them there are no cases here.

const VECTORS = new URL("../../../shared/vectors/tlog/", import.meta.url);
const read = <T>(path: string): T => JSON.parse(readFileSync(new URL(path, VECTORS), "utf8")) as T;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

if (existsSync(VECTORS)) {
  describe("vectors: RFC 6962 by transparency-dev", () => {
    type Reference = {
      hashes: { desc: string; want: string; leaf?: string; leafText?: string; left?: string; right?: string }[];
      leafInputsHex: string[];
      rootBySize: string[];
    };
    const reference = read<Reference>("rfc6962-reference.json");
    for (const { desc, want, leaf, leafText, left, right } of reference.hashes) {
      it(desc, () => {
        const entry = leaf ?? leafText;
        if (left !== undefined) assert.equal(hex(nodeHash(Buffer.from(left), Buffer.from(right!))), want);
        else assert.equal(hex(entry === undefined ? EMPTY_ROOT : leafHash(Buffer.from(entry))), want);
      });
    }
    it("roots of the reference leaves", () => {
      const tree = new GrowingTree();
      for (const [size, want] of reference.rootBySize.entries()) {
        assert.equal(hex(tree.root()), want, `size ${size}`);
        if (size < reference.leafInputsHex.length)
          tree.append(leafHash(Buffer.from(reference.leafInputsHex[size]!, "hex")));
      }
    });
  });

  describe("vectors: signed notes by Go", () => {
    type Case = {
      desc: string;
      msg?: string;
      msgHex?: string;
      vkeys: string[];
      verified?: string[];
      error?: string;
    };
    const CODES: Readonly<Record<string, string>> = {
      "malformed note": "malformed-note",
      "note has no verifiable signatures": "unsigned-note",
      "ambiguous key EnochRoot+af0cfe78": "ambiguous-key",
      "invalid signature for key PeterNeumann+c74f20a3": "signature-invalid",
    };
    for (const { desc, msg, msgHex, vkeys, verified, error } of read<{ cases: Case[] }>("signed-note-open.json")
      .cases) {
      it(`${desc}: ${error ?? "opened"}`, () => {
        const bytes = msgHex === undefined ? Buffer.from(msg!) : Buffer.from(msgHex, "hex");
        const open = () => verifyNote(parseNote(bytes), vkeys.map(parseVkey)).map(({ key }) => key.name);
        if (error === undefined) assert.deepEqual(open(), verified);
        else assert.throws(open, { code: CODES[error]! });
      });
    }
  });

  describe("vectors: checkpoints by Go", () => {
    const { format, bad } = read<{ format: { n: string; text: string }; bad: string[] }>("checkpoint-format.json");
    it("a checkpoint of sum.golang.org", () => {
      const { origin, size } = parseCheckpoint(format.text);
      assert.deepEqual([origin, String(size)], ["go.sum database tree", format.n]);
    });
    // The first is refused for its origin, which here is whoever reads it to compare.
    for (const text of bad.slice(1)) {
      it(`refused: ${JSON.stringify(text)}`, () =>
        assert.throws(() => parseCheckpoint(text), { code: "malformed-checkpoint" }));
    }
  });
}
