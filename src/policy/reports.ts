import type { Finding } from "./finding.ts";
import type { TestResult, TestRun } from "./test-runner.ts";

/* What other programs read: JUnit XML of a test run, SARIF of findings. */

const escapeXml = (text: string): string => text.replace(/[<>&"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** @param runs one suite for each document, by its path */
export function junitOf(runs: readonly { readonly file: string; readonly run: TestRun }[]): string {
  const suites = runs.flatMap(({ file, run }) => [
    `  <testsuite name="${escapeXml(file)}" ${countsOf([run])}>`,
    ...run.results.map((result) => testcase(file, result)),
    `  </testsuite>`,
  ]);
  const counts = countsOf(runs.map(({ run }) => run));
  return [`<?xml version="1.0" encoding="UTF-8"?>`, `<testsuites ${counts}>`, ...suites, `</testsuites>`, ``].join(
    "\n",
  );
}

function countsOf(runs: readonly TestRun[]): string {
  const results = runs.flatMap((run) => run.results);
  return `tests="${results.length}" failures="${results.filter(({ passed }) => !passed).length}"`;
}

function testcase(suite: string, { name, failures }: TestResult): string {
  const open = `    <testcase classname="${escapeXml(suite)}" name="${escapeXml(name)}"`;
  if (failures.length === 0) return `${open}/>`;
  return `${open}>\n      <failure message="${escapeXml(failures[0]!)}">${escapeXml(failures.join("\n"))}</failure>\n    </testcase>`;
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
