import { GatewayError } from "../../domain/errors.ts";
import type { Curve, TokenRef } from "../../vault/ports.ts";
import { ckrOf } from "./errors.ts";

/*
 * The words between a vault and its signers: a 32-bit length, the number of the order, one byte, a body. Both ends are the
 * same program, so only lengths are looked at.
 */

/** What the vault orders, and how a signer answers: done, failed, or failed so that a signature may have been made. */
export const ORDER = { open: 1, key: 2, sign: 3, close: 4 } as const;
export const ANSWER = { done: 1, refused: 2, leftOpen: 3 } as const;

export type Frame = { readonly number: number; readonly kind: number; readonly body: Buffer };

const HEAD_BYTES = 9;
/** Orders and answers carry digests, PINs and signatures. */
const BODY_BYTES_MAX = 64 * 1024;

export function encodeSignerFrame(number: number, kind: number, body: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + body.length);
  frame.writeUInt32LE(body.length, 0);
  frame.writeUInt32LE(number, 4);
  frame[8] = kind;
  frame.set(body, HEAD_BYTES);
  return frame;
}

/**
 * Takes whole frames from the beginning of what has come.
 * @returns what is left over: the beginning of a frame that is not whole yet
 */
export function takeSignerFrames(bytes: Buffer, onFrame: (frame: Frame) => void): Buffer {
  let at = 0;
  while (bytes.length - at >= HEAD_BYTES) {
    const length = bytes.readUInt32LE(at);
    if (length > BODY_BYTES_MAX) throw new RangeError("the frame is over its bound");
    const end = at + HEAD_BYTES + length;
    if (bytes.length < end) break;
    onFrame({
      number: bytes.readUInt32LE(at + 4),
      kind: bytes[at + 8]!,
      body: bytes.subarray(at + HEAD_BYTES, end),
    });
    at = end;
  }
  return bytes.subarray(at);
}

/** JSON bodies of `open`, `key` and `close`; `sign` is the key's number and the message. */
export type OpenOrder = { readonly login: number; readonly ref: TokenRef; readonly pin: string };
export type KeyOrder = {
  readonly login: number;
  readonly key: number;
  readonly id: string;
  readonly label: string;
  readonly curve: Curve;
};
export type CloseOrder = { readonly login: number };

export function encodeSignOrder(key: number, message: Uint8Array): Buffer {
  const body = Buffer.allocUnsafe(4 + message.length);
  body.writeUInt32LE(key, 0);
  body.set(message, 4);
  return body;
}

export const decodeSignOrder = (body: Buffer): { key: number; message: Buffer } => ({
  key: body.readUInt32LE(0),
  message: body.subarray(4),
});

/** What a call threw, so that the vault judges it as if it had thrown there. Nothing of the call's arguments is in it. */
export function encodeThrown(error: unknown): Buffer {
  const { code, facts, hint } = error as Partial<GatewayError>;
  const gateway = error instanceof GatewayError ? { code, facts, hint } : undefined;
  const message = ckrOf(error) ? ckrText(error) : String((error as Error).message);
  return Buffer.from(JSON.stringify({ message, gateway }));
}

export function decodeThrown(body: Buffer): Error {
  const { message, gateway } = JSON.parse(body.toString("utf8")) as {
    message: string;
    gateway?: Pick<GatewayError, "code" | "facts"> & { hint?: string };
  };
  return gateway ? new GatewayError(gateway.code, message, gateway) : new Error(message);
}

/** As the binding writes it from C_FindObjects: name and code, whatever else it said. */
function ckrText(error: unknown): string {
  const { name, code } = ckrOf(error)!;
  return `${name}:${code}`;
}
