import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startDevGateway, type DevGateway } from "../test/support/gateway.ts";
import { pinOf } from "../test/support/pins.ts";
import { cpuUsOf } from "./cpu.ts";
import { decodeReport, type DecodeReport } from "./decode.ts";
import type { LoadResult } from "./load.ts";
import { logReport, logText } from "./log.ts";
import { policyReport, policyText, type PolicyReport } from "./policy.ts";
import { poolSigningRate } from "./pool.ts";
import { rawSigningRate } from "./raw.ts";
import { storesReport, storesText } from "./stores.ts";
import { tokensReport, tokensText } from "./tokens.ts";

/*
 * `npm run bench`: what the HSM can do alone, and what comes out of the whole gateway, in one run on one machine. Only the
 * ratio is worth quoting: absolute figures drift with the machine.
 */

type EndToEnd = {
  readonly concurrency: number;
  readonly perSecond: number;
  readonly ofRaw: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly edgeCpuUs: number;
  readonly vaultCpuUs: number;
  readonly generatorCpuUs: number;
};

const RAW_SECONDS = 3;
const CEILING_TURNS = 5;
const POOL_CONCURRENCY = 8;
const WARM_UP_REQUESTS = 4000;
const LEVELS = [
  { concurrency: 1, requests: 1500 },
  { concurrency: 8, requests: 5000 },
  { concurrency: 32, requests: 8000 },
];

/** Four batches on their way at a time keep the pool busy while one is decided. */
const BATCH = { size: 50, inFlight: 4, requests: 12_000 };

const json = process.argv.includes("--json");
const progress = (text: string): void => void process.stderr.write(`${text}\n`);
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** The demo client's own token and key, for whoever opens them beside the gateway while it rests. */
const keyOf = async (gateway: DevGateway) => ({
  modulePath: /module: (.+)/.exec(readFileSync(join(gateway.folder, "portcullis.yaml"), "utf8"))![1]!,
  softhsmConf: join(gateway.folder, "vault/softhsm/softhsm2.conf"),
  tokenLabel: "bench",
  pin: await pinOf(gateway.folder, "bench"),
  keyLabel: "hot-1",
});

let nonce = 0;

async function load(gateway: DevGateway, concurrency: number, requests: number, batch?: number): Promise<LoadResult> {
  const { callers } = gateway.clients[0]!;
  const order = {
    url: gateway.url,
    callerFile: callers["payouts"],
    key: "hot-1",
    concurrency,
    requests,
    firstNonce: nonce,
    ...(batch === undefined ? {} : { batch }),
  };
  nonce += requests;
  const { stdout } = await promisify(execFile)(process.execPath, [
    "--import",
    "tsx",
    here("./load.ts"),
    JSON.stringify(order),
  ]);
  return JSON.parse(stdout) as LoadResult;
}

async function measure(
  gateway: DevGateway,
  { concurrency, requests, batch }: { concurrency: number; requests: number; batch?: number },
  ceiling: number,
): Promise<EndToEnd> {
  const { vault, edge } = gateway.pids;
  const before = { vault: cpuUsOf(vault), edge: cpuUsOf(edge) };
  const { perSecond, p50Ms, p99Ms, cpuUs } = await load(gateway, concurrency, requests, batch);
  const perRequest = (used: number) => used / requests;
  return {
    concurrency,
    perSecond,
    ofRaw: perSecond / ceiling,
    p50Ms,
    p99Ms,
    edgeCpuUs: perRequest(cpuUsOf(edge) - before.edge),
    vaultCpuUs: perRequest(cpuUsOf(vault) - before.vault),
    generatorCpuUs: cpuUs,
  };
}

