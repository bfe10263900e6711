import type { Account } from "../domain/chain.ts";
import type { CounterId } from "../domain/decision.ts";
import { GatewayError } from "../domain/errors.ts";
import { targetText } from "../domain/freeze.ts";
import { HOUSE, type ClientId } from "../domain/names.ts";
import { isFinal } from "../domain/request.ts";
import { sameHash } from "../tlog/hashes.ts";
import { integrity, type Following } from "./following.ts";
import { heldDigest, type ClientFacts, type Said } from "./ledger.ts";
import { hashOfLeaf } from "./log.ts";
import type {
  Authorized,
  ClientRow,
  KeyRow,
  RecoveryRow,
  RequestRow,
  RowReader,
  RowStore,
  RowTransaction,
  SealedNonce,
  SealedRequest,
  SealedSpend,
  Store,
  StoreReader,
  StoreTransaction,
} from "./ports.ts";
import { readRecord } from "./record.ts";

/*
 * The store as the vault works with it (I19): every row that a decision relies on is written with a seal, and read only as
 * the log has it. Nothing here is believed because a row is there, nor because it is not. In a transaction what does not
 * fit is an `integrity` error, and its client is stopped; reads outside of one are shown to people, and decide nothing.
 */

/** Of the work that runs: those of a group follow each other. */
type Work = {
  own: Said[];
  /** Whose decision it is, once that is known. */
  client: ClientId;
  /** The counters that this work builds anew, and by which leaf. */
  rebuilding: { readonly of: ClientId; readonly since: number } | undefined;
};

type Parts<Rows> = { readonly rows: Rows; readonly following: Following };

export function sealedStore(store: RowStore, following: Following): Store {
  const faces = new WeakMap<RowTransaction, { readonly face: StoreTransaction; readonly work: Work }>();
  /** One for each transaction of the adapter: works that share it take turns. */
  const faceOf = (rows: RowTransaction, own: Said[]): StoreTransaction => {
    let known = faces.get(rows);
    if (!known) {
      const work: Work = { own, client: HOUSE, rebuilding: undefined };
      faces.set(rows, (known = { face: transactionOn({ rows, following }, work), work }));
    }
    Object.assign(known.work, { own, client: HOUSE, rebuilding: undefined });
    return known.face;
  };
  const run = async <T>(
    work: (transaction: StoreTransaction) => Promise<T>,
    write: (work: (rows: RowTransaction) => Promise<T>) => Promise<T>,
  ): Promise<T> => {
    let own: Said[] = [];
    try {
      const value = await write(async (rows) => {
        following.forget(own); // of a run that was undone
        own = [];
        await following.follow(rows);
        return work(faceOf(rows, own));
      });
      following.take(own);
      return value;
    } catch (error) {
      following.forget(own);
      following.note(error);
      throw error;
    }
  };
  const { history } = store;
  return {
    ...(history && {
      history: {
        read: () => history.read(),
        adopt: (found, work) => run(work, (sealed) => history.adopt(found, sealed)),
      },
    }),
    write: (work, expected) => run(work, (sealed) => store.write(sealed, expected)),
    read: (work) => store.read((rows) => work(readerOn({ rows, following }))),
    close: () => store.close(),
  };
}

function readerOn({ rows, following }: Parts<RowReader>): StoreReader {
  const { ledger } = following;
  const shown = (row: SealedRequest | undefined) => row && unsealed(row);
  return {
    ...rows,
    revision: revisionIn({ rows, following }),
    owners: async (accounts) => ownersIn(following, accounts),
    holdings: holdingsIn({ rows, following }),
    confirmedTime: async () => ledger.confirmedAt,
    lapsed: async () => ledger.lapsed(await rows.now()),
    request: async (client, id) => shown(await rows.request(client, id)),
    requestByIdempotencyKey: async (...of) => shown(await rows.requestByIdempotencyKey(...of)),
    // Of an account that the log counts a row that is gone is not a new account: whoever uses it finds what is wrong.
    nextNonce: async (account) =>
      (await rows.nextNonce(account))?.next ?? (ledger.nonceIn(account) === undefined ? undefined : 0n),
    spent: (counter, windowStartsAt) =>
      spentSince(rows, following, counter, { windowStartsAt, last: () => rows.lastSpend(counter), check: () => {} }),
    spentAt: async (counter, authorization) => (await rows.spendAt(counter, authorization))?.amount ?? 0n,
    answer: answerIn({ rows, following }),
  };
}

