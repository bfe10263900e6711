import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { recoverySigningText, type HeadText, type Lost, type RecoveryView } from "../domain/recovery.ts";
import { GatewayError } from "../domain/errors.ts";
import { openCheckpoint } from "../tlog/checkpoint.ts";
import { parseVkey } from "../tlog/note.ts";
import type { GatewayClient } from "../sdk/client.ts";
import { readSignature, signText } from "./officers.ts";
import { output } from "./output.ts";

export type RecoveryFlags = {
  readonly checkpoint: readonly string[];
  readonly signature: readonly string[];
  readonly sign: boolean;
  readonly json: boolean;
};

/** `recover --after-restore`, `--after-failover`: shows what is there and what was promised, signs it, sends it. */
export async function recoverStore(gateway: GatewayClient, lost: Lost, flags: RecoveryFlags): Promise<void> {
  const { note, result } = output(flags.json);
  const state = await gateway.get<RecoveryView>("/v1/recovery");
  const checkpoints = flags.checkpoint.map((path) => readFileSync(path, "utf8"));
  const promised = largest(state, checkpoints);
  const text = recoverySigningText({ ...state, promised }, lost);
  note(stateText(state, promised));
  const own = signText(gateway, text);
  if (flags.sign) return result({ ...own, text }, `${text}\n${own.person}:${own.signature}`);
  const signatures = [own, ...flags.signature.map(readSignature)];
  const body = { lost, seen: new Date().toISOString(), checkpoints, signatures };
  const done = await gateway.call<{ leaf: number }>("PUT", "/v1/recovery", { body, idempotencyKey: randomUUID() });
  result(done, doneText(done, lost));
}

/** What others kept may be larger than what this vault's anchor knows; it is held against the log's key here as well. */
function largest({ promised, store, logKey, origin }: RecoveryView, notes: readonly string[]): HeadText {
  const key = parseVkey(logKey);
  if (key.name !== origin) throw new GatewayError("wrong-origin", `expected the key of \`${origin}\``);
  const kept = notes
    .map((text) => openCheckpoint(Buffer.from(text), key))
    .map(({ size, root }): HeadText => ({ size, root: Buffer.from(root).toString("base64") }))
    // What the store is long enough for is held against it in the vault.
    .filter(({ size }) => size > store.size);
  const broken = promised.size === store.size && promised.root === store.root ? [] : [promised];
  return [...broken, ...kept].toSorted((a, b) => b.size - a.size)[0] ?? promised;
}

function stateText({ store, refused, history, writtenIn, lastLeafAt }: RecoveryView, promised: HeadText): string {
  const missing = promised.size > store.size ? `at least ${promised.size - store.size} leaves are missing` : "";
  return [
    `store      ${store.size} leaves, the last of ${lastLeafAt ?? "never"}: ${store.root}`,
    `promised   ${promised.size} leaves: ${promised.root}`,
    ...(missing === "" ? [] : [`           ${missing}`]),
    ...(history === writtenIn ? [] : [`server     ${history}; the log was written on ${writtenIn}`]),
    `gateway    ${refused ?? "not refusing"}`,
  ].join("\n");
}

const doneText = ({ leaf }: { leaf: number }, lost: Lost): string =>
  lost === "nothing"
    ? `leaf ${leaf}: the gateway goes on, with nothing lost`
    : `leaf ${leaf}: every client is frozen, and limits read as used. Hold accounts, nonces and answered requests against the chain and the callers, then \`portcullis unfreeze\` each client: docs/operations.md`;
