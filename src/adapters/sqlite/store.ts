import SqliteDatabase, { type Database, type Statement } from "better-sqlite3";
import type { Account, ChainId } from "../../domain/chain.ts";
import type { CounterId } from "../../domain/decision.ts";
import { GatewayError } from "../../domain/errors.ts";
import { HOUSE, type ClientId } from "../../domain/names.ts";
import type {
  CheckpointRow,
  ClientRow,
  KeyRow,
  PinRow,
  PolicyRow,
  PolicyVersionRow,
  RecoveryRow,
  RowStore,
  RowTransaction,
  SealedLeaf,
  SealedRequest,
  SealedSpend,
  ScheduledPolicyRow,
} from "../../vault/ports.ts";
import { groupCommit } from "./group-commit.ts";
import { openDatabase } from "./schema.ts";
import { WalSync } from "./wal-sync.ts";

type Row = Record<string, never>;

/**
 * The embedded store: one file, one vault.
 * @param path of the database file; its folder must exist
 * @param clock wall time, ms
 * @throws {GatewayError} `store-too-new` if a newer Portcullis wrote it; `store-unavailable`
 */
export function openSqliteStore(path: string, clock: () => number = Date.now): RowStore {
  const database = openDatabase(path);
  const memory = new StoreMemory();
  let moment: number | undefined;
  const transaction = transactionOn(database, () => (moment ??= clock()), memory);
  const log = new WalSync(path);
  const group = groupCommit(database, {
    onUndone: () => memory.forget(),
    writes: { any: () => memory.written, forget: () => void (memory.written = false) },
    durable: () => (memory.takeUnsynced() ? log.durable() : log.settled()).catch(lost),
  });
  const run = <T>(work: (transaction: RowTransaction) => Promise<T>): Promise<T> =>
    group.run(() => {
      moment = undefined; // jobs follow each other: this one reads the clock once
      return work(transaction);
    });
  return {
    write: (work) => run(work).catch(asGatewayError),
    // better-sqlite3 is synchronous: between two statements of one read nobody else runs but a writer's microtasks, so
    // reads go through the same queue and see whole transactions only.
    read: (work) => run(work).catch(asGatewayError),
    close: async () => {
      await group.idle();
      await log.close();
      database.close();
    },
  };
}

/**
 * The disk did not take what was committed, and nobody knows how much of it (a later sync may succeed without it). What
 * this process has in mind may be more than what is there: it ends, and a new one reads.
 */
function lost(error: unknown): never {
  setImmediate(() => {
    throw new GatewayError("store-lost", "the store's disk failed to keep a transaction", { cause: error });
  });
  throw error;
}

function asGatewayError(error: unknown): never {
  if (error instanceof SqliteDatabase.SqliteError) {
    throw new GatewayError("store-unavailable", `the store refused: ${error.message} (${error.code})`, {
      cause: error,
    });
  }
  throw error;
}

const clientRow = (row: Row): ClientRow => ({
  id: row["id"]!,
  owner: row["owner"]!,
  status: row["status"]!,
  token: { label: row["token_label"]!, serial: row["token_serial"]! },
  saltKey: row["salt_key"]!,
  freezes: JSON.parse(row["freezes"]!) as ClientRow["freezes"],
});

const policyVersionRow = (row: Row): PolicyVersionRow => ({
  client: row["client"]!,
  version: row["version"]!,
  hash: row["hash"]!,
  previousHash: row["previous_hash"]!,
  signatures: JSON.parse(row["signatures"]!) as PolicyRow["signatures"],
  appliedAt: row["applied_at"]!,
  leaf: row["leaf"]!,
});

const policyRow = (row: Row): PolicyRow => ({
  ...policyVersionRow(row),
  entry: row["entry"]!,
  files: JSON.parse(row["files"]!) as PolicyRow["files"],
});

