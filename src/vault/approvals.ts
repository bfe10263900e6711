import { createHash } from "node:crypto";
import canonicalizeModule from "canonicalize";
import { leavesFeeOpen, parseFields } from "../chains/evm/fields.ts";
import { decodeUnsigned } from "../chains/evm/transaction.ts";
import {
  APPROVAL_NAMESPACE,
  approvalText,
  intentContent,
  type IntentContent,
  parseApprovalText,
  type ApprovalBody,
  type ApprovalFields,
  type PersonSignature,
  type Verdict,
} from "../domain/approval.ts";
import type { DecisionFacts } from "../domain/decision.ts";
import { GatewayError } from "../domain/errors.ts";
import type { CallerName } from "../domain/names.ts";
import { verifyPerson, type Proof } from "./auth/person-signature.ts";
import type { Situation } from "./claim.ts";
import { frozenCallers } from "./frozen.ts";
import { readRecord } from "./record.ts";

/*
 * What a person's approval is worth (I10): for which request, of which meaning, under which policy, until when. Asked when
 * it comes in, and again whenever the request is decided.
 */

/** An approval as it stands beside its request: what was signed, and when it came in. */
export type RecordedApproval = {
  readonly person: CallerName;
  readonly at: number;
  readonly text: string;
  readonly signature: PersonSignature;
};

// The package's types say `export default` while Node sees `module.exports`.
const canonicalize = canonicalizeModule as unknown as (value: unknown) => string;
const sha256 = (data: string | Uint8Array): string => `sha256:${createHash("sha256").update(data).digest("hex")}`;

/** What people approve: client, key, chain, operations, fee cap, content; not nonce or price. */
export function intentHash(situation: Situation): string {
  const { client, key, intent, request } = situation;
  const { subAccount } = readRecord(request);
  const meant = { client: client.row.id, key: key.name, subAccount, intent };
  return sha256(canonicalize(intentContent(meant, contentOf(situation))));
}

/** What the intent does not say of the payload. It stands in the leaves, so that the hash can be made again from them. */
export function contentOf({ client, payload, intent, unsigned, digest32 }: Situation): IntentContent {
  if (payload.type !== "evm-transaction") return { digest: Buffer.from(digest32).toString("hex") };
  const callData = sha256(decodeUnsigned(unsigned).data);
  if (payload.transaction === undefined || !leavesFeeOpen(parseFields(payload.transaction))) return { callData };
  return { callData, feeCap: String(client.policy!.fees.get(intent.fee.asset) ?? "uncapped") };
}

/** Verified again from the texts themselves: what is not signed for exactly this counts for nothing. */
export function countingApprovals(
  situation: Situation,
  approvals: readonly RecordedApproval[],
  now: number,
): DecisionFacts["approvals"] {
  if (approvals.length === 0) return [];
  const expected = expectedOf(situation);
  // What they released may have been signed in what a restore has lost: people look again.
  const since = situation.house.restoredAt ?? -Infinity;
  return approvals.flatMap(({ person, at, text, signature }) => {
    const fields = parseApprovalText(text);
    const isFor =
      fields?.verdict === "approve" &&
      fields.person === person &&
      text === approvalText({ ...fields, ...expected }) &&
      at > since &&
      Date.parse(fields.expires) > now;
    const proof = isFor && provenBy(situation, person, { text, signature });
    return proof ? [{ person, at, ...viaOf(proof) }] : [];
  });
}

type Expected = Pick<ApprovalFields, "client" | "request" | "intent" | "policy">;

const expectedOf = (situation: Situation): Expected => ({
  client: situation.client.row.id,
  request: situation.request.id,
  intent: intentHash(situation),
  policy: situation.client.policy!.hash,
});

/** What a browser's authenticator signs, a web page has shown. */
const viaOf = ({ kind }: Proof): { readonly via?: "console" } => (kind === "webauthn" ? { via: "console" } : {});

function provenBy(
  situation: Situation,
  person: CallerName,
  signed: Pick<ApprovalBody, "text" | "signature">,
): Proof | undefined {
  try {
    return prove(situation, person, signed);
  } catch (error) {
    if (error instanceof GatewayError) return undefined;
    throw error;
  }
}

/** @throws {GatewayError} `approval-person-unknown`, `approval-by-frozen`, `wrong-namespace`, `person-signature-invalid` */
function prove({ client }: Situation, person: CallerName, signed: Pick<ApprovalBody, "text" | "signature">): Proof {
  const declared = client.policy!.callers.get(person);
  if (declared?.role !== "approver") {
    throw new GatewayError("approval-person-unknown", `expected an approver of this client, found \`${person}\``);
  }
  if (frozenCallers(client.row).has(person))
    throw new GatewayError("approval-by-frozen", `\`${person}\` is frozen: what they sign counts for nothing`);
  return verifyPerson(declared.keys, { ...signed, namespace: APPROVAL_NAMESPACE });
}

const REFUSED: Readonly<Record<keyof Expected, readonly [code: string, what: string]>> = {
  client: ["approval-for-another-client", "client"],
  request: ["approval-for-another-request", "request"],
  policy: ["approval-under-another-policy", "policy"],
  intent: ["approval-for-another-intent", "intent"],
};

/**
 * What a person has signed, if it is for this request as it stands now.
 * @param latest until when it may count: when the request itself lapses
 * @throws {GatewayError} a code of its own for everything that it may be instead
 */
export function readDecision(
  situation: Situation,
  { text, signature }: ApprovalBody,
  expected: { readonly origin: string; readonly verdict: Verdict; readonly now: number; readonly latest: number },
): { readonly person: CallerName; readonly proof: Proof } {
  const fields = parseApprovalText(text);
  if (!fields) throw new GatewayError("approval-malformed", "expected a text of `portcullis/approval/v1`");
  const person = fields.person as CallerName;
  const proof = prove(situation, person, { text, signature });
  if (fields.origin !== expected.origin) {
    throw new GatewayError(
      "approval-for-another-gateway",
      `expected one for \`${expected.origin}\`, found one for \`${fields.origin}\``,
    );
  }
  for (const [name, value] of Object.entries(expectedOf(situation)) as [keyof Expected, string][]) {
    const [code, what] = REFUSED[name];
    if (fields[name] !== value)
      throw new GatewayError(code, `expected the ${what} \`${value}\`, found \`${fields[name]}\``, {
        hint: "fetch the request again, read it, and sign what it is now",
      });
  }
  if (fields.verdict !== expected.verdict) {
    throw new GatewayError(
      "approval-verdict-differs",
      `expected a signed \`${expected.verdict}\`, found \`${fields.verdict}\``,
    );
  }
  requireTimely(Date.parse(fields.expires), expected);
  requireOutsider(situation, person);
  return { person, proof };
}

function requireTimely(expires: number, { now, latest }: { readonly now: number; readonly latest: number }): void {
  if (now >= expires) throw new GatewayError("approval-expired", "what was signed has expired", { hint: "sign again" });
  if (expires > latest) {
    throw new GatewayError(
      "approval-outlives-request",
      `expected an expiry up to ${new Date(latest).toISOString()}, when the request lapses`,
    );
  }
}

/** Whoever asks, or runs what asks, decides nothing about it. */
function requireOutsider({ client, request }: Situation, person: CallerName): void {
  if (person === request.caller)
    throw new GatewayError("approval-by-initiator", "whoever asked cannot decide about it");
  if (client.policy!.callers.get(request.caller)?.operatedBy.has(person)) {
    throw new GatewayError(
      "approval-by-operator",
      `\`${person}\` operates \`${request.caller}\`, which asked: that approval never counts`,
    );
  }
}
