import { join } from "node:path";
import Database from "better-sqlite3";
import { inStoreCopy } from "./store-copy.ts";

/* The store's own words, read beside the running gateway: what the log says of what happened. */

export type Leaf = {
  readonly type: string;
  readonly index: number;
  readonly client: string;
  readonly number: number;
  readonly request?: string;
  readonly caller?: string;
  readonly code?: string;
  readonly path?: string;
  readonly problem?: { readonly code: string; readonly facts?: { readonly reason?: string } };
  readonly [name: string]: unknown;
};

/** Read beside the running vault, which keeps the file for itself. */
const inStore = <T>(gatewayFolder: string, read: (database: Database.Database) => T): T =>
  inStoreCopy(join(gatewayFolder, "vault", "portcullis.db"), (copy) => {
    const database = new Database(copy);
    try {
      return read(database);
    } finally {
      database.close();
    }
  });

/** The vault's own word that time goes on, which comes at its own time and says nothing of what a test does. */
export const isHeartbeat = ({ type }: Pick<Leaf, "type">): boolean => type === "heartbeat";

/** Leaves in the order of the log, from `from` on. */
export const leavesOf = (folder: string, from = 0): Leaf[] =>
  inStore(folder, (database) =>
    database
      .prepare<[number], { opening: string }>("SELECT opening FROM leaves WHERE idx >= ? ORDER BY idx")
      .all(from)
      .map(({ opening }) => JSON.parse(opening) as Leaf),
  );

export type StoredRequest = { readonly id: string; readonly state: string; readonly idempotency_key: string };

export const requestsOf = (folder: string, client: string): StoredRequest[] =>
  inStore(folder, (database) =>
    database
      .prepare<[string], StoredRequest>(
        `SELECT id, coalesce(outcomes.state, requests.state) AS state, idempotency_key
         FROM requests LEFT JOIN outcomes USING (decision_leaf) WHERE client = ? ORDER BY id`,
      )
      .all(client),
  );

/** How the token of a client and one of its keys are called in PKCS#11. */
export const tokenOf = (folder: string, client: string, key: string): { label: string; id: string } =>
  inStore(folder, (database) =>
    database
      .prepare<[string, string], { label: string; id: string }>(
        "SELECT token_label AS label, keys.id AS id FROM clients JOIN keys ON keys.client = clients.id WHERE clients.id = ? AND keys.name = ?",
      )
      .get(client, key)!,
  );
