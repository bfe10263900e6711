import type { Comparison } from "../policy/compare.ts";
import { diffMarkdown, diffText } from "../policy/diff-text.ts";

/* What a comparison of documents says, to people, to reviewers and to scripts. */

const versions = ({ before, after }: Comparison): string =>
  `version ${before?.version ?? "none"} to ${after?.version ?? "none"}`;

/** New authority is a loosening; a document that is gone stays active until another replaces it. */
const soleText = ({ before }: Comparison): string =>
  before === undefined ? "new: all that it permits was not" : "gone from the files; what is active stays active";

const NEEDS_VERSION = "it changed, and needs a new version";

export function comparisonText(comparison: Comparison): string {
  const { of, diff, needsVersion } = comparison;
  const what = diff ? diffText(diff) : soleText(comparison);
  return `${of}, ${versions(comparison)}: ${what}${needsVersion ? `\n  ! ${NEEDS_VERSION}` : ""}`;
}

export function comparisonMarkdown(comparison: Comparison): string {
  const { of, diff, needsVersion } = comparison;
  const title = `${of}, ${versions(comparison)}`;
  const text = diff ? diffMarkdown(title, diff) : `### ${title}\n\n**${soleText(comparison)}**\n`;
  return needsVersion ? `${text}\n**${NEEDS_VERSION}**\n` : text;
}

/** Nothing is opened and every change has a number of its own: a reviewer may let it pass without a second look. */
export const isTightening = ({ diff, after, needsVersion }: Comparison): boolean =>
  !needsVersion && (diff ? diff.verdict === "none" || diff.verdict === "tightening" : after === undefined);

/** What others' programs read. */
export const comparisonJson = ({ diff, ...comparison }: Comparison) => ({
  ...comparison,
  verdict: diff?.verdict ?? (comparison.before === undefined ? "new" : "gone"),
  changes: diff?.changes ?? [],
});
