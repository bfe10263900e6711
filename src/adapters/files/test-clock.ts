import { readFileSync } from "node:fs";

/**
 * The time of a test gateway: the machine's, moved by as many milliseconds as stand in a file. It is read each time, so
 * that whoever has written it knows that the next decision sees it. What is no whole number is a fault, never zero.
 */
export const testClock =
  (path: string): (() => number) =>
  () =>
    Date.now() + offsetIn(path);

/** @throws {Error} for a file that is missing or holds anything but a whole number of milliseconds */
export function offsetIn(path: string): number {
  const text = readFileSync(path, "utf8").trim();
  if (!/^-?[0-9]{1,15}$/.test(text)) throw new Error(`expected a whole number of milliseconds in \`${path}\``);
  return Number(text);
}
