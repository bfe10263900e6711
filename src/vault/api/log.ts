import { GatewayError } from "../../domain/errors.ts";
import { HOUSE, type ClientId } from "../../domain/names.ts";
import type { RequestId } from "../../domain/request.ts";
import { encodeEntryBundle, isInTree, parseTilePath, TILE_WIDTH } from "../../tlog/tiles.ts";
import { leafEntry, leafSalt } from "../log.ts";
import type { ClientRow, LeafRow, StoreReader } from "../ports.ts";
import { readRecord } from "../record.ts";
import { receiptOf } from "../tree.ts";
import { readOwn } from "./rest.ts";
import type { Answer, Call, OpenCall } from "./routes.ts";

/* The log as it is read: by everybody (C2SP tlog-tiles), and with its openings by those whom it is about. */

const TEXT = "text/plain; charset=utf-8";
const BYTES = "application/octet-stream";
const FOR_EVER = "public, max-age=31536000, immutable";

/** Names, sizes and times of what happened are everybody's to see; what happened is in the openings. */
export async function getCheckpoint({ gateway }: OpenCall): Promise<Answer> {
  const checkpoint = await gateway.store.read((reader) => reader.lastCheckpoint());
  if (!checkpoint) throw new GatewayError("not-found", "expected a checkpoint, found none yet");
  return { status: 200, body: Buffer.from(checkpoint.note), headers: { "content-type": TEXT } };
}

const HASH_BYTES = 32;

export async function getTile({ gateway, parameters }: OpenCall): Promise<Answer> {
  const resource = parseTilePath(parameters["path"]!);
  const body =
    resource &&
    (await gateway.store.read(async (reader) => {
      // Only what a checkpoint promises: what came after it may still be undone.
      const size = (await reader.lastCheckpoint())?.size ?? 0;
      if (!isInTree(resource, size)) return undefined;
      const { level, index, width } = resource;
      if (level === undefined) return bundleOf(await reader.leaves(index * TILE_WIDTH, width));
      return (await reader.tile(level, index))?.subarray(0, width * HASH_BYTES);
    }));
  if (!body) throw new GatewayError("not-found", "expected a tile of the log's newest checkpoint");
  return { status: 200, body, headers: { "content-type": BYTES, "cache-control": FOR_EVER } };
}

const bundleOf = (leaves: readonly LeafRow[]): Uint8Array =>
  encodeEntryBundle(leaves.map(({ index, at, commitment }) => Buffer.from(leafEntry(index, at, commitment))));

/** Of the leaf that ends the request; `?leaf=decision` for the one that decided it. */
export async function getReceipt(call: Call): Promise<Answer> {
  const row = await readOwn(call, call.parameters["id"] as RequestId);
  const { decisionLeaf, outcomeLeaf } = readRecord(row);
  const wanted = call.query.get("leaf") ?? "last";
  if (wanted !== "last" && wanted !== "decision")
    throw new GatewayError("invalid-parameter", `expected \`leaf\` as \`decision\` or \`last\`, found \`${wanted}\``);
  const { index } = (wanted === "last" ? outcomeLeaf : undefined) ?? decisionLeaf!;
  const receipt = await call.gateway.store.read((reader) => receiptOf(reader, index));
  return { status: 200, body: Buffer.from(receipt), headers: { "content-type": TEXT } };
}

/** As many leaves as an answer holds at the most, and as many bytes of them before it ends. */
const PAGE = { leaves: 200, bytes: 1024 * 1024 };

/**
 * Leaves from one index on, with what opens their commitments: all of them for the house's auditors, a client's own for
 * that client, whose checker needs the others' commitments to build the tree.
 */
export async function listOpenings({ gateway, client, query }: Call): Promise<Answer> {
  const [from, limit] = [
    countIn(query, "from", 0, Number.MAX_SAFE_INTEGER),
    countIn(query, "limit", PAGE.leaves, PAGE.leaves),
  ];
  return gateway.store.read(async (reader) => {
    const owners = new Map((await reader.clients()).map((row) => [row.id, row]));
    const leaves = [];
    let [bytes, next] = [0, from];
    for (const leaf of await reader.leaves(from, limit)) {
      const shown = await shownLeaf(reader, leaf, owners.get(leaf.client)!, client);
      leaves.push(shown);
      next = leaf.index + 1;
      bytes += leaf.opening.length + JSON.stringify(shown).length;
      if (bytes > PAGE.bytes) break;
    }
    // From the one that ends where the page begins: it may be younger than the page before.
    const checkpoints = (await reader.checkpoints(from, limit + 1)).filter(({ size }) => size <= next);
    const notes = checkpoints.map(({ size, note }) => ({ size, note }));
    return { status: 200, body: { origin: gateway.name, key: gateway.logKey, leaves, checkpoints: notes, next } };
  });
}

async function shownLeaf(reader: StoreReader, leaf: LeafRow, owner: ClientRow, reads: ClientId) {
  const { index, at, client, number, opening } = leaf;
  if (reads !== HOUSE && client !== reads)
    return { index, at, commitment: Buffer.from(leaf.commitment).toString("base64") };
  const salt = leafSalt(owner.saltKey, number).toString("base64");
  const evidence = await evidenceFor(reader, leaf);
  return { index, at, client, number, salt, opening, ...(evidence ? { evidence } : {}) };
}

/** The caller's signed request stands beside the leaf that decided it. */
async function evidenceFor(reader: StoreReader, { client, opening, index }: LeafRow) {
  const { request } = JSON.parse(opening) as { request?: RequestId };
  const row = request === undefined ? undefined : await reader.request(client, request);
  if (!row) return undefined;
  const { evidence, decisionLeaf } = readRecord(row);
  if (decisionLeaf?.index !== index) return undefined;
  const { batch } = evidence;
  const carrier = batch === undefined ? undefined : await reader.request(client, batch as RequestId);
  return carrier ? readRecord(carrier).evidence : evidence;
}

function countIn(query: URLSearchParams, name: string, byDefault: number, max: number): number {
  const text = query.get(name);
  const count = text === null ? byDefault : /^[0-9]{1,16}$/.test(text) ? Number(text) : NaN;
  if (Number.isSafeInteger(count) && count <= max && (name !== "limit" || count > 0)) return count;
  throw new GatewayError("invalid-parameter", `expected \`${name}\` as a number up to ${max}, found \`${text}\``);
}
