import type { Finding } from "./finding.ts";
import type { TestRun } from "./test-runner.ts";

/* What other programs read: JUnit XML of a test run, SARIF of findings. */

const escapeXml = (text: string): string => text.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** @param suite the document's path */
export function junitOf(suite: string, run: TestRun): string {
  const failed = run.results.filter(({ passed }) => !passed).length;
  const cases = run.results.map(({ name, failures }) => {
    const open = `    <testcase classname="${escapeXml(suite)}" name="${escapeXml(name)}"`;
    if (failures.length === 0) return `${open}/>`;
    return `${open}>\n      <failure message="${escapeXml(failures[0]!)}">${escapeXml(failures.join("\n"))}</failure>\n    </testcase>`;
  });
  const counts = `tests="${run.results.length}" failures="${failed}"`;
  return [
    `<?xml version="1.0" encoding="UTF-8"?>`,
    `<testsuites ${counts}>`,
    `  <testsuite name="${escapeXml(suite)}" ${counts}>`,
    ...cases,
    `  </testsuite>`,
    `</testsuites>`,
    ``,
  ].join("\n");
}

const SARIF_LEVELS = { error: "error", warning: "warning", note: "note" } as const;

/** SARIF 2.1.0, as code hosts show it beside the lines of a change. */
export function sarifOf(findings: readonly Finding[]): string {
  const ids = [...new Set(findings.map(({ code }) => code))].toSorted();
  const results = findings.map(({ code, severity, message, hint, file, line, column }) => ({
    ruleId: code,
    level: SARIF_LEVELS[severity],
    message: { text: hint ? `${message} (${hint})` : message },
    locations: [
      { physicalLocation: { artifactLocation: { uri: file }, region: { startLine: line, startColumn: column } } },
    ],
  }));
  const driver = { name: "portcullis policy check", rules: ids.map((id) => ({ id })) };
  const document = {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [{ tool: { driver }, results }],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}
