import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { GatewayError } from "../../domain/errors.ts";
import type { Statement } from "../../domain/statement.ts";
import { RefusedError, type GatewayClient } from "../../sdk/client.ts";
import type { NoteKey } from "../../tlog/note.ts";
import { exportUpToNow, receiptFor, recordReport } from "../assurance/gateway-log.ts";
import { LogFacts, type OpenedLeaf } from "../assurance/log-facts.ts";
import { attestAll } from "../assurance/segregation.ts";
import {
  accountsIn,
  attestationPath,
  derivedFiles,
  jsonText,
  LOG,
  reportPath,
  statementPath,
  type AccountOf,
  type Period,
  type Sources,
} from "./derived.ts";
import { fileHash, filesIn, MANIFEST, RECEIPT, sha256Of, type Manifest } from "./manifest.ts";
import { VERSION } from "../version.ts";
import { verifyLog } from "./verify.ts";

export type PackOrder = {
  readonly period: Period;
  /** A folder that is not there yet. */
  readonly folder: string;
  /** Where reports were kept (`reconcile --out`): those that the log holds are taken. */
  readonly reports: readonly string[];
  readonly venueTag: string;
  /** Of the log, as its operators published it. */
  readonly key: NoteKey;
  readonly progress: (text: string) => void;
};

export type MadePack = { readonly sources: Sources; readonly manifest: Manifest; readonly leaf: number };

/**
 * Asks the gateway for everything, writes it, records the manifest's hash. What is half made is taken away again.
 * @throws {GatewayError} `usage` for a folder that is there
 */
export async function makePack(gateway: GatewayClient, order: PackOrder): Promise<MadePack> {
  const { folder } = order;
  if (existsSync(folder)) throw new GatewayError("usage", `expected a new folder, found \`${folder}\``);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return await fillPack(gateway, order);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

async function fillPack(gateway: GatewayClient, order: PackOrder): Promise<MadePack> {
  const { folder, period, venueTag, key, progress } = order;
  const log = join(folder, LOG);
  await exportUpToNow(gateway, log);
  const asked = new LogFacts(log);
  progress("asking the tokens");
  const clients = asked.all().map(({ client }) => client);
  const attestations = await attestAll(gateway, clients);
  const statements = await stateAll(gateway, accountsIn(asked), period, progress);
  // Again, so that the leaves of the statements are in it.
  await exportUpToNow(gateway, log);
  const verification = verifyLog(log, key, progress);
  const facts = new LogFacts(log);
  const found = reportsIn(order.reports, facts.leaves());
  const reports = new Set(found.keys());
  const sources: Sources = { period, venueTag, facts, verification, attestations, statements, reports };
  const written = [
    ...[...attestations].map(([client, shown]) => [attestationPath(client), jsonText(fileOf(shown))] as const),
    ...[...statements].map(([client, signed]) => [statementPath(client), jsonText(signed)] as const),
    ...[...found].map(([sha256, text]) => [reportPath(sha256), text] as const),
    ...derivedFiles(sources),
  ];
  for (const [path, text] of written) writeInto(folder, path, text);
  return { sources, ...(await seal(gateway, order, sources)) };
}

const fileOf = (shown: Statement | string) => (typeof shown === "string" ? { unavailable: shown } : shown);

async function stateAll(
  gateway: GatewayClient,
  accounts: ReadonlyMap<string, AccountOf>,
  period: Period,
  progress: (text: string) => void,
): Promise<ReadonlyMap<string, Statement>> {
  const statements = new Map<string, Statement>();
  for (const [name, account] of accounts) {
    progress(`statement of ${name}`);
    statements.set(name, await stateOne(gateway, account, period));
  }
  return statements;
}

const PENDING_WAIT_MS = 500;
const PENDING_TRIES = 20;

/** The last second has no checkpoint yet, and a statement holds a receipt. */
async function stateOne(
  gateway: GatewayClient,
  { client, ...subAccount }: AccountOf,
  period: Period,
): Promise<Statement> {
  const body = { ...period, ...subAccount };
  const idempotencyKey = randomUUID();
  for (let tried = 1; ; tried++) {
    try {
      return await gateway.call<Statement>("POST", `/v1/clients/${client}/statements`, { body, idempotencyKey });
    } catch (error) {
      const isPending = error instanceof RefusedError && error.code === "checkpoint-pending";
      if (!isPending || tried === PENDING_TRIES) throw error;
    }
    await sleep(PENDING_WAIT_MS);
  }
}

/** @returns the texts of reports that the log holds, by their hash */
function reportsIn(folders: readonly string[], leaves: readonly OpenedLeaf[]): ReadonlyMap<string, string> {
  const recorded = new Set(leaves.filter(({ type }) => type === "reported").map((leaf) => leaf["sha256"]));
  const found = new Map<string, string>();
  for (const folder of folders)
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith(".json")) continue;
      const text = readFileSync(join(entry.parentPath, entry.name), "utf8");
      const sha256 = sha256Of(text);
      if (recorded.has(sha256)) found.set(sha256, text);
    }
  return found;
}

function writeInto(folder: string, path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true, mode: 0o700 });
  writeFileSync(join(folder, path), text, { mode: 0o600, flag: "wx" });
}

/** Writes the manifest of what is in the folder, and has its hash recorded. */
export async function seal(
  gateway: GatewayClient,
  { folder, period, venueTag }: Pick<PackOrder, "folder" | "period" | "venueTag">,
  { facts, verification }: Pick<Sources, "facts" | "verification">,
): Promise<Pick<MadePack, "manifest" | "leaf">> {
  const { size, root } = facts.checkpoint;
  const manifest: Manifest = {
    kind: "portcullis/evidence-pack/v1",
    version: VERSION,
    gateway: facts.header.origin,
    ...period,
    venueTag,
    checkpoint: { size, root },
    files: filesIn(folder).map((path) => ({ path, ...fileHash(join(folder, path)) })),
  };
  const text = jsonText(manifest);
  writeInto(folder, MANIFEST, text);
  const { leaf } = await recordReport(gateway, {
    kind: "evidence",
    sha256: sha256Of(text),
    outcome: verification.ok ? "ok" : "breaks",
    summary: { ...period, files: manifest.files.length, size },
  });
  writeInto(folder, RECEIPT, await receiptFor(gateway, leaf.index));
  return { manifest, leaf: leaf.index };
}
