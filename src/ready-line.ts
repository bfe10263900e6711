import type { Readable } from "node:stream";
import { z } from "zod";

/** A ready line is far shorter; who writes more without a line's end is not kept in memory for it. */
const LINE_BYTES_MAX = 4096;

const ReadyLine = z.object({ ready: z.string(), port: z.int().min(1).max(65_535).optional() });
export type ReadyLine = z.infer<typeof ReadyLine>;

/**
 * Waits for the one line by which a child says that it is ready, and throws away all that follows.
 * @param onLine told once: what the line says, or undefined if it says something else
 */
export function readReadyLine(stream: Readable, onLine: (line: ReadyLine | undefined) => void): void {
  let text = "";
  let done = false;
  stream.setEncoding("utf8").on("data", (chunk: string) => {
    if (done) return; // read all the same: a child whose pipe is full stands still
    text += chunk;
    const end = text.indexOf("\n");
    if (end === -1 && text.length <= LINE_BYTES_MAX) return;
    done = true;
    onLine(end === -1 || end > LINE_BYTES_MAX ? undefined : parse(text.slice(0, end)));
    text = "";
  });
}

function parse(line: string): ReadyLine | undefined {
  try {
    return ReadyLine.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
