import { createHash } from "node:crypto";
import canonicalizeModule from "canonicalize";
import type { z } from "zod";
import { GatewayError, quoted } from "../domain/errors.ts";
import {
  AddressBookDocument,
  AssetRegistryDocument,
  ClientPolicy,
  HousePolicy,
  type PolicyDocument,
} from "./document.ts";
import { CallDescriptor, ContractAbi } from "./contract-files.ts";
import { compareFindings, findingText, invalid, type DocumentPath, type Finding } from "./finding.ts";
import { describeIssues } from "./issues.ts";
import { validate } from "./validate.ts";
import { readYaml, type SourceFile } from "./yaml.ts";

/** Throws when an account is not written as its chain writes it (EIP-55); the chains' code brings it. */
export type CheckAccount = (account: string) => void;

export type Used<T> = { readonly path: string; readonly document: T };

/** A policy document with the files that it uses: everything that its hash covers. */
export type ResolvedPolicy<D extends PolicyDocument = PolicyDocument> = {
  /** Path of the document itself. */
  readonly entry: string;
  readonly document: D;
  readonly registries: readonly Used<AssetRegistryDocument>[];
  readonly books: readonly Used<AddressBookDocument>[];
  /** What contracts of the registries name, by path. */
  readonly abis: ReadonlyMap<string, ContractAbi>;
  readonly displays: ReadonlyMap<string, CallDescriptor>;
  /** For messages: where each value stands. */
  readonly sources: ReadonlyMap<string, SourceFile>;
};

const POLICIES = { ClientPolicy, HousePolicy };
const USABLE = { AssetRegistry: AssetRegistryDocument, AddressBook: AddressBookDocument };

/**
 * Reads a policy document and the files that it uses.
 * @param entry path of the document, a key of `files`
 * @param files texts by path; paths in `use` are looked up as they are written
 * @throws {GatewayError} `policy-invalid`, with every mistake in `facts.findings`
 */
export function parsePolicy(
  entry: string,
  files: ReadonlyMap<string, string>,
  checkAccount: CheckAccount,
): ResolvedPolicy {
  const { policy, findings } = tryParsePolicy(entry, files, checkAccount);
  if (policy && findings.length === 0) return policy;
  const [first] = findings;
  const others = findings.length > 1 ? ` (and ${findings.length - 1} more)` : "";
  throw new GatewayError("policy-invalid", `${findingText(first!)}${others}`, {
    facts: { findings: findings.slice(0, MAX_FINDINGS) },
  });
}

/** A hostile document has a finding for each of its fields; nobody reads more. */
const MAX_FINDINGS = 100;

/** As `parsePolicy`, with mistakes as values. A policy beside findings was understood, but is not valid. */
export function tryParsePolicy(
  entry: string,
  files: ReadonlyMap<string, string>,
  checkAccount: CheckAccount,
): { readonly policy?: ResolvedPolicy; readonly findings: readonly Finding[] } {
  const reader = new Reader(files);
  const document = reader.read<PolicyDocument>(entry, POLICIES);
  const used = document ? (document.use ?? []).map((path, index) => reader.use(entry, path, index)) : [];
  const registries = used.filter(
    (file): file is Used<AssetRegistryDocument> => file?.document.kind === "AssetRegistry",
  );
  const [abis, displays] = [
    reader.named(registries, "abi", ContractAbi),
    reader.named(registries, "display", CallDescriptor),
  ];
  if (!document || reader.findings.length > 0) return { findings: reader.findings.toSorted(compareFindings) };
  const policy: ResolvedPolicy = {
    entry,
    document,
    registries,
    books: used.filter((file): file is Used<AddressBookDocument> => file?.document.kind === "AddressBook"),
    abis,
    displays,
    sources: reader.sources,
  };
  return { policy, findings: validate(policy, checkAccount).toSorted(compareFindings) };
}

class Reader {
  readonly findings: Finding[] = [];
  readonly sources = new Map<string, SourceFile>();
  readonly #files: ReadonlyMap<string, string>;

  constructor(files: ReadonlyMap<string, string>) {
    this.#files = files;
  }

