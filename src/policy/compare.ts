import { GatewayError } from "../domain/errors.ts";
import { HOUSE } from "../domain/names.ts";
import { compileClient, compileHouse } from "./compile.ts";
import { dependentsOf } from "./dependents.ts";
import { diffHouses, diffPolicies, type PolicyDiff } from "./diff.ts";
import { parsePolicy, policyHash, type CheckAccount, type ResolvedPolicy } from "./parse.ts";
import { readYaml } from "./yaml.ts";

type Files = ReadonlyMap<string, string>;
export type Version = { readonly version: number; readonly hash: string };

/** One document in two versions. */
export type Comparison = {
  /** Path of the document as it is now, or as it was where it is gone. */
  readonly file: string;
  /** Whose: a client, or the house. */
  readonly of: string;
  readonly before: Version | undefined;
  readonly after: Version | undefined;
  /** Only where both versions are there. */
  readonly diff: PolicyDiff | undefined;
  /** The document, or a file that it uses, is another, and its version has not grown. */
  readonly needsVersion: boolean;
};

/** @throws {GatewayError} `policy-invalid` where a version is no policy, or the two are not of one client */
export function compareDocuments(before: ResolvedPolicy, after: ResolvedPolicy): Comparison {
  const versions = { before: versionOf(before), after: versionOf(after) };
  return {
    file: after.entry,
    of: ownerOf(after),
    ...versions,
    diff: diffResolved(before, after),
    needsVersion: versions.before.hash !== versions.after.hash && versions.after.version <= versions.before.version,
  };
}

function diffResolved(before: ResolvedPolicy, after: ResolvedPolicy): PolicyDiff {
  if (ownerOf(before) !== ownerOf(after)) {
    throw new GatewayError(
      "policy-invalid",
      `expected two documents of \`${ownerOf(before)}\`, found one of \`${ownerOf(after)}\``,
    );
  }
  if (after.document.kind === "HousePolicy") return diffHouses(compileHouse(before), compileHouse(after));
  return diffPolicies(compileClient(before), compileClient(after));
}

const versionOf = (policy: ResolvedPolicy): Version => ({
  version: Number(policy.document.version),
  hash: policyHash(policy),
});

export const ownerOf = ({ document }: ResolvedPolicy): string =>
  document.kind === "ClientPolicy" ? document.client : HOUSE;

/**
 * Every policy document of two folders, by whose it is.
 * @throws {GatewayError} `policy-invalid` where a document is no policy
 */
export function compareFolders(before: Files, after: Files, checkAccount: CheckAccount): Comparison[] {
  const [old, now] = [documentsOf(before, checkAccount), documentsOf(after, checkAccount)];
  const compared = [...now].map(([of, policy]): Comparison => {
    const was = old.get(of);
    return was ? compareDocuments(was, policy) : alone(policy, { after: versionOf(policy) });
  });
  const gone = [...old]
    .filter(([of]) => !now.has(of))
    .map(([, policy]) => alone(policy, { before: versionOf(policy) }));
  return [...compared, ...gone];
}

const alone = (policy: ResolvedPolicy, versions: { before?: Version; after?: Version }): Comparison => ({
  file: policy.entry,
  of: ownerOf(policy),
  before: versions.before,
  after: versions.after,
  diff: undefined,
  needsVersion: false,
});

function documentsOf(files: Files, checkAccount: CheckAccount): Map<string, ResolvedPolicy> {
  const documents = new Map<string, ResolvedPolicy>();
  for (const [path, text] of files) {
    if (!isPolicy(path, text)) continue;
    const policy = parsePolicy(path, files, checkAccount);
    const other = documents.get(ownerOf(policy));
    if (other) {
      throw new GatewayError(
        "policy-invalid",
        `expected one document of \`${ownerOf(policy)}\`, found \`${other.entry}\` and \`${path}\``,
      );
    }
    documents.set(ownerOf(policy), policy);
  }
  return documents;
}

/** Only what is needed to find the documents; they are judged by `parsePolicy`. What is broken YAML is not skipped. */
export function isPolicy(path: string, text: string): boolean {
  // What registries name is JSON of others.
  if (!path.endsWith(".yaml")) return false;
  if (path.endsWith(".json")) return false;
  const value = readYaml(path, text).source?.value;
  if (typeof value !== "object" || Array.isArray(value)) return true;
  return value.kind === "ClientPolicy" || value.kind === "HousePolicy";
}

/** Shared files that changed, each with the documents that use it and have kept their version. */
export function staleUses(
  before: Files,
  after: Files,
  comparisons: readonly Comparison[],
): { readonly changed: string; readonly documents: readonly string[] }[] {
  const kept = new Set(comparisons.filter(({ needsVersion }) => needsVersion).map(({ file }) => file));
  const changed = [...after].filter(([path, text]) => before.get(path) !== text && !isPolicy(path, text));
  return changed
    .map(([path]) => ({ changed: path, documents: dependentsOf(path, after).filter((file) => kept.has(file)) }))
    .filter(({ documents }) => documents.length > 0);
}

export const staleText = (changed: string, documents: readonly string[]): string => {
  const which = documents.length === 1 ? "this document needs" : `these ${documents.length} documents need`;
  return `${changed} changed; ${which} a new version: ${documents.join(", ")}`;
};
