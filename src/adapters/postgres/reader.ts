import type { Account } from "../../domain/chain.ts";
import type { CounterId } from "../../domain/decision.ts";
import type { ClientId } from "../../domain/names.ts";
import type { RequestState } from "../../domain/request.ts";
import type {
  Authorized,
  RowReader,
  ScheduledPolicyRow,
  SealedNonce,
  SealedSpend,
  SnapshotRef,
} from "../../vault/ports.ts";
import { CLOCK_MS } from "./head.ts";
import { idempotencyIndex, type CounterStretch } from "./memory.ts";
import {
  ASKED,
  checkpointRow,
  clientRow,
  keyRow,
  leafRow,
  nonceRow,
  pinRow,
  policyRow,
  policyVersionRow,
  recoveryRow,
  requestRow,
  REQUESTS,
  spendEntry,
} from "./rows.ts";
import type { Row } from "./session.ts";

/** Asks the database, inside whatever transaction is open. */
export type Ask = (text: string, ...values: unknown[]) => Promise<Row[]>;

/** How much of a counter is read at once: windows move on entry by entry. */
const STRETCH = 64;
const TILE_WIDTH = 256;
const HASH_BYTES = 32;

const CLOCK = `SELECT ${CLOCK_MS} AS now`;

/** The port's questions in SQL, each one statement. */
export function questions(ask: Ask) {
  const one = async (text: string, ...values: unknown[]): Promise<Row | undefined> => (await ask(text, ...values))[0];
  return {
    now: async (): Promise<number> => (await one(CLOCK))!["now"]!,
    client: async (id: ClientId) => {
      const row = await one("SELECT * FROM clients WHERE id = $1", id);
      return row && clientRow(row);
    },
    clients: async () => (await ask("SELECT * FROM clients ORDER BY id")).map(clientRow),
    keys: async (client: ClientId) =>
      (
        await ask(
          `SELECT keys.*, ARRAY(SELECT account FROM accounts a WHERE a.client = keys.client AND a.key = keys.name ORDER BY account) AS accounts
           FROM keys WHERE client = $1 ORDER BY name`,
          client,
        )
      ).map(keyRow),
    answer: async ({ client, caller, idempotencyKey }: Parameters<RowReader["answer"]>[0]) => {
      const row = await one(
        "SELECT * FROM answers WHERE client = $1 AND caller = $2 AND idempotency_key = $3",
        client,
        caller,
        idempotencyKey,
      );
      return row && { client, caller, idempotencyKey, status: row["status"]!, body: row["body"]!, seal: row["seal"]! };
    },
    pins: async (name: string) => (await ask("SELECT * FROM pins WHERE name = $1 ORDER BY version", name)).map(pinRow),
    scheduledPolicy: async (client: ClientId) => {
      const row = await one("SELECT change FROM scheduled_policies WHERE client = $1", client);
      return row && (JSON.parse(row["change"]!) as ScheduledPolicyRow);
    },
    scheduledPolicies: async () =>
      (await ask("SELECT client, active_at FROM scheduled_policies ORDER BY client")).map((row) => ({
        client: row["client"]!,
        activeAt: row["active_at"]!,
      })),
    owners: async (accounts: readonly Account[]): Promise<Map<Account, ClientId>> => {
      const rows = await ask("SELECT account, client FROM accounts WHERE account = ANY ($1)", accounts);
      return new Map(rows.map((row) => [row["account"]! as Account, row["client"]! as ClientId]));
    },
    revision: async (client: ClientId): Promise<number | undefined> =>
      (await one("SELECT revision FROM clients WHERE id = $1", client))?.["revision"],
    policyHash: async (client: ClientId): Promise<string | undefined> =>
      (await one("SELECT policy_hash FROM clients WHERE id = $1", client))?.["policy_hash"] ?? undefined,
    policy: async (client: ClientId, version?: number) => {
      const row =
        version === undefined
          ? await one(
              `SELECT policies.* FROM policies JOIN clients ON clients.id = client AND hash = policy_hash
               WHERE client = $1 ORDER BY version DESC LIMIT 1`,
              client,
            )
          : await one("SELECT * FROM policies WHERE client = $1 AND version = $2", client, version);
      return row && policyRow(row);
    },
    policyVersions: async (client: ClientId, { before, limit }: { before?: number; limit: number }) =>
      (
        await ask(
          `SELECT client, version, hash, previous_hash, signatures, applied_at, leaf FROM policies
           WHERE client = $1 AND ($2::bigint IS NULL OR version < $2) ORDER BY version DESC LIMIT $3`,
          client,
          before ?? null,
          limit,
        )
      ).map(policyVersionRow),
    callerKeyOwner: async (key: string): Promise<ClientId | undefined> =>
      (await one("SELECT client FROM caller_keys WHERE key = $1", key))?.["client"],
    heldSince: async (client: ClientId): Promise<Map<Account, number>> => {
      const rows = await ask("SELECT account, since FROM held_addresses WHERE client = $1", client);
      return new Map(rows.map((row) => [row["account"]! as Account, row["since"]! as number]));
    },
    request: async (client: ClientId, id: string) => {
      const row = await one(`${REQUESTS} WHERE requests.client = $1 AND id = $2`, client, id);
      return row && requestRow(row);
    },
    requestStanding: async (client: ClientId, id: string) => {
      const row = await one("SELECT state, decision_leaf FROM requests WHERE client = $1 AND id = $2", client, id);
      return row && { state: row["state"]! as RequestState, decisionLeaf: row["decision_leaf"]! as number };
    },
    requestByIdempotencyKey: async (client: ClientId, caller: string, idempotencyKey: string) => {
      const row = await one(`${REQUESTS} WHERE ${ASKED} = $1`, idempotencyIndex(client, caller, idempotencyKey));
      return row && requestRow(row);
    },
    requests: async (client: ClientId, filter: Parameters<RowReader["requests"]>[1]) => {
      const { caller = null, state = null, key = null, reference = null } = filter;
      const { since = null, until = null, before = null, limit } = filter;
      const rows = await ask(
        `${REQUESTS} WHERE requests.client = $1 AND ($2::text IS NULL OR caller = $2)
           AND ($3::text IS NULL OR state = $3) AND ($4::text IS NULL OR id < $4)
           AND ($6::text IS NULL OR key = $6) AND ($7::bigint IS NULL OR submitted_at >= $7)
           AND ($8::bigint IS NULL OR submitted_at < $8) ${reference === null ? "" : "AND reference = $9"}
         ORDER BY id DESC LIMIT $5`,
        client,
        caller,
        state,
        before,
        limit,
        key,
        since,
        until,
        ...(reference === null ? [] : [reference]),
      );
      return rows.map(requestRow);
    },
    recoveries: async () => (await ask("SELECT * FROM recoveries ORDER BY leaf")).map(recoveryRow),
    claimedBy: async (claim: string) => (await one("SELECT request FROM claims WHERE claim = $1", claim))?.["request"],
    nextNonce: async (account: Account): Promise<SealedNonce | undefined> => {
      const row = await one("SELECT next, leaf, seal FROM nonces WHERE account = $1", account);
      return row && nonceRow(row);
    },
    lastSpend: async (counter: CounterId): Promise<SealedSpend | undefined> => {
      const row = await one("SELECT * FROM spend WHERE counter = $1 ORDER BY at DESC, leaf DESC LIMIT 1", counter);
      return row && spendEntry(row);
    },
    /** The last entry that is not after the moment, and the first ones that are. */
    stretch: async (counter: CounterId, moment: number): Promise<CounterStretch> => {
      const rows = await ask(
        `(SELECT * FROM spend WHERE counter = $1 AND at <= $2 ORDER BY at DESC, leaf DESC LIMIT 1)
         UNION ALL
         (SELECT * FROM spend WHERE counter = $1 AND at > $2 ORDER BY at, leaf LIMIT ${STRETCH})
         ORDER BY at, leaf`,
        counter,
        moment,
      );
      return { from: moment, entries: rows.map(spendEntry) };
    },
    spendBefore: async (counter: CounterId, moment: number): Promise<SealedSpend | undefined> => {
      const row = await one(
        "SELECT * FROM spend WHERE counter = $1 AND at <= $2 ORDER BY at DESC, leaf DESC LIMIT 1",
        counter,
        moment,
      );
      return row && spendEntry(row);
    },
    spendAt: async (counter: CounterId, { at, leaf }: Authorized): Promise<SealedSpend | undefined> => {
      const row = await one("SELECT * FROM spend WHERE counter = $1 AND at = $2 AND leaf = $3", counter, at, leaf);
      return row && spendEntry(row);
    },
    lastLeaf: async (client?: ClientId) => {
      const row =
        client === undefined
          ? await one("SELECT * FROM leaves ORDER BY idx DESC LIMIT 1")
          : await one("SELECT * FROM leaves WHERE client = $1 ORDER BY number DESC LIMIT 1", client);
      return row && leafRow(row);
    },
    leaf: async (index: number) => {
      const row = await one("SELECT * FROM leaves WHERE idx = $1", index);
      return row && leafRow(row);
    },
    leaves: async (from: number, limit: number) =>
      (await ask("SELECT * FROM leaves WHERE idx >= $1 ORDER BY idx LIMIT $2", from, limit)).map(leafRow),
    leafHashes: async (from: number, limit: number): Promise<Uint8Array[]> =>
      (await ask("SELECT hash FROM leaves WHERE idx >= $1 ORDER BY idx LIMIT $2", from, limit)).map(
        (row) => row["hash"]!,
      ),
    treeSize: async (): Promise<number> =>
      (
        await one(
          `SELECT idx * ${TILE_WIDTH} + length(hashes) / ${HASH_BYTES} AS size FROM tiles
         WHERE level = 0 ORDER BY idx DESC LIMIT 1`,
        )
      )?.["size"] ?? 0,
    tile: async (level: number, index: number): Promise<Uint8Array | undefined> =>
      (await one("SELECT hashes FROM tiles WHERE level = $1 AND idx = $2", level, index))?.["hashes"],
    snapshot: async () => {
      const row = await one(
        "SELECT size, parts FROM snapshots GROUP BY size, parts HAVING count(*) = parts ORDER BY size DESC LIMIT 1",
      );
      return row && { size: row["size"]! as number, parts: row["parts"]! as number };
    },
    snapshotPart: async ({ size, parts }: SnapshotRef, part: number): Promise<Uint8Array | undefined> =>
      (await one("SELECT bytes FROM snapshots WHERE size = $1 AND parts = $2 AND part = $3", size, parts, part))?.[
        "bytes"
      ],
    lastCheckpoint: async () => {
      const row = await one("SELECT * FROM checkpoints ORDER BY size DESC LIMIT 1");
      return row && checkpointRow(row);
    },
    checkpoints: async (fromSize: number, limit: number) =>
      (await ask("SELECT * FROM checkpoints WHERE size >= $1 ORDER BY size LIMIT $2", fromSize, limit)).map(
        checkpointRow,
      ),
  };
}

export type Questions = ReturnType<typeof questions>;

/** The latest entry that is not after the moment; null where there is none, undefined where the stretch does not reach so far. */
export function entryBefore({ from, entries }: CounterStretch, moment: number): SealedSpend | null | undefined {
  const first = entries.findIndex(({ at }) => at > moment);
  if (moment < from || first === -1) return undefined;
  return entries[first - 1] ?? null;
}

/**
 * What is committed, as one moment shows it.
 * @param clock of tests; by default the database's
 */
export function snapshotReader(ask: Ask, clock: (() => number) | undefined): RowReader {
  const asked = questions(ask);
  let moment: Promise<number> | undefined;
  const readClock = async (): Promise<number> => {
    const [now, last] = await Promise.all([clock ? clock() : asked.now(), asked.lastLeaf()]);
    return Math.max(now, last?.at ?? 0);
  };
  return {
    ...asked,
    now: () => (moment ??= readClock()),
  };
}
