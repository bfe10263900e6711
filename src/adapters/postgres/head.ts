import { GatewayError } from "../../domain/errors.ts";
import { MIGRATIONS } from "./migrations.ts";
import type { Row, Session } from "./session.ts";

/** What the log's one row says, and what the server says of itself in the same breath. */
export type Head = Cluster & {
  readonly schema: number;
  readonly version: number;
  readonly settings: Readonly<Record<string, string>>;
};

/** Ms since 1970, as the database's host has it. */
export const CLOCK_MS = "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/** Settings by which a COMMIT that was answered could be lost: with these values it cannot. */
const DURABLE: Readonly<Record<string, readonly string[]>> = {
  fsync: ["on"],
  full_page_writes: ["on"],
  synchronous_commit: ["on", "remote_apply", "remote_write"],
};

const SETTINGS = Object.keys(DURABLE).map((name) => `current_setting('${name}') AS ${name}`);
export const HEAD = `SELECT schema, version, system_identifier, timeline, ${SETTINGS.join(", ")} FROM head`;
/**
 * Waits for whoever writes; from then on until COMMIT nobody else does. The clock is read when the lock is held: what
 * stands outside is computed of a row that came out locked.
 */
export const LOCK_HEAD = `SELECT held.*, ${CLOCK_MS} AS now FROM (${HEAD} FOR UPDATE) AS held`;

export function headOf(rows: readonly Row[]): Head {
  const [row] = rows;
  if (!row) throw new GatewayError("integrity", "expected one row in `head`, found none");
  return {
    schema: row["schema"]!,
    version: row["version"]!,
    systemIdentifier: row["system_identifier"]!,
    timeline: row["timeline"]!,
    settings: Object.fromEntries(Object.keys(DURABLE).map((name) => [name, row[name]! as string])),
  };
}

/** @throws {GatewayError} `store-too-new`, `store-too-old` */
export function requireSchema(schema: number): void {
  if (schema > MIGRATIONS.length)
    throw new GatewayError("store-too-new", `expected a schema up to ${MIGRATIONS.length}, found ${schema}`, {
      hint: "this store was written by a newer Portcullis: use that one",
    });
  if (schema < MIGRATIONS.length)
    throw new GatewayError("store-too-old", `expected schema ${MIGRATIONS.length}, found ${schema}`, {
      hint: "run `portcullis store migrate` once; the vaults of this version start then",
    });
}

/** @throws {GatewayError} `store-not-durable`: what it said it had kept could be gone after a power cut */
export function requireDurable({ settings }: Pick<Head, "settings">): void {
  for (const [name, values] of Object.entries(DURABLE)) {
    if (values.includes(settings[name]!)) continue;
    throw new GatewayError(
      "store-not-durable",
      `expected \`${name}\` to be ${values.join(" or ")}, found \`${settings[name]}\``,
      {
        facts: { setting: name },
        hint: "nothing is signed on a database that may forget: correct its setting, the vault goes on by itself",
      },
    );
  }
}

export type Cluster = { readonly systemIdentifier: string; readonly timeline: number };

/** A cluster's history as officers name it. */
export const historyText = ({ systemIdentifier, timeline }: Cluster): string => `${systemIdentifier}/${timeline}`;

/** The cluster that answers, and its history. A standby has none that could be written on. */
export async function clusterOf(session: Session): Promise<Cluster> {
  const [row] = await session.run(
    `SELECT pg_is_in_recovery() AS standby, (SELECT system_identifier::text FROM pg_control_system()) AS system,
       CASE WHEN pg_is_in_recovery() THEN NULL ELSE pg_walfile_name(pg_current_wal_lsn()) END AS file`,
  );
  if (row!["standby"]) throw new GatewayError("store-unavailable", "the database is a standby: it takes no writes");
  // The first eight digits of a WAL file's name are its timeline, in hex.
  return { systemIdentifier: row!["system"]!, timeline: parseInt((row!["file"]! as string).slice(0, 8), 16) };
}

export function clusterFrom(history: string): Cluster {
  const [systemIdentifier = "", timeline] = history.split("/");
  return { systemIdentifier, timeline: Number(timeline) };
}

/** @throws {GatewayError} `store-moved`: another history may lack what was promised in this one */
export function requireSameCluster(head: Cluster, found: Cluster): void {
  if (historyText(head) === historyText(found)) return;
  throw new GatewayError(
    "store-moved",
    `expected cluster ${head.systemIdentifier} on timeline ${head.timeline}, found ${found.systemIdentifier} on timeline ${found.timeline}`,
    {
      facts: { expected: head, found },
      hint: "after a failover or a restore the last COMMITs may be missing: `portcullis recover --after-failover`, and `After a failover` in docs/operations.md",
    },
  );
}
