import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { statementOf } from "../../custody/statement.ts";
import { Statement } from "../../domain/statement.ts";
import { verifyStatement } from "../../sdk/statement.ts";
import type { NoteKey } from "../../tlog/note.ts";
import { LogFacts } from "../assurance/log-facts.ts";
import { linesOf } from "../log/format.ts";
import { LogVerifier, type Report } from "../log/verify.ts";
import { VERSION } from "../version.ts";
import {
  accountIn,
  accountsIn,
  attestationPath,
  derivedFiles,
  LOG,
  reportPath,
  statementPath,
  type AccountOf,
  type Sources,
} from "./derived.ts";
import { checkFiles, checkManifest, readManifest, sha256Of, type Manifest, type PackFinding } from "./manifest.ts";

/*
 * The auditor's check of a pack, with the log's public key and nothing else. First that it is the pack whose hash the log
 * holds; then that everything in it is true: whoever made it may have recorded a wrong one.
 */

export type PackReport = {
  readonly ok: boolean;
  readonly gateway: string;
  readonly from: string;
  readonly to: string;
  readonly files: number;
  /** That holds the manifest's hash; null where nothing proves it. */
  readonly leaf: number | null;
  /** Of the log under its newest checkpoint. */
  readonly leaves: number;
  readonly findings: readonly PackFinding[];
  readonly notChecked: readonly string[];
};

/** @throws {GatewayError} `pack-invalid` for a folder that is no pack */
export function verifyPack(folder: string, key: NoteKey, progress: (text: string) => void): PackReport {
  const { manifest, sha256 } = readManifest(folder);
  const { gateway, from, to, files, checkpoint } = manifest;
  const leaf = checkManifest(folder, sha256, key);
  const changed = [...(typeof leaf === "number" ? [] : [leaf]), ...checkFiles(folder, manifest)];
  // What was changed afterwards says nothing of what it was.
  const findings = changed.length > 0 ? changed : contentFindings(folder, manifest, key, progress);
  return {
    ok: findings.length === 0,
    ...{ gateway, from, to, files: files.length },
    leaf: typeof leaf === "number" ? leaf : null,
    leaves: checkpoint.size,
    findings,
    notChecked: [
      ...(changed.length > 0 ? ["what the files say: they are not those of the manifest"] : []),
      "what tokens show now, and what chains hold: the pack has what tokens and observers said then",
    ],
  };
}

function contentFindings(
  folder: string,
  manifest: Manifest,
  key: NoteKey,
  progress: (text: string) => void,
): PackFinding[] {
  try {
    const verification = verifyLog(join(folder, LOG), key, progress);
    if (!verification.ok)
      return verification.findings.map(({ code, message }) => ({ code: `log-${code}`, file: LOG, message }));
    const sources = sourcesIn(folder, manifest, verification);
    return [
      ...placeFindings(manifest, sources),
      ...signedFindings(manifest, sources),
      ...reportFindings(folder, sources),
      ...derivedFindings(folder, manifest, sources),
    ];
  } catch (error) {
    // Of files that have the manifest's hashes: whoever made it wrote what cannot be read.
    return [{ code: "pack-unreadable", file: folder, message: (error as Error).message }];
  }
}

export function verifyLog(path: string, key: NoteKey, progress: (text: string) => void): Report {
  const verifier = new LogVerifier({ key, signatures: true });
  const all = statSync(path).size;
  let read = 0;
  const lines = linesOf(path, (bytes) => {
    read += bytes;
    progress(`${Math.floor((read / all) * 100)} %  ${verifier.leaves} leaves`);
  });
  for (const line of lines) verifier.take(line);
  return verifier.finish();
}

function sourcesIn(folder: string, { from, to, venueTag, files }: Manifest, verification: Report): Sources {
  const facts = new LogFacts(join(folder, LOG));
  const clients = facts.all().map(({ client }) => client);
  const json = (path: string): unknown => JSON.parse(readFileSync(join(folder, path), "utf8"));
  const there = new Set(files.map(({ path }) => path));
  return {
    ...{ period: { from, to }, venueTag, facts, verification },
    attestations: new Map(clients.map((client) => [client, attestationOf(json(attestationPath(client)))])),
    statements: new Map(
      [...accountsIn(facts).keys()].map((name) => [name, Statement.parse(json(statementPath(name)))]),
    ),
    reports: new Set(reportHashes(facts).filter((sha256) => there.has(reportPath(sha256)))),
  };
}

const attestationOf = (json: unknown): Statement | string => {
  const { unavailable } = json as { readonly unavailable?: unknown };
  return typeof unavailable === "string" ? unavailable : Statement.parse(json);
};

const reportHashes = (facts: LogFacts): string[] =>
  facts
    .leaves()
    .filter(({ type }) => type === "reported")
    .map((leaf) => leaf["sha256"] as string);

