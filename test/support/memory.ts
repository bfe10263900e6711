import { closeSync, openSync, readFileSync, readSync } from "node:fs";

const CHUNK_BYTES = 16 * 1024 * 1024;

/**
 * Looks through everything that a process has in memory and can be read.
 * @param wanted byte strings of at most 64 bytes
 * @returns which of them are there
 */
export function findInMemory(pid: number, wanted: ReadonlyMap<string, Buffer>): Set<string> {
  const found = new Set<string>();
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const chunk = Buffer.alloc(CHUNK_BYTES + 64);
  try {
    for (const [from, to] of readableRegions(pid)) {
      for (let at = from; at < to; at += CHUNK_BYTES) {
        const bytes = read(memory, chunk, at, Math.min(to - at, chunk.length));
        for (const [name, value] of wanted) if (bytes.includes(value)) found.add(name);
      }
    }
  } finally {
    closeSync(memory);
  }
  return found;
}

const readableRegions = (pid: number): [number, number][] =>
  readFileSync(`/proc/${pid}/maps`, "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) r.*$/.exec(line) ?? [];
      return from === undefined || /\[v(var|syscall)\]/.test(line) ? [] : [[parseInt(from, 16), parseInt(to!, 16)]];
    });

/** A region may be unmapped meanwhile, or be a device's. */
function read(memory: number, into: Buffer, at: number, length: number): Buffer {
  try {
    return into.subarray(0, readSync(memory, into, 0, length, at));
  } catch {
    return into.subarray(0, 0);
  }
}
