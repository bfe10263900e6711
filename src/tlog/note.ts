import { createPublicKey, hash, verify, type KeyObject } from "node:crypto";
import { GatewayError, quoted } from "../domain/errors.ts";

/*
 * C2SP signed-note: a text, a blank line, signatures. Of the signature types two are spoken: Ed25519 (0x01) and witnesses'
 * timestamped cosignatures (0x04, C2SP tlog-cosignature).
 */

/** Named by its type and its name: one public key in two types is two keys. */
export type NoteKey = {
  /** Of the log its origin, of a witness its own. */
  readonly name: string;
  readonly id: number;
  readonly type: "ed25519" | "cosignature/v1";
  /** 32 bytes, RFC 8032. */
  readonly publicKey: Uint8Array;
};

const TYPE_BYTES = { ed25519: 0x01, "cosignature/v1": 0x04 } as const;

export type NoteSignature = { readonly name: string; readonly id: number; readonly signature: Uint8Array };

export type Note = {
  /** Ends with a line end. */
  readonly text: string;
  readonly signatures: readonly NoteSignature[];
};

export type VerifiedSignature = {
  readonly key: NoteKey;
  /** When a witness signed, seconds since 1970. */
  readonly at?: number;
};

const malformed = (what: string) => new GatewayError("malformed-note", `expected ${what}`);

/** Key names hold no white space and no plus sign: both separate. */
const NAME = /^[^\s+\u0085]{1,200}$/u;

/** SHA-256(name ‖ 0x0A ‖ type ‖ public key)[:4] */
export function noteKey(name: string, type: NoteKey["type"], publicKey: Uint8Array): NoteKey {
  if (!NAME.test(name) || publicKey.length !== 32) throw malformed("a key name without spaces and a key of 32 bytes");
  const hashed = Buffer.concat([Buffer.from(`${name}\n`), Uint8Array.of(TYPE_BYTES[type]), publicKey]);
  return { name, id: hash("sha256", hashed, "buffer").readUInt32BE(0), type, publicKey };
}

const hex8 = (id: number): string => id.toString(16).padStart(8, "0");

/** `name+id+base64(type ‖ key)` */
export const formatVkey = ({ name, id, type, publicKey }: NoteKey): string =>
  `${name}+${hex8(id)}+${Buffer.concat([Uint8Array.of(TYPE_BYTES[type]), publicKey]).toString("base64")}`;

/** @throws {GatewayError} `malformed-key`, also for types that are not spoken here */
export function parseVkey(vkey: string): NoteKey {
  const [, name, id, base64] = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(vkey) ?? [];
  const bytes = decodeBase64(base64 ?? "");
  const type = (["ed25519", "cosignature/v1"] as const).find((each) => TYPE_BYTES[each] === bytes?.[0]);
  if (name !== undefined && NAME.test(name) && bytes?.length === 33 && type) {
    const key = noteKey(name, type, bytes.subarray(1));
    if (hex8(key.id) === id) return key;
  }
  throw new GatewayError("malformed-key", `expected \`name+id+base64\` of an Ed25519 key, found ${quoted(vkey)}`);
}

/** Spare bits in the last letter would give one signature several spellings. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.length > 0 && bytes.toString("base64") === text ? bytes : undefined;
}

/** Far above the 16 that every verifier must take. */
const SIGNATURES_MAX = 100;
const NOTE_BYTES_MAX = 1_000_000;

/** @throws {GatewayError} `malformed-note` */
export function parseNote(note: Uint8Array): Note {
  if (note.length > NOTE_BYTES_MAX) throw malformed(`a note of up to ${NOTE_BYTES_MAX} bytes`);
  const all = decodeUtf8(note);

  if (/[\x00-\x09\x0b-\x1f]/.test(all)) throw malformed("no control characters but line ends");
  const split = all.lastIndexOf("\n\n");
  if (split < 0) throw malformed("a blank line between text and signatures");
  const lines = all.slice(split + 2).split("\n");
  if (lines.pop() !== "" || lines.length === 0) throw malformed("signature lines, each with its line end");
  if (lines.length > SIGNATURES_MAX) throw malformed(`up to ${SIGNATURES_MAX} signatures`);
  return { text: all.slice(0, split + 1), signatures: lines.map(parseSignature) };
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed("UTF-8");
  }
}

