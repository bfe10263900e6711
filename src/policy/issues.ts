import type { z } from "zod";
import { quoted } from "../domain/errors.ts";
import type { DocumentPath } from "./finding.ts";

/** What the schema says about one place, in our words. `part`: where the finger points. */
export type Issue = { readonly path: DocumentPath; readonly part: "key" | "value"; readonly message: string };

type Raw = z.core.$ZodIssue;

/** Turns zod's issues into sentences; of the branches of a union it takes the one that the author most likely meant. */
export function describeIssues(issues: readonly Raw[], root: unknown): Issue[] {
  return issues.flatMap((issue) => describe(issue, root, []));
}

function describe(issue: Raw, root: unknown, base: DocumentPath): Issue[] {
  const path: DocumentPath = [...base, ...(issue.path as (string | number)[])];
  const found = valueAt(root, path);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => ({
        path: [...path, key],
        part: "key",
        message: `expected a field of the format, found ${quoted(key)}`,
      }));
    case "invalid_key":
      return [
        {
          path,
          part: "key",
          message: `${issue.issues[0]?.message ?? "expected a name"}, found ${quoted(path.at(-1))}`,
        },
      ];
    case "invalid_type":
      return [
        found === undefined
          ? missing(path)
          : { path, part: "value", message: `expected ${expectedType(issue.expected)}, found ${shape(found)}` },
      ];
    case "invalid_value":
      return [
        found === undefined
          ? missing(path)
          : {
              path,
              part: "value",
              message: `expected ${issue.values.map((value) => `\`${String(value)}\``).join(" or ")}, found ${shape(found)}`,
            },
      ];
    case "invalid_union":
      return (
        likeliest(issue.errors, root, path) ?? [
          { path, part: "value", message: `expected one of the forms of the format, found ${shape(found)}` },
        ]
      );
    default:
      return [
        found === undefined
          ? missing(path)
          : { path, part: "value", message: `${issue.message}, found ${shape(found)}` },
      ];
  }
}

const missing = (path: DocumentPath): Issue => ({
  path: path.slice(0, -1),
  part: "value",
  message: `expected a field \`${String(path.at(-1))}\`, found none`,
});

const expectedType = (type: string): string =>
  ({ array: "a list", object: "a map", record: "a map", string: "text" })[type] ?? type;

/** Fewest complaints win; among equals the branch whose own kind of value was given. */
function likeliest(branches: readonly (readonly Raw[])[], root: unknown, path: DocumentPath): Issue[] | undefined {
  const described = branches.map((issues) => ({
    cost: cost(issues),
    issues: issues.flatMap((issue) => describe(issue, root, path)),
  }));
  const usable = described.filter((branch) => branch.issues.length > 0);
  return usable.sort((a, b) => a.cost - b.cost)[0]?.issues;
}

/** An unknown word weighs most: it says that another branch was meant. */
function cost(issues: readonly Raw[]): number {
  let sum = 0;
  for (const issue of issues) {
    if (issue.code === "unrecognized_keys") sum += 10 * issue.keys.length;
    else if ((issue.code === "invalid_type" || issue.code === "invalid_value") && issue.path.length === 0) sum += 100;
    else sum += 1;
  }
  return sum;
}

function shape(found: unknown): string {
  if (Array.isArray(found)) return found.length === 0 ? "an empty list" : "a list";
  if (typeof found === "object" && found !== null) return "a map";
  return quoted(found);
}

function valueAt(root: unknown, path: DocumentPath): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}