const requestRow = (row: Row): SealedRequest => ({
  id: row["id"]!,
  client: row["client"]!,
  caller: row["caller"]!,
  key: row["key"]!,
  idempotencyKey: row["idempotency_key"]!,
  bodyHash: row["body_hash"]!,
  state: row["ended"] ?? row["state"]!,
  submittedAt: row["submitted_at"]!,
  changedAt: row["ended_at"] ?? row["changed_at"]!,
  reference: row["reference"] ?? null,
  record: row["record"]!,
  decisionLeaf: row["decision_leaf"]!,
  decision: row["decision"]!,
  outcome: row["outcome"] ?? null,
  leaf: row["leaf"]!,
  seal: row["seal"]!,
  outcomeSeal: row["outcome_seal"] ?? null,
});

/** A decision is written once, in its leaf; an outcome beside the request whose authorization it ends. */
const REQUESTS = `SELECT requests.*, leaves.opening AS decision, outcomes.state AS ended, outcomes.changed_at AS ended_at,
    outcomes.outcome, outcomes.seal AS outcome_seal
  FROM requests JOIN leaves ON idx = requests.decision_leaf
    LEFT JOIN outcomes ON outcomes.decision_leaf = requests.decision_leaf`;

const listed = (further: string): string =>
  `${REQUESTS} WHERE requests.client = @client ${further} AND (@caller IS NULL OR caller = @caller)
     AND (@state IS NULL OR coalesce(outcomes.state, requests.state) = @state) AND (@key IS NULL OR key = @key)
     AND (@since IS NULL OR submitted_at >= @since) AND (@until IS NULL OR submitted_at < @until)
     AND (@before IS NULL OR id < @before)
   ORDER BY id DESC LIMIT @limit`;
const LISTED = listed("");
/** A statement of its own: one that may have a reference or not is planned for the one that has none. */
export const LISTED_BY_REFERENCE = listed("AND reference = @reference");

const leafRow = (row: Row): SealedLeaf => ({
  index: row["idx"]!,
  at: row["at"]!,
  hash: row["hash"]!,
  commitment: row["commitment"]!,
  client: row["client"]!,
  number: row["number"]!,
  opening: row["opening"]!,
  seal: row["seal"]!,
});

const spendEntry = (row: Row): SealedSpend => ({
  at: row["at"]!,
  leaf: row["leaf"]!,
  amount: BigInt(row["amount"]!),
  total: BigInt(row["total"]!),
  seal: row["seal"]!,
});

const checkpointRow = (row: Row): CheckpointRow => ({
  size: row["size"]!,
  root: row["root"]!,
  at: row["at"]!,
  note: row["note"]!,
});

const recoveryRow = (row: Row): RecoveryRow => ({
  leaf: row["leaf"]!,
  at: row["at"]!,
  promisedSize: row["promised_size"]!,
  lost: row["lost"]!,
});

const pinRow = (row: Row): PinRow => ({
  name: row["name"]!,
  version: row["version"]!,
  state: row["state"]!,
  sealed: row["sealed"]!,
});

const HASH_BYTES = 32;
const TILE_WIDTH = 256;

/** Statements are prepared once: preparing costs more than running. */
function statementsOf(database: Database) {
  const cache = new Map<string, Statement>();
  return (sql: string): Statement => {
    let statement = cache.get(sql);
    if (!statement) cache.set(sql, (statement = database.prepare(sql)));
    return statement;
  };
}

/**
 * What every request asks for again and only this process changes: the ends of the log and of counters, active policies.
 * Kept as it is read or written, forgotten whole when anything is undone.
 */
class StoreMemory {
  /** By the job that runs. */
  written = false;
  /** By anybody since the log was synced last. */
  unsynced = false;
  readonly leaves = new Map<ClientId | "log", SealedLeaf | undefined>();
  readonly policyHashes = new Map<ClientId, string | undefined>();
  readonly revisions = new Map<ClientId, number | undefined>();
  readonly counters = new Map<CounterId, SealedSpend | undefined>();