/** A row that somebody has changed, or put there, is no answer to anything that is asked. */
const answerIn =
  ({ rows, following }: Parts<RowReader>): StoreReader["answer"] =>
  async (act) => {
    const row = await rows.answer(act);
    if (!row) return undefined;
    if (following.seals.answer(act, row) === row.seal) return { status: row.status, body: row.body };
    throw new GatewayError("idempotency-mismatch", "this idempotency key was used for something else", {
      hint: "send the first request again as it was, or use a new key",
    });
  };

/** The store's own number changes in the transaction that changes something; the log's cannot be set back. */
const revisionIn =
  ({ rows, following }: Parts<RowReader>, work?: Work): StoreReader["revision"] =>
  async (client) => {
    if (work) work.client = client;
    following.requireWhole(client);
    const revision = await rows.revision(client);
    return revision === undefined ? undefined : following.changedIn(client) * REVISIONS + (revision % REVISIONS);
  };
const REVISIONS = 2 ** 20;

/** As the leaves of all keys have it: the store is not asked. */
function ownersIn({ ledger }: Following, accounts: readonly Account[]): ReadonlyMap<Account, ClientId> {
  const owners = new Map<Account, ClientId>();
  for (const account of accounts) {
    const owner = ledger.ownerOf(account);
    if (owner !== undefined) owners.set(account, owner);
  }
  return owners;
}

const holdingsIn =
  ({ rows, following }: Parts<RowReader>): StoreReader["holdings"] =>
  async (client, always) =>
    always || following.isPledged(client) ? following.holdings(rows, client) : undefined;

const ownerOfCounter = (counter: CounterId): ClientId => counter.slice(0, counter.indexOf("/")) as ClientId;

type Window = {
  readonly windowStartsAt: number;
  readonly last: () => Promise<SealedSpend | undefined>;
  readonly check: (entry: SealedSpend) => void;
};

/** The sum of two rows' difference, without what was given back or decided again inside. */
async function spentSince(
  rows: RowReader,
  { ledger }: Following,
  counter: CounterId,
  { windowStartsAt, last, check }: Window,
): Promise<bigint> {
  const end = await last();
  if (!end || end.at <= windowStartsAt) return 0n;
  const before = await rows.spendBefore(counter, windowStartsAt);
  if (before) check(before);
  let spent = end.total - (before?.total ?? 0n);
  for (const gone of ledger.voidsOf(ownerOfCounter(counter))) {
    if (gone.at <= windowStartsAt) continue;
    const entry = await rows.spendAt(counter, gone);
    if (!entry) continue; // that limit did not count it
    check(entry);
    spent -= entry.amount;
  }
  return spent;
}

function transactionOn(parts: Parts<RowTransaction>, work: Work): StoreTransaction {
  return {
    ...parts.rows,
    ...clientsIn(parts),
    ...requestsIn(parts, work),
    ...claimsIn(parts, work),
    ...spendIn(parts, work),
    ...leavesIn(parts, work),
    answer: answerIn(parts),
    insertAnswer: (act, answer) => {
      const { asked: _, ...key } = act;
      return parts.rows.insertAnswer({ ...key, ...answer, seal: parts.following.seals.answer(act, answer) });
    },
    revision: revisionIn(parts, work),
    owners: async (accounts) => ownersIn(parts.following, accounts),
    holdings: holdingsIn(parts),
    isReported: async (client, what) => parts.following.isReported(client, what),
    confirmedTime: async () => parts.following.ledger.confirmedAt,
    lapsed: async () => parts.following.ledger.lapsed(await parts.rows.now()),
  };
}

