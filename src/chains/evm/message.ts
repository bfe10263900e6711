import { keccak_256 } from "@noble/hashes/sha3.js";
import { concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import type { AssetRegistry } from "../../domain/assets.ts";
import { chainOf, type Account } from "../../domain/chain.ts";
import { CONTROL_TITLE, readControlText } from "../../domain/control.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { Intent, Operation } from "../../domain/intent.ts";
import { toHex } from "./bytes.ts";
import { Unfolding } from "./calls/unfold.ts";
import { siweOf } from "./siwe.ts";

/** More than a person reads before signing. */
const MAX_MESSAGE_BYTES = 16_384;

/** As wallets read what they are given (`personal_sign`): `0x` and pairs of hex digits are bytes, all else is a text. */
export function messageBytes(written: string): Uint8Array {
  return /^0x(?:[0-9a-fA-F]{2})*$/.test(written) ? hexToBytes(written.slice(2)) : utf8ToBytes(written);
}

/** EIP-191, version 0x45: "\x19Ethereum Signed Message:\n", the length in decimal, the message. */
export function messageDigest(message: Uint8Array): Uint8Array {
  return keccak_256(concatBytes(utf8ToBytes(`\x19Ethereum Signed Message:\n${message.length}`), message));
}

/**
 * What it says to sign this message (`personal_sign`, `eth_sign`).
 * @throws {GatewayError} `message-too-large`, `unknown-chain`, `siwe-malformed`, `siwe-other-account`, `wrong-chain`,
 * `control-malformed`, `control-other-account`
 */
export function intentOfMessage(message: Uint8Array, account: Account, registry: AssetRegistry): Intent {
  if (message.length > MAX_MESSAGE_BYTES) {
    throw new GatewayError("message-too-large", `expected at most ${MAX_MESSAGE_BYTES} bytes, found ${message.length}`);
  }
  const { native } = new Unfolding(registry, account, false);
  return {
    chain: chainOf(account),
    account,
    operations: [operationOf(message, account)],
    fee: { asset: native.symbol, max: 0n },
    claims: [],
  };
}

function operationOf(message: Uint8Array, from: Account): Operation {
  // Contracts take the signature of a 32-byte message as one over that hash: a Safe with v > 30, every other one that
  // uses toEthSignedMessageHash. What the hash stands for cannot be seen, whether or not it also reads as a text.
  if (message.length === 32) return { kind: "raw-digest", from, digest: toHex(message) };
  const text = printable(message);
  if (text === undefined) return { kind: "message", from, format: "opaque" };
  const digits = /^\s*(?:0x)?([0-9a-fA-F]{64})\s*$/.exec(text);
  if (digits) return { kind: "raw-digest", from, digest: `0x${digits[1]!.toLowerCase()}` };
  const control = controlOf(text, from);
  if (control) return { kind: "message", from, format: "control", text, control };
  const siwe = siweOf(text, from);
  return siwe ? { kind: "message", from, format: "siwe", text, siwe } : { kind: "message", from, format: "text", text };
}

/** What begins as a proof of control is exactly one, of this account: its reader need not ask who let it be signed. */
function controlOf(text: string, from: Account): Readonly<Record<string, string>> | undefined {
  if (!text.trimStart().toLowerCase().startsWith(CONTROL_TITLE.toLowerCase())) return undefined;
  const claim = readControlText(text);
  if (!claim)
    throw new GatewayError("control-malformed", "expected a proof of control in its fixed form, found another text", {
      hint: "`portcullis prove-control` writes them",
    });
  if (claim.account !== from)
    throw new GatewayError("control-other-account", `expected a proof of control of ${from}, found ${claim.account}`);
  const { challenge, client, block, checkpoint } = claim;
  return {
    challenge,
    client,
    block: `${block.height} ${block.hash}`,
    checkpoint: `${checkpoint.origin} ${checkpoint.size} ${checkpoint.root}`,
  };
}

/**
 * Tab and line feed are the only controls. Format characters (bidi, zero width), private ones and those nobody has
 * assigned would show something else than what is signed, or nothing.
 */
const UNPRINTABLE = /[\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?![\t\n])\p{Cc}/u;

function printable(message: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(message);
    return UNPRINTABLE.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}
