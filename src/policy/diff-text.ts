import type { Change, PolicyDiff } from "./diff.ts";

const VERDICTS = {
  none: "nothing changes in what is permitted, asked or counted",
  tightening: "tightening: nothing is permitted, and nothing asks for less, that did not before",
  loosening: "loosening",
  mixed: "mixed: some is looser, some is tighter",
} as const;

const more = ({ count }: Change): string =>
  count !== undefined && count > 1 ? ` (and ${count - 1} more like it)` : "";

export const diffText = ({ verdict, changes }: PolicyDiff): string =>
  [
    VERDICTS[verdict],
    ...changes.map((change) => `  ${change.direction === "loosening" ? "+" : "-"} ${change.text}${more(change)}`),
  ].join("\n");

/** For a review comment. */
export function diffMarkdown(title: string, { verdict, changes }: PolicyDiff): string {
  const cell = (text: string) => text.replaceAll("|", "\\|");
  const rows = changes.map(
    (change) => `| ${change.direction} | ${change.kind} | ${cell(change.text + more(change))} |`,
  );
  const table = rows.length === 0 ? [] : ["", "| | what | first example |", "|---|---|---|", ...rows];
  return [`### ${title}`, "", `**${VERDICTS[verdict]}**`, ...table, ""].join("\n");
}