/** Clients, keys and policies change seldom, and are read whole when they have: then they are compared with their leaves. */
function clientsIn({ rows, following }: Parts<RowTransaction>) {
  const { ledger } = following;
  /** Nothing where a work of this moment, this one or one of its group, changes the client: that is in no ledger yet. */
  const standingOf = (id: ClientId): { readonly facts: ClientFacts | undefined } | undefined => {
    const facts = ledger.clients.get(id);
    return following.changedIn(id) === (facts?.changedIn ?? 0) ? { facts } : undefined;
  };
  return {
    client: async (id: ClientId) => {
      const [row, standing] = [await rows.client(id), standingOf(id)];
      if (standing && !fitsClient(row, standing.facts, following.saltKeyOf(id)))
        throw integrity(id, "the client's row");
      return row;
    },
    scheduledPolicy: async (id: ClientId) => {
      const [row, standing] = [await rows.scheduledPolicy(id), standingOf(id)];
      if (standing && row?.leaf !== standing.facts?.scheduled) throw integrity(id, "the change of policy that waits");
      return row;
    },
    recoveries: async () => {
      const [found, standing] = [await rows.recoveries(), standingOf(HOUSE)];
      if (standing && JSON.stringify(found) !== JSON.stringify(ledger.recoveries.map(inOrder)))
        throw integrity(HOUSE, "what was decided after a restore");
      return found;
    },
    insertClient: async (row: ClientRow) => {
      following.learnSaltKey(row.id, row.saltKey);
      await rows.insertClient(row);
    },
    keys: async (id: ClientId) => {
      const [found, standing] = [await rows.keys(id), standingOf(id)];
      if (standing && !fitKeys(found, standing.facts)) throw integrity(id, "the client's keys");
      return found;
    },
    policyHash: async (id: ClientId) => {
      const [hash, standing] = [await rows.policyHash(id), standingOf(id)];
      if (standing && hash !== standing.facts?.policy?.hash) throw integrity(id, "the active policy");
      return hash;
    },
    policy: async (id: ClientId, version?: number) => {
      const [row, standing] = [await rows.policy(id, version), standingOf(id)];
      if (version !== undefined || !standing) return row;
      const active = standing.facts?.policy;
      if (row?.hash !== active?.hash || row?.version !== active?.version) throw integrity(id, "the active policy");
      return row;
    },
    heldSince: async (id: ClientId) => {
      const [held, standing] = [await rows.heldSince(id), standingOf(id)];
      if (standing && heldDigest(held) !== (standing.facts?.policy?.held ?? NONE_HELD))
        throw integrity(id, "the time since which addresses have been named");
      return held;
    },
  } satisfies Partial<StoreTransaction>;
}

/** As the adapters write it. */
const inOrder = ({ leaf, at, promisedSize, lost }: RecoveryRow): RecoveryRow => ({ leaf, at, promisedSize, lost });

const NONE_HELD = heldDigest(new Map());

function fitsClient(
  row: ClientRow | undefined,
  facts: ClientFacts | undefined,
  saltKey: Uint8Array | undefined,
): boolean {
  if (!row || !facts) return row === undefined && facts === undefined;
  const isFrozen = facts.freezes.has(targetText({ kind: "client" }));
  return (
    row.owner === facts.owner &&
    row.token.label === facts.token.label &&
    row.token.serial === facts.token.serial &&
    row.status === (isFrozen ? "frozen" : "active") &&
    row.freezes.length === facts.freezes.size &&
    row.freezes.every((freeze) => facts.freezes.get(targetText(freeze)) === freeze.leaf.index) &&
    saltKey !== undefined &&
    sameHash(row.saltKey, saltKey)
  );
}

const fitKeys = (rows: readonly KeyRow[], client: ClientFacts | undefined): boolean =>
  rows.length === (client?.keys.size ?? 0) &&
  rows.every((row) => {
    const facts = client?.keys.get(row.name);
    const { id, curve, purpose, state } = row;
    const said = { ...facts, chains: [...(facts?.chains ?? [])].sort(), accounts: [...(facts?.accounts ?? [])].sort() };
    const shown = {
      id,
      curve,
      purpose,
      state,
      chains: [...row.chains].sort(),
      accounts: [...row.accounts].sort(),
      publicKey: Buffer.from(row.publicKey).toString("hex"),
    };
    return (Object.keys(shown) as (keyof typeof shown)[]).every(
      (name) => JSON.stringify(shown[name]) === JSON.stringify(said[name]),
    );
  });

