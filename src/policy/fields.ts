import { z } from "zod";
import { EVM_CHAIN } from "../domain/chain.ts";
import { isPublicKey } from "./public-key.ts";
import { isZone } from "./zone.ts";

/**
 * The small words of a policy document. Every scalar is text: the YAML is read with the failsafe schema, so that no
 * address and no amount ever passes through a float. Each message begins with what is expected; `issues.ts` adds what was found.
 */

const NAME_TEXT = "1 to 24 characters of `a-z`, `0-9` and `-`";

/** A whole number written bare is a number to an editor and a text to us; the JSON Schema admits both. */
const alsoInteger = { type: ["string", "integer"] } as const;

export const name = (what: string) => z.string().regex(/^[a-z0-9-]{1,24}$/, `expected ${what}: ${NAME_TEXT}`);

export const ruleName = (what: string) =>
  z.string().regex(/^[a-z0-9-]{1,48}$/, `expected ${what}: 1 to 48 characters of \`a-z\`, \`0-9\` and \`-\``);

export const Symbol = z
  .string()
  .regex(/^[A-Z][A-Za-z0-9.-]{0,15}$/, "expected an asset symbol such as `ETH` or `USDC`")
  .describe("Symbol of an asset in the registry files that `use` names.");

export const Amount = z
  .string()
  .max(79, "expected at most 78 digits")
  .regex(/^(0|[1-9][0-9]*)(\.[0-9]+)?$/, "expected a decimal number such as `1.5`")
  .describe('Decimal number in units of the asset, quoted: `"1.5"`. No sign, no exponent, no separators.');

export const count = (what: string) =>
  z
    .string()
    .regex(/^[1-9][0-9]{0,8}$/, `expected ${what}: a whole number from 1`)
    .meta(alsoInteger);

/** The longest is 400 days: a rolling window has to be counted again when a policy is applied. */
export const Duration = z
  .string()
  .regex(/^[1-9][0-9]{0,4}[smhd]$/, "expected a duration such as `30m`, `24h` or `7d`")
  .describe("Whole number and unit: `s`, `m`, `h` or `d`.");

export const Chain = z
  .string()
  .regex(EVM_CHAIN, "expected a CAIP-2 chain such as `eip155:1`")
  .describe("CAIP-2 chain id, such as `eip155:1`.");

/** Form only: whether the checksum holds is asked of the chain's own code, which the caller of the parser brings. */
export const AccountText = z
  .string()
  .regex(/^eip155:[1-9][0-9]{0,15}:0x[0-9a-fA-F]{40}$/, "expected a CAIP-10 account such as `eip155:1:0x742d35Cc…`")
  .describe("CAIP-10 account with the EIP-55 checksum: `eip155:<chain id>:0x…`.");

export const Path = z
  .string()
  .max(200, "expected at most 200 characters")
  .regex(
    /^[a-z0-9_-][a-z0-9._-]*(\/[a-z0-9_-][a-z0-9._-]*)*\.yaml$/i,
    "expected a path below the policies folder such as `shared/assets.yaml`",
  );

export const JsonPath = z
  .string()
  .max(200, "expected at most 200 characters")
  .regex(
    /^[a-z0-9_-][a-z0-9._-]*(\/[a-z0-9_-][a-z0-9._-]*)*\.json$/i,
    "expected a path below the policies folder such as `shared/abis/router.json`",
  );

/** Text for people: printable ASCII, so that what is read is what is there. */
export const Prose = z
  .string()
  .max(200, "expected at most 200 characters")
  .regex(/^[ -~]*$/, "expected printable ASCII")
  .describe("Text for people; has no effect.");

export const Instant = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,3})?Z$/, "expected a UTC time such as `2026-11-20T12:00:00Z`")
  .refine((text) => !Number.isNaN(Date.parse(text)), "expected a time that exists")
  .describe("UTC time, ISO 8601 with `Z`, quoted.");

export const TimeZone = z
  .string()
  .regex(/^[A-Za-z_]+(\/[A-Za-z0-9_+-]+)*$/, "expected a time zone such as `Europe/Zurich`")
  .refine(isZone, "expected a time zone that exists")
  .describe("IANA time zone, such as `Europe/Zurich` or `UTC`.");

export const Whole = z
  .string()
  .regex(/^(0|[1-9][0-9]{0,77})$/, "expected a whole number")
  .meta(alsoInteger)
  .describe("A whole number.");

/** `true` is the only value: what is not wanted is left out. */
export const yes = (description: string) =>
  z.enum(["true"]).meta({ description, type: ["string", "boolean"], enum: [true, "true"] });

const BASE64 = "[A-Za-z0-9+/]";
/** 32 bytes, in the one text that an encoder writes for them: a key is known by its text. */
const BASE64_OF_32 = `${BASE64}{42}[AEIMQUYcgkosw048]=`;
const PUBLIC_KEY =
  "expected a public key: `ed25519:<base64 of 32 bytes>`, `ecdsa-p256:…`, `ssh-ed25519 …`, `sk-ssh-ed25519@openssh.com …` or `webauthn:…`";
const ORIGIN = "https?://[a-z0-9.-]+(:[0-9]+)?";
export const PublicKey = z
  .string()
  .max(1000, "expected at most 1000 characters")
  .regex(
    new RegExp(
      `^(ed25519:${BASE64_OF_32}|ecdsa-p256:${BASE64}+={0,2}|(sk-)?(ssh-ed25519|ecdsa-sha2-nistp256)(@openssh\\.com)? ${BASE64}+={0,2}|webauthn:${ORIGIN} [a-z0-9.-]+ ${BASE64}+={0,2})$`,
    ),
    PUBLIC_KEY,
  )
  .refine(isPublicKey, PUBLIC_KEY)
  .describe(
    "Public key: `ed25519:<base64 of 32 bytes>`, `ecdsa-p256:<base64 of the uncompressed point>`, an OpenSSH public key line without its comment (Ed25519, P-256, security keys), or `webauthn:<origin> <relying party> <base64 of the credential's uncompressed P-256 point>`. `ed25519:` and `ecdsa-p256:` sign requests to the gateway; people approve with any of them.",
  );

export const DURATION_UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** @param text passed `Duration` */
export function durationMs(text: string): number {
  const unit = text.slice(-1) as keyof typeof DURATION_UNIT_MS;
  return Number(text.slice(0, -1)) * DURATION_UNIT_MS[unit];
}
