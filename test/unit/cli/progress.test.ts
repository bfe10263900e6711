import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { progressOn } from "../../../src/cli/progress.ts";

// Goal: who watches a long run sees how far it is; files and pipes get nothing of it.

const stream = (isTTY: boolean): { readonly said: () => string; readonly out: NodeJS.WriteStream } => {
  const chunks: string[] = [];
  const out = new Writable({ write: (chunk: Buffer, _, done) => (chunks.push(chunk.toString()), done()) });
  return { said: () => chunks.join(""), out: Object.assign(out, { isTTY }) as unknown as NodeJS.WriteStream };
};

describe("cli/progress", () => {
  it("is one line of a terminal, written over and gone at the end", () => {
    const { said, out } = stream(true);
    const bar = progressOn(out);
    bar.show("1 of 2");
    bar.show("2 of 2");
    bar.end();
    assert.equal(said(), "\r\u001b[K1 of 2\r\u001b[K2 of 2\r\u001b[K");
    assert.ok(!said().includes("\n"));
  });

  it("says nothing where nobody looks", () => {
    const { said, out } = stream(false);
    const bar = progressOn(out);
    bar.show("1 of 2");
    bar.end();
    assert.equal(said(), "");
  });
});
