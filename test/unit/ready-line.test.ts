import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { readReadyLine, type ReadyLine } from "../../src/ready-line.ts";

// Goal: nothing that a child prints can end the supervisor, fill its memory, or pass for a ready line.

async function told(...chunks: (string | Buffer)[]): Promise<(ReadyLine | undefined)[]> {
  const stream = new PassThrough();
  const lines: (ReadyLine | undefined)[] = [];
  readReadyLine(stream, (line) => void lines.push(line));
  for (const chunk of chunks) {
    stream.write(chunk);
    await new Promise(setImmediate);
  }
  assert.equal(stream.readableLength, 0, "what follows is read and thrown away");
  return lines;
}

describe("ready-line", () => {
  it("is read once, however it is cut, and what follows says nothing", async () => {
    const line = '{"ready":"edge","url":"http://127.0.0.1:1","port":1}\n';
    assert.deepEqual(await told(line.slice(0, 9), line.slice(9), line, "{"), [{ ready: "edge", port: 1 }]);
    assert.deepEqual(await told('{"ready":"vault"}\n{"ready":"edge"}\n'), [{ ready: "vault" }]);
  });

  for (const [what, text] of [
    ["no JSON", "{\n"],
    ["nothing", "\n"],
    ["null", "null\n"],
    ["a word", '"ready"\n'],
    ["no name", '{"port":1}\n'],
    ["a port that is a text", '{"ready":"edge","port":"1"}\n'],
    ["a port that is none", '{"ready":"edge","port":65536}\n'],
    ["a line without an end", "x".repeat(5000)],
    ["a line that is too long", `{"ready":"edge","x":"${"x".repeat(5000)}"}\n`],
  ] as const) {
    it(`${what} is none, and no fault`, async () => {
      assert.deepEqual(await told(text, "more\n"), [undefined]);
    });
  }

  it("until its end has come nothing is told", async () => assert.deepEqual(await told('{"ready":"edge"}'), []));
});
