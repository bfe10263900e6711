import { GatewayError } from "../domain/errors.ts";
import { HOUSE, type CallerName } from "../domain/names.ts";
import {
  recoverySigningText,
  type HeadText,
  type RecoveryBody,
  type RecoveryFacts,
  type RecoveryView,
} from "../domain/recovery.ts";
import { openCheckpoint, type TreeHead } from "../tlog/checkpoint.ts";
import { sameHash } from "../tlog/hashes.ts";
import { parseVkey } from "../tlog/note.ts";
import { requireSeen } from "./clock.ts";
import { StaleDirectory, type Directory } from "./directory.ts";
import { beginFreeze } from "./freeze.ts";
import { frozenCallers } from "./frozen.ts";
import { appendLeaf } from "./log.ts";
import { requireQuorum } from "./officers.ts";
import type { ClientRow, RecoveryRow, Store, StoreReader, StoreTransaction } from "./ports.ts";
import { RECOVERY } from "./recoveries.ts";
import { cancelAll } from "./scheduled-policies.ts";
import { headsIn } from "./tree.ts";

/*
 * How a gateway goes on with a store that does not hold, or is not known to hold, everything that was promised (I19). The
 * officers' quorum names what is there and what was promised; what may have been lost is treated as spent.
 */

export type RecoveryDependencies = {
  /** The store itself: neither a lost promise nor a clock that gained keeps this act from it. */
  readonly store: Store;
  readonly directory: Directory;
  readonly origin: string;
  /** Of the log (C2SP vkey). */
  readonly logKey: string;
  /** The largest tree that this vault knows to be promised: its anchor's. */
  readonly promised: () => TreeHead | undefined;
  readonly refusal: () => GatewayError | undefined;
  /** Holds the store against what was promised, at once. */
  readonly look: () => Promise<void>;
};

export type Recovery = {
  readonly state: () => Promise<RecoveryView>;
  readonly act: (body: RecoveryBody, by: CallerName) => Promise<RecoveryRow>;
};

/** What officers have to look at before they sign, and the act itself. */
export function recoveryOf(parts: RecoveryDependencies): Recovery {
  return {
    state: () => stateOf(parts),
    act: async (body, by) => {
      const row = await recover(parts, body, by);
      await parts.directory.load();
      await parts.look();
      return row;
    },
  };
}

const historyOf = async ({ history }: Store): Promise<{ writtenIn: string; found: string }> =>
  (await history?.read()) ?? { writtenIn: "none", found: "none" };

async function stateOf(parts: RecoveryDependencies): Promise<RecoveryView> {
  const { origin, logKey, store } = parts;
  const history = await historyOf(store);
  return store.read(async (reader) => {
    const heads = await holdAgainst(reader, [parts.promised()]);
    const last = await reader.lastLeaf();
    return {
      origin,
      ...heads,
      history: history.found,
      writtenIn: history.writtenIn,
      refused: history.found === history.writtenIn ? (parts.refusal()?.code ?? null) : "store-moved",
      logKey,
      lastLeafAt: last ? new Date(last.at).toISOString() : null,
    };
  });
}

/** What the store holds, and the largest of the promises that it does not. */
async function holdAgainst(
  reader: StoreReader,
  promises: readonly (TreeHead | undefined)[],
): Promise<{ readonly store: HeadText; readonly promised: HeadText }> {
  const made = promises.filter((each) => each !== undefined);
  const { head, roots } = await headsIn(reader, new Set(made.map(({ size }) => size)));
  const broken = made.filter(({ size, root }) => !roots.has(size) || !sameHash(roots.get(size)!, root));
  const [largest = head] = broken.toSorted((a, b) => b.size - a.size);
  return { store: headText(head), promised: headText(largest) };
}

const headText = ({ size, root }: TreeHead): HeadText => ({ size, root: Buffer.from(root).toString("base64") });