if (process.argv.includes("--tokens")) {
  const tokens = await tokensReport(progress);
  console.log(json ? JSON.stringify(tokens) : tokensText(tokens));
  process.exit();
}
if (process.argv.includes("--stores")) {
  const stores = await storesReport(progress);
  console.log(json ? JSON.stringify(stores) : storesText(stores));
  process.exit();
}
if (process.argv.includes("--log")) {
  const log = await logReport(progress);
  console.log(json ? JSON.stringify(log) : logText(log));
  process.exit();
}
progress("one decision, ours and Cedar's");
const policy = policyReport();
progress("from bytes to an intent and a digest");
const decode = decodeReport();
const gateway = await startDevGateway(["--policy", here("./policies/bench.yaml")]);
try {
  const key = await keyOf(gateway);
  const { raw, pool } = await ceilings(key);
  const ceiling = raw[1]!.perSecond;
  await load(gateway, 8, WARM_UP_REQUESTS);
  const endToEnd: EndToEnd[] = [];
  for (const { concurrency, requests } of LEVELS) {
    progress(`end to end, ${concurrency} in flight, ${requests} requests`);
    endToEnd.push(await measure(gateway, { concurrency, requests }, ceiling));
  }
  progress(`end to end, batches of ${BATCH.size}, ${BATCH.inFlight} in flight, ${BATCH.requests} requests`);
  const { size, inFlight, requests } = BATCH;
  const batch = { size, ...(await measure(gateway, { concurrency: inFlight, requests, batch: size }, ceiling)) };
  const report = {
    machine: { node: process.version, processors: cpus().length, model: cpus()[0]!.model },
    raw,
    pool,
    endToEnd,
    batch,
    policy,
    decode,
  };
  console.log(json ? JSON.stringify(report) : tableOf(report));
} finally {
  await gateway.stop();
}

/** In turns, since a machine is faster at one moment than at another: medians. */
async function ceilings(key: Awaited<ReturnType<typeof keyOf>>): Promise<Pick<Report, "raw" | "pool">> {
  const order = { seconds: RAW_SECONDS, ...key };
  progress("raw PKCS#11 signing rate, C loop, 1 process");
  const alone = await rawSigningRate({ processes: 1, ...order });
  const [raw, pool, ofRaw] = [[], [], []] as [number[], number[], number[]];
  for (let turn = 1; turn <= CEILING_TURNS; turn++) {
    progress(
      `raw, 2 processes, and the session pool alone, ${POOL_CONCURRENCY} in flight: turn ${turn} of ${CEILING_TURNS}`,
    );
    raw.push(await rawSigningRate({ processes: 2, ...order }));
    pool.push(await poolSigningRate({ concurrency: POOL_CONCURRENCY, ...order }));
    ofRaw.push(pool.at(-1)! / raw.at(-1)!);
  }
  return {
    raw: [
      { processes: 1, perSecond: alone },
      { processes: 2, perSecond: median(raw) },
    ],
    pool: { concurrency: POOL_CONCURRENCY, perSecond: median(pool), ofRaw: median(ofRaw) },
  };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1]!;
}

type Report = {
  readonly policy: PolicyReport;
  readonly decode: DecodeReport;
  readonly raw: readonly { processes: number; perSecond: number }[];
  readonly pool: { concurrency: number; perSecond: number; ofRaw: number };
  readonly endToEnd: readonly EndToEnd[];
  readonly batch: EndToEnd & { readonly size: number };
};

function tableOf({ raw, pool, endToEnd, batch, policy, decode }: Report): string {
  const cell = (value: string | number) => String(value).padStart(11);
  const rows = [...endToEnd, batch].map((row: EndToEnd & { readonly size?: number }) =>
    [
      row.size === undefined ? row.concurrency : `${row.concurrency} × ${row.size}`,
      row.perSecond.toFixed(0),
      `${(row.ofRaw * 100).toFixed(1)} %`,
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
      row.edgeCpuUs.toFixed(0),
      row.vaultCpuUs.toFixed(0),
      row.generatorCpuUs.toFixed(0),
    ]
      .map(cell)
      .join(""),
  );
  return [
    `bytes to intent and digest: ERC-20 transfer ${decode.transferUs.toFixed(0)} µs, Permit ${decode.permitUs.toFixed(0)} µs (medians)`,
    ...raw.map(
      ({ processes, perSecond }) => `raw PKCS#11, ${processes} process(es): ${perSecond.toFixed(0)} signatures/s`,
    ),
    `session pool alone, ${pool.concurrency} in flight: ${pool.perSecond.toFixed(0)} signatures/s, ${(pool.ofRaw * 100).toFixed(0)} % of raw (2)`,
    "",
    ["in flight", "per second", "of raw (2)", "p50 ms", "p99 ms", "edge µs", "vault µs", "gener. µs"]
      .map(cell)
      .join(""),
    ...rows,
    "",
    `edge, vault, generator: processor time per request; ${batch.concurrency} × ${batch.size}: batches, latency of a whole one`,
    "",
    policyText(policy),
  ].join("\n");
}
