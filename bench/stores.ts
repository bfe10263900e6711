import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { buildSync } from "esbuild";
import { startDevGateway, type DevGateway } from "../test/support/gateway.ts";
import { PostgresServer } from "../test/support/postgres.ts";
import { childrenOf } from "../test/support/processes.ts";
import { cpuUsOf } from "./cpu.ts";
import type { LoadResult } from "./load.ts";

/*
 * What durability costs: the whole gateway on SQLite, on PostgreSQL of the same machine, and on maps in memory, which is
 * the least that a store can cost. They take turns, so that a machine that slows down slows all of them.
 */

type Turn = { readonly perSecond: number; readonly cpuUs: number };

export type StoresReport = {
  readonly concurrency: number;
  readonly stores: readonly (Turn & {
    readonly store: string;
    /** Rate, of that in memory; of each round the ratio, and of these the median. */
    readonly ofMemory: number;
    /** The same by processor time of edge, vault, database and generator: what the rate would be on processors of its own. */
    readonly ofMemoryByCpu: number;
  })[];
};

type Place = {
  readonly store: string;
  readonly gateway: DevGateway;
  readonly server?: PostgresServer;
  readonly turns: Turn[];
};

const CONCURRENCY = 32;
const REQUESTS = 1_500;
const ROUNDS = 5;
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

let nonce = 0;

async function loadOn({ gateway, server }: Place): Promise<Turn> {
  const order = {
    url: gateway.url,
    callerFile: gateway.clients[0]!.callers["payouts"],
    key: "hot-1",
    concurrency: CONCURRENCY,
    requests: REQUESTS,
    firstNonce: nonce,
  };
  nonce += REQUESTS;
  // Those of a server that end meanwhile have done nothing worth counting: connections stay.
  const pids = [gateway.pids.vault, gateway.pids.edge, ...(server ? [server.pid, ...childrenOf(server.pid)] : [])];
  const used = () => pids.map((pid) => cpuUsOf(pid)).reduce((sum, us) => sum + us, 0);
  const before = used();
  const flags = ["--import", "tsx", here("./load.ts"), JSON.stringify(order)];
  const { stdout } = await promisify(execFile)(process.execPath, flags);
  const { perSecond, cpuUs } = JSON.parse(stdout) as LoadResult;
  return { perSecond, cpuUs: cpuUs + (used() - before) / REQUESTS };
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

/** One warm-up and then turns, each store's first place in turn. */
async function takeTurns(places: readonly Place[], progress: (text: string) => void): Promise<void> {
  for (const place of places) await loadOn(place);
  for (let round = 0; round < ROUNDS; round++) {
    progress(`stores, round ${round + 1} of ${ROUNDS}`);
    for (let n = 0; n < places.length; n++) {
      const place = places[(n + round) % places.length]!;
      place.turns.push(await loadOn(place));
    }
  }
}

const script = (text: string): string => `data:text/javascript,${encodeURIComponent(text)}`;

/** @returns what `node --import` takes: whoever imports that module gets the one at the address */
function inPlaceOf(module: string, address: string): string {
  const resolve = `export const resolve = (specifier, context, next) =>
    specifier.endsWith("${module}") ? { url: "${address}", shortCircuit: true } : next(specifier, context);`;
  return script(`import { register } from "node:module"; register(${JSON.stringify(script(resolve))});`);
}

/** A gateway whose embedded store is `memory-store.ts`: in all its processes, and in no other. */
async function startInMemory(folder: string, flags: readonly string[]): Promise<DevGateway> {
  const bundle = join(folder, "memory-store.mjs");
  const entry = here("./memory-store.ts");
  buildSync({
    entryPoints: [entry],
    bundle: true,
    platform: "node",
    format: "esm",
    outfile: bundle,
    logLevel: "error",
  });
  process.env["NODE_OPTIONS"] = `--import ${inPlaceOf("adapters/sqlite/store.js", pathToFileURL(bundle).href)}`;
  try {
    return await startDevGateway(["--keep", join(folder, "in-memory"), ...flags]);
  } finally {
    delete process.env["NODE_OPTIONS"];
  }
}

export async function storesReport(progress: (text: string) => void): Promise<StoresReport> {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-bench-"));
  chmodSync(folder, 0o711); // the edge's user passes through
  const server = await PostgresServer.started();
  const places: Place[] = [];
  const flags = ["--policy", here("./policies/bench.yaml")];
  try {
    const { host, port, database, user } = await server.database();
    const inPostgres = `host=${host},port=${port},database=${database},user=${user}`;
    places.push({ store: "in memory", gateway: await startInMemory(folder, flags), turns: [] });
    const sqlite = await startDevGateway(["--keep", join(folder, "on-sqlite"), ...flags]);
    places.push({ store: "SQLite", gateway: sqlite, turns: [] });
    const postgres = await startDevGateway(["--postgres", inPostgres, ...flags]);
    places.push({ store: "PostgreSQL", gateway: postgres, server, turns: [] });
    await takeTurns(places, progress);
    return { concurrency: CONCURRENCY, stores: places.map((place) => resultOf(place, places[0]!)) };
  } finally {
    for (const { gateway } of places) await gateway.stop();
    await server.remove();
    rmSync(folder, { recursive: true, force: true });
  }
}

function resultOf({ store, turns }: Place, memory: Place): StoresReport["stores"][number] {
  return {
    store,
    perSecond: median(turns.map(({ perSecond }) => perSecond)),
    cpuUs: median(turns.map(({ cpuUs }) => cpuUs)),
    ofMemory: median(turns.map(({ perSecond }, round) => perSecond / memory.turns[round]!.perSecond)),
    ofMemoryByCpu: median(turns.map(({ cpuUs }, round) => memory.turns[round]!.cpuUs / cpuUs)),
  };
}

const percent = (ratio: number): string => `${(ratio * 100).toFixed(0).padStart(5)} %`;

export const storesText = ({ concurrency, stores }: StoresReport): string =>
  [
    `${concurrency} in flight, medians of ${ROUNDS} turns; processor time of edge, vault, database and generator`,
    `${"".padEnd(12)} per second  of memory   µs each  of memory`,
    ...stores.map(({ store, perSecond, cpuUs, ofMemory, ofMemoryByCpu }) =>
      [
        store.padEnd(12),
        perSecond.toFixed(0).padStart(11),
        percent(ofMemory).padStart(11),
        cpuUs.toFixed(0).padStart(10),
        percent(ofMemoryByCpu).padStart(11),
      ].join(""),
    ),
  ].join("\n");
