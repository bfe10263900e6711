import { execFile } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { startDevGateway, type DevGateway } from "../test/support/gateway.ts";
import { PostgresServer } from "../test/support/postgres.ts";
import type { LoadResult } from "./load.ts";

/*
 * What durability costs: the whole gateway on SQLite, on PostgreSQL of the same machine, and on SQLite whose file is in
 * memory (tmpfs), where a sync costs nothing. The stores take turns, so that a machine that slows down slows all of them.
 */

export type StoresReport = {
  readonly concurrency: number;
  readonly stores: readonly { readonly store: string; readonly perSecond: number; readonly ofMemory: number }[];
};

type Place = { readonly store: string; readonly gateway: DevGateway; readonly rates: number[] };

const MEMORY = "SQLite in memory";
const CONCURRENCY = 32;
const REQUESTS = 1_500;
const ROUNDS = 3;
const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

let nonce = 0;

async function loadOn(gateway: DevGateway): Promise<number> {
  const order = {
    url: gateway.url,
    callerFile: gateway.clients[0]!.callers["payouts"],
    key: "hot-1",
    concurrency: CONCURRENCY,
    requests: REQUESTS,
    firstNonce: nonce,
  };
  nonce += REQUESTS;
  const flags = ["--import", "tsx", here("./load.ts"), JSON.stringify(order)];
  const { stdout } = await promisify(execFile)(process.execPath, flags);
  return (JSON.parse(stdout) as LoadResult).perSecond;
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN;

/** One warm-up and then turns, each store's first place in turn. */
async function takeTurns(places: readonly Place[], progress: (text: string) => void): Promise<void> {
  for (const { gateway } of places) await loadOn(gateway);
  for (let round = 0; round < ROUNDS; round++) {
    progress(`stores, round ${round + 1} of ${ROUNDS}`);
    for (let n = 0; n < places.length; n++) {
      const { gateway, rates } = places[(n + round) % places.length]!;
      rates.push(await loadOn(gateway));
    }
  }
}

export async function storesReport(progress: (text: string) => void): Promise<StoresReport> {
  const [disk, memory] = [tmpdir(), "/dev/shm"].map((place) => mkdtempSync(join(place, "portcullis-bench-"))) as [
    string,
    string,
  ];
  for (const folder of [disk, memory]) chmodSync(folder, 0o711); // the edge's user passes through
  const postgres = await PostgresServer.started();
  const places: Place[] = [];
  try {
    const { host, port, database, user } = await postgres.database();
    const inPostgres = `host=${host},port=${port},database=${database},user=${user}`;
    for (const [store, ...flags] of [
      [MEMORY, "--keep", join(memory, "gateway")],
      ["SQLite", "--keep", join(disk, "gateway")],
      ["PostgreSQL", "--postgres", inPostgres],
    ] as const) {
      const gateway = await startDevGateway([...flags, "--policy", here("./policies/bench.yaml")]);
      places.push({ store, gateway, rates: [] });
    }
    await takeTurns(places, progress);
    const ceiling = median(places[0]!.rates);
    const stores = places.map(({ store, rates }) => ({
      store,
      perSecond: median(rates),
      ofMemory: median(rates) / ceiling,
    }));
    return { concurrency: CONCURRENCY, stores };
  } finally {
    for (const { gateway } of places) await gateway.stop();
    await postgres.remove();
    for (const folder of [disk, memory]) rmSync(folder, { recursive: true, force: true });
  }
}

export const storesText = ({ concurrency, stores }: StoresReport): string =>
  [
    `${concurrency} in flight, medians of ${ROUNDS} turns`,
    ...stores.map(
      ({ store, perSecond, ofMemory }) =>
        `${store.padEnd(18)}${perSecond.toFixed(0).padStart(7)} per second${(ofMemory * 100).toFixed(0).padStart(5)} %`,
    ),
  ].join("\n");
