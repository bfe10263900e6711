import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ReportBody } from "../../domain/custody.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { Statement } from "../../domain/statement.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import { parseCheckpoint } from "../../tlog/checkpoint.ts";
import { parseNote } from "../../tlog/note.ts";
import { formatProof } from "../../tlog/proof.ts";
import { inclusionProof } from "../../tlog/tree.ts";
import { exportLog } from "../log/export.ts";
import { publicLog } from "../log/public-log.ts";
import { progressOn } from "../progress.ts";

/* What the assurance commands ask of a gateway: its whole log, a place in it for their report, a receipt for that place. */

/**
 * The whole log as a file, for as long as `use` runs.
 * @param keep the file, which is continued and stays; left out, one that goes
 */
export async function withLog<T>(
  gateway: GatewayClient,
  keep: string | undefined,
  use: (file: string) => T,
): Promise<Awaited<T>> {
  const folder = keep === undefined ? mkdtempSync(join(tmpdir(), "portcullis-log-")) : undefined;
  try {
    const file = keep ?? join(folder!, "log.jsonl");
    await exportUpToNow(gateway, file);
    return await use(file);
  } finally {
    if (folder !== undefined) rmSync(folder, { recursive: true });
  }
}

const CHECKPOINT_WAIT_MS = 500;
const CHECKPOINT_TRIES = 20;

/** Until a checkpoint covers every leaf that is in it: the last second has none yet. */
export async function exportUpToNow(gateway: GatewayClient, file: string): Promise<void> {
  const progress = progressOn(process.stderr);
  const first = await exportLog(gateway, undefined, file, (leaves) => progress.show(`log: ${leaves} leaves`));
  for (let tried = 0, exported = first; exported.checkpoint < first.leaves; tried++) {
    if (tried === CHECKPOINT_TRIES) throw pending(first.leaves);
    await sleep(CHECKPOINT_WAIT_MS);
    exported = await exportLog(gateway, undefined, file, () => undefined);
  }
  progress.end();
}

const pending = (leaves: number): GatewayError =>
  new GatewayError("checkpoint-pending", `expected a checkpoint of ${leaves} leaves within seconds, found none`, {
    hint: "`/readyz` says why the gateway signs none",
  });

export type Recorded = {
  readonly leaf: { readonly index: number; readonly hash: string; readonly number: number };
  readonly statement: Statement;
};

/** Hash and outcome of a report, of all clients together, as a leaf of the house. */
export const recordReport = (gateway: GatewayClient, body: ReportBody): Promise<Recorded> =>
  gateway.call<Recorded>("POST", "/v1/clients/house/reports", { body, idempotencyKey: randomUUID() });

type Page = { readonly leaves: readonly { readonly at: number; readonly salt: string; readonly opening: string }[] };

/** A receipt for any leaf that an auditor can open, made of the log's public tiles. */
export async function receiptFor(gateway: GatewayClient, index: number): Promise<string> {
  const { leaves } = await gateway.get<Page>(`/v1/log/openings?from=${index}&limit=1`);
  const { at, salt, opening } = leaves[0]!;
  const log = publicLog(gateway.caller.url);
  for (let tried = 0; tried < CHECKPOINT_TRIES; tried++) {
    const note = await log.checkpoint();
    const { size } = parseCheckpoint(parseNote(note).text);
    if (size > index) {
      const path = await inclusionProof(index, size, log.nodes(size));
      const extra = Buffer.from(JSON.stringify({ at, salt, opening }));
      return formatProof({ index, path, checkpoint: note.toString(), extra });
    }
    await sleep(CHECKPOINT_WAIT_MS);
  }
  throw pending(index + 1);
}
