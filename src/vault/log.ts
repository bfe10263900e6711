import { createHash, createHmac, hash } from "node:crypto";
import { encodeJson } from "../domain/json.ts";
import { HOUSE } from "../domain/names.ts";
import type { ClientRow, LeafRef, LeafRow, StoreTransaction } from "./ports.ts";

/** What a leaf can say. One word for each kind of event, in the past tense where something happened. */
export type LeafType =
  | "genesis"
  | "client-added"
  | "key-created"
  | "key-disabled"
  | "key-retired"
  | "pin-changed"
  | "policy-scheduled"
  | "policy-cancelled"
  | "policy-applied"
  | "authorized"
  | "attempted"
  | "unsigned"
  | "signed"
  | "withheld"
  | "frozen"
  | "unfrozen"
  | "failed"
  | "denied"
  | "pending"
  | "approved"
  | "break-glass"
  | "rejected"
  | "cancelled"
  | "expired"
  | "refused"
  | "heartbeat"
  | "clock-confirmed"
  | "observed"
  | "reported"
  | "stated"
  | "lien-placed"
  | "lien-released"
  | "restored"
  | "padding";

/** RFC 6962, section 2.1: the leaf hash is separated from inner nodes by a zero byte. */
const LEAF_PREFIX = "\0";

/**
 * What the Merkle tree holds of a leaf: outsiders learn how many there are and when they were written, no more.
 * Line by line: type, index, time in ms, base64 of SHA-256(salt ‖ opening).
 */
export const leafEntry = (index: number, at: number, commitment: Uint8Array): string =>
  `portcullis/leaf/v1\n${index}\n${at}\n${Buffer.from(commitment).toString("base64")}\n`;

/** Derived, so that a lost opening can be rebuilt; secret to client and auditor, so that a guess cannot be tried. */
export const leafSalt = (saltKey: Uint8Array, number: number): Buffer =>
  createHmac("sha256", saltKey).update(`portcullis/leaf-salt/v1\n${number}`).digest();

const commitmentOf = (saltKey: Uint8Array, { number, opening }: Pick<LeafRow, "number" | "opening">): Buffer =>
  createHash("sha256").update(leafSalt(saltKey, number)).update(opening).digest();
const entryHash = (index: number, at: number, commitment: Uint8Array): Buffer =>
  hash("sha256", LEAF_PREFIX + leafEntry(index, at, commitment), "buffer");

/** What a leaf with this content hashes to, in its place. */
export const hashOfLeaf = (
  saltKey: Uint8Array,
  leaf: Pick<LeafRow, "index" | "at" | "number" | "opening">,
): Uint8Array => entryHash(leaf.index, leaf.at, commitmentOf(saltKey, leaf));

/** Where a leaf stands: said by `appendLeaf` alone, so that no content can take the name of a link of the chain. */
type Place = "type" | "index" | "at" | "client" | "number" | "previous";
export type LeafContent = { readonly [field: string]: unknown } & { readonly [Field in Place]?: never };

/**
 * Appends a leaf to the log and to its client's own chain of numbers (I9). Part of the transaction that does what the
 * leaf says: both become durable, or neither.
 */
export async function appendLeaf(
  transaction: StoreTransaction,
  client: Pick<ClientRow, "id" | "saltKey">,
  type: LeafType,
  content: LeafContent,
): Promise<LeafRef & Pick<LeafRow, "at" | "opening">> {
  return appendAt(transaction, client, { ...content, type }, await transaction.now());
}

/**
 * Leaves that say nothing, of the house, until there are so many: at the time of the last one, since no clock has to be
 * believed for them.
 * @param most at a time
 * @returns whether there are still too few
 */
export async function appendPadding(transaction: StoreTransaction, count: number, most: number): Promise<boolean> {
  const house = (await transaction.client(HOUSE))!;
  for (let n = 0; n < most; n++) {
    const last = (await transaction.lastLeaf())!;
    if (last.index + 1 >= count) return false;
    await appendAt(transaction, house, { type: "padding" }, last.at);
  }
  return true;
}

async function appendAt(
  transaction: StoreTransaction,
  client: Pick<ClientRow, "id" | "saltKey">,
  { type, ...content }: { readonly type: LeafType; readonly [field: string]: unknown },
  at: number,
): Promise<LeafRef & Pick<LeafRow, "at" | "opening">> {
  const [last, previous] = [await transaction.lastLeaf(), await transaction.lastLeaf(client.id)];
  const index = (last?.index ?? -1) + 1;
  const number = (previous?.number ?? -1) + 1;
  const said = {
    type,
    index,
    at,
    client: client.id,
    number,
    previous: previous ? Buffer.from(previous.hash).toString("hex") : null,
    ...content,
  };
  const opening = encodeJson(said);
  const commitment = commitmentOf(client.saltKey, { number, opening });
  const hash = entryHash(index, at, commitment);
  await transaction.insertLeaf({ index, at, hash, commitment, client: client.id, number, opening }, said);
  return { index, number, hash: hash.toString("hex"), at, opening };
}
