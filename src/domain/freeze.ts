import { z } from "zod";
import { OfficerSignatures, type LeafPlace } from "./api.ts";
import { CallerName, KeyName } from "./names.ts";

/* What may be stopped at once by one person, and goes on only by the officers' quorum (I16). */

/** Of the client that the path names; for `house` the client itself is everybody. */
export type FreezeTarget =
  | { readonly kind: "client" }
  | { readonly kind: "key"; readonly name: KeyName }
  | { readonly kind: "caller"; readonly name: CallerName };

/** A freeze that is in force. */
export type Freeze = FreezeTarget & {
  /** Who froze it: a person, or `restored`. */
  readonly by: string;
  readonly reason?: string;
  /** Ms since 1970. */
  readonly at: number;
  /** Its `frozen` leaf. */
  readonly leaf: LeafPlace;
};

const target = {
  key: KeyName.optional().describe("one key of the client; left out, the client with all its keys"),
  caller: CallerName.optional().describe("one caller, by the document of the path's client"),
};
const oneOrNone = { message: "expected `key` or `caller`, or neither" };
const isOneOrNone = ({ key, caller }: { key?: unknown; caller?: unknown }) => key === undefined || caller === undefined;

export const FreezeBody = z
  .strictObject({ ...target, reason: z.string().max(256).optional().describe("kept in the log, never interpreted") })
  .refine(isOneOrNone, oneOrNone);
export type FreezeBody = z.infer<typeof FreezeBody>;

export const UnfreezeBody = z
  .strictObject({ ...target, signatures: OfficerSignatures.describe("over the text of `unfreezeSigningText`") })
  .refine(isOneOrNone, oneOrNone);
export type UnfreezeBody = z.infer<typeof UnfreezeBody>;

export function targetOf({ key, caller }: Pick<FreezeBody, "key" | "caller">): FreezeTarget {
  if (key !== undefined) return { kind: "key", name: key };
  return caller === undefined ? { kind: "client" } : { kind: "caller", name: caller };
}

/** `client`, `key hot-1`, `caller payouts`. */
export const targetText = (of: FreezeTarget): string => (of.kind === "client" ? of.kind : `${of.kind} ${of.name}`);

/** What officers sign to end one freeze, and no other: the leaf is that freeze's own. */
export const unfreezeSigningText = (fields: {
  readonly origin: string;
  readonly client: string;
  readonly target: string;
  readonly leaf: Pick<LeafPlace, "index" | "hash">;
}): string =>
  [
    "portcullis/unfreeze/v1",
    `origin: ${fields.origin}`,
    `client: ${fields.client}`,
    `target: ${fields.target}`,
    `frozen: ${fields.leaf.index} ${fields.leaf.hash}`,
    "",
  ].join("\n");

/** A freeze as people read it. */
export type FreezeView = {
  readonly target: string;
  readonly by: string;
  readonly reason?: string;
  readonly since: string;
  readonly leaf: LeafPlace;
};

/** What a freeze comes too late for. */
export type OutView = {
  readonly client: string;
  readonly id: string;
  readonly caller: string;
  readonly key: string;
  /** `authorized`: whether a signature was made is not known; none leaves as long as the freeze stands. */
  readonly state: "signed" | "authorized";
  readonly submittedAt: string;
  readonly reference?: string;
  readonly digest?: string;
  readonly transactionHash?: string;
};

export type FrozenView = {
  readonly client: string;
  readonly freeze: FreezeView;
  /** False where it was frozen already: then the freeze is the one that stands. */
  readonly isNew: boolean;
  /** Of the last 24 hours, newest first. */
  readonly out: readonly OutView[];
  /** There are more than an answer lists. */
  readonly more: boolean;
};
