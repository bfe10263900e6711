import { relative, resolve } from "node:path";
import type { Declaration } from "../policy/declared.ts";
import type { Finding } from "../policy/finding.ts";
import { lookAlikes } from "./look-alikes.ts";
import { tryRegistry } from "./registry.ts";

export type CheckedRegistry = {
  readonly files: readonly string[];
  readonly findings: readonly Finding[];
  readonly chains: number;
  readonly assets: number;
  readonly contracts: number;
};

/** All that is wrong with registries that are used together: form, checksums, duplicates, and symbols or names that look alike. */
export function checkRegistryFiles(files: readonly string[]): CheckedRegistry {
  const { root, declared, findings, locate } = tryRegistry(files);
  const alike = declared
    ? [...alikeIn(declared.assets, "symbol"), ...alikeIn(declared.contracts, "name")].map(
        ({ at, message }): Finding => ({
          file: at.file,
          ...locate(at.file, at.path),
          severity: "error",
          code: "looks-alike",
          message,
          hint: "people choose assets by what they read: give one of the two a name that nobody takes for the other",
        }),
      )
    : [];
  const fromHere = (path: string) => relative(process.cwd(), resolve(root, path));
  return {
    files,
    findings: [...findings, ...alike].map((finding) => ({ ...finding, file: fromHere(finding.file) })),
    chains: declared?.chains.size ?? 0,
    assets: declared?.assets.size ?? 0,
    contracts: declared?.contracts.size ?? 0,
  };
}

const alikeIn = (declared: ReadonlyMap<string, Declaration<unknown>>, what: string) =>
  lookAlikes(declared.keys()).map(([name, like]) => ({
    at: declared.get(name)!,
    message: `expected ${what}s that cannot be mistaken for one another, found \`${name}\` beside \`${like}\``,
  }));
