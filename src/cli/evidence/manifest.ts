import { createHash } from "node:crypto";
import { closeSync, existsSync, lstatSync, openSync, readdirSync, readFileSync, readSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { z } from "zod";
import { GatewayError } from "../../domain/errors.ts";
import { parseJson } from "../../domain/strict-json.ts";
import type { NoteKey } from "../../tlog/note.ts";
import { checkReceipt } from "../log/receipt.ts";

/*
 * The manifest names every file of an evidence pack with its hash; a leaf of the log holds the manifest's own hash, and the
 * receipt beside it proves that with the log's public key alone. So whoever has that key has the whole pack.
 */

export const MANIFEST = "manifest.json";
export const RECEIPT = "manifest.receipt";

/** Relative, with `/`; nothing in it leads out of the folder. */
const PATH = /^(?!.*(^|\/)\.{1,2}(\/|$))[A-Za-z0-9._-]+(\/[A-Za-z0-9._-]+)*$/;
export const isPackPath = (path: string): boolean => PATH.test(path);

export const Manifest = z.strictObject({
  kind: z.literal("portcullis/evidence-pack/v1"),
  /** Of the program that made it. */
  version: z.string(),
  gateway: z.string(),
  /** The period: from ≤ at < to. */
  from: z.iso.datetime(),
  to: z.iso.datetime(),
  /** Of address books: which addresses are venues. */
  venueTag: z.string(),
  /** What the log was when the pack was made. */
  checkpoint: z.strictObject({ size: z.int().min(1), root: z.string() }),
  files: z.array(
    z.strictObject({
      path: z.string().regex(PATH),
      bytes: z.int().min(0),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
});
export type Manifest = z.infer<typeof Manifest>;

/** What is wrong with a pack: a code for programs, the file, one sentence for people. */
export type PackFinding = { readonly code: string; readonly file: string; readonly message: string };

export const sha256Of = (text: string | Uint8Array): string => createHash("sha256").update(text).digest("hex");

const CHUNK_BYTES = 1024 * 1024;

/** Of a file of any size. */
export function fileHash(path: string): { readonly bytes: number; readonly sha256: string } {
  const file = openSync(path, "r");
  try {
    const [hash, chunk] = [createHash("sha256"), Buffer.alloc(CHUNK_BYTES)];
    let bytes = 0;
    for (let read = readSync(file, chunk); read > 0; read = readSync(file, chunk)) {
      hash.update(chunk.subarray(0, read));
      bytes += read;
    }
    return { bytes, sha256: hash.digest("hex") };
  } finally {
    closeSync(file);
  }
}

/** Every file below the folder, in the order of their names. */
export const filesIn = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .map((path) => path.split(sep).join("/"))
    .sort();

/** @throws {GatewayError} `pack-invalid` for a folder that is no pack */
export function readManifest(folder: string): { readonly manifest: Manifest; readonly sha256: string } {
  const path = join(folder, MANIFEST);
  if (!existsSync(path)) throw new GatewayError("pack-invalid", `expected an evidence pack, found no \`${path}\``);
  const text = readFileSync(path, "utf8");
  return { manifest: parseManifest(text), sha256: sha256Of(text) };
}

function parseManifest(text: string): Manifest {
  let json: unknown;
  try {
    json = parseJson(Buffer.from(text));
  } catch (error) {
    throw new GatewayError("pack-invalid", `\`${MANIFEST}\`: ${(error as Error).message}`);
  }
  const parsed = Manifest.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new GatewayError("pack-invalid", `\`${MANIFEST}\`: \`${issue!.path.join(".")}\`: ${issue!.message}`);
}

/** @returns the leaf that holds the manifest's hash, or why nothing proves it */
export function checkManifest(folder: string, sha256: string, key: NoteKey): number | PackFinding {
  const finding = (code: string, message: string): PackFinding => ({ code, file: RECEIPT, message });
  let receipt: ReturnType<typeof checkReceipt>;
  try {
    receipt = checkReceipt(readFileSync(join(folder, RECEIPT), "utf8"), key);
  } catch (error) {
    return finding("receipt-invalid", (error as Error).message);
  }
  const { type, kind, sha256: recorded } = receipt.opening as Readonly<Record<string, unknown>>;
  if (type !== "reported" || kind !== "evidence")
    return finding("receipt-invalid", `leaf ${receipt.index} is not that of an evidence pack`);
  if (recorded !== sha256)
    return { code: "manifest-differs", file: MANIFEST, message: `leaf ${receipt.index} holds another manifest's hash` };
  return receipt.index;
}

/** Every file is there as the manifest has it, and nothing else is. */
export function checkFiles(folder: string, { files }: Manifest): PackFinding[] {
  const named = new Map(files.map((file) => [file.path, file]));
  const twice = files.filter((file) => named.get(file.path) !== file);
  const found = new Set(filesIn(folder).filter((path) => path !== MANIFEST && path !== RECEIPT));
  const missing = files.filter(({ path }) => !found.has(path));
  return [
    ...twice.map(({ path }) => ({ code: "file-twice", file: path, message: "the manifest names it more than once" })),
    ...missing.map(({ path }) => ({
      code: "file-missing",
      file: path,
      message: "the manifest names it, it is not here",
    })),
    ...[...found].flatMap((path): PackFinding[] => {
      const file = named.get(path);
      if (!file) return [{ code: "file-unexpected", file: path, message: "the manifest does not name it" }];
      if (!lstatSync(join(folder, path)).isFile())
        return [{ code: "file-differs", file: path, message: "it is no file" }];
      const { sha256, bytes } = fileHash(join(folder, path));
      const differs = (message: string) => [{ code: "file-differs", file: path, message }];
      if (sha256 !== file.sha256) return differs(`expected SHA-256 ${file.sha256}, found ${sha256}`);
      return bytes === file.bytes ? [] : differs(`expected ${file.bytes} bytes, found ${bytes}`);
    }),
  ];
}
