import { readYaml } from "./yaml.ts";

/** Documents that use a file: when it changes, each of them needs a new version. */
export function dependentsOf(changed: string, files: ReadonlyMap<string, string>): string[] {
  return [...files].filter(([path, text]) => usesOf(path, text).includes(changed)).map(([path]) => path);
}

function usesOf(path: string, text: string): readonly unknown[] {
  const value = readYaml(path, text).source?.value;
  if (typeof value !== "object" || Array.isArray(value)) return [];
  return Array.isArray(value.use) ? value.use : [];
}