/**
 * One transaction: the `restored` leaf and, unless nothing was lost, a freeze of every client and an end of every change
 * of policy that waits; windows that reach back before this moment count as full from now on, and approvals that came
 * before it as nothing. Where the store has moved, it is where it is from now on.
 * @throws {GatewayError} `clock-differs`, `officer-signatures`, `not-moved`, `promise-broken`, a checkpoint that is not this log's
 */
async function recover(parts: RecoveryDependencies, body: RecoveryBody, by: CallerName): Promise<RecoveryRow> {
  const { store, directory, origin, logKey } = parts;
  const key = parseVkey(logKey);
  const kept = body.checkpoints.map((note) => openCheckpoint(Buffer.from(note), key));
  const house = directory.house;
  const { writtenIn, found } = await historyOf(store);
  const isMoved = writtenIn !== found;
  if (body.lost === "nothing" && !isMoved) throw notMoved();
  const work = async (transaction: StoreTransaction): Promise<RecoveryRow> => {
    if ((await transaction.policyHash(HOUSE)) !== house.policy.hash) throw new StaleDirectory(HOUSE);
    await requireSeen(transaction, Date.parse(body.seen));
    const heads = await holdAgainst(transaction, [parts.promised(), ...kept]);
    if (body.lost === "nothing") requireKept(heads);
    const facts: RecoveryFacts = { origin, ...heads, history: found };
    const barred = frozenCallers((await transaction.client(HOUSE))!);
    requireQuorum(house.policy, body.signatures, recoverySigningText(facts, body.lost), RECOVERY, barred);
    const row = await recordRecovery(transaction, facts, body, by);
    if (body.lost === "unknown") {
      await freezeAll(transaction, row);
      await cancelAll(transaction, { because: "restored", by });
    }
    return row;
  };
  return isMoved ? store.history!.adopt(found, work) : store.write(work);
}

/** The newest checkpoint is the one witness of what a server had: against it nobody's word counts. */
function requireKept({ store, promised }: Pick<RecoveryFacts, "store" | "promised">): void {
  if (promised.size === store.size && promised.root === store.root) return;
  throw new GatewayError(
    "promise-broken",
    `expected a store that contains the checkpoint of ${promised.size} leaves, found one of ${store.size} that does not`,
    { facts: { store, promised }, hint: "something was lost: `portcullis recover --after-restore`" },
  );
}

const notMoved = () =>
  new GatewayError("not-moved", "expected a store that was moved to another server, found the one it was written on", {
    hint: "`lost: nothing` is said after a failover only; after a restore it is `unknown`: `portcullis recover --after-restore`",
  });

async function recordRecovery(
  transaction: StoreTransaction,
  { origin: _, ...facts }: RecoveryFacts,
  { lost, seen, signatures }: RecoveryBody,
  by: CallerName,
): Promise<RecoveryRow> {
  const house = (await transaction.client(HOUSE))!;
  const { index, at } = await appendLeaf(transaction, house, "restored", { ...facts, lost, seen, signatures, by });
  const row: RecoveryRow = { leaf: index, at, promisedSize: facts.promised.size, lost };
  await transaction.insertRecovery(row);
  return row;
}

/**
 * Every client, and anew whatever was frozen: the officers' signatures that ended such a freeze in what was lost must not
 * end it a second time.
 */
async function freezeAll(transaction: StoreTransaction, { leaf }: RecoveryRow): Promise<void> {
  const said = { by: "restored", reason: `leaf ${leaf}` };
  for (const { id } of await transaction.clients()) {
    const before = (await transaction.client(id))!.freezes.filter(({ kind }) => kind !== "client" || id === HOUSE);
    const targets = id === HOUSE ? before : [{ kind: "client" } as const, ...before];
    for (const target of targets) await beginFreeze(transaction, await clientOf(transaction, id), target, said);
  }
}

const clientOf = async (reader: StoreReader, id: ClientRow["id"]): Promise<ClientRow> => (await reader.client(id))!;
