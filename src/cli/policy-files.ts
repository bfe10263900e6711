import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { GatewayError } from "../domain/errors.ts";
import { namedBy } from "../policy/dependents.ts";
import { readYaml } from "../policy/yaml.ts";

/** A policy document with the files that it uses, as texts: what is checked, hashed, signed and sent. */
export type PolicyFiles = { readonly entry: string; readonly files: Record<string, string> };

/** Read from a disk, where `root` is the folder of policies. */
export type ReadPolicy = PolicyFiles & { readonly root: string };

/**
 * Reads a document and what its `use` names. Those paths are relative to the folder of policies, which is found by
 * going up from the document until the first of them exists.
 * @throws {GatewayError} `file-missing`
 */
export function readPolicyFiles(path: string): ReadPolicy {
  const text = readText(path);
  const used = usedBy(path, text);
  const root = rootFor(path, used);
  const entry = relative(root, resolve(path));
  const files: Record<string, string> = { [entry]: text };
  for (const name of used) files[name] = readText(join(root, name));
  for (const name of used.flatMap((registry) => namedBy(files[registry]!))) files[name] ??= readText(join(root, name));
  return { root, entry, files };
}

/** Asset registries, with the files that their contracts name. */
export type RegistryFiles = {
  readonly root: string;
  readonly entries: readonly string[];
  readonly files: Record<string, string>;
};

/**
 * Reads asset registries of one folder of policies.
 * @throws {GatewayError} `file-missing`
 */
export function readRegistryFiles(paths: readonly string[]): RegistryFiles {
  const texts = paths.map(readText);
  const named = texts.flatMap(namedBy);
  const root = rootFor(paths[0]!, named);
  const entries = paths.map((path) => relative(root, resolve(path)));
  const files = Object.fromEntries(entries.map((entry, index) => [entry, texts[index]!]));
  for (const name of named) files[name] ??= readText(join(root, name));
  return { root, entries, files };
}

/** Every YAML file of a folder of policies, and what registries may name, by its path below it. @throws {GatewayError} `file-missing` */
export function readPolicyFolder(folder: string): Map<string, string> {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) =>
    /\.(yaml|json)$/.test(path),
  );
  return new Map(paths.toSorted().map((path) => [path, readText(join(folder, path))]));
}

function rootFor(path: string, used: readonly string[]): string {
  const start = dirname(resolve(path));
  if (used.length === 0) return start;
  for (let folder = start; ; folder = dirname(folder)) {
    if (existsSync(join(folder, used[0]!))) return folder;
    if (dirname(folder) === folder) {
      throw new GatewayError(
        "file-missing",
        `expected \`${used[0]}\`, which this file names, in \`${start}\` or a folder above it, found none`,
      );
    }
  }
}

/** Only what is needed to gather the files: the document itself is judged by `parsePolicy`. */
function usedBy(path: string, text: string): string[] {
  const value = readYaml(path, text).source?.value;
  const use = typeof value === "object" && !Array.isArray(value) ? value.use : undefined;
  return Array.isArray(use) ? use.filter((name) => typeof name === "string") : [];
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new GatewayError("file-missing", `cannot read \`${path}\`: ${(error as Error).message}`);
  }
}