function parseSignature(line: string): NoteSignature {
  const [, name, base64] = /^\u2014 (\S+) (\S+)$/u.exec(line) ?? [];
  const bytes = decodeBase64(base64 ?? "");
  if (name === undefined || !NAME.test(name) || !bytes || bytes.length < 5) {
    throw malformed("a signature line of an em dash, a key name and base64");
  }
  return { name, id: bytes.readUInt32BE(0), signature: bytes.subarray(4) };
}

export function formatNote({ text, signatures }: Note): string {
  const lines = signatures.map(({ name, id, signature }) => {
    const bytes = Buffer.alloc(4 + signature.length);
    bytes.writeUInt32BE(id);
    bytes.set(signature, 4);
    return `\u2014 ${name} ${bytes.toString("base64")}\n`;
  });
  return `${text}\n${lines.join("")}`;
}

/**
 * Which of the keys signed it. Signatures of other keys are ignored; a wrong one of a known key condemns the note.
 * @throws {GatewayError} `ambiguous-key`, `signature-invalid`, `unsigned-note` where none of the keys has signed
 */
export function verifyNote({ text, signatures }: Note, keys: readonly NoteKey[]): VerifiedSignature[] {
  const verified = new Map<NoteKey, VerifiedSignature>();
  for (const { name, id, signature } of signatures) {
    const known = keys.filter((key) => key.name === name && key.id === id);
    if (known.length > 1)
      throw new GatewayError("ambiguous-key", `expected one key \`${name}+${hex8(id)}\`, found ${known.length}`);
    const [key] = known;
    // Of two lines of one key the first counts, as with the first implementation of notes.
    if (!key || verified.has(key)) continue;
    verified.set(key, verifyWith(key, text, signature));
  }
  if (verified.size > 0) return [...verified.values()];
  throw new GatewayError("unsigned-note", "expected a signature of a known key, found none", {
    facts: { expected: keys.map(formatVkey), found: signatures.map(({ name, id }) => `${name}+${hex8(id)}`) },
  });
}

const TIMESTAMP_BYTES = 8;

function verifyWith(key: NoteKey, text: string, signature: Uint8Array): VerifiedSignature {
  const bytes = Buffer.from(signature);
  switch (key.type) {
    case "ed25519":
      if (!verifiesEd25519(key.publicKey, Buffer.from(text), bytes)) throw invalidSignature(key);
      return { key };
    case "cosignature/v1": {
      const at = bytes.length === TIMESTAMP_BYTES + 64 ? Number(bytes.readBigUInt64BE(0)) : Infinity;
      const signed = Buffer.from(cosignedText(at, text));
      if (!Number.isSafeInteger(at) || !verifiesEd25519(key.publicKey, signed, bytes.subarray(TIMESTAMP_BYTES)))
        throw invalidSignature(key);
      return { key, at };
    }
    default:
      return key.type satisfies never;
  }
}

/** C2SP tlog-cosignature, Ed25519 signed message. */
export const cosignedText = (atSeconds: number, text: string): string => `cosignature/v1\ntime ${atSeconds}\n${text}`;

const invalidSignature = ({ name, id }: NoteKey) =>
  new GatewayError("signature-invalid", `the signature of \`${name}+${hex8(id)}\` does not verify`);

const keyObjects = new WeakMap<Uint8Array, KeyObject>();

function verifiesEd25519(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  let key = keyObjects.get(publicKey);
  if (!key) {
    const x = Buffer.from(publicKey).toString("base64url");
    keyObjects.set(publicKey, (key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" })));
  }
  return signature.length === 64 && verify(null, message, key, signature);
}
