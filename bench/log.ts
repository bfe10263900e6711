import { statSync } from "node:fs";
import { openSqliteStore } from "../src/adapters/sqlite/store.ts";
import { LogVerifier } from "../src/cli/log/verify.ts";
import { GatewayClient } from "../src/sdk/client.ts";
import { route } from "../src/vault/api/router.ts";
import { Following } from "../src/vault/following.ts";
import { sealedStore } from "../src/vault/sealed-store.ts";
import { Snapshots } from "../src/vault/snapshot.ts";
import { growTree, receiptOf } from "../src/vault/tree.ts";
import { checkpointsOf, exported } from "../test/support/exported-log.ts";
import { acmePolicy, newKey, REQUESTS, testVault, transferBody, type TestVault } from "../test/support/vault.ts";
import { addPast } from "./past.ts";

/*
 * `npm run bench -- --log`: what a long past costs. A vault with a million leaves and a hundred thousand requests in its
 * windows takes turns with one that has just begun, in one process, keys in software; then how long a start, a receipt
 * and a check of the log take. All of it in processor time, which a busy machine does not change much.
 */

const PAST = { requests: 500_000, inWindow: 100_000 };
const ROUNDS = 5;
const REQUESTS_A_TURN = 600;
const IN_FLIGHT = 32;
const PROOFS = 2_000;
/** Enough for what is compiled while it runs to be compiled, as in any log that is worth the wait. */
const CHECKED = 12_000;

export type LogReport = {
  readonly leaves: number;
  readonly requestsInWindow: number;
  /** Of the store, with its log. */
  readonly megabytes: number;
  readonly emptyUs: number;
  readonly fullUs: number;
  /** The rate with a past, of that without. */
  readonly ofEmpty: number;
  readonly proofMs: { readonly median: number; readonly p99: number };
  readonly startS: { readonly wholeLog: number; readonly snapshot: number };
  readonly snapshotMs: number;
  readonly verifiedPerSecond: { readonly signatures: number; readonly without: number };
};

const cpuUs = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

