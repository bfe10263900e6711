import type { Report } from "./verify.ts";

const UNKNOWN_SHOWN = 20;

/** The report as people read it: the verdict last. */
export function reportText(report: Report): string {
  const { found, findings, outcomeUnknown } = report;
  const count = (n: number, one: string, more: string) => `${n} ${n === 1 ? one : more}`;
  const hidden = Object.entries(found)
    .map(([code, n]) => [code, n - findings.filter((finding) => finding.code === code).length] as const)
    .filter(([, n]) => n > 0);
  return [
    `log        ${report.origin}, ${count(report.leaves, "leaf", "leaves")} (${report.opened} opened)`,
    `key        ${report.key.vkey} (${report.key.from})`,
    `checkpoint ${report.newest ? `${report.newest.size} ${report.newest.root}` : "none"} (${report.checkpoints} held)`,
    `chains     ${Object.entries(report.clients)
      .map(([client, leaves]) => `${client} ${leaves}`)
      .join(", ")}`,
    `limits     ${count(report.limitsHeld, "sum", "sums")} recomputed and held against caps`,
    `signatures ${report.signatures} of callers, officers and keys verified; ${count(report.receipts, "receipt", "receipts")}, ${count(report.promises, "promise", "promises")}`,
    ...report.anchors.map(
      ({ transaction, chain, block, at, size, client, sender }) =>
        `anchor     ${size} leaves in block ${block} of ${chain} at ${at}, by ${client ?? sender}: ${transaction}`,
    ),
    ...report.restorations.map(
      ({ leaf, lost, store, promised }) =>
        `restored   leaf ${leaf}: officers went on with ${store.size} leaves of ${promised.size} promised, lost: ${lost}`,
    ),
    ...report.notChecked.map((what) => `not checked: ${what}`),
    ...outcomeUnknown
      .slice(0, UNKNOWN_SHOWN)
      .map(({ request, client, leaf }) => `authorized, outcome unknown: request ${request} of ${client}, leaf ${leaf}`),
    ...(outcomeUnknown.length > UNKNOWN_SHOWN ? [`… and ${outcomeUnknown.length - UNKNOWN_SHOWN} more`] : []),
    ...findings.map(({ code, message }) => `WRONG ${code}: ${message}`),
    ...hidden.map(([code, n]) => `WRONG ${code}: ${n} more`),
    report.ok ? "the log verifies" : "the log does NOT verify",
  ].join("\n");
}
