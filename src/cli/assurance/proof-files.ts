import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
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
  const summary = LiabilitySummary.parse(readJson(join(folder, SUMMARY)));
  const receipt = readFileSync(join(folder, RECEIPT), "utf8");
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
  for (const line of linesOf(path)) yield ProvenClient.parse(JSON.parse(line));
}
