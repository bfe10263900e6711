import { GatewayError } from "../domain/errors.ts";
import type { TreeHead } from "../tlog/checkpoint.ts";
import { formatProof } from "../tlog/proof.ts";
import { sameHash, type Hash } from "../tlog/hashes.ts";
import { grow, nodesFrom } from "../tlog/tiles.ts";
import { GrowingTree, inclusionProof, rootFromInclusion, rootOf, type NodeReader } from "../tlog/tree.ts";
import { leafSalt } from "./log.ts";
import type { Store, StoreReader } from "./ports.ts";

/*
 * The Merkle tree over the leaves, as the store keeps it: in tiles, grown beside the leaves and never in the transactions
 * that append them.
 */

/** Leaves taken into the tree in one transaction: a few milliseconds of the store at the most. */
const STEP = 1024;

export const nodesIn = (reader: StoreReader): NodeReader => nodesFrom(({ level, index }) => reader.tile(level, index));

/** Takes every leaf that is durable now into the tiles. */
export async function growTree(store: Store): Promise<void> {
  while (await growOnce(store));
}

const growOnce = (store: Store): Promise<boolean> =>
  store.write(async (transaction) => {
    const size = await transaction.treeSize();
    const hashes = await transaction.leafHashes(size, STEP);
    for (const { level, index, hashes: tile } of await grow(size, hashes, ({ level: l, index: i }) =>
      transaction.tile(l, i),
    ))
      await transaction.putTile(level, index, tile);
    return hashes.length === STEP;
  });

/** The whole tree that the tiles hold. */
export async function headOf(reader: StoreReader): Promise<TreeHead> {
  const size = await reader.treeSize();
  return { size, root: await rootOf(size, nodesIn(reader)) };
}

/** Whether the tree in the store begins with that one: what was ever promised is still there (I19). */
export async function extendsHead(reader: StoreReader, head: TreeHead): Promise<boolean> {
  // Tiles alone would not show that the end of the log was cut off behind their back.
  const leaves = ((await reader.lastLeaf())?.index ?? -1) + 1;
  if (leaves < head.size || (await reader.treeSize()) < head.size) return false;
  return sameHash(await rootOf(head.size, nodesIn(reader)), head.root);
}

/** Hashes read at a time: a walk along the whole log lets others have their turn. */
const PAGE = 8_192;

/**
 * Heads of the log's beginnings, from the leaves themselves: what the tiles say is not asked.
 * @param sizes of which the roots are wanted
 * @returns the head over all leaves, and those roots that the log is long enough for
 */
export async function headsIn(
  reader: StoreReader,
  sizes: ReadonlySet<number>,
): Promise<{ readonly head: TreeHead; readonly roots: ReadonlyMap<number, Hash> }> {
  const tree = new GrowingTree();
  const roots = new Map<number, Hash>();
  const note = () => sizes.has(tree.size) && roots.set(tree.size, tree.root());
  note();
  for (let hashes: Uint8Array[]; (hashes = await reader.leafHashes(tree.size, PAGE)).length > 0;)
    for (const hash of hashes) {
      tree.append(hash);
      note();
    }
  return { head: { size: tree.size, root: tree.root() }, roots };
}

/** What opens a leaf's commitment, in the `extra` line of its receipt. */
export type ReceiptContent = { readonly at: number; readonly salt: string; readonly opening: string };

/**
 * A receipt for one leaf under the newest checkpoint (C2SP tlog-proof). With the log's public key alone it shows that
 * the log holds exactly this content at that place.
 * @throws {GatewayError} `checkpoint-pending` for a leaf that no checkpoint covers yet; `integrity`
 */
export async function receiptOf(reader: StoreReader, index: number): Promise<string> {
  const checkpoint = await reader.lastCheckpoint();
  if (!checkpoint || checkpoint.size <= index) {
    throw new GatewayError("checkpoint-pending", `expected a checkpoint that covers leaf ${index}, found none yet`, {
      hint: "checkpoints follow within seconds: ask again",
    });
  }
  const leaf = (await reader.leaf(index))!;
  const client = (await reader.client(leaf.client))!;
  const path = await inclusionProof(index, checkpoint.size, nodesIn(reader));
  requireRoot(rootFromInclusion(index, checkpoint.size, leaf.hash, path), checkpoint);
  const salt = leafSalt(client.saltKey, leaf.number).toString("base64");
  const content: ReceiptContent = { at: leaf.at, salt, opening: leaf.opening };
  return formatProof({ index, path, checkpoint: checkpoint.note, extra: Buffer.from(JSON.stringify(content)) });
}

function requireRoot(found: Hash | undefined, { size, root }: TreeHead): void {
  if (found && sameHash(found, root)) return;
  throw new GatewayError("integrity", `expected leaf and tiles to lead to the root of size ${size}`);
}
