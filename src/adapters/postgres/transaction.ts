import { GatewayError } from "../../domain/errors.ts";
import { HOUSE, type ClientId } from "../../domain/names.ts";
import type { RequestId } from "../../domain/request.ts";
import type { RowTransaction, SealedLeaf, SealedSpend } from "../../vault/ports.ts";
import type { Cluster } from "./head.ts";
import { idempotencyIndex, remembered, type Memory } from "./memory.ts";
import { PendingWrites } from "./pending-writes.ts";
import { entryBefore, questions, type Ask } from "./reader.ts";
import type { Row, Session } from "./session.ts";

/** A statement failed, so that nothing that follows it in this transaction has a meaning. */
export class Broken extends Error {
  constructor(cause: unknown) {
    super("the transaction is broken", { cause });
  }
}

/** Rows in mind at the most, before the database is told: a policy's recount may write very many. */
const PENDING_MAX = 5_000;

/**
 * The transaction of one group: what works write waits in memory, is sent ahead of the next question that the memory
 * cannot answer, and at the end. A work that throws before anything of it was sent is undone by forgetting it.
 */
export class GroupTransaction {
  readonly port: RowTransaction;
  readonly #session: Session;
  readonly #memory: Memory;
  readonly #pending = new PendingWrites();
  /** What was sent and not yet heard of. */
  #sent: Promise<Row[]>[] = [];
  #wrote = false;
  #failure: unknown;
  #count = 0;

  constructor(session: Session, memory: Memory, now: number) {
    this.#session = session;
    this.#memory = memory;
    this.port = transactionOn(this, memory, now);
  }

  /** Whether the work that runs has written anything. */
  get wrote(): boolean {
    return this.#wrote;
  }

  get isBroken(): boolean {
    return this.#failure !== undefined;
  }

  /** What the database said first; all that it said later is its consequence. */
  get failure(): unknown {
    return this.#failure;
  }

  /** @throws {Broken} also where a work has swallowed it */
  requireWhole(): void {
    if (this.isBroken) throw new Broken(this.#failure);
  }

  beginWork(): void {
    this.#wrote = false;
  }

  readonly insert: PendingWrites["insert"] = (table, ...values) => {
    this.#note();
    this.#pending.insert(table, ...values);
  };

  readonly put: PendingWrites["put"] = (table, ...values) => {
    this.#note();
    this.#pending.put(table, ...values);
  };

  readonly outcome: PendingWrites["outcome"] = (...values) => {
    this.#note();
    this.#pending.outcome(...values);
  };

  last(text: string, ...values: unknown[]): void {
    this.#note();
    this.#pending.last(text, ...values);
  }

  statement(text: string, ...values: unknown[]): void {
    this.#note();
    this.#pending.run(text, ...values);
  }

  /** From COMMIT on the log stands in this cluster's history. */
  adopt({ systemIdentifier, timeline }: Cluster): void {
    this.#pending.run("UPDATE head SET system_identifier = $1, timeline = $2", systemIdentifier, timeline);
  }

  #note(): void {
    this.#wrote = true;
    if (++this.#count % PENDING_MAX === 0) this.#send();
  }

  readonly ask: Ask = async (text, ...values) => {
    this.#send();
    try {
      return await this.#session.run(text, values);
    } catch (error) {
      await this.#hear();
      this.#failure ??= error;
      throw new Broken(this.#failure);
    }
  };

  #send(): void {
    this.#sent.push(...this.#pending.flush(this.#session));
  }

  /** Waits for what the database says of everything that was sent. */
  async #hear(): Promise<void> {
    const sent = this.#sent;
    this.#sent = [];
    const failed = (await Promise.allSettled(sent)).find((outcome) => outcome.status === "rejected");
    if (failed) this.#failure ??= failed.reason;
  }

  /** Sends what is left at once, so that COMMIT can follow in the same flight. @throws {Broken} when all is heard */
  flush(): Promise<void> {
    this.#send();
    const whole = this.#hear().then(() => this.requireWhole());
    whole.catch(() => undefined);
    return whole;
  }

