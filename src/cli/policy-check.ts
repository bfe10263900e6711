import { relative, resolve } from "node:path";
import { parseAddress } from "../chains/evm/address.ts";
import type { PolicyBody } from "../domain/api.ts";
import { addressOf, type Account } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import { ownerOf } from "../policy/compare.ts";
import type { Finding } from "../policy/finding.ts";
import { checkPolicy } from "../policy/lint.ts";
import { parsePolicy, policyHash, type ResolvedPolicy } from "../policy/parse.ts";
import { readPolicyFiles, type PolicyFiles, type ReadPolicy } from "./policy-files.ts";

/** The chain's own rule for addresses; the vault applies the same. */
export const checkAccount = (account: string): void => void parseAddress(addressOf(account as Account));

const filesOf = ({ files }: Pick<PolicyFiles, "files">): ReadonlyMap<string, string> => new Map(Object.entries(files));

/** @throws {GatewayError} `policy-invalid`, as the vault would */
export const resolvePolicy = (read: PolicyFiles): ResolvedPolicy =>
  parsePolicy(read.entry, filesOf(read), checkAccount);

export type CheckedFile = {
  readonly file: string;
  readonly findings: readonly Finding[];
  /** Absent where the document is no policy. */
  readonly client?: string;
  readonly version?: number;
  readonly hash?: string;
};

/** All findings of one document, each with the path of its file as one would open it from here. */
export function checkFile(path: string): CheckedFile {
  const read = readPolicyFiles(path);
  const findings = checkPolicy(read.entry, filesOf(read), checkAccount).map((finding) => fromHere(read, finding));
  if (findings.some(({ code }) => code === "invalid")) return { file: path, findings };
  const policy = resolvePolicy(read);
  const version = Number(policy.document.version);
  return { file: path, findings, client: ownerOf(policy), version, hash: policyHash(policy) };
}

const fromHere = ({ root }: ReadPolicy, finding: Finding): Finding => ({
  ...finding,
  file: relative(process.cwd(), resolve(root, finding.file)),
});

/** Whether a check fails: notes are for people, everything else has to go. */
export const fails = (findings: readonly Finding[]): boolean => findings.some(({ severity }) => severity !== "note");

export const findingsText = (findings: readonly Finding[]): string =>
  findings
    .map(
      ({ file, line, column, severity, code, message, hint }) =>
        `${file}:${line}:${column}: ${severity} ${code}: ${message}${hint ? `\n  hint: ${hint}` : ""}`,
    )
    .join("\n");

/** A document that may be signed and applied, with what its check said besides. */
export type Applicable = Pick<PolicyBody, "entry" | "files"> & {
  readonly client: string;
  readonly policy: ResolvedPolicy;
  /** Warnings and notes. */
  readonly findings: readonly Finding[];
};

/** @throws {GatewayError} `policy-invalid`, or `policy-check-failed` for an error among the findings (a failing test is one) */
export function requireApplicable(path: string): Applicable {
  const read = readPolicyFiles(path);
  const policy = resolvePolicy(read);
  const { findings } = checkFile(path);
  const errors = findings.filter(({ severity }) => severity === "error");
  if (errors.length > 0) {
    throw new GatewayError("policy-check-failed", `${path}: ${errors[0]!.message}`, { facts: { findings: errors } });
  }
  return { client: ownerOf(policy), policy, entry: read.entry, files: read.files, findings };
}
