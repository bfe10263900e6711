import { closeSync, openSync, readSync, statSync } from "node:fs";
import { GatewayError } from "../../domain/errors.ts";
import { unreadable } from "../text-file.ts";

/*
 * An exported log: JSON lines. A header; then every leaf in its order, before each `policy-applied` the documents that it
 * makes active, and behind the last leaf that it covers each checkpoint.
 */

export const FORMAT = "portcullis/log-export/v1";

export type HeaderLine = {
  readonly format: typeof FORMAT;
  readonly origin: string;
  /** The log's key, as the gateway said it. */
  readonly key: string;
  /** Whose openings it holds: `house` has all. */
  readonly of: string;
};

/** A leaf with what opens it, or the commitment alone where it is another client's. */
export type LeafLine = { readonly index: number; readonly at: number } & (
  | {
      readonly client: string;
      readonly number: number;
      /** base64 */
      readonly salt: string;
      /** JSON text, byte for byte as it was committed to. */
      readonly opening: string;
      /** The caller's signed request. */
      readonly evidence?: Readonly<Record<string, string>>;
    }
  | { readonly commitment: string }
);

export type PolicyLine = {
  readonly client: string;
  readonly version: number;
  readonly hash: string;
  readonly entry: string;
  readonly files: Readonly<Record<string, string>>;
};

export type Line =
  | { readonly header: HeaderLine }
  | { readonly leaf: LeafLine }
  | { readonly policy: PolicyLine }
  | { readonly checkpoint: string };

/** @throws {GatewayError} `malformed-export` */
export function parseLine(text: string, number: number): Line {
  let line: unknown;
  try {
    line = JSON.parse(text);
  } catch {
    throw malformed(number);
  }
  if (isLine(line)) return line;
  throw malformed(number);
}

const malformed = (number: number) =>
  new GatewayError("malformed-export", `line ${number}: expected a line of \`${FORMAT}\``, { facts: { line: number } });

function isLine(value: unknown): value is Line {
  if (typeof value !== "object" || value === null) return false;
  const line = value as Record<string, unknown>;
  if (Object.keys(line).length !== 1) return false;
  if ("leaf" in line) return isLeaf(line["leaf"] as Record<string, unknown>);
  if ("checkpoint" in line) return typeof line["checkpoint"] === "string";
  if ("policy" in line) return areTexts(line["policy"], ["client", "hash", "entry"]);
  return "header" in line && areTexts(line["header"], ["format", "origin", "key", "of"]);
}

function isLeaf(leaf: Record<string, unknown>): boolean {
  if (!Number.isSafeInteger(leaf["index"]) || !Number.isSafeInteger(leaf["at"])) return false;
  if ("commitment" in leaf) return isHash(leaf["commitment"]);
  return Number.isSafeInteger(leaf["number"]) && isHash(leaf["salt"]) && areTexts(leaf, ["client", "opening"]);
}

/** 32 bytes in base64, in the one spelling that they have. */
export const isHash = (text: unknown): text is string =>
  typeof text === "string" && /^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(text);

const areTexts = (value: unknown, names: readonly string[]): boolean =>
  typeof value === "object" &&
  value !== null &&
  names.every((name) => typeof (value as Record<string, unknown>)[name] === "string");

const CHUNK_BYTES = 4 * 1024 * 1024;
const LINE_END = 0x0a;

/** @returns bytes @throws {GatewayError} `usage` */
export function sizeOf(path: string): number {
  try {
    const found = statSync(path);
    if (!found.isDirectory()) return found.size;
  } catch (error) {
    throw unreadable(path, error);
  }
  throw unreadable(path, { code: "EISDIR" });
}

function openFile(path: string): number {
  sizeOf(path);
  try {
    return openSync(path, "r");
  } catch (error) {
    throw unreadable(path, error);
  }
}

/**
 * The lines of a file, one after the other, however large it is; a last one without its line end is left out, since an
 * export that was interrupted may have cut it.
 * @param onBytes told how much has been read
 * @param onCut told that a last one was left out
 */
export function* linesOf(
  path: string,
  onBytes: (bytes: number) => void = () => undefined,
  onCut: () => void = () => undefined,
): Generator<string> {
  const file = openFile(path);
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let rest = Buffer.alloc(0);
    for (let size = readSync(file, chunk); size > 0; size = readSync(file, chunk)) {
      onBytes(size);
      const bytes = rest.length === 0 ? chunk.subarray(0, size) : Buffer.concat([rest, chunk.subarray(0, size)]);
      let start = 0;
      for (let end = bytes.indexOf(LINE_END); end >= 0; end = bytes.indexOf(LINE_END, start)) {
        yield bytes.toString("utf8", start, end);
        start = end + 1;
      }
      rest = Buffer.from(bytes.subarray(start));
    }
    if (rest.length > 0) onCut();
  } finally {
    closeSync(file);
  }
}
