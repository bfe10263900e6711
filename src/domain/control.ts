import { GatewayError } from "./errors.ts";

/*
 * Proof of control: a client's key signs a text that says what it proves, to whom and when. The text is an EIP-191
 * message, so it can never be a transaction; it begins with a line of its own, so it is no login (EIP-4361) and no digest
 * (32 bytes, or 64 hex digits), whatever the auditor's challenge is.
 */

export const CONTROL_TITLE = "Portcullis proof of control v1";

export type ControlClaim = {
  /** The auditor's own: 16 to 64 characters of `[A-Za-z0-9._-]`. */
  readonly challenge: string;
  readonly client: string;
  /** CAIP-10. */
  readonly account: string;
  /** The block that says when: of the account's chain. */
  readonly block: { readonly height: number; readonly hash: string };
  /** The log as it stood: origin, size and root (base64) of its newest checkpoint. */
  readonly checkpoint: { readonly origin: string; readonly size: number; readonly root: string };
};

const LINES =
  /^Portcullis proof of control v1\nchallenge: ([A-Za-z0-9._-]{16,64})\nclient: ([a-z0-9-]{1,24})\naccount: ([a-z0-9]{3,8}:[a-zA-Z0-9_-]{1,32}:[.%a-zA-Z0-9-]{1,128})\nblock: (0|[1-9][0-9]{0,15}) (0x[0-9a-f]{64})\ncheckpoint: ([a-z0-9][a-z0-9.-]{0,62}) (0|[1-9][0-9]{0,15}) ([A-Za-z0-9+/]{43}=)$/;

/** @throws {GatewayError} `challenge-invalid` */
export function requireChallenge(challenge: string): void {
  if (/^[A-Za-z0-9._-]{16,64}$/.test(challenge)) return;
  throw new GatewayError("challenge-invalid", "expected a challenge of 16 to 64 characters of `A-Z a-z 0-9 . _ -`", {
    hint: "the auditor chooses it anew for each proof",
  });
}

/** @throws {GatewayError} `challenge-invalid` for anything that the text has no place for */
export function controlText({ challenge, client, account, block, checkpoint }: ControlClaim): string {
  const text = [
    CONTROL_TITLE,
    `challenge: ${challenge}`,
    `client: ${client}`,
    `account: ${account}`,
    `block: ${block.height} ${block.hash}`,
    `checkpoint: ${checkpoint.origin} ${checkpoint.size} ${checkpoint.root}`,
  ].join("\n");
  requireChallenge(challenge);
  if (LINES.test(text)) return text;
  throw new GatewayError("challenge-invalid", "expected client, account, block and checkpoint as the text writes them");
}

/** @returns undefined for a text of another shape */
export function readControlText(text: string): ControlClaim | undefined {
  const match = LINES.exec(text);
  if (!match) return undefined;
  const [, challenge, client, account, height, hash, origin, size, root] = match as unknown as readonly string[];
  return {
    challenge: challenge!,
    client: client!,
    account: account!,
    block: { height: Number(height), hash: hash! },
    checkpoint: { origin: origin!, size: Number(size), root: root! },
  };
}