function placeFindings({ gateway, checkpoint }: Manifest, { facts }: Sources): PackFinding[] {
  const { header, checkpoint: found } = facts;
  const isSame = header.origin === gateway && found.size === checkpoint.size && found.root === checkpoint.root;
  const message = "the manifest names another gateway or another checkpoint than the log has";
  return isSame ? [] : [{ code: "log-differs", file: LOG, message }];
}

/** Under the key that leaf 0 names: the log's own key vouches for it. */
function signedFindings({ gateway }: Manifest, sources: Sources): PackFinding[] {
  const { facts, attestations, statements } = sources;
  const key = (facts.genesis!["logKeys"] as { readonly statement: string }).statement;
  return [
    ...[...attestations].flatMap(([client, shown]) =>
      typeof shown === "string"
        ? []
        : finding("attestation-invalid", attestationPath(client), () =>
            checkAttestation(shown, { key, gateway, client }),
          ),
    ),
    ...[...accountsIn(facts)].flatMap(([name, account]) =>
      finding("statement-invalid", statementPath(name), () =>
        checkAccount(statements.get(name)!, { key, gateway, ...account }, sources),
      ),
    ),
  ];
}

/** @param check throws, or says what is wrong */
function finding(code: string, file: string, check: () => string | undefined): PackFinding[] {
  let message: string | undefined;
  try {
    message = check();
  } catch (error) {
    message = (error as Error).message;
  }
  return message === undefined ? [] : [{ code, file, message }];
}

type Place = { readonly key: string; readonly gateway: string; readonly client: string };

function checkAttestation(shown: Statement, { key, gateway, client }: Place): string | undefined {
  const { kind, content } = verifyStatement(shown, key);
  const said = content as Place;
  if (kind === "key-attestation" && said.gateway === gateway && said.client === client) return undefined;
  return `it is no attestation of client \`${client}\` of \`${gateway}\``;
}

/** Signed, recorded, and what the log says: the account is computed again from the client's leaves. */
function checkAccount(
  signed: Statement,
  { key, gateway, client, subAccount }: Place & AccountOf,
  { facts, period }: Sources,
): string | undefined {
  verifyStatement(signed, key);
  const { gateway: of, ...said } = accountIn(signed);
  const isOf = of === gateway && said.client === client && said.subAccount === subAccount;
  if (!isOf || said.from !== period.from || said.to !== period.to) return "it is of another gateway, account or period";
  const sha256 = sha256Of(signed.text);
  const { leaves } = facts.clients.get(client)!;
  if (!leaves.some((leaf) => leaf.type === "stated" && leaf["sha256"] === sha256)) return "no leaf holds its hash";
  const [from, to] = [Date.parse(period.from), Date.parse(period.to)];
  const again = statementOf(client, leaves, { from, to }, facts.decimalsOf(client), subAccount);
  const isSame = Object.entries(again).every(([name, value]) =>
    isDeepStrictEqual(value, (said as Readonly<Record<string, unknown>>)[name]),
  );
  return isSame ? undefined : "the log says something else of this account";
}

/** The name of a report is the hash that its leaf holds. */
const reportFindings = (folder: string, { reports }: Sources): PackFinding[] =>
  [...reports].flatMap((sha256) =>
    sha256Of(readFileSync(join(folder, reportPath(sha256)))) === sha256
      ? []
      : [{ code: "report-differs", file: reportPath(sha256), message: "its leaf holds another hash" }],
  );

/** Everything else is made again, and nothing stands beside it. */
function derivedFindings(folder: string, { files, version }: Manifest, sources: Sources): PackFinding[] {
  const derived = derivedFiles(sources);
  const rests = new Set([
    LOG,
    ...[...sources.attestations.keys()].map(attestationPath),
    ...[...sources.statements.keys()].map(statementPath),
    ...[...sources.reports].map(reportPath),
  ]);
  const there = new Set(files.map(({ path }) => path));
  const unless =
    version === VERSION ? "" : `, unless version ${version} wrote it in another way than ${VERSION}: ask its checker`;
  return [
    ...[...derived]
      .filter(([path, text]) => !there.has(path) || readFileSync(join(folder, path), "utf8") !== text)
      .map(([path]) => ({
        code: "derived-differs",
        file: path,
        message: `the log and the signed files say something else${unless}`,
      })),
    ...[...there]
      .filter((path) => !derived.has(path) && !rests.has(path))
      .map((path) => ({
        code: "file-unexpected",
        file: path,
        message: `no pack of this log has such a file${unless}`,
      })),
  ];
}

export const packText = ({ ok, gateway, from, to, files, leaf, leaves, findings, notChecked }: PackReport): string =>
  [
    `${gateway}, ${from} to ${to}: ${files} files, log of ${leaves} leaves`,
    ...(leaf === null ? [] : [`leaf ${leaf} holds the manifest's hash`]),
    ...findings.map(({ code, file, message }) => `WRONG ${code}: ${file}: ${message}`),
    ...notChecked.map((what) => `not checked: ${what}`),
    ok ? "the pack verifies" : "the pack does NOT verify",
  ].join("\n");
