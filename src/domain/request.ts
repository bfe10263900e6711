import type { CallerName, ClientId, KeyName } from "./names.ts";

/**
 * The life of a signing request, named here and nowhere else.
 *
 * A request is born `denied` (final), `pending` (waits for people or time) or `authorized` (reserved and recorded).
 * From `pending` it goes to `ready` (nothing missing: the caller's repeated POST runs), `rejected`, `expired` or
 * `cancelled` (all final); the repeated POST decides everything again, so it may also end `denied`. From `authorized` it goes to `signed` or `failed` (both final).
 */
export const REQUEST_STATES = [
  "denied",
  "pending",
  "ready",
  "rejected",
  "expired",
  "cancelled",
  "authorized",
  "signed",
  "failed",
] as const;
export type RequestState = (typeof REQUEST_STATES)[number];

const FINAL: ReadonlySet<RequestState> = new Set(["denied", "rejected", "expired", "cancelled", "signed", "failed"]);
export const isFinal = (state: RequestState): boolean => FINAL.has(state);

export type RequestId = string & { readonly __brand: "RequestId" };

export type RequestName = { readonly client: ClientId; readonly caller: CallerName; readonly key: KeyName };

/** As many as one caller's signature and one answer carry. */
export const BATCH_MAX = 100;
