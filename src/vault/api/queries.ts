import { z } from "zod";
import { StateFilter } from "../../domain/api.ts";
import { CallerName, KeyName } from "../../domain/names.ts";

/* What each route reads after the question mark; whatever else stands there is refused. */

const Limit = z
  .string()
  .regex(/^[1-9][0-9]{0,3}$/, "expected a number from 1")
  .optional()
  .describe("items of a page, at the most");
const Cursor = z.string().max(64).optional().describe("as the page before gave it");
const Count = z.string().regex(/^[0-9]{1,16}$/, "expected a number");
const Time = z.iso.datetime({ offset: true }).optional();

export const NoQuery = z.strictObject({});

export const WaitQuery = z.strictObject({
  wait: z
    .string()
    .regex(/^[0-9]{1,2}s$/, "expected seconds up to `60s`")
    .optional()
    .describe("how long to wait for a change, e.g. `30s`; up to `60s`"),
});

export const RequestsQuery = z.strictObject({
  limit: Limit,
  cursor: Cursor,
  state: StateFilter.optional(),
  key: KeyName.optional(),
  caller: CallerName.optional().describe("for those who read more than their own"),
  reference: z.string().max(256).optional().describe("exactly as it was given"),
  since: Time.describe("submitted at that time or later"),
  until: Time.describe("submitted before that time"),
});

export const PolicyQuery = z.strictObject({
  version: z
    .string()
    .regex(/^[1-9][0-9]{0,8}$/, "expected a number")
    .optional()
    .describe("the active one if left out"),
});

export const VersionsQuery = z.strictObject({ limit: Limit, cursor: PolicyQuery.shape.version });

export const DecisionsQuery = z.strictObject({ limit: Limit, cursor: Cursor, since: z.string().max(40).optional() });

export const ReceiptQuery = z.strictObject({
  leaf: z
    .enum(["last", "decision"])
    .optional()
    .describe("`last`, which is the outcome's once there is one, if left out"),
});

export const OpeningsQuery = z.strictObject({ from: Count.optional(), limit: Count.optional() });
