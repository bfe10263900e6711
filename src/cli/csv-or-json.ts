import { readFileSync } from "node:fs";
import { GatewayError } from "../domain/errors.ts";
import { parseJson } from "../domain/strict-json.ts";

export type Row = { readonly where: string; readonly fields: Readonly<Record<string, string>> };

/**
 * A list of flat records: CSV whose first line names exactly these columns, or a JSON array of objects with exactly these
 * texts. No quotes and no blanks in CSV: names and amounts have none.
 * @throws {GatewayError} `file-invalid`, with the line or item
 */
export function readRows(file: string, columns: readonly string[]): Row[] {
  const text = readFileSync(file, "utf8").replace(/^\uFEFF/, "");
  const invalid = (where: string, what: string): GatewayError =>
    new GatewayError("file-invalid", `expected ${what} in \`${file}\`, ${where}`, {
      hint: `the columns are ${columns.join(",")}: docs/custody.md`,
    });
  return text.trimStart().startsWith("[") ? jsonRows(text, columns, invalid) : csvRows(text, columns, invalid);
}

type Invalid = (where: string, what: string) => GatewayError;

function csvRows(text: string, columns: readonly string[], invalid: Invalid): Row[] {
  const lines = text.replace(/\r?\n$/, "").split(/\r?\n/);
  if (lines[0] !== columns.join(",")) throw invalid("line 1", `\`${columns.join(",")}\``);
  return lines.slice(1).map((line, index) => {
    const where = `line ${index + 2}`;
    const values = line.split(",");
    if (values.length !== columns.length || values.some((value) => !/^[^\s"']+$/.test(value)))
      throw invalid(where, `${columns.length} values without blanks and quotes`);
    return { where, fields: Object.fromEntries(columns.map((column, at) => [column, values[at]!])) };
  });
}

function jsonRows(text: string, columns: readonly string[], invalid: Invalid): Row[] {
  const items = parseJson(Buffer.from(text)) as unknown[];
  return items.map((item, index) => {
    const where = `item ${index + 1}`;
    const fields = item as Readonly<Record<string, string>>;
    const names = typeof item === "object" && item !== null ? Object.keys(item).sort() : [];
    const isExact =
      names.join() === [...columns].sort().join() && names.every((name) => typeof fields[name] === "string");
    if (!isExact) throw invalid(where, "an object with exactly these texts");
    return { where, fields };
  });
}
