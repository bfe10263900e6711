import { z } from "zod";
import { OfficerSignatures } from "./api.ts";

/* What officers say when the store is not known to hold everything that was promised: an older copy, another server. */

/** A tree of the log: how many leaves, and the root over them in base64. */
export type HeadText = { readonly size: number; readonly root: string };

/**
 * What may be missing from the store. `nothing` is said of a failover to a server that had every COMMIT, and only where
 * the newest checkpoint agrees; everything else is `unknown`: then every client starts frozen and limits read as used.
 */
export const Lost = z.enum(["unknown", "nothing"]);
export type Lost = z.infer<typeof Lost>;

export const RecoveryBody = z.strictObject({
  lost: Lost,
  seen: z.iso.datetime().describe("what the sending officer's own clock shows"),
  checkpoints: z
    .array(z.string().max(16_384))
    .max(16)
    .default([])
    .describe("signed checkpoints of this log that others kept: other vaults' anchors, auditors, witnesses"),
  signatures: OfficerSignatures.describe("over the text of `recoverySigningText`"),
});
export type RecoveryBody = z.infer<typeof RecoveryBody>;

export type RecoveryFacts = {
  readonly origin: string;
  /** All leaves that the store holds. */
  readonly store: HeadText;
  /** The largest tree that was promised and is not in the store; the store's own where there is none. */
  readonly promised: HeadText;
  /** Which server's history the store is, where that can change; else `none`. */
  readonly history: string;
};

/** What officers sign. Any leaf more in the store, or a larger promise, makes it another text. */
export const recoverySigningText = ({ origin, store, promised, history }: RecoveryFacts, lost: Lost): string =>
  [
    "portcullis/recovery/v1",
    `origin: ${origin}`,
    `store: ${store.size} ${store.root}`,
    `promised: ${promised.size} ${promised.root}`,
    `history: ${history}`,
    `lost: ${lost}`,
    "",
  ].join("\n");

export type RecoveryView = RecoveryFacts & {
  /** Why nothing is signed at present; null where nothing keeps the gateway from it. */
  readonly refused: string | null;
  /** Where it differs from `history`: the one in which the log was written. */
  readonly writtenIn: string;
  /** The log's key: what others kept is verified with it. */
  readonly logKey: string;
  readonly lastLeafAt: string | null;
};