function requestsIn({ rows, following }: Parts<RowTransaction>, work: Work) {
  const { ledger, seals } = following;
  /** The leaf of this work that changes the request. */
  const leaf = (): number => work.own.at(-1)!.index;
  const checked = (row: SealedRequest | undefined): RequestRow | undefined => {
    if (row && !fitsRequest(row, following)) throw integrity(row.client, `request \`${row.id}\``);
    return row && unsealed(row);
  };
  return {
    request: async (client, id) => {
      work.client = client;
      return checked(await rows.request(client, id));
    },
    requestByIdempotencyKey: async (client, caller, idempotencyKey) => {
      work.client = client;
      const row = checked(await rows.requestByIdempotencyKey(client, caller, idempotencyKey));
      if (!row && ledger.knowsRequest({ client, caller, idempotencyKey }))
        throw integrity(client, "the request with this idempotency key");
      return row;
    },
    insertRequest: (row) => {
      const placed = { ...row, leaf: leaf() };
      return rows.insertRequest({ ...placed, seal: seals.request(placed, row.state), outcomeSeal: null });
    },
    updateRequest: (row) => {
      const placed = { ...row, leaf: leaf() };
      return rows.updateRequest({ ...placed, seal: seals.request(placed, row.state) });
    },
    recordOutcome: (row) => rows.recordOutcome({ ...row, outcomeSeal: seals.outcome(row) }),
  } satisfies Partial<StoreTransaction>;
}

const unsealed = ({ leaf: _leaf, seal: _seal, outcomeSeal: _outcomeSeal, ...row }: SealedRequest): RequestRow => row;

/** A final answer is final: of others the leaves know the newest version, and an older one never comes back. */
function fitsRequest(row: SealedRequest, following: Following): boolean {
  const { ledger, seals, size } = following;
  const decided = row.outcome === null ? row.state : "authorized";
  if (seals.request(row, decided) !== row.seal) return false;
  if (row.outcome !== null && seals.outcome(row) !== row.outcomeSeal) return false;
  if (!fitsDecision(row, following.saltKeyOf(row.client))) return false;
  return isFinal(row.state) || row.leaf >= size || row.leaf === ledger.openIn(row.id);
}

/** What was decided stands in the leaf, whose hash the sealed record names. */
function fitsDecision(row: SealedRequest, saltKey: Uint8Array | undefined): boolean {
  const { decisionLeaf } = readRecord(row);
  if (!saltKey || !decisionLeaf || row.decision === null || decisionLeaf.index !== row.decisionLeaf) return false;
  const { at } = JSON.parse(row.decision) as { at: number };
  const hash = hashOfLeaf(saltKey, { ...decisionLeaf, at, opening: row.decision });
  return Buffer.from(hash).toString("hex") === decisionLeaf.hash;
}

/** What may be used once. */
function claimsIn({ rows, following }: Parts<RowTransaction>, work: Work) {
  const { ledger, seals } = following;
  const misplaced = (what: string) => integrity(work.client, what);
  const fitsNonce = (account: Account, nonce: SealedNonce | undefined): boolean => {
    const written = ledger.nonceIn(account);
    if (!nonce) return written === undefined;
    return seals.nonce(account, nonce) === nonce.seal && (nonce.leaf >= following.size || nonce.leaf === written);
  };
  return {
    claimedBy: async (claim) => {
      const holder = await rows.claimedBy(claim);
      // What works of this moment claim or give back is in no ledger yet.
      const isWrong = ledger.isClaimed(claim) && (holder === undefined || !ledger.isClaimedBy(claim, holder));
      if (isWrong && !following.moves(claim)) throw misplaced(`what claims \`${claim}\``);
      return holder;
    },
    nextNonce: async (account) => {
      const nonce = await rows.nextNonce(account);
      if (!fitsNonce(account, nonce)) throw misplaced(`the next nonce of \`${account}\``);
      return nonce?.next;
    },
    setNextNonce: async (account, next) => {
      const nonce = { next, leaf: work.own.at(-1)?.index ?? ((await rows.lastLeaf())?.index ?? -1) + 1 };
      await rows.setNextNonce(account, { ...nonce, seal: seals.nonce(account, nonce) });
    },
  } satisfies Partial<StoreTransaction>;
}

