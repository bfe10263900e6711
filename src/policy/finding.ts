/** One thing that is wrong with a document, where it stands and what to do about it. */
export type Finding = {
  /** Which check: `invalid` for what makes a document no policy, else the lint's name. */
  readonly code: string;
  readonly severity: "error" | "warning" | "note";
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly column: number;
  /** One sentence: lower-case start, no final period, input in backticks, expected before found. */
  readonly message: string;
  readonly hint?: string;
};

/** Where in a document: keys and list positions from its top. */
export type DocumentPath = readonly (string | number)[];

export const compareFindings = (a: Finding, b: Finding): number =>
  a.file === b.file ? a.line - b.line || a.column - b.column : a.file < b.file ? -1 : 1;

export const findingText = (finding: Finding): string =>
  `${finding.file}:${finding.line}:${finding.column}: ${finding.message}${finding.hint ? ` (${finding.hint})` : ""}`;

/** What makes a document no policy. */
export const invalid = (
  file: string,
  at: { readonly line: number; readonly column: number },
  message: string,
  hint?: string,
): Finding => ({
  code: "invalid",
  severity: "error",
  file,
  line: at.line,
  column: at.column,
  message,
  ...(hint ? { hint } : {}),
});
