import { closeSync, mkdirSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";
import {
  liabilityProof,
  LiabilitySummary,
  ProvenClient,
  type Liabilities,
  type LiabilityProof,
} from "../../custody/liabilities.ts";
import { GatewayError } from "../../domain/errors.ts";
import { readJson, writeJson } from "../json-file.ts";
import { linesOf } from "../log/format.ts";
import { readText } from "../text-file.ts";

/*
 * Proofs of liabilities on a disk: the summary, its receipt, and one line for each client. A file for each would take most
 * of the time of a hundred thousand; each client's own is put together when it is handed out.
 */

const SUMMARY = "summary.json";
const RECEIPT = "receipt";
const PROOFS = "proofs.jsonl";

/** So many lines are written at once. */
const AT_ONCE = 500;

export function writeProofs(folder: string, { summary, clients, provenOf }: Liabilities, receipt: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeJson(join(folder, SUMMARY), summary);
  writeFileSync(join(folder, RECEIPT), receipt);
  const file = openSync(join(folder, PROOFS), "w", 0o600);
  try {
    for (let from = 0; from < clients.length; from += AT_ONCE) {
      const lines = clients.slice(from, from + AT_ONCE).map((client) => `${JSON.stringify(provenOf(client))}\n`);
      writeFileSync(file, lines.join(""));
    }
  } finally {
    closeSync(file);
  }
}

/**
 * @param clients whose; none named: of all
 * @returns the files
 * @throws {GatewayError} `client-not-found` where one of them is not among the proofs; `usage`
 */
export function extractProofs(folder: string, out: string, clients: readonly string[]): string[] {
  const summary = readAs(LiabilitySummary, readJson(join(folder, SUMMARY)), join(folder, SUMMARY));
  const receipt = readText(join(folder, RECEIPT));
  const wanted = new Set(clients);
  const written = new Map<string, string>();
  mkdirSync(out, { recursive: true, mode: 0o700 });
  for (const proven of provenIn(join(folder, PROOFS))) {
    if (wanted.size > 0 && !wanted.has(proven.client)) continue;
    // `acme/alpha` is a sub-account of an omnibus client.
    const file = join(out, `${proven.client.replace("/", ".")}.json`);
    const proof: LiabilityProof = liabilityProof(proven, summary, receipt);
    writeJson(file, proof);
    written.set(proven.client, file);
  }
  const missing = clients.find((client) => !written.has(client));
  if (missing === undefined) return [...written.values()];
  throw new GatewayError(
    "client-not-found",
    `expected client \`${missing}\` in \`${join(folder, PROOFS)}\`, found none`,
  );
}

function* provenIn(path: string): Generator<ProvenClient> {
  let number = 0;
  for (const line of linesOf(path)) {
    const where = `${path}, line ${++number}`;
    yield readAs(ProvenClient, jsonIn(line, where), where);
  }
}

function jsonIn(line: string, where: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new GatewayError("liabilities-invalid", `expected JSON in ${where}`);
  }
}

/** @throws {GatewayError} `liabilities-invalid` */
function readAs<T>(schema: z.ZodType<T>, json: unknown, where: string): T {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new GatewayError("liabilities-invalid", `${where}: \`${path.join(".")}\`: ${message}`);
}
