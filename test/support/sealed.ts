import { Following } from "../../src/vault/following.ts";
import type { RowStore, Store, StoreTransaction } from "../../src/vault/ports.ts";
import { sealedStore } from "../../src/vault/sealed-store.ts";
import { Seals } from "../../src/vault/seals.ts";

/** A store as one vault works with it, under a key that all tests know. */
export const sealed = (rows: RowStore): Store =>
  sealedStore(
    rows,
    new Following(new Seals(Buffer.alloc(32, "a key of tests")), (error) => {
      throw error;
    }),
  );

/** Leaves that the vault itself does not take note of: it holds its rows against every other one. */
export const unseenIn = (transaction: StoreTransaction): StoreTransaction => ({
  ...transaction,
  insertLeaf: (row) => transaction.insertLeaf(row, { type: "unseen" }),
});
