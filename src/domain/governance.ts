import { z } from "zod";
import { CallerName } from "./names.ts";

/* What policy officers sign besides policies. */

export const OfficerSignature = z.strictObject({ person: CallerName, signature: z.string().max(4096) });
export type OfficerSignature = z.infer<typeof OfficerSignature>;

export const CancellationBody = z.strictObject({
  policy: z
    .string()
    .regex(/^sha256:[0-9a-f]{64}$/)
    .describe("hash of the change that waits"),
  signature: OfficerSignature.describe("of any one policy officer, over the text of `cancellationSigningText`"),
});
export type CancellationBody = z.infer<typeof CancellationBody>;

/** What one officer signs to end a change that waits, and no other. */
export const cancellationSigningText = (fields: {
  readonly origin: string;
  readonly client: string;
  readonly version: number;
  readonly hash: string;
}): string =>
  [
    "portcullis/policy-cancellation/v1",
    `origin: ${fields.origin}`,
    `client: ${fields.client}`,
    `version: ${fields.version}`,
    `policy: ${fields.hash}`,
    "",
  ].join("\n");

/** A change that waits, as it is shown. */
export type ScheduledView = {
  readonly client: string;
  readonly version: number;
  readonly hash: string;
  readonly previousHash: string | null;
  readonly activeAt: string;
  readonly leaf: number;
  readonly signatures: readonly OfficerSignature[];
};
