import { GatewayError } from "../domain/errors.ts";
import { encodeJson } from "../domain/json.ts";

/** Human text on a terminal, one JSON document with `--json`. Results go to stdout, everything else to stderr. */
export type Output = {
  readonly json: boolean;
  /** The result: `text` for people, `value` for programs. */
  readonly result: (value: unknown, text: string) => void;
  readonly note: (text: string) => void;
};

export const output = (json: boolean): Output => ({
  json,
  result: (value, text) => console.log(json ? encodeJson(value) : text),
  note: (text) => process.stderr.write(`${text}\n`),
});

/** Exit codes that scripts rely on: 1 refused or failed check, 2 usage. */
export const EXIT = { ok: 0, refused: 1, usage: 2 } as const;

export function printError(error: unknown, json: boolean): void {
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
  process.stderr.write(`unexpected: ${(error as Error).stack ?? String(error)}\n`);
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
