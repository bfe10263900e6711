import { readYaml } from "./yaml.ts";

/** Documents that use a file, themselves or through a registry that names it: when it changes, each needs a new version. */
export function dependentsOf(changed: string, files: ReadonlyMap<string, string>): string[] {
  const registries = [...files].filter(([, text]) => namedBy(text).includes(changed)).map(([path]) => path);
  return [...files]
    .filter(([path, text]) =>
      usesOf(path, text).some((used) => used === changed || registries.includes(used as string)),
    )
    .map(([path]) => path);
}

function usesOf(path: string, text: string): readonly unknown[] {
  const value = readYaml(path, text).source?.value;
  if (typeof value !== "object" || Array.isArray(value)) return [];
  return Array.isArray(value.use) ? value.use : [];
}

/** The ABI files and descriptors that a registry names: only what is needed to find them. */
export function namedBy(registry: string): readonly string[] {
  const value = readYaml("", registry).source?.value;
  const contracts = typeof value === "object" && !Array.isArray(value) ? value.contracts : undefined;
  if (typeof contracts !== "object" || Array.isArray(contracts)) return [];
  const files = Object.values(contracts).flatMap((one) =>
    typeof one === "object" && !Array.isArray(one) ? [one.abi, one.display] : [],
  );
  return [...new Set(files.filter((file) => typeof file === "string"))];
}
