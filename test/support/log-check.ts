import assert from "node:assert/strict";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import Database from "better-sqlite3";
import pg from "pg";
import type { PostgresStore } from "../../src/config.ts";
import type { LeafRow, Store } from "../../src/vault/ports.ts";
import { inStoreCopy } from "./store-copy.ts";

/*
 * The log as an outsider would check it: from the rows alone, with another hash library and none of the writer's code.
 */

export type CheckedLeaf = {
  readonly index: number;
  readonly at: number;
  readonly client: string;
  readonly number: number;
  readonly hash: string;
  readonly opening: Readonly<Record<string, unknown>> & { readonly type: string };
};

export type LogRows = {
  readonly leaves: readonly LeafRow[];
  /** By client. */
  readonly saltKeys: ReadonlyMap<string, Uint8Array>;
};

/** The log of a store that is open. */
export const logOf = (store: Store): Promise<LogRows> =>
  store.read(async (reader) => ({
    leaves: await reader.leaves(0, 1_000_000),
    saltKeys: new Map((await reader.clients()).map(({ id, saltKey }) => [id as string, saltKey])),
  }));

/** The log as a vault has left it, or is about to: read from a copy, so that the next one finds what the last one left. */
export const logIn = (path: string): LogRows =>
  inStoreCopy(path, (copy) => {
    const database = new Database(copy, { fileMustExist: true });
    const clients = database.prepare("SELECT id, salt_key FROM clients").all() as { id: string; salt_key: Buffer }[];
    const rows = database.prepare('SELECT idx AS "index", * FROM leaves ORDER BY idx').all() as LeafRow[];
    database.close();
    return { leaves: rows, saltKeys: new Map(clients.map(({ id, salt_key }) => [id, salt_key])) };
  });

/** The same in PostgreSQL: what is still being written there is waited for, as the next vault would. */
export async function logInPostgres({ host, port, database, user }: PostgresStore): Promise<LogRows> {
  const client = new pg.Client({ host, port, database, user });
  await client.connect();
  try {
    await client.query("BEGIN; SELECT FROM portcullis.head FOR UPDATE");
    const clients = await client.query<{ id: string; salt_key: Buffer }>("SELECT id, salt_key FROM portcullis.clients");
    const { rows } = await client.query<Omit<LeafRow, "index" | "at" | "number"> & Record<string, string>>(
      'SELECT idx AS "index", * FROM portcullis.leaves ORDER BY idx',
    );
    const numbers = (row: Record<string, string>) =>
      Object.fromEntries(["index", "at", "number"].map((name) => [name, Number(row[name])]));
    return {
      leaves: rows.map((row) => ({ ...row, ...numbers(row) }) as unknown as LeafRow),
      saltKeys: new Map(clients.rows.map(({ id, salt_key }) => [id, salt_key])),
    };
  } finally {
    await client.end();
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** RFC 6962, section 2.1, over the entry that DESIGN describes. */
export function leafHash(index: number, at: number, commitment: Uint8Array): Uint8Array {
  const entry = `portcullis/leaf/v1\n${index}\n${at}\n${Buffer.from(commitment).toString("base64")}\n`;
  return sha256(concatBytes(Uint8Array.of(0), utf8ToBytes(entry)));
}

/** @returns every leaf, after all of them were held against each other (I9) */
export function checkLog({ leaves, saltKeys }: LogRows): CheckedLeaf[] {
  const lastOf = new Map<string, { number: number; hash: string }>();
  let lastAt = 0;
  return leaves.map((leaf, position) => {
    const { index, at, commitment, client, number } = leaf;
    const opening = JSON.parse(leaf.opening) as CheckedLeaf["opening"];
    assert.equal(index, position, "indices have no gap");
    assert.ok(at >= lastAt, "times never fall");
    lastAt = at;
    const before = lastOf.get(client);
    assert.equal(number, (before?.number ?? -1) + 1, `numbers of \`${client}\` have no gap`);
    const salt = hmac(sha256, saltKeys.get(client)!, utf8ToBytes(`portcullis/leaf-salt/v1\n${number}`));
    assert.equal(
      hex(commitment),
      hex(sha256(concatBytes(salt, utf8ToBytes(leaf.opening)))),
      "salt and opening open it",
    );
    assert.equal(hex(leaf.hash), hex(leafHash(index, at, commitment)), "the leaf hash is RFC 6962's");
    const said = ["index", "at", "client", "number", "previous"].map((field) => opening[field]);
    assert.deepEqual(said, [index, at, client, number, before?.hash ?? null], "the opening says where it stands");
    lastOf.set(client, { number, hash: hex(leaf.hash) });
    return { index, at, client, number, hash: hex(leaf.hash), opening };
  });
}

export const leavesOf = (leaves: readonly CheckedLeaf[], type: string): CheckedLeaf[] =>
  leaves.filter(({ opening }) => opening.type === type);
