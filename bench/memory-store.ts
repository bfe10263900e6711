import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { deserialize, serialize } from "node:v8";
import type { Account } from "../src/domain/chain.ts";
import type { CounterId } from "../src/domain/decision.ts";
import { GatewayError } from "../src/domain/errors.ts";
import { HOUSE, type ClientId } from "../src/domain/names.ts";
import type { RequestId } from "../src/domain/request.ts";
import type {
  CheckpointRow,
  ClientRow,
  KeyRow,
  AnswerRow,
  PinRow,
  PolicyRow,
  RecoveryRow,
  RowStore,
  RowTransaction,
  ScheduledPolicyRow,
  SealedLeaf,
  SealedNonce,
  SealedRequest,
  SealedSpend,
} from "../src/vault/ports.ts";

/*
 * A store in maps: the least that any store can cost, to hold the others against. It keeps the contract of the port but
 * for one thing: what is in it is in a file only once it was closed.
 */

type StoredClient = ClientRow & { readonly revision: number; readonly policy: number | undefined };

/** Keys of several members are joined by a line end, which is in none of them. */
const tables = () => ({
  schema: 1,
  leaves: [] as SealedLeaf[],
  lastLeaves: new Map<ClientId, SealedLeaf>(),
  clients: new Map<ClientId, StoredClient>(),
  keys: new Map<string, KeyRow>(),
  accounts: new Map<Account, ClientId>(),
  policies: new Map<string, PolicyRow>(),
  scheduled: new Map<ClientId, ScheduledPolicyRow>(),
  callerKeys: new Map<string, ClientId>(),
  held: new Map<ClientId, ReadonlyMap<Account, number>>(),
  requests: new Map<string, SealedRequest>(),
  idempotencyKeys: new Map<string, RequestId>(),
  claims: new Map<string, RequestId>(),
  nonces: new Map<Account, SealedNonce>(),
  counters: new Map<CounterId, SealedSpend[]>(),
  tiles: new Map<string, Uint8Array>(),
  treeSize: 0,
  checkpoints: [] as CheckpointRow[],
  recoveries: [] as RecoveryRow[],
  pins: new Map<string, PinRow>(),
  answers: new Map<string, AnswerRow>(),
  turns: new Map<string, { holder: string; until: number }>(),
  snapshots: new Map<string, Uint8Array>(),
});
type Tables = ReturnType<typeof tables>;

const key = (...parts: readonly (string | number)[]): string => parts.join("\n");
const refuse = (what: string): never => {
  throw new GatewayError("integrity", `expected ${what}`);
};

/** What takes back each change of the work that runs, the last one first. */
class Journal {
  #undo: (() => void)[] = [];

  begin(): void {
    this.#undo = [];
  }

  note(undo: () => void): void {
    this.#undo.push(undo);
  }

  undo(): void {
    for (const each of this.#undo.reverse()) each();
  }

  put<K, V>(map: Map<K, V>, name: K, value: V): void {
    const before = map.get(name);
    this.#undo.push(() => void (before === undefined ? map.delete(name) : map.set(name, before)));
    map.set(name, value);
  }

  insert<K, V>(map: Map<K, V>, name: K, value: V, what: string): void {
    if (map.has(name)) refuse(`${what} that is not taken`);
    this.put(map, name, value);
  }

  remove<K, V>(map: Map<K, V>, name: K): void {
    const before = map.get(name);
    if (before !== undefined) this.#undo.push(() => void map.set(name, before));
    map.delete(name);
  }

  push<V>(list: V[], value: V): void {
    this.#undo.push(() => void list.pop());
    list.push(value);
  }
}

/** @param path of a file that holds what the last one to be closed here knew */
export function openMemoryStore(path: string, clock: () => number = Date.now): RowStore {
  const data = read(path);
  const journal = new Journal();
  let moment: number | undefined;
  const transaction = transactionOn(data, journal, () => (moment ??= clock()));
  type Job = { readonly run: () => Promise<() => void> };
  const queue: Job[] = [];
  let running: Promise<void> | undefined;
  const drain = async (): Promise<void> => {
    await new Promise(setImmediate); // those of one moment are answered at one moment, as where they share a COMMIT
    while (queue.length > 0) {
      const answers = [];
      for (const { run } of queue.splice(0)) answers.push(await run());
      for (const answer of answers) answer();
    }
    running = undefined;
  };
  const run = <T>(work: (transaction: RowTransaction) => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      queue.push({
        run: async () => {
          moment = undefined;
          journal.begin();
          try {
            const value = await work(transaction);
            return () => resolve(value);
          } catch (error) {
            journal.undo();
            return () => reject(error instanceof Error ? error : new Error(String(error)));
          }
        },
      });
      running ??= drain();
    });
  return {
    write: run,
    read: run,
    close: async () => {
      while (running) await running;
      writeFileSync(path, serialize(data));
    },
  };
}

