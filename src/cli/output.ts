import { GatewayError } from "../domain/errors.ts";
import { encodeJson } from "../domain/json.ts";
import { whyNot } from "./text-file.ts";

/** Human text on a terminal, one JSON document with `--json`. Results go to stdout, everything else to stderr. */
export type Output = {
  readonly json: boolean;
  /** The result: `text` for people, `value` for programs. */
  readonly result: (value: unknown, text: string) => void;
  readonly note: (text: string) => void;
};

export const output = (json: boolean): Output => ({
  json,
  result: (value, text) => void process.stdout.write(`${json ? encodeJson(value) : shown(text)}\n`),
  note: (text) => process.stderr.write(`${text}\n`),
});

/** Others' names stand in results: what moves a terminal's cursor could make a verdict read as another one. */
const shown = (text: string): string =>
  text.replace(
    /(?![\n\t])[\p{Cc}\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.codePointAt(0)!.toString(16).padStart(4, "0")}`,
  );

/** Exit codes that scripts rely on: 1 refused or failed check, 2 usage. */
export const EXIT = { ok: 0, refused: 1, usage: 2 } as const;

export function printError(failure: unknown, json: boolean): void {
  const error = reported(failure);
  if (error instanceof GatewayError) {
    const { code, message, hint, facts } = error;
    if (json)
      return void console.log(encodeJson({ error: { code, message, ...(hint === undefined ? {} : { hint }), facts } }));
    process.stderr.write(`${code}: ${message}\n${hint === undefined ? "" : `  hint: ${hint}\n`}`);
    const findings = facts["findings"];
    if (Array.isArray(findings)) {
      for (const { file, line, column, message: text } of findings as Record<string, string>[]) {
        process.stderr.write(`  ${file}:${line}:${column} ${text}\n`);
      }
    }
    return;
  }
  if (json) console.log(encodeJson({ error: { code: "unexpected", message: (error as Error).message, facts: {} } }));
  process.stderr.write(`unexpected: ${(error as Error).stack ?? String(error)}\n`);
}

/** A file that cannot be read or written is no fault of the program. */
function reported(error: unknown): unknown {
  const { syscall, path, code } = (error ?? {}) as NodeJS.ErrnoException;
  if (error instanceof GatewayError || syscall === undefined || path === undefined || code === undefined) return error;
  const act = ["read", "stat", "lstat", "scandir"].includes(syscall) ? "read" : "open or write";
  return new GatewayError("file-unavailable", `cannot ${act} \`${path}\`: ${whyNot(error)}`, { facts: { code } });
}

/** Columns as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
