import { z } from "zod";
import { GatewayError } from "../domain/errors.ts";
import { ClientId, SubAccountName } from "../domain/names.ts";

/*
 * A statement of an account as somebody else has it from a custodian: signed, and still not believed to be one. What a
 * reader prints or adds up is of exactly this shape.
 */

const Amount = z.string().regex(/^(0|[1-9][0-9]{0,77})(\.[0-9]{0,76}[1-9])?$/);
const Signed = z.string().regex(/^(0|-?(?!0$)(0|[1-9][0-9]{0,77})(\.[0-9]{0,76}[1-9])?)$/);
const Symbol = z.string().regex(/^[!-~]{1,200}$/);
/** One line, nothing in it that moves a cursor. */
const Text = z.string().regex(/^[^\p{Cc}\u2028\u2029]{1,300}$/u);
const Count = z.int().min(0);

export const StatedAccount = z.strictObject({
  gateway: Text,
  client: ClientId,
  subAccount: SubAccountName.optional(),
  from: z.iso.datetime(),
  to: z.iso.datetime(),
  positions: z.array(
    z.strictObject({
      asset: Symbol,
      ...{ opening: Signed, credits: Signed, debits: Signed, closing: Signed },
      ...{ encumbered: Amount, free: Amount },
    }),
  ),
  movements: z.array(
    z.strictObject({
      at: z.iso.datetime(),
      leaf: Count,
      kind: z.enum(["credit", "debit", "fee", "correction"]),
      asset: Symbol,
      amount: Signed,
      why: Text,
      request: Text.optional(),
      transaction: Text.optional(),
      counterparty: Text.optional(),
      state: Text.optional(),
    }),
  ),
  liens: z.array(
    z.strictObject({
      lien: Text,
      asset: Symbol,
      amount: z.union([z.literal("all"), Amount]),
      securedParty: Text,
      leaf: Count,
    }),
  ),
  last: z.strictObject({ number: Count, index: Count }).nullable(),
  checkpoint: z.string().nullable(),
  receipt: z.string().nullable(),
});
export type StatedAccount = z.infer<typeof StatedAccount>;

/** @throws {GatewayError} `statement-invalid` with the first thing that is not as it must be */
export function readStatedAccount(content: unknown): StatedAccount {
  const parsed = StatedAccount.safeParse(content);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new GatewayError("statement-invalid", `the account's \`${path.join(".")}\`: ${message}`);
}
