import { statSync, writeFileSync } from "node:fs";
import { Option, type Command } from "commander";
import { GatewayError } from "../../domain/errors.ts";
import { compareDocuments, compareFolders, staleText, staleUses, type Comparison } from "../../policy/compare.ts";
import { compileClient, compileHouse, type CompiledHouse } from "../../policy/compile.ts";
import { dependentsOf } from "../../policy/dependents.ts";
import { junitOf, sarifOf } from "../../policy/reports.ts";
import { policyJsonSchema } from "../../policy/schema.ts";
import { runTests, type TestRun } from "../../policy/test-runner.ts";
import { jsonOption } from "../options.ts";
import { EXIT, output } from "../output.ts";
import { checkAccount, checkFile, fails, findingsText, resolvePolicy, type CheckedFile } from "../policy-check.ts";
import { comparisonJson, comparisonMarkdown, comparisonText, isTightening } from "../policy-comparison.ts";
import { readPolicyFiles, readPolicyFolder } from "../policy-files.ts";

type JsonOptions = { readonly json: boolean };

/** What needs no gateway: an editor, a build server and a laptop without network can do it. */
export function policyFileCommands(policy: Command): void {
  policy
    .command("check <file...>")
    .description(
      "read documents as the vault would, and say what is wrong or looks wrong; exit 1 on errors and warnings",
    )
    .option("--sarif <file>", "write the findings there as SARIF 2.1.0 too")
    .addOption(jsonOption())
    .action(check);
  policy
    .command("test <file...>")
    .description("run the documents' own tests; exit 1 if one fails")
    .option("--house <file>", "a house policy that holds besides")
    .option("--junit <file>", "write the results there as JUnit XML too")
    .addOption(jsonOption())
    .action(test);
  policy
    .command("diff <old> <new>")
    .description("what changes between two documents, or two folders of them; exit 1 unless it only tightens")
    .addOption(new Option("--markdown", "for a review comment").default(false))
    .addOption(jsonOption())
    .action(diff);
  policy
    .command("dependents <shared> <folder>")
    .description("the documents of a folder that use a file, whose path is below that folder")
    .addOption(jsonOption())
    .action(dependents);
  policy
    .command("schema")
    .description("the JSON Schema of policy documents, for editors")
    .option("--out <file>", "write it there")
    .action(({ out }: { out?: string }) => {
      if (out === undefined) process.stdout.write(policyJsonSchema());
      else writeFileSync(out, policyJsonSchema());
    });
}

// ---- check ------------------------------------------------------------------------------------------------------

function check(paths: readonly string[], { sarif, json }: JsonOptions & { sarif?: string }): void {
  const documents = paths.map(checkFile);
  const findings = documents.flatMap((document) => document.findings);
  if (sarif !== undefined) writeFileSync(sarif, sarifOf(findings));
  output(json).result({ documents }, documents.map(checkedText).join("\n"));
  if (fails(findings)) process.exitCode = EXIT.refused;
}

function checkedText({ file, findings, client, version, hash }: CheckedFile): string {
  if (findings.length > 0) return findingsText(findings);
  return `${file}: no findings\n  ${client}, version ${version}, ${hash}`;
}

// ---- test -------------------------------------------------------------------------------------------------------

type TestOptions = JsonOptions & { readonly house?: string; readonly junit?: string };

function test(paths: readonly string[], { house, junit, json }: TestOptions): void {
  const compiledHouse = house === undefined ? undefined : compileHouse(resolvePolicy(readPolicyFiles(house)));
  const runs = paths.map((path) => ({ file: path, run: runFile(path, compiledHouse) }));
  if (junit !== undefined) writeFileSync(junit, junitOf(runs));
  output(json).result(
    runs.map(({ file, run }) => runJson(file, run)),
    runs.map(({ file, run }) => runText(file, run)).join("\n"),
  );
  if (runs.some(({ run }) => !run.passed)) process.exitCode = EXIT.refused;
}