/** @returns processor time of all threads of this process, µs */
async function timed(work: () => Promise<unknown> | void): Promise<number> {
  const before = cpuUs();
  await work();
  return cpuUs() - before;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

const rolling = (max: string, window: string) => ({ sum: "ETH", max, window: { rolling: window } });
const policy = {
  ...acmePolicy,
  limits: {
    daily: rolling("1000000000", "24h"),
    hourly: rolling("1000000000", "1h"),
    often: { count: "transactions", max: "100000000", window: { rolling: "24h" } },
  },
};

/** Signed by their caller before the clock starts. */
function requestsFor(vault: TestVault, count: number) {
  const client = new GatewayClient(vault.callers.get("payouts")!);
  return Array.from({ length: count }, () => {
    const body = Buffer.from(JSON.stringify(transferBody(1)));
    return {
      method: "POST",
      target: REQUESTS,
      headers: client.signRequest("POST", REQUESTS, body, newKey()).headers,
      body,
    };
  });
}

/** @returns processor time for each request, µs */
async function turn(vault: TestVault): Promise<number> {
  const waiting = requestsFor(vault, REQUESTS_A_TURN);
  const work = async (): Promise<void> => {
    for (let next; (next = waiting.pop());) {
      const { status, body } = await route(vault.gateway, next);
      if (status !== 201) throw new Error(`${status} ${JSON.stringify(body)}`);
    }
  };
  const used = await timed(() => Promise.all(Array.from({ length: IN_FLIGHT }, work)));
  vault.clock.now += 1;
  return used / REQUESTS_A_TURN;
}

async function compare(empty: TestVault, full: TestVault, progress: (text: string) => void) {
  const [ofEmpty, ofFull]: [number[], number[]] = [[], []];
  for (const vault of [empty, full]) await turn(vault); // warm
  for (let round = 0; round < ROUNDS; round++) {
    progress(`requests, round ${round + 1} of ${ROUNDS}`);
    const order = [() => turn(empty).then((us) => ofEmpty.push(us)), () => turn(full).then((us) => ofFull.push(us))];
    for (const each of round % 2 === 0 ? order : order.reverse()) await each();
  }
  return { emptyUs: median(ofEmpty), fullUs: median(ofFull) };
}

async function proofTimes(vault: TestVault) {
  await (await checkpointsOf(vault)).round();
  const { size } = (await vault.store.read((reader) => reader.lastCheckpoint()))!;
  const times: number[] = [];
  for (let n = 0; n < PROOFS; n++) {
    const index = Math.floor(Math.random() * size);
    const startedAt = performance.now();
    await vault.store.read((reader) => receiptOf(reader, index));
    times.push(performance.now() - startedAt);
  }
  const sorted = times.sort((a, b) => a - b);
  return { median: median(sorted), p99: sorted[Math.floor(PROOFS * 0.99)]! };
}

/** The vault has ended: its store is opened as the next one opens it. */
async function startTimes({ storePath, seals, clock }: TestVault) {
  const rows = openSqliteStore(storePath, () => clock.now);
  const fault = (error: unknown): never => {
    throw error as Error;
  };
  try {
    const first = new Following(seals, fault);
    const wholeLog = await timed(() => first.load(rows));
    const snapshots = new Snapshots({ store: sealedStore(rows, first), following: first, fault });
    const written = await timed(() => snapshots.writeIfDue());
    const next = new Following(seals, fault);
    const snapshot = await timed(() => next.load(rows));
    if (next.size !== first.size) throw new Error(`${next.size} leaves instead of ${first.size}`);
    return { startS: { wholeLog: wholeLog / 1e6, snapshot: snapshot / 1e6 }, snapshotMs: written / 1e3 };
  } finally {
    await rows.close();
  }
}

async function checkTimes(vault: TestVault) {
  while (((await vault.store.read((reader) => reader.lastLeaf()))?.index ?? 0) < CHECKED) await turn(vault);
  await (await checkpointsOf(vault)).round();
  const lines = await exported(vault);
  const rate = async (signatures: boolean): Promise<number> => {
    const rates: number[] = [];
    for (let n = 0; n < 3; n++) {
      const verifier = new LogVerifier({ signatures });
      const used = await timed(() => lines.forEach((line) => verifier.take(line)));
      const { leaves, findings } = verifier.finish();
      if (findings.length > 0) throw new Error(JSON.stringify(findings));
      rates.push(leaves / (used / 1e6));
    }
    return Math.max(...rates);
  };
  return { signatures: await rate(true), without: await rate(false) };
}

export async function logReport(progress: (text: string) => void, past = PAST): Promise<LogReport> {
  const [empty, full] = [await testVault({ policy }), await testVault({ policy })];
  try {
    const idempotencyKey = newKey();
    const { status } = await full.call("payouts", "POST", REQUESTS, transferBody(1), idempotencyKey);
    if (status !== 201) throw new Error(`the first request was answered ${status}`);
    await addPast(full, { idempotencyKey, ...past }, progress);
    progress("the tree");
    await growTree(full.store);
    const { emptyUs, fullUs } = await compare(empty, full, progress);
    progress("receipts");
    const proofMs = await proofTimes(full);
    const leaves = (await full.store.read((reader) => reader.lastLeaf()))!.index + 1;
    progress("starts");
    await full.store.close();
    const starts = await startTimes(full);
    progress("the log, checked");
    const verifiedPerSecond = await checkTimes(empty);
    return {
      leaves,
      requestsInWindow: past.inWindow,
      megabytes: Math.round(statSync(full.storePath).size / 1e6),
      emptyUs,
      fullUs,
      ofEmpty: emptyUs / fullUs,
      proofMs,
      ...starts,
      verifiedPerSecond,
    };
  } finally {
    await empty.close();
    await full.close().catch(() => undefined);
  }
}

export function logText(report: LogReport): string {
  const { leaves, requestsInWindow, megabytes, emptyUs, fullUs, ofEmpty, proofMs, startS, snapshotMs } = report;
  const { signatures, without } = report.verifiedPerSecond;
  return [
    `${leaves} leaves, ${requestsInWindow} requests in the window, ${megabytes} MB; processor time`,
    `a request: ${fullUs.toFixed(0)} µs, in an empty store ${emptyUs.toFixed(0)} µs: ${(ofEmpty * 100).toFixed(0)} % of its rate`,
    `a receipt: ${proofMs.median.toFixed(2)} ms, p99 ${proofMs.p99.toFixed(2)} ms (by the clock)`,
    `a start: ${startS.snapshot.toFixed(2)} s from a snapshot (written in ${snapshotMs.toFixed(0)} ms), ${startS.wholeLog.toFixed(1)} s along the whole log`,
    `log verify: ${signatures.toFixed(0)} leaves/s, ${without.toFixed(0)} without signatures`,
  ].join("\n");
}