  use(entry: string, path: string, index: number): Used<AssetRegistryDocument | AddressBookDocument> | undefined {
    const complain = (message: string, hint?: string) => this.#report(entry, ["use", index], "value", message, hint);
    if (this.sources.has(path)) return complain(`expected each file once, found ${quoted(path)} again`);
    if (!this.#files.has(path))
      return complain(
        `expected a file, found nothing at ${quoted(path)}`,
        "paths in `use` begin at the policies folder",
      );
    const document = this.read<AssetRegistryDocument | AddressBookDocument>(path, USABLE);
    return document && { path, document };
  }

  /** The files that contracts of registries name in that field, each read once. */
  named<D>(registries: readonly Used<AssetRegistryDocument>[], field: "abi" | "display", schema: z.ZodType<D>) {
    const read = new Map<string, D>();
    for (const { path, document } of registries) {
      for (const [name, contract] of Object.entries(document.contracts ?? {})) {
        const file = contract[field];
        if (file === undefined || read.has(file)) continue;
        const value = this.#others(file, schema, path, ["contracts", name, field]);
        if (value !== undefined) read.set(file, value);
      }
    }
    return read;
  }

  /** A file of others has no `kind`: who names it says what it is. */
  #others<D>(file: string, schema: z.ZodType<D>, by: string, where: DocumentPath): D | undefined {
    const text = this.#files.get(file);
    if (text === undefined) {
      const hint = "paths in a registry begin at the policies folder";
      return this.#report(by, where, "value", `expected a file, found nothing at ${quoted(file)}`, hint);
    }
    const { source, findings } = readYaml(file, text);
    this.findings.push(...findings);
    if (!source) return undefined;
    this.sources.set(file, source);
    const result = schema.safeParse(source.value);
    if (result.success) return result.data;
    for (const issue of describeIssues(result.error.issues, source.value))
      this.#report(file, issue.path, issue.part, issue.message);
    return undefined;
  }

  /** The value has to pass the schema of the kind that it names itself. */
  read<D>(path: string, kinds: Readonly<Record<string, z.ZodType<D>>>): D | undefined {
    const text = this.#files.get(path);
    if (text === undefined) {
      this.findings.push(invalid(path, { line: 1, column: 1 }, `expected a file, found nothing at ${quoted(path)}`));
      return undefined;
    }
    const { source, findings } = readYaml(path, text);
    this.findings.push(...findings);
    if (!source) return undefined;
    this.sources.set(path, source);
    return this.#check(source, kinds);
  }

  #check<D>({ path, value }: SourceFile, kinds: Readonly<Record<string, z.ZodType<D>>>): D | undefined {
    const kind = typeof value === "object" && !Array.isArray(value) ? value.kind : undefined;
    const schema = typeof kind === "string" && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
    if (!schema) {
      const expected = Object.keys(kinds)
        .map((name) => `\`${name}\``)
        .join(" or ");
      return this.#report(
        path,
        ["kind"],
        "value",
        `expected \`kind\` to be ${expected}, found ${kind === undefined ? "none" : quoted(kind)}`,
      );
    }
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    for (const issue of describeIssues(result.error.issues, value)) {
      this.#report(path, issue.path, issue.part, issue.message, hintFor(kind, issue.path));
    }
    return undefined;
  }

  #report(file: string, path: DocumentPath, part: "key" | "value", message: string, hint?: string): undefined {
    const at = this.sources.get(file)?.locate(path, part) ?? { line: 1, column: 1 };
    this.findings.push(invalid(file, at, message, hint));
    return undefined;
  }
}

/** For mistakes that are easily made and hard to see. */
function hintFor(kind: unknown, path: DocumentPath): string | undefined {
  if (kind === "HousePolicy" && path[0] === "rules")
    return "the house policy may deny, limit and cap fees; it never allows";
  if (path.at(-2) === "allow") return "`any` stands in deny rules only: name each operation that is allowed";
  return undefined;
}

/**
 * Names a policy: comments and formatting do not matter, everything else does.
 * @returns `sha256:` and 64 hex digits, over RFC 8785 canonical JSON of the document and the files that it uses
 */
export function policyHash(policy: ResolvedPolicy): string {
  const files = Object.fromEntries<unknown>([
    ...[...policy.registries, ...policy.books].map(({ path, document }) => [path, document] as const),
    ...policy.abis,
    ...policy.displays,
  ]);
  const text = canonicalize({ document: policy.document, files });
  return `sha256:${createHash("sha256").update(text, "utf8").digest("hex")}`;
}

// The package's types say `export default` while Node sees `module.exports`.
const canonicalize = canonicalizeModule as unknown as (value: unknown) => string;
