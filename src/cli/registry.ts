import type { AssetRegistry } from "../domain/assets.ts";
import { compileHouse } from "../policy/compile.ts";
import { declaredIn, type Declared } from "../policy/declared.ts";
import type { DocumentPath, Finding } from "../policy/finding.ts";
import { parsePolicy, tryParsePolicy } from "../policy/parse.ts";
import { checkAccount } from "./policy-check.ts";
import { readRegistryFiles, type RegistryFiles } from "./policy-files.ts";

/* Asset registries without a policy: read as one that uses them would, so that every check of a policy's files applies. */

const HOUSE = "house-of-nobody.yaml";

/** The least that a house policy needs; its officer has a key that nobody has. */
function withHouse({ entries, files }: RegistryFiles): ReadonlyMap<string, string> {
  const officer = `{ role: policy-officer, keys: ["ed25519:${Buffer.alloc(32).toString("base64")}"] }`;
  const house = `apiVersion: portcullis/v1\nkind: HousePolicy\nversion: 1\nuse: [${entries.map((entry) => JSON.stringify(entry)).join(", ")}]\ncallers: { nobody: ${officer} }\n`;
  return new Map(Object.entries({ ...files, [HOUSE]: house }));
}

/** @throws {GatewayError} `file-missing`, `policy-invalid` */
export const readRegistry = (...paths: string[]): AssetRegistry =>
  compileHouse(parsePolicy(HOUSE, withHouse(readRegistryFiles(paths)), checkAccount)).registry;

/** What registries declare together, as far as it was understood, and every mistake in them. */
export function tryRegistry(paths: readonly string[]): {
  readonly root: string;
  readonly declared?: Declared;
  readonly findings: readonly Finding[];
  readonly locate: (file: string, path: DocumentPath) => { readonly line: number; readonly column: number };
} {
  const read = readRegistryFiles(paths);
  const { policy, findings } = tryParsePolicy(HOUSE, withHouse(read), checkAccount);
  return {
    root: read.root,
    findings,
    ...(policy ? { declared: declaredIn(policy) } : {}),
    locate: (file, where) => policy!.sources.get(file)!.locate(where, "key"),
  };
}