  /** Of the work that runs: a savepoint takes back what was sent, and here is forgotten what was not. */
  async forgetWork(): Promise<void> {
    this.#pending.clear();
    await this.#hear();
    this.#failure = undefined;
    this.#memory.forget();
  }
}

function transactionOn(group: GroupTransaction, memory: Memory, groupNow: number): RowTransaction {
  const asked = questions(group.ask);

  const lastLeaf = (client?: ClientId): Promise<SealedLeaf | undefined> =>
    remembered(memory.leaves, client ?? "log", () => asked.lastLeaf(client));

  const lastSpend = (counter: Parameters<typeof asked.lastSpend>[0]): Promise<SealedSpend | undefined> =>
    remembered(memory.ends, counter, () => asked.lastSpend(counter));

  const timeNow = async (): Promise<number> => Math.max(groupNow, (await lastLeaf())?.at ?? 0);

  const revise = (client: ClientId): void => {
    group.statement("UPDATE clients SET revision = revision + 1 WHERE id = $1", client);
    memory.revisions.delete(client);
    memory.clients.delete(client);
  };

  const requestStanding: RowTransaction["requestStanding"] = async (client, id) => {
    const known = memory.requests.get(id);
    return known?.client === client ? known : asked.requestStanding(client, id);
  };

  const forgetRequest = (id: RequestId): void => {
    const row = memory.requests.get(id);
    if (row) memory.requestsByKey.delete(idempotencyIndex(row.client, row.caller, row.idempotencyKey));
    else memory.requestsByKey.clear();
    memory.requests.delete(id);
  };

  return {
    ...asked,
    now: timeNow,

    client: (id) => remembered(memory.clients, id, () => asked.client(id)),
    insertClient: async (row) => {
      group.statement(
        "INSERT INTO clients (id, owner, status, token_label, token_serial, salt_key) VALUES ($1, $2, $3, $4, $5, $6)",
        row.id,
        row.owner,
        row.status,
        row.token.label,
        row.token.serial,
        row.saltKey,
      );
      memory.clients.delete(row.id);
    },

    putFreezes: async (client, freezes) => {
      const status = freezes.some(({ kind }) => kind === "client") ? "frozen" : "active";
      group.statement(
        "UPDATE clients SET status = $1, freezes = $2 WHERE id = $3",
        status,
        JSON.stringify(freezes),
        client,
      );
      revise(client);
    },

    insertKey: async (row) => {
      revise(row.client);
      group.statement(
        "INSERT INTO keys (client, name, id, curve, purpose, public_key, chains, state, leaf) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
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
      for (const account of row.accounts) {
        group.insert("accounts", account, row.client, row.name);
        memory.owners.delete(account);
      }
    },
    updateKeyState: async (client, name, state) => {
      group.statement("UPDATE keys SET state = $1 WHERE client = $2 AND name = $3", state, client, name);
      revise(client);
    },
    putPin: async ({ name, version, state, sealed }) =>
      group.statement(
        `INSERT INTO pins (name, version, state, sealed) VALUES ($1, $2, $3, $4)
         ON CONFLICT (name, version) DO UPDATE SET state = excluded.state, sealed = excluded.sealed`,
        name,
        version,
        state,
        sealed,
      ),
    insertAnswer: async ({ client, caller, idempotencyKey, status, body, seal }) =>
      group.statement(
        `INSERT INTO answers (client, caller, idempotency_key, status, body, seal) VALUES ($1, $2, $3, $4, $5, $6)`,
        client,
        caller,
        idempotencyKey,
        status,
        body,
        seal,
      ),
    putScheduledPolicy: async (row) =>
      group.statement(
        "INSERT INTO scheduled_policies (client, active_at, change) VALUES ($1, $2, $3)",
        row.client,
        row.activeAt,
        JSON.stringify(row),
      ),
    removeScheduledPolicy: async (client) =>
      group.statement("DELETE FROM scheduled_policies WHERE client = $1", client),
    removePin: async (name, version) =>
      group.statement("DELETE FROM pins WHERE name = $1 AND version = $2", name, version),
    owners: async (accounts) => {
      const unknown = accounts.filter((account) => !memory.owners.has(account));
      if (unknown.length > 0) {
        const found = await asked.owners(unknown);
        for (const account of unknown) memory.owners.set(account, found.get(account));
      }
      return new Map(
        accounts.flatMap((account) => {
          const owner = memory.owners.get(account);
          return owner === undefined ? [] : [[account, owner] as const];
        }),
      );
    },

    revision: (client) => remembered(memory.revisions, client, () => asked.revision(client)),
    policyHash: (client) => remembered(memory.policyHashes, client, () => asked.policyHash(client)),
    insertPolicy: async (row, heldSince) => {
      group.statement(
        "INSERT INTO policies (client, version, hash, previous_hash, entry, files, signatures, applied_at, leaf) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
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
      group.statement("UPDATE clients SET policy_hash = $1 WHERE id = $2", row.hash, row.client);
      memory.policyHashes.delete(row.client);
      revise(row.client);
      group.statement("DELETE FROM held_addresses WHERE client = $1", row.client);
      for (const [account, since] of heldSince) group.insert("held_addresses", row.client, account, since);
    },
    insertCallerKey: async (key, client) =>
      group.statement("INSERT INTO caller_keys (key, client) VALUES ($1, $2) ON CONFLICT DO NOTHING", key, client),

    request: async (client, id) => {
      const known = memory.requests.get(id);
      if (known) return known.client === client ? known : undefined;
      const row = await asked.request(client, id);
      if (row) memory.requests.set(id, row);
      return row;
    },
    requestByIdempotencyKey: (client, caller, idempotencyKey) =>
      remembered(memory.requestsByKey, idempotencyIndex(client, caller, idempotencyKey), () =>
        asked.requestByIdempotencyKey(client, caller, idempotencyKey),
      ),
    insertRequest: async (row) => {
      group.insert(
        "requests",
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
        row.outcome,
        row.leaf,
        row.seal,
        row.outcomeSeal,
        row.reference,
      );
      memory.requests.set(row.id, row);
      memory.requestsByKey.set(idempotencyIndex(row.client, row.caller, row.idempotencyKey), row);
    },
    requestStanding: async (client, id) => requestStanding(client, id),
    updateRequest: async ({ client, id, state, changedAt, record, decisionLeaf, leaf, seal }) => {
      group.last(
        `UPDATE requests SET state = $1, changed_at = $2, record = $3, decision_leaf = $4, leaf = $5, seal = $6
         WHERE client = $7 AND id = $8`,
        state,
        changedAt,
        record,
        decisionLeaf,
        leaf,
        seal,
        client,
        id,
      );
      forgetRequest(id);
    },
    recordOutcome: async ({ client, id, state, changedAt, decisionLeaf, outcome, outcomeSeal }) => {
      const standing = await requestStanding(client, id);
      if (standing?.state !== "authorized" || standing.decisionLeaf !== decisionLeaf)
        throw new GatewayError(
          "integrity",
          `expected request \`${id}\` to stand as authorized in leaf ${decisionLeaf}`,
        );
      group.outcome(client, id, state, changedAt, outcome, outcomeSeal);
      forgetRequest(id);
    },

    insertRecovery: async ({ leaf, at, promisedSize, lost }) => {
      group.statement(
        "INSERT INTO recoveries (leaf, at, promised_size, lost) VALUES ($1, $2, $3, $4)",
        leaf,
        at,
        promisedSize,
        lost,
      );
      revise(HOUSE);
    },
    claimedBy: (claim) => remembered(memory.claims, claim, () => asked.claimedBy(claim)),
    nextNonce: (account) => remembered(memory.nonces, account, () => asked.nextNonce(account)),
    insertClaim: async (claim, request) => {
      group.insert("claims", claim, request);
      memory.claims.set(claim, request);
    },
    removeClaim: async (claim) => {
      group.statement("DELETE FROM claims WHERE claim = $1", claim);
      memory.claims.set(claim, undefined);
    },
    setNextNonce: async (account, nonce) => {
      const { next, leaf, seal } = nonce;
      group.put("nonces", account, next, leaf, seal);
      memory.nonces.set(account, nonce);
    },

    lastSpend,
    spendBefore: async (counter, moment) => {
      const last = await lastSpend(counter);
      if (!last || last.at <= moment) return last;
      const kept = memory.stretches.get(counter);
      const known = kept && entryBefore(kept, moment);
      if (known !== undefined) return known ?? undefined;
      const stretch = await asked.stretch(counter, moment);
      memory.stretches.set(counter, stretch);
      return entryBefore(stretch, moment) ?? undefined;
    },
    insertSpend: async (counter, entry) => {
      const last = await lastSpend(counter);
      // The order in which totals are read: an entry before the latest would be in no sum.
      if (last && (entry.at < last.at || (entry.at === last.at && entry.leaf <= last.leaf)))
        throw new GatewayError("integrity", `expected entries of \`${counter}\` in the order of time`);
      const { at, leaf, amount, total, seal } = entry;
      group.insert("spend", counter, at, leaf, amount, total, seal);
      memory.ends.set(counter, entry);
    },
    clearSpend: async (of) => {
      memory.forgetCounters();
      group.statement("DELETE FROM spend WHERE counter >= $1 AND counter < $2", `${of}/`, `${of}0`);
    },

    lastLeaf,
    insertLeaf: async (row) => {
      const [last, previous] = [await lastLeaf(), await lastLeaf(row.client)];
      const [index, number] = [(last?.index ?? -1) + 1, (previous?.number ?? -1) + 1];
      if (row.index !== index || row.number !== number || row.at < (last?.at ?? 0)) {
        throw new GatewayError(
          "integrity",
          `expected leaf ${index}, number ${number} of \`${row.client}\`, at a time that does not fall; found leaf ${row.index}, number ${row.number}`,
        );
      }
      group.insert(
        "leaves",
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

    putTile: async (level, index, hashes) =>
      group.statement(
        `INSERT INTO tiles (level, idx, hashes) VALUES ($1, $2, $3)
         ON CONFLICT (level, idx) DO UPDATE SET hashes = excluded.hashes`,
        level,
        index,
        hashes,
      ),
    putSnapshotPart: async ({ size, parts }, part, bytes) =>
      group.statement(
        `INSERT INTO snapshots (size, parts, part, bytes) VALUES ($1, $2, $3, $4)
         ON CONFLICT (size, part) DO UPDATE SET parts = excluded.parts, bytes = excluded.bytes`,
        size,
        parts,
        part,
        bytes,
      ),
    removeSnapshots: async (below) => group.statement("DELETE FROM snapshots WHERE size < $1", below),
    cosignCheckpoint: async (size, note) =>
      group.statement("UPDATE checkpoints SET note = $1 WHERE size = $2", note, size),
    insertCheckpoint: async ({ size, root, at, note }) => {
      const last = (await asked.lastCheckpoint())?.size ?? 0;
      if (size <= last)
        throw new GatewayError("integrity", `expected a checkpoint of more than ${last} leaves, found one of ${size}`);
      group.statement("INSERT INTO checkpoints (size, root, at, note) VALUES ($1, $2, $3, $4)", size, root, at, note);
    },
    takeTurn: async (task, holder, forMs) => {
      const now = await timeNow();
      group.statement(
        `INSERT INTO turns (task, holder, until) VALUES ($1, $2, $3)
         ON CONFLICT (task) DO UPDATE SET holder = excluded.holder, until = excluded.until
         WHERE turns.holder = excluded.holder OR turns.until <= $4`,
        task,
        holder,
        now + forMs,
        now,
      );
      const [turn] = await group.ask("SELECT holder FROM turns WHERE task = $1", task);
      return turn?.["holder"] === holder;
    },
  };
}
