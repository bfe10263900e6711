import { GatewayError } from "../domain/errors.ts";
import type { TreeHead } from "../tlog/checkpoint.ts";
import { formatProof } from "../tlog/proof.ts";
import { sameHash, type Hash } from "../tlog/hashes.ts";
import { grow, nodesFrom } from "../tlog/tiles.ts";
import { inclusionProof, rootFromInclusion, rootOf, type NodeReader } from "../tlog/tree.ts";
import { leafSalt } from "./log.ts";
import type { Store, StoreReader } from "./ports.ts";

/*
 * The Merkle tree over the leaves, as the store keeps it: in tiles, grown beside the leaves and never in the transactions
 * that append them.
 */

/** Leaves taken into the tree in one transaction: a few milliseconds of the store at the most. */
const STEP = 1024;

const nodesIn = (reader: StoreReader): NodeReader => nodesFrom(({ level, index }) => reader.tile(level, index));

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
  if ((await reader.treeSize()) < head.size) return false;
  return sameHash(await rootOf(head.size, nodesIn(reader)), head.root);
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
