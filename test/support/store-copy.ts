import { closeSync, copyFileSync, existsSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** SQLite's WAL format: a header with the salts of all its frames, which are others once it begins anew. */
const WAL_HEADER_BYTES = 32;

/** A store as its vault has it now, without disturbing it: read from a copy. */
export function inStoreCopy<T>(path: string, read: (copy: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-copy-"));
  try {
    const copy = join(folder, "copy.db");
    copyStore(path, copy);
    return read(copy);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * What is committed stands in the file or in its write-ahead log: where that has begun anew between the two, both are
 * copied again, or the copy would lack what was moved.
 */
export function copyStore(path: string, copy: string): void {
  const wal = `${path}-wal`;
  for (;;) {
    const before = walHeader(wal);
    copyFileSync(path, copy);
    rmSync(`${copy}-wal`, { force: true });
    if (existsSync(wal)) copyFileSync(wal, `${copy}-wal`);
    if (before.equals(walHeader(wal)) && before.equals(walHeader(`${copy}-wal`))) return;
  }
}

function walHeader(wal: string): Buffer {
  if (!existsSync(wal)) return Buffer.alloc(0);
  const file = openSync(wal, "r");
  try {
    const header = Buffer.alloc(WAL_HEADER_BYTES);
    return header.subarray(0, readSync(file, header, 0, WAL_HEADER_BYTES, 0));
  } finally {
    closeSync(file);
  }
}
