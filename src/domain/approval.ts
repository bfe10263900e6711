import { z } from "zod";
import type { Intent } from "./intent.ts";
import { asJson, type Json } from "./json.ts";

/*
 * What a person signs to approve or reject (I10): a typed text that names everything it is for, and nothing else.
 */

const TYPE = "portcullis/approval/v1";

/** The namespace of `ssh-keygen -Y sign`: a signature made for anything else is none. */
export const APPROVAL_NAMESPACE = "portcullis-approval-v1";
/** The same for what policy officers sign: each of their texts begins with its own type besides. */
export const OFFICER_NAMESPACE = "portcullis-officer-v1";

export const VERDICTS = ["approve", "reject"] as const;
export type Verdict = (typeof VERDICTS)[number];

export type ApprovalFields = {
  readonly origin: string;
  readonly client: string;
  readonly request: string;
  readonly verdict: Verdict;
  /** Of `intentContent`: `sha256:` and hex. */
  readonly intent: string;
  /** Hash of the client's active policy. */
  readonly policy: string;
  readonly person: string;
  /** Until when it counts: ISO 8601, UTC, milliseconds. */
  readonly expires: string;
};

export const approvalText = (fields: ApprovalFields): string =>
  [
    TYPE,
    `origin: ${fields.origin}`,
    `client: ${fields.client}`,
    `request: ${fields.request}`,
    `verdict: ${fields.verdict}`,
    `intent: ${fields.intent}`,
    `policy: ${fields.policy}`,
    `person: ${fields.person}`,
    `expires: ${fields.expires}`,
    "",
  ].join("\n");

const HASH = "sha256:[0-9a-f]{64}";
const INSTANT = "\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{3}Z";
const TEXT = new RegExp(
  `^portcullis/approval/v1\norigin: ([a-z0-9.-]{1,64})\nclient: ([a-z0-9-]{1,24})\nrequest: ([0-9a-f]{1,64})\n` +
    `verdict: (approve|reject)\nintent: (${HASH})\npolicy: (${HASH})\nperson: ([a-z0-9-]{1,24})\nexpires: (${INSTANT})\n$`,
);

/** @returns undefined for anything that `approvalText` does not write */
export function parseApprovalText(text: string): ApprovalFields | undefined {
  const [, origin, client, request, verdict, intent, policy, person, expires] = TEXT.exec(text) ?? [];
  if (expires === undefined || Number.isNaN(Date.parse(expires))) return undefined;
  return {
    origin: origin!,
    client: client!,
    request: request!,
    verdict: verdict as Verdict,
    intent: intent!,
    policy: policy!,
    person: person!,
    expires,
  };
}

/**
 * What the intent hash is taken of, as RFC 8785 JSON: client, key, chain, account, operations and fee cap; of a
 * transaction its call data, of anything else its digest, since what is signed off chain has nothing to refresh.
 * Nonce and price are not in it: bytes may be refreshed, meaning may not.
 */
export const intentContent = (
  {
    client,
    key,
    subAccount,
    intent,
  }: {
    readonly client: string;
    readonly key: string;
    /** Of an omnibus client: what was approved for one sub-account is not approved for another. */
    readonly subAccount?: string | undefined;
    readonly intent: Intent;
  },
  content: IntentContent,
): Json => {
  const { chain, account, operations } = intent;
  const fee = "feeCap" in content ? { asset: intent.fee.asset, max: content.feeCap } : intent.fee;
  const whose = subAccount === undefined ? {} : { subAccount };
  return asJson({ type: "portcullis/intent/v1", client, ...whose, key, chain, account, operations, fee, ...content });
};

/** What an intent does not say of its payload. */
export type IntentContent =
  | {
      readonly callData: string;
      /** Where the caller left gas or prices out: the policy's fee cap, up to which they are filled; or `uncapped`. */
      readonly feeCap?: string;
    }
  | { readonly digest: string };

const Base64Url = z.string().regex(/^[A-Za-z0-9_-]{1,4000}$/, "expected base64url without padding");

/** Ed25519 and P-256: 64 bytes in base64; SSH: the armored text of `ssh-keygen -Y sign`; WebAuthn: the assertion. */
export const PersonSignature = z.union([
  z.string().min(1).max(4096),
  z.strictObject({ authenticatorData: Base64Url, clientDataJSON: Base64Url, signature: Base64Url }),
]);
export type PersonSignature = z.infer<typeof PersonSignature>;

export const ApprovalBody = z.strictObject({
  text: z.string().max(1024).describe("exactly what was signed: `portcullis/approval/v1` and its fields"),
  signature: PersonSignature.describe("by a key that the active policy declares for the person that the text names"),
});
export type ApprovalBody = z.infer<typeof ApprovalBody>;
