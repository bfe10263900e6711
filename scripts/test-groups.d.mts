export const FOLDERS: readonly string[];
export type Counts = { readonly passed: number; readonly failed: number; readonly skipped: number };
export type Group = { name: string; files: string[]; mayBeEmpty: boolean; alone: boolean };
export function groupTests(files: readonly string[]): Group[];
export function readArguments(args: readonly string[]): { soak: boolean; paths: string[]; mochaFlags: string[] };
export function judge(counts: Counts | undefined, exit: number | string): Counts & { fault: string | undefined };