function spendIn({ rows, following }: Parts<RowTransaction>, work: Work) {
  const { ledger, seals } = following;
  /** Rows of this memory that were found genuine: adapters give the same ones again. */
  const genuine = new WeakMap<SealedSpend, number>();
  const sinceOf = (counter: CounterId): number => {
    const owner = ownerOfCounter(counter);
    if (work.rebuilding?.of === owner) return work.rebuilding.since;
    return ledger.clients.get(owner)?.policy?.leaf ?? -1;
  };
  const check = (counter: CounterId, entry: SealedSpend): void => {
    const since = sinceOf(counter);
    if (genuine.get(entry) === since) return;
    if (seals.spend(counter, since, entry) !== entry.seal) throw integrity(work.client, `counter \`${counter}\``);
    genuine.set(entry, since);
  };
  const last = async (counter: CounterId): Promise<SealedSpend | undefined> => {
    const entry = await rows.lastSpend(counter);
    if (work.rebuilding?.of === ownerOfCounter(counter)) return entry;
    if (entry) check(counter, entry);
    const isNewest = entry !== undefined && entry.leaf >= following.size;
    if (!isNewest && entry?.leaf !== ledger.spentIn(counter)) throw integrity(work.client, `counter \`${counter}\``);
    return entry;
  };
  return {
    spent: (counter: CounterId, windowStartsAt: number) =>
      spentSince(rows, following, counter, {
        windowStartsAt,
        last: () => last(counter),
        check: (entry) => check(counter, entry),
      }),
    spentAt: async (counter: CounterId, authorization: Authorized) => {
      const entry = await rows.spendAt(counter, authorization);
      if (entry) check(counter, entry);
      return entry?.amount ?? 0n;
    },
    addSpend: async (counter: CounterId, { at, leaf, amount }: Authorized & { readonly amount: bigint }) => {
      const entry = { at, leaf, amount, total: ((await last(counter))?.total ?? 0n) + amount };
      await rows.insertSpend(counter, { ...entry, seal: seals.spend(counter, sinceOf(counter), entry) });
    },
    clearSpend: async (of: ClientId) => {
      // The next leaf is the one that makes the policy active.
      work.rebuilding = { of, since: ((await rows.lastLeaf())?.index ?? -1) + 1 };
      await rows.clearSpend(of);
    },
    isVoid: (leaf: number) => ledger.isVoid(leaf),
  } satisfies Partial<StoreTransaction>;
}

function leavesIn({ rows, following }: Parts<RowTransaction>, work: Work) {
  return {
    lastLeaf: async (client?: ClientId) => {
      const row = await rows.lastLeaf(client);
      if (client === undefined) return row; // held against the ledger when the work began
      const end = following.endOf(client);
      const isNewest = row !== undefined && row.index >= following.size;
      if (!isNewest && !(row?.number === end?.number && (!row || sameHash(row.hash, end!.hash))))
        throw integrity(client, "the client's last leaf");
      return row;
    },
    leaf: async (index: number) => {
      const row = await rows.leaf(index);
      if (row && !(await following.isGenuine(rows, row))) throw integrity(row.client, `leaf ${index}`);
      return row;
    },
    leaves: async (from: number, limit: number) => {
      const page = await rows.leaves(from, limit);
      for (const [n, row] of page.entries())
        if (row.index !== from + n || !(await following.isGenuine(rows, row)))
          throw integrity(row.client, `leaf ${from + n}`);
      return page;
    },
    insertLeaf: async (row, said) => {
      await rows.insertLeaf({ ...row, seal: following.seals.leaf(row) });
      following.expect(work.own, row, said);
    },
  } satisfies Partial<StoreTransaction>;
}
