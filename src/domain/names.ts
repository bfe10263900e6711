import { z } from "zod";

const NAME = /^[a-z0-9-]{1,24}$/;
const NAME_MESSAGE = "expected 1 to 24 characters of `a-z`, `0-9` and `-`";

/** Ids with a meaning of their own: the custodian's client, the gateway's token, the log's token. */
export const RESERVED_NAMES = ["house", "gateway", "log"] as const;

export const ClientId = z.string().regex(NAME, NAME_MESSAGE).brand<"ClientId">();
export type ClientId = z.infer<typeof ClientId>;

export const KeyName = z.string().regex(NAME, NAME_MESSAGE).brand<"KeyName">();
export type KeyName = z.infer<typeof KeyName>;

export const CallerName = z.string().regex(NAME, NAME_MESSAGE).brand<"CallerName">();
export type CallerName = z.infer<typeof CallerName>;

/** One of the owners whose assets an omnibus client holds together. */
export const SubAccountName = z.string().regex(NAME, NAME_MESSAGE).brand<"SubAccountName">();
export type SubAccountName = z.infer<typeof SubAccountName>;

/** What no sub-account of an omnibus client has been given: no sub-account can have that name. */
export const UNALLOCATED = "unallocated";

/** The custodian itself, as a client. */
export const HOUSE = ClientId.parse("house");

export const ROLES = [
  "wallet-service",
  "approver",
  "policy-officer",
  "operator",
  "observer",
  "secured-party",
  "auditor",
] as const;
export const Role = z.enum(ROLES);
export type Role = z.infer<typeof Role>;