  /** Whether anything was written since it was asked last. */
  takeUnsynced(): boolean {
    const { unsynced } = this;
    this.unsynced = false;
    return unsynced;
  }

  forget(): void {
    this.leaves.clear();
    this.policyHashes.clear();
    this.revisions.clear();
    this.counters.clear();
  }
}

function remembered<K, V>(memory: Map<K, V>, key: K, read: () => V): V {
  if (memory.has(key)) return memory.get(key) as V;
  const value = read();
  memory.set(key, value);
  return value;
}

function transactionOn(database: Database, clock: () => number, memory: StoreMemory): RowTransaction {
  const sql = statementsOf(database);
  const one = (text: string, ...values: unknown[]): Row | undefined => sql(text).get(...values) as Row | undefined;
  const all = (text: string, ...values: unknown[]): Row[] => sql(text).all(...values) as Row[];
  /** @returns how many rows it changed */
  const change = (text: string, ...values: unknown[]): number => {
    memory.written = memory.unsynced = true;
    return sql(text).run(...values).changes;
  };
  const run = (text: string, ...values: unknown[]): void => void change(text, ...values);
  const revise = (client: ClientId): void => {
    run("UPDATE clients SET revision = revision + 1 WHERE id = ?", client);
    memory.revisions.delete(client);
  };

  const lastLeaf = (client?: ClientId): SealedLeaf | undefined =>
    remembered(memory.leaves, client ?? "log", () => {
      const row =
        client === undefined
          ? one("SELECT * FROM leaves ORDER BY idx DESC LIMIT 1")
          : one("SELECT * FROM leaves WHERE client = ? ORDER BY number DESC LIMIT 1", client);
      return row && leafRow(row);
    });

  const timeNow = (): number => Math.max(clock(), lastLeaf()?.at ?? 0);
  const lastSpend = (counter: CounterId): SealedSpend | undefined =>
    remembered(memory.counters, counter, () => {
      const row = one("SELECT * FROM spend WHERE counter = ? ORDER BY at DESC, leaf DESC LIMIT 1", counter);
      return row && spendEntry(row);
    });

  const keyRow = (row: Row): KeyRow => ({
    client: row["client"]!,
    name: row["name"]!,
    id: row["id"]!,
    curve: row["curve"]!,
    purpose: row["purpose"]!,
    publicKey: row["public_key"]!,
    chains: JSON.parse(row["chains"]!) as ChainId[],
    accounts: all("SELECT account FROM accounts WHERE client = ? AND key = ?", row["client"], row["name"]).map(
      (account) => account["account"]!,
    ),
    state: row["state"]!,
    leaf: row["leaf"]!,
  });

  return {
    now: async () => timeNow(),

    client: async (id) => {
      const row = one("SELECT * FROM clients WHERE id = ?", id);
      return row && clientRow(row);
    },
    clients: async () => all("SELECT * FROM clients ORDER BY id").map(clientRow),
    insertClient: async (row) =>
      run(
        "INSERT INTO clients (id, owner, status, token_label, token_serial, salt_key) VALUES (?, ?, ?, ?, ?, ?)",
        row.id,
        row.owner,
        row.status,
        row.token.label,
        row.token.serial,
        row.saltKey,
      ),

    putFreezes: async (client, freezes) => {
      const status = freezes.some(({ kind }) => kind === "client") ? "frozen" : "active";
      run("UPDATE clients SET status = ?, freezes = ? WHERE id = ?", status, JSON.stringify(freezes), client);
      revise(client);
    },

    keys: async (client) => all("SELECT * FROM keys WHERE client = ? ORDER BY name", client).map(keyRow),
    insertKey: async (row) => {
      revise(row.client);
      run(
        "INSERT INTO keys (client, name, id, curve, purpose, public_key, chains, state, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        row.client,
        row.name,
        row.id,
        row.curve,
        row.purpose,
        row.publicKey,
        JSON.stringify(row.chains),
        row.state,
        row.leaf,
      );
      for (const account of row.accounts)
        run("INSERT INTO accounts (account, client, key) VALUES (?, ?, ?)", account, row.client, row.name);
    },
    updateKeyState: async (client, name, state) => {
      run("UPDATE keys SET state = ? WHERE client = ? AND name = ?", state, client, name);
      revise(client);
    },

    pins: async (name) => all("SELECT * FROM pins WHERE name = ? ORDER BY version", name).map(pinRow),
    putPin: async ({ name, version, state, sealed }) =>
      run(
        `INSERT INTO pins (name, version, state, sealed) VALUES (?, ?, ?, ?)
         ON CONFLICT (name, version) DO UPDATE SET state = excluded.state, sealed = excluded.sealed`,
        name,
        version,
        state,
        sealed,
      ),
    answer: async ({ client, caller, idempotencyKey }) => {
      const row = one(
        "SELECT * FROM answers WHERE client = ? AND caller = ? AND idempotency_key = ?",
        client,
        caller,
        idempotencyKey,
      );
      return row && { client, caller, idempotencyKey, status: row["status"]!, body: row["body"]!, seal: row["seal"]! };
    },
    insertAnswer: async ({ client, caller, idempotencyKey, status, body, seal }) =>
      run(
        "INSERT INTO answers (client, caller, idempotency_key, status, body, seal) VALUES (?, ?, ?, ?, ?, ?)",
        client,
        caller,
        idempotencyKey,
        status,
        body,
        seal,
      ),
    scheduledPolicy: async (client) => {
      const row = one("SELECT change FROM scheduled_policies WHERE client = ?", client);
      return row && (JSON.parse(row["change"]!) as ScheduledPolicyRow);
    },
    scheduledPolicies: async () =>
      all("SELECT client, active_at FROM scheduled_policies ORDER BY client").map((row) => ({
        client: row["client"]!,
        activeAt: row["active_at"]!,
      })),
    putScheduledPolicy: async (row) =>
      run(
        "INSERT INTO scheduled_policies (client, active_at, change) VALUES (?, ?, ?)",
        row.client,
        row.activeAt,
        JSON.stringify(row),
      ),
    removeScheduledPolicy: async (client) => run("DELETE FROM scheduled_policies WHERE client = ?", client),
    removePin: async (name, version) => run("DELETE FROM pins WHERE name = ? AND version = ?", name, version),

    owners: async (accounts) => {
      const owners = new Map<Account, ClientId>();
      for (const account of accounts) {
        const row = one("SELECT client FROM accounts WHERE account = ?", account);
        if (row) owners.set(account, row["client"]!);
      }
      return owners;
    },

    revision: async (client) =>
      remembered(
        memory.revisions,
        client,
        () => one("SELECT revision FROM clients WHERE id = ?", client)?.["revision"],
      ),
    policyHash: async (client) =>
      remembered(memory.policyHashes, client, () => {
        const row = one("SELECT policy_hash FROM clients WHERE id = ?", client);
        return row?.["policy_hash"] ?? undefined;
      }),
    policy: async (client, version) => {
      const row =
        version === undefined
          ? one(
              "SELECT policies.* FROM policies JOIN clients ON clients.id = client AND hash = policy_hash WHERE client = ? ORDER BY version DESC LIMIT 1",
              client,
            )
          : one("SELECT * FROM policies WHERE client = ? AND version = ?", client, version);
      return row && policyRow(row);
    },
    policyVersions: async (client, { before = Number.MAX_SAFE_INTEGER, limit }) =>
      all(
        `SELECT client, version, hash, previous_hash, signatures, applied_at, leaf FROM policies
         WHERE client = ? AND version < ? ORDER BY version DESC LIMIT ?`,
        client,
        before,
        limit,
      ).map(policyVersionRow),
    insertPolicy: async (row, heldSince) => {
      run(
        "INSERT INTO policies (client, version, hash, previous_hash, entry, files, signatures, applied_at, leaf) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        row.client,
        row.version,
        row.hash,
        row.previousHash,
        row.entry,
        JSON.stringify(row.files),
        JSON.stringify(row.signatures),
        row.appliedAt,
        row.leaf,
      );
      run("UPDATE clients SET policy_hash = ? WHERE id = ?", row.hash, row.client);
      revise(row.client);
      memory.policyHashes.set(row.client, row.hash);
      run("DELETE FROM held_addresses WHERE client = ?", row.client);
      for (const [account, since] of heldSince)
        run("INSERT INTO held_addresses (client, account, since) VALUES (?, ?, ?)", row.client, account, since);
    },
    callerKeyOwner: async (key) => one("SELECT client FROM caller_keys WHERE key = ?", key)?.["client"],
    insertCallerKey: async (key, client) =>
      run("INSERT INTO caller_keys (key, client) VALUES (?, ?) ON CONFLICT DO NOTHING", key, client),
    heldSince: async (client) =>
      new Map(
        all("SELECT account, since FROM held_addresses WHERE client = ?", client).map((row) => [
          row["account"]! as Account,
          row["since"]! as number,
        ]),
      ),

    request: async (client, id) => {
      const row = one(`${REQUESTS} WHERE requests.client = ? AND id = ?`, client, id);
      return row && requestRow(row);
    },
    requestStanding: async (client, id) => {
      const row = one(
        `SELECT coalesce(outcomes.state, requests.state) AS state, decision_leaf
         FROM requests LEFT JOIN outcomes USING (decision_leaf) WHERE client = ? AND id = ?`,
        client,
        id,
      );
      return row && { state: row["state"]!, decisionLeaf: row["decision_leaf"]! };
    },
    requestByIdempotencyKey: async (client, caller, idempotencyKey) => {
      const row = one(
        `${REQUESTS} WHERE requests.client = ? AND caller = ? AND idempotency_key = ?`,
        client,
        caller,
        idempotencyKey,
      );
      return row && requestRow(row);
    },
    requests: async (
      client,
      { caller = null, state = null, key = null, reference = null, since = null, until = null, before = null, limit },
    ) =>
      all(reference === null ? LISTED : LISTED_BY_REFERENCE, {
        ...{ client, caller, state, key, since, until, before, limit },
        ...(reference === null ? {} : { reference }),
      }).map(requestRow),
    insertRequest: async (row) => {
      run(
        `INSERT INTO requests (id, client, caller, key, idempotency_key, body_hash, state, submitted_at, changed_at, record,
           decision_leaf, leaf, seal, reference)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        row.id,
        row.client,
        row.caller,
        row.key,
        row.idempotencyKey,
        row.bodyHash,
        row.state,
        row.submittedAt,
        row.changedAt,
        row.record,
        row.decisionLeaf,
        row.leaf,
        row.seal,
        row.reference,
      );
      if (row.outcome !== null)
        run(
          "INSERT INTO outcomes (decision_leaf, state, changed_at, outcome, seal) VALUES (?, ?, ?, ?, ?)",
          row.decisionLeaf,
          row.state,
          row.changedAt,
          row.outcome,
          row.outcomeSeal,
        );
    },
    updateRequest: async (row) =>
      run(
        `UPDATE requests SET state = ?, changed_at = ?, record = ?, decision_leaf = ?, leaf = ?, seal = ?
         WHERE client = ? AND id = ?`,
        row.state,
        row.changedAt,
        row.record,
        row.decisionLeaf,
        row.leaf,
        row.seal,
        row.client,
        row.id,
      ),
    recordOutcome: async ({ client, id, state, changedAt, decisionLeaf, outcome, outcomeSeal }) => {
      const changed = change(
        `INSERT INTO outcomes (decision_leaf, state, changed_at, outcome, seal)
         SELECT decision_leaf, ?, ?, ?, ? FROM requests
         WHERE client = ? AND id = ? AND state = 'authorized' AND decision_leaf = ?
         ON CONFLICT DO NOTHING`,
        state,
        changedAt,
        outcome,
        outcomeSeal,
        client,
        id,
        decisionLeaf,
      );
      if (changed !== 1)
        throw new GatewayError(
          "integrity",
          `expected request \`${id}\` to stand as authorized in leaf ${decisionLeaf}`,
        );
    },

    recoveries: async () => all("SELECT * FROM recoveries ORDER BY leaf").map(recoveryRow),
    insertRecovery: async ({ leaf, at, promisedSize, lost }) => {
      run("INSERT INTO recoveries (leaf, at, promised_size, lost) VALUES (?, ?, ?, ?)", leaf, at, promisedSize, lost);
      revise(HOUSE);
    },

    claimedBy: async (claim) => one("SELECT request FROM claims WHERE claim = ?", claim)?.["request"],
    nextNonce: async (account) => {
      const row = one("SELECT next, leaf, seal FROM nonces WHERE account = ?", account);
      return row && { next: BigInt(row["next"]!), leaf: row["leaf"]!, seal: row["seal"]! };
    },
    insertClaim: async (claim, request) => run("INSERT INTO claims (claim, request) VALUES (?, ?)", claim, request),
    removeClaim: async (claim) => run("DELETE FROM claims WHERE claim = ?", claim),
    setNextNonce: async (account, { next, leaf, seal }) =>
      run(
        `INSERT INTO nonces (account, next, leaf, seal) VALUES (?, ?, ?, ?)
         ON CONFLICT (account) DO UPDATE SET next = excluded.next, leaf = excluded.leaf, seal = excluded.seal`,
        account,
        next.toString(),
        leaf,
        seal,
      ),

    lastSpend: async (counter) => lastSpend(counter),
    spendBefore: async (counter, moment) => {
      const row = one(
        "SELECT * FROM spend WHERE counter = ? AND at <= ? ORDER BY at DESC, leaf DESC LIMIT 1",
        counter,
        moment,
      );
      return row && spendEntry(row);
    },
    spendAt: async (counter, { at, leaf }) => {
      const row = one("SELECT * FROM spend WHERE counter = ? AND at = ? AND leaf = ?", counter, at, leaf);
      return row && spendEntry(row);
    },
    insertSpend: async (counter, entry) => {
      const last = lastSpend(counter);
      // The order in which totals are read: an entry before the latest would be in no sum.
      if (last && (entry.at < last.at || (entry.at === last.at && entry.leaf <= last.leaf)))
        throw new GatewayError("integrity", `expected entries of \`${counter}\` in the order of time`);
      run(
        "INSERT INTO spend (counter, at, leaf, amount, total, seal) VALUES (?, ?, ?, ?, ?, ?)",
        counter,
        entry.at,
        entry.leaf,
        entry.amount.toString(),
        entry.total.toString(),
        entry.seal,
      );
      memory.counters.set(counter, entry);
    },
    clearSpend: async (of) => {
      memory.counters.clear();
      run("DELETE FROM spend WHERE counter >= ? AND counter < ?", `${of}/`, `${of}0`);
    },

    lastLeaf: async (client) => lastLeaf(client),
    leaf: async (index) => {
      const row = one("SELECT * FROM leaves WHERE idx = ?", index);
      return row && leafRow(row);
    },
    leaves: async (from, limit) => {
      // A walk along the whole log would keep this thread, and its watchdog, waiting.
      await new Promise(setImmediate);
      return all("SELECT * FROM leaves WHERE idx >= ? ORDER BY idx LIMIT ?", from, limit).map(leafRow);
    },
    insertLeaf: async (row) => {
      const [index, number] = [(lastLeaf()?.index ?? -1) + 1, (lastLeaf(row.client)?.number ?? -1) + 1];
      if (row.index !== index || row.number !== number || row.at < (lastLeaf()?.at ?? 0)) {
        throw new GatewayError(
          "integrity",
          `expected leaf ${index}, number ${number} of \`${row.client}\`, at a time that does not fall; found leaf ${row.index}, number ${row.number}`,
        );
      }
      run(
        "INSERT INTO leaves (idx, at, hash, commitment, client, number, opening, seal) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        row.index,
        row.at,
        row.hash,
        row.commitment,
        row.client,
        row.number,
        row.opening,
        row.seal,
      );
      memory.leaves.set("log", row).set(row.client, row);
    },

    leafHashes: async (from, limit) =>
      all("SELECT hash FROM leaves WHERE idx >= ? ORDER BY idx LIMIT ?", from, limit).map((row) => row["hash"]!),
    treeSize: async () => {
      const last = one("SELECT idx, length(hashes) AS bytes FROM tiles WHERE level = 0 ORDER BY idx DESC LIMIT 1");
      return last ? last["idx"]! * TILE_WIDTH + last["bytes"]! / HASH_BYTES : 0;
    },
    tile: async (level, index) => one("SELECT hashes FROM tiles WHERE level = ? AND idx = ?", level, index)?.["hashes"],
    putTile: async (level, index, hashes) =>
      run(
        `INSERT INTO tiles (level, idx, hashes) VALUES (?, ?, ?)
         ON CONFLICT (level, idx) DO UPDATE SET hashes = excluded.hashes`,
        level,
        index,
        hashes,
      ),
    lastCheckpoint: async () => {
      const row = one("SELECT * FROM checkpoints ORDER BY size DESC LIMIT 1");
      return row && checkpointRow(row);
    },
    checkpoints: async (fromSize, limit) =>
      all("SELECT * FROM checkpoints WHERE size >= ? ORDER BY size LIMIT ?", fromSize, limit).map(checkpointRow),
    cosignCheckpoint: async (size, note) => run("UPDATE checkpoints SET note = ? WHERE size = ?", note, size),
    insertCheckpoint: async ({ size, root, at, note }) => {
      const last = one("SELECT max(size) AS size FROM checkpoints")?.["size"] ?? 0;
      if (size <= last)
        throw new GatewayError("integrity", `expected a checkpoint of more than ${last} leaves, found one of ${size}`);
      run("INSERT INTO checkpoints (size, root, at, note) VALUES (?, ?, ?, ?)", size, root, at, note);
    },
    snapshot: async () => {
      const row = one(
        "SELECT size, parts FROM snapshots GROUP BY size, parts HAVING count(*) = parts ORDER BY size DESC LIMIT 1",
      );
      return row && { size: row["size"]!, parts: row["parts"]! };
    },
    snapshotPart: async ({ size, parts }, part) =>
      one("SELECT bytes FROM snapshots WHERE size = ? AND parts = ? AND part = ?", size, parts, part)?.["bytes"],
    putSnapshotPart: async ({ size, parts }, part, bytes) =>
      run(
        `INSERT INTO snapshots (size, parts, part, bytes) VALUES (?, ?, ?, ?)
         ON CONFLICT (size, part) DO UPDATE SET parts = excluded.parts, bytes = excluded.bytes`,
        size,
        parts,
        part,
        bytes,
      ),
    removeSnapshots: async (below) => run("DELETE FROM snapshots WHERE size < ?", below),
    takeTurn: async (task, holder, forMs) => {
      const now = timeNow();
      run(
        `INSERT INTO turns (task, holder, until) VALUES (?, ?, ?)
         ON CONFLICT (task) DO UPDATE SET holder = excluded.holder, until = excluded.until
         WHERE turns.holder = excluded.holder OR turns.until <= ?`,
        task,
        holder,
        now + forMs,
        now,
      );
      return one("SELECT holder FROM turns WHERE task = ?", task)?.["holder"] === holder;
    },
  };
}
