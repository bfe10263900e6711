import { readFileSync } from "node:fs";
import { GatewayError } from "../domain/errors.ts";

/** @throws {GatewayError} `usage`, as the argument that named the file is wrong */
export function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw unreadable(path, error);
  }
}

export const unreadable = (path: string, error: unknown): GatewayError =>
  new GatewayError("usage", `cannot read \`${path}\`: ${whyNot(error)}`);

const WHY: Readonly<Record<string, string>> = {
  ENOENT: "it is not there",
  EISDIR: "it is a directory",
  ENOTDIR: "a part of its path is no directory",
  EACCES: "this user may not",
  EPERM: "this user may not",
  EROFS: "its file system is read-only",
  ENOSPC: "its disk is full",
  EEXIST: "it is there already",
};

/** What the operating system said, in words; its own where there are none. */
export function whyNot(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return WHY[code ?? ""] ?? message;
}
