import type { Duplex } from "node:stream";
import type { Assist, Broadcast, PricesByChain, Wanted } from "../domain/rpc.ts";

/*
 * The words between edge and vault: a frame is two 32-bit big-endian lengths, a JSON head, the raw body. Requests carry
 * a number that their answer repeats, so that one connection serves many at a time. No HTTP parser stands in the vault.
 */

export type RequestHead = {
  readonly id: number;
  readonly method: string;
  /** Path with query, exactly as received. */
  readonly target: string;
  /** The edge's id of the request: for the lines of a log, believed nothing. */
  readonly trace?: string;
  /** Only the headers in `FORWARDED_HEADERS`. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * The edge's own help, one for each call or request of the body; no part of what the caller has signed. None at all, as
   * a list: the edge has chain nodes, and shall be told what is wanted of them.
   */
  readonly assist?: readonly (Assist | PricesByChain | null)[];
};

export type AnswerHead = {
  readonly id: number;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** For the edge, not for the caller. */
  readonly broadcast?: readonly Broadcast[];
  /** For the edge as well: nothing was done, for want of this help; one for each request of the body. */
  readonly wanted?: readonly (Wanted | null)[];
};

export type Frame<Head> = { readonly head: Head; readonly body: Buffer };

export const FORWARDED_HEADERS = [
  "content-type",
  "content-digest",
  "idempotency-key",
  "signature",
  "signature-input",
] as const;

/** Twice what an HTTP parser admits, and more: in JSON each byte of a header takes two at the most. */
export const MAX_HEAD_BYTES = 64 * 1024;
export const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** An answer's head carries what the edge shall broadcast: as much as a request's body can become. */
export const MAX_ANSWER_HEAD_BYTES = 4 * 1024 * 1024;

/** @throws {RangeError} over a bound that the other end would end the connection for */
export function encodeFrame(head: RequestHead | AnswerHead, body: Uint8Array): Buffer {
  const text = JSON.stringify(head);
  const headLength = Buffer.byteLength(text);
  if (headLength > ("status" in head ? MAX_ANSWER_HEAD_BYTES : MAX_HEAD_BYTES) || body.length > MAX_BODY_BYTES)
    throw new RangeError("the frame is over its bound");
  const frame = Buffer.allocUnsafe(8 + headLength + body.length);
  frame.writeUInt32BE(headLength, 0);
  frame.writeUInt32BE(body.length, 4);
  frame.write(text, 8);
  frame.set(body, 8 + headLength);
  return frame;
}

/** Frames of one moment leave in one write: a system call costs more than a frame. */
export function writeFrame(stream: Duplex, frame: Buffer): void {
  if (stream.writableCorked === 0) {
    stream.cork();
    setImmediate(() => stream.uncork());
  }
  stream.write(frame);
}

/** What a chunk costs beside its bytes: sent byte by byte, a frame is mostly that. */
const CHUNK_BYTES = 256;

export type Unfinished = { readonly bytes: number; readonly since: number };

/**
 * Calls `onFrame` for every whole frame that the stream brings. A length over its bound ends the connection before a
 * byte of that frame is kept; so does a head that is no JSON.
 * @returns what is kept of a frame that is not whole yet, and when that frame began (`performance.now`)
 */
export function readFrames<Head>(
  stream: Duplex,
  onFrame: (frame: Frame<Head>) => void,
  headBytesMax = MAX_HEAD_BYTES,
): { readonly unfinished: () => Unfinished } {
  let chunks: Buffer[] = [];
  let buffered = 0;
  let wanted = 8;
  let since = 0;
  stream.on("data", (chunk: Buffer) => {
    if (buffered === 0) since = performance.now();
    chunks.push(chunk);
    buffered += chunk.length;
    if (buffered < wanted) return; // joined only once there is something to read: half-sent frames cost no copies
    let bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, buffered);
    for (;;) {
      wanted = 8;
      if (bytes.length < 8) break;
      const headLength = bytes.readUInt32BE(0);
      const bodyLength = bytes.readUInt32BE(4);
      if (headLength > headBytesMax || bodyLength > MAX_BODY_BYTES) return void stream.destroy();
      wanted = 8 + headLength + bodyLength;
      if (bytes.length < wanted) break;
      try {
        onFrame({
          head: JSON.parse(bytes.toString("utf8", 8, 8 + headLength)) as Head,
          body: bytes.subarray(8 + headLength, wanted),
        });
      } catch {
        return void stream.destroy();
      }
      bytes = bytes.subarray(wanted);
    }
    // A copy: the few bytes of the next frame would keep all those of the last one.
    chunks = bytes.length > 0 ? [Buffer.from(bytes)] : [];
    buffered = bytes.length;
    since = performance.now();
  });
  return { unfinished: () => ({ bytes: buffered === 0 ? 0 : buffered + chunks.length * CHUNK_BYTES, since }) };
}

/** Between edge and vault alone: what a witness is sent (after the slash the size that it knows), and what it gave back. */
export const WITNESS_TARGET = "/witness/";

/** Answered by the vault, and passed on by the edge's admin port only. */
export const METRICS_TARGET = "/metrics";