function runFile(path: string, house: CompiledHouse | undefined): TestRun {
  const resolved = resolvePolicy(readPolicyFiles(path));
  if (resolved.document.kind !== "ClientPolicy") {
    throw new GatewayError("usage", `expected a client's policy, found a house policy in \`${path}\``, {
      hint: "name it with `--house`: the clients' tests show what it does",
    });
  }
  return runTests(resolved.document, compileClient(resolved), house);
}

const runJson = (file: string, { passed, results, coverage }: TestRun) => ({
  file,
  passed,
  results: results.map(({ name, passed: one, failures }) => ({ name, passed: one, failures })),
  coverage: { rules: Object.fromEntries(coverage.rules), limits: Object.fromEntries(coverage.limits) },
});

function runText(file: string, { results, coverage }: TestRun): string {
  const failed = results.filter(({ passed }) => !passed).length;
  return [
    `${file}: ${results.length - failed} passed, ${failed} failed`,
    ...results.flatMap(({ name, passed, failures }) => [
      `  ${passed ? "✓" : "✗"} ${name}`,
      ...failures.map((failure) => `      ${failure}`),
    ]),
    coverageText("rules", coverage.rules),
    coverageText("limits", coverage.limits),
  ].join("\n");
}

function coverageText(what: string, counts: ReadonlyMap<string, number>): string {
  const missed = [...counts].filter(([, times]) => times === 0).map(([name]) => name);
  const without = missed.length > 0 ? `, without a test: ${missed.join(", ")}` : "";
  return `  ${what}: ${counts.size - missed.length} of ${counts.size} matched${without}`;
}

// ---- diff -------------------------------------------------------------------------------------------------------

type Compared = {
  readonly comparisons: readonly Comparison[];
  readonly stale: readonly { readonly changed: string; readonly documents: readonly string[] }[];
};

function diff(before: string, after: string, { markdown, json }: JsonOptions & { markdown: boolean }): void {
  const { comparisons, stale } = compare(before, after);
  const text = markdown ? comparisonMarkdown : comparisonText;
  const lines = [
    ...comparisons.map(text),
    ...stale.map(({ changed, documents }) => `${markdown ? "- " : ""}${staleText(changed, documents)}`),
  ];
  output(json).result(
    { documents: comparisons.map(comparisonJson), stale },
    lines.length > 0 ? lines.join("\n") : "nothing changes",
  );
  if (!comparisons.every(isTightening)) process.exitCode = EXIT.refused;
}

function compare(before: string, after: string): Compared {
  const folders = [before, after].filter((path) => statSync(path, { throwIfNoEntry: false })?.isDirectory());
  if (folders.length === 1) throw new GatewayError("usage", "expected two documents or two folders, found one of each");
  if (folders.length === 0) {
    const [old, now] = [before, after].map((path) => resolvePolicy(readPolicyFiles(path)));
    return { comparisons: [compareDocuments(old!, now!)], stale: [] };
  }
  const [old, now] = [readPolicyFolder(before), readPolicyFolder(after)];
  const changed = compareFolders(old, now, checkAccount).filter((one) => one.before?.hash !== one.after?.hash);
  return { comparisons: changed, stale: staleUses(old, now, changed) };
}

function dependents(shared: string, folder: string, { json }: JsonOptions): void {
  const files = readPolicyFolder(folder);
  // "no document uses it" of a mistyped path would be believed.
  if (!files.has(shared))
    throw new GatewayError("file-missing", `expected a file of \`${folder}\`, found no \`${shared}\` in it`, {
      hint: "its path as `use` has it, such as `shared/assets.yaml`",
    });
  const documents = dependentsOf(shared, files);
  const text = documents.length > 0 ? staleText(shared, documents) : `no document uses ${shared}`;
  output(json).result({ changed: shared, documents }, text);
}
