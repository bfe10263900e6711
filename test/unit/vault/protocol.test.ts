import assert from "node:assert/strict";
import { once } from "node:events";
import { PassThrough } from "node:stream";
import fc from "fast-check";
import {
  encodeFrame,
  MAX_BODY_BYTES,
  MAX_HEAD_BYTES,
  readFrames,
  type Frame,
  type RequestHead,
} from "../../../src/vault/protocol.ts";

// Goal: what one end writes the other reads, however the stream cuts it; what is no frame ends the connection, and a
// length that is too large ends it before a byte of that frame is kept.

const head = (id: number, target = "/"): RequestHead => ({ id, method: "GET", target, headers: {} });
const lengths = (headBytes: number, bodyBytes: number): Buffer => {
  const buffer = Buffer.alloc(8);
  buffer.writeUInt32BE(headBytes, 0);
  buffer.writeUInt32BE(bodyBytes, 4);
  return buffer;
};

/** Feeds the chunks and tells what came out, and whether the connection stands. */
async function received(chunks: readonly Uint8Array[]): Promise<{ frames: Frame<RequestHead>[]; open: boolean }> {
  const stream = new PassThrough();
  const frames: Frame<RequestHead>[] = [];
  readFrames<RequestHead>(stream, ({ head, body }) => void frames.push({ head, body: Buffer.from(body) }));
  for (const chunk of chunks) {
    if (stream.destroyed) break;
    stream.write(chunk);
    await new Promise(setImmediate);
  }
  return { frames, open: !stream.destroyed };
}

describe("vault/protocol", () => {
  const first = encodeFrame(head(1, "/π"), Buffer.from([0, 255, 10]));
  const second = encodeFrame(head(2), Buffer.alloc(0));
  const expected = [
    { head: head(1, "/π"), body: Buffer.from([0, 255, 10]) },
    { head: head(2), body: Buffer.alloc(0) },
  ];

  it("a frame is two lengths, a JSON head, the body", () => {
    const json = Buffer.from(JSON.stringify(head(1, "/π")));
    assert.deepEqual(first, Buffer.concat([lengths(json.length, 3), json, Buffer.from([0, 255, 10])]));
  });

  it("two frames in one chunk are two", async () => {
    assert.deepEqual(await received([Buffer.concat([first, second])]), { frames: expected, open: true });
  });

  it("frames are whole wherever the stream cuts them", async () => {
    const both = Buffer.concat([first, second]);
    for (let cut = 0; cut <= both.length; cut++) {
      const { frames } = await received([both.subarray(0, cut), both.subarray(cut)]);
      assert.deepEqual(frames, expected, `cut after ${cut} bytes`);
    }
  });

  it("frames that come byte by byte are read", async () => {
    const bytes = [...Buffer.concat([first, second])].map((byte) => Uint8Array.of(byte));
    assert.deepEqual(await received(bytes), { frames: expected, open: true });
  });

  it("any frames, cut anywhere, come out as they went in", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.string(), fc.uint8Array({ maxLength: 100 })), { maxLength: 6 }),
        fc.array(fc.nat({ max: 900 }), { maxLength: 6 }),
        async (messages, cuts) => {
          const frames = messages.map(([target, body], id) => ({ head: head(id, target), body: Buffer.from(body) }));
          const bytes = Buffer.concat(frames.map((frame) => encodeFrame(frame.head, frame.body)));
          const places = [0, ...cuts.filter((cut) => cut <= bytes.length).toSorted((a, b) => a - b), bytes.length];
          const chunks = places.slice(1).map((place, n) => bytes.subarray(places[n], place));
          // What JSON cannot carry (lone surrogates) it writes as escapes, which come back as they were.
          assert.deepEqual((await received(chunks)).frames, frames);
        },
      ),
      { numRuns: 100 },
    ));

  for (const [what, bytes] of [
    ["a head one byte too long", lengths(MAX_HEAD_BYTES + 1, 0)],
    ["a body one byte too long", lengths(2, MAX_BODY_BYTES + 1)],
    ["the largest lengths there are", lengths(0xffffffff, 0xffffffff)],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
    ["a head that is no JSON", Buffer.concat([lengths(3, 0), Buffer.from("{]}")])],
    ["an empty head", lengths(0, 0)],
  ] as const) {
    it(`${what} ends the connection`, async () => {
      assert.deepEqual(await received([second, bytes, first]), { frames: [expected[1]], open: false });
    });
  }

  it("the longest head and body are taken", async () => {
    const padding = MAX_HEAD_BYTES - JSON.stringify(head(1, "")).length;
    const frame = encodeFrame(head(1, "x".repeat(padding)), Buffer.alloc(MAX_BODY_BYTES, 5));
    const { frames, open } = await received([frame]);
    assert.ok(open && frames[0]!.body.length === MAX_BODY_BYTES);
  });

  it("a reader that throws ends the connection", async () => {
    const stream = new PassThrough();
    readFrames(stream, () => {
      throw new Error("no");
    });
    const closed = once(stream, "close");
    stream.write(second);
    await closed;
  });
});