/** Where it takes the place of the embedded store. */
export { openMemoryStore as openSqliteStore };

const SCHEMA = 1;

function read(path: string): Tables {
  try {
    const data = existsSync(path) ? (deserialize(readFileSync(path)) as Tables) : tables();
    if (!existsSync(path)) writeFileSync(path, serialize(data));
    if (data.schema > SCHEMA)
      throw new GatewayError("store-too-new", `expected schema ${SCHEMA}, found ${data.schema}`);
    return data;
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause;
    throw new GatewayError("store-unavailable", `cannot open \`${path}\``, { cause });
  }
}

const byText = (one: string, other: string): number => (one < other ? -1 : 1);

/** The latest with `at <= moment`: they stand in the order of time. */
function latestUpTo(entries: readonly SealedSpend[], moment: number): SealedSpend | undefined {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle]!.at <= moment) low = middle + 1;
    else high = middle;
  }
  return entries[low - 1];
}

function transactionOn(data: Tables, journal: Journal, clock: () => number): RowTransaction {
  const now = (): number => Math.max(clock(), data.leaves.at(-1)?.at ?? 0);
  const change = (id: ClientId, changes: Partial<StoredClient>): void => {
    const row = data.clients.get(id);
    if (row) journal.put(data.clients, id, { ...row, ...changes });
  };
  const revise = (id: ClientId): void => change(id, { revision: (data.clients.get(id)?.revision ?? 0) + 1 });
  const clientRow = ({ id, owner, status, token, saltKey, freezes }: StoredClient): ClientRow => ({
    id,
    owner,
    status,
    token,
    saltKey,
    freezes,
  });
  const request = (client: ClientId, id: RequestId): SealedRequest | undefined => {
    const row = data.requests.get(key(client, id));
    return row && { ...row, decision: data.leaves[row.decisionLeaf!]!.opening };
  };
  return { ...clients(), ...policies(), ...requests(), ...onceOnly(), ...log() };

  function clients() {
    return {
      now: async () => now(),
      client: async (id) => {
        const row = data.clients.get(id);
        return row && clientRow(row);
      },
      clients: async () => [...data.clients.values()].map(clientRow).sort((a, b) => byText(a.id, b.id)),
      insertClient: async (row) => {
        const isTaken = ({ token }: ClientRow) => token.label === row.token.label && token.serial === row.token.serial;
        if ([...data.clients.values()].some(isTaken)) refuse("a token that is not taken");
        const stored = { ...row, status: "active" as const, freezes: [], revision: 0, policy: undefined };
        journal.insert(data.clients, row.id, stored, "a client's id");
      },
      putFreezes: async (id, freezes) => {
        change(id, { freezes, status: freezes.some(({ kind }) => kind === "client") ? "frozen" : "active" });
        revise(id);
      },
      keys: async (client) =>
        [...data.keys.values()].filter((row) => row.client === client).sort((a, b) => byText(a.name, b.name)),
      insertKey: async (row) => {
        const publicKey = Buffer.from(row.publicKey);
        if ([...data.keys.values()].some((other) => other.id === row.id || publicKey.equals(other.publicKey)))
          refuse("a key that is not there yet");
        journal.insert(data.keys, key(row.client, row.name), row, "a key's name");
        for (const account of row.accounts) journal.insert(data.accounts, account, row.client, "an account");
        revise(row.client);
      },
      updateKeyState: async (client, name, state) => {
        const row = data.keys.get(key(client, name));
        if (row) journal.put(data.keys, key(client, name), { ...row, state });
        revise(client);
      },
      owners: async (accounts) =>
        new Map(accounts.flatMap((each) => (data.accounts.has(each) ? [[each, data.accounts.get(each)!]] : []))),
      pins: async (name) =>
        [...data.pins.values()].filter((row) => row.name === name).sort((a, b) => a.version - b.version),
      answer: async ({ client, caller, idempotencyKey }) => data.answers.get(key(client, caller, idempotencyKey)),
      insertAnswer: async (row) =>
        journal.insert(data.answers, key(row.client, row.caller, row.idempotencyKey), row, "a key's answer"),
      putPin: async (row) => journal.put(data.pins, key(row.name, row.version), row),
      removePin: async (name, version) => journal.remove(data.pins, key(name, version)),
      revision: async (id) => data.clients.get(id)?.revision,
      callerKeyOwner: async (text) => data.callerKeys.get(text),
      insertCallerKey: async (text, client) => {
        if (!data.callerKeys.has(text)) journal.put(data.callerKeys, text, client);
      },
    } satisfies Partial<RowTransaction>;
  }

  function policies() {
    const activeOf = (id: ClientId): PolicyRow | undefined =>
      data.policies.get(key(id, data.clients.get(id)?.policy ?? ""));
    return {
      policyHash: async (id) => activeOf(id)?.hash,
      policy: async (id, version) => (version === undefined ? activeOf(id) : data.policies.get(key(id, version))),
      policyVersions: async (id, { before = Infinity, limit }) =>
        [...data.policies.values()]
          .filter(({ client, version }) => client === id && version < before)
          .sort((a, b) => b.version - a.version)
          .slice(0, limit)
          .map(({ entry: _entry, files: _files, ...row }) => row),
      insertPolicy: async (row, heldSince) => {
        journal.insert(data.policies, key(row.client, row.version), row, "a policy's version");
        change(row.client, { policy: row.version });
        journal.put(data.held, row.client, new Map(heldSince));
        revise(row.client);
      },
      heldSince: async (id) => data.held.get(id) ?? new Map<Account, number>(),
      scheduledPolicy: async (id) => data.scheduled.get(id),
      scheduledPolicies: async () =>
        [...data.scheduled.values()]
          .map(({ client, activeAt }) => ({ client, activeAt }))
          .sort((a, b) => byText(a.client, b.client)),
      putScheduledPolicy: async (row) => journal.insert(data.scheduled, row.client, row, "one change of policy"),
      removeScheduledPolicy: async (id) => journal.remove(data.scheduled, id),
    } satisfies Partial<RowTransaction>;
  }

  function requests() {
    const byKey = ({ client, caller, idempotencyKey }: Pick<SealedRequest, "client" | "caller" | "idempotencyKey">) =>
      key(client, caller, idempotencyKey);
    return {
      request: async (client, id) => request(client, id),
      requestByIdempotencyKey: async (client, caller, idempotencyKey) => {
        const id = data.idempotencyKeys.get(byKey({ client, caller, idempotencyKey }));
        return id === undefined ? undefined : request(client, id);
      },
      requestStanding: async (client, id) => {
        const row = data.requests.get(key(client, id));
        return row && { state: row.state, decisionLeaf: row.decisionLeaf };
      },
      requests: async (client, { caller, state, key: name, reference, since = 0, until = Infinity, before, limit }) =>
        [...data.requests.values()]
          .filter(
            (row) =>
              row.client === client &&
              (caller === undefined || row.caller === caller) &&
              (state === undefined || row.state === state) &&
              (name === undefined || row.key === name) &&
              (before === undefined || row.id < before) &&
              row.submittedAt >= since &&
              row.submittedAt < until &&
              (reference === undefined || row.reference === reference),
          )
          .sort((a, b) => byText(b.id, a.id))
          .slice(0, limit)
          .map(({ id }) => request(client, id)!),
      insertRequest: async (row) => {
        journal.insert(data.requests, key(row.client, row.id), row, "a request's id");
        journal.insert(data.idempotencyKeys, byKey(row), row.id, "an idempotency key");
      },
      updateRequest: async ({ client, id, state, changedAt, record, decisionLeaf, leaf, seal }) => {
        const row = data.requests.get(key(client, id));
        const changes = { state, changedAt, record, decisionLeaf, leaf, seal };
        if (row) journal.put(data.requests, key(client, id), { ...row, ...changes });
      },
      recordOutcome: async ({ client, id, state, changedAt, decisionLeaf, outcome, outcomeSeal }) => {
        const row = data.requests.get(key(client, id));
        if (row?.state !== "authorized" || row.decisionLeaf !== decisionLeaf)
          return refuse(`request \`${id}\` to stand as authorized in leaf ${decisionLeaf}`);
        journal.put(data.requests, key(client, id), { ...row, state, changedAt, outcome, outcomeSeal });
      },
    } satisfies Partial<RowTransaction>;
  }

  function onceOnly() {
    return {
      claimedBy: async (claim) => data.claims.get(claim),
      insertClaim: async (claim, id) => journal.insert(data.claims, claim, id, "a claim"),
      removeClaim: async (claim) => journal.remove(data.claims, claim),
      nextNonce: async (account) => data.nonces.get(account),
      setNextNonce: async (account, nonce) => journal.put(data.nonces, account, nonce),
      lastSpend: async (counter) => data.counters.get(counter)?.at(-1),
      spendBefore: async (counter, moment) => latestUpTo(data.counters.get(counter) ?? [], moment),
      spendAt: async (counter, { at, leaf }) => {
        const last = latestUpTo(data.counters.get(counter) ?? [], at);
        if (last?.at !== at || last.leaf === leaf) return last?.at === at ? last : undefined;
        return data.counters.get(counter)!.find((entry) => entry.at === at && entry.leaf === leaf);
      },
      insertSpend: async (counter, entry) => {
        if (!data.counters.has(counter)) journal.put(data.counters, counter, []);
        const entries = data.counters.get(counter)!;
        const last = entries.at(-1);
        if (last && (entry.at < last.at || (entry.at === last.at && entry.leaf <= last.leaf)))
          return refuse(`entries of \`${counter}\` in the order of time`);
        journal.push(entries, entry);
      },
      clearSpend: async (of) => {
        for (const counter of [...data.counters.keys()])
          if (counter.startsWith(`${of}/`)) journal.remove(data.counters, counter);
      },
      recoveries: async () => data.recoveries,
      insertRecovery: async (row) => {
        journal.push(data.recoveries, row);
        revise(HOUSE);
      },
      takeTurn: async (task, holder, forMs) => {
        const turn = data.turns.get(task);
        if (turn && turn.holder !== holder && turn.until > now()) return false;
        journal.put(data.turns, task, { holder, until: now() + forMs });
        return true;
      },
    } satisfies Partial<RowTransaction>;
  }

  function log() {
    return {
      lastLeaf: async (client) => (client === undefined ? data.leaves.at(-1) : data.lastLeaves.get(client)),
      leaf: async (index) => data.leaves[index],
      leaves: async (from, limit) => {
        await new Promise(setImmediate);
        return data.leaves.slice(from, from + limit);
      },
      insertLeaf: async (row) => {
        const [last, own] = [data.leaves.at(-1), data.lastLeaves.get(row.client)];
        const follows = row.index === data.leaves.length && row.number === (own?.number ?? -1) + 1;
        if (!follows || row.at < (last?.at ?? 0)) refuse("a leaf that follows on the last one");
        journal.push(data.leaves, row);
        journal.put(data.lastLeaves, row.client, row);
      },
      leafHashes: async (from, limit) => data.leaves.slice(from, from + limit).map(({ hash }) => hash),
      treeSize: async () => data.treeSize,
      tile: async (level, index) => data.tiles.get(key(level, index)),
      putTile: async (level, index, hashes) => {
        if (hashes.length === 0 || hashes.length > 8192 || hashes.length % 32 !== 0) refuse("a tile of whole hashes");
        journal.put(data.tiles, key(level, index), hashes);
        const before = data.treeSize;
        journal.note(() => void (data.treeSize = before));
        if (level === 0) data.treeSize = Math.max(before, index * 256 + hashes.length / 32);
      },
      lastCheckpoint: async () => data.checkpoints.at(-1),
      checkpoints: async (fromSize, limit) =>
        data.checkpoints.slice(data.checkpoints.findLastIndex(({ size }) => size < fromSize) + 1).slice(0, limit),
      insertCheckpoint: async (row) => {
        if (row.size <= (data.checkpoints.at(-1)?.size ?? 0)) refuse("a checkpoint of more leaves");
        journal.push(data.checkpoints, row);
      },
      cosignCheckpoint: async (size, note) => {
        const at = data.checkpoints.findIndex((row) => row.size === size);
        const before = data.checkpoints[at];
        if (!before) return;
        journal.note(() => void (data.checkpoints[at] = before));
        data.checkpoints[at] = { ...before, note };
      },
      snapshot: async () => {
        const found = new Map<string, number>();
        for (const name of data.snapshots.keys()) {
          const ref = name.slice(0, name.lastIndexOf("\n"));
          found.set(ref, (found.get(ref) ?? 0) + 1);
        }
        const whole = [...found].map(([ref, count]) => [...ref.split("\n").map(Number), count]);
        const [largest] = whole.filter(([, parts, count]) => parts === count).sort((a, b) => b[0]! - a[0]!);
        return largest && { size: largest[0]!, parts: largest[1]! };
      },
      snapshotPart: async ({ size, parts }, part) => data.snapshots.get(key(size, parts, part)),
      putSnapshotPart: async ({ size, parts }, part, bytes) => {
        for (const name of [...data.snapshots.keys()])
          if (name.startsWith(`${size}\n`) && name.endsWith(`\n${part}`)) journal.remove(data.snapshots, name);
        journal.put(data.snapshots, key(size, parts, part), bytes);
      },
      removeSnapshots: async (below) => {
        for (const name of [...data.snapshots.keys()]) if (parseInt(name) < below) journal.remove(data.snapshots, name);
      },
    } satisfies Partial<RowTransaction>;
  }
}

/** Makes what is stored there look as if a newer Portcullis had written it. */
export function raiseSchema(path: string): void {
  const data = deserialize(readFileSync(path)) as Tables;
  writeFileSync(path, serialize({ ...data, schema: data.schema + 1 }));
}
