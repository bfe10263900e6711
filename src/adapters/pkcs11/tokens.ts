import { randomBytes } from "node:crypto";
import pkcs11, { type Handle, type TokenInfo } from "pkcs11js";
import { GatewayError, quoted } from "../../domain/errors.ts";
import type { TokenFacts, TokenRef } from "../../vault/ports.ts";
import type { Module, Slot } from "./module.ts";

/** CK_TOKEN_INFO.label: 32 bytes, padded with blanks, not terminated by a zero (PKCS#11 2.40, 3.3). */
const LABEL_BYTES = 32;

/** Blank-padded fields of CK_TOKEN_INFO; some modules pad with zeros. */
const trimmed = (field: string) => field.replace(/[\0 ]+$/, "");

const isInitialised = (info: TokenInfo) => (info.flags & pkcs11.CKF_TOKEN_INITIALIZED) !== 0;

const refOf = (info: TokenInfo): TokenRef => ({ label: trimmed(info.label), serial: trimmed(info.serialNumber) });

const versionText = ({ major, minor }: { major: number; minor: number }) => `${major}.${minor}`;

export const describeToken = (info: TokenInfo): TokenFacts => ({
  ...refOf(info),
  manufacturer: trimmed(info.manufacturerID),
  model: trimmed(info.model),
  firmware: versionText(info.firmwareVersion),
  hardware: versionText(info.hardwareVersion),
});

export const listTokens = (module: Module): TokenRef[] =>
  module
    .slots()
    .filter(({ info }) => isInitialised(info))
    .map(({ info }) => refOf(info));

/** The one slot whose token has this label and this serial. Zero matches and two matches are both refused. */
export function findToken(module: Module, ref: TokenRef): Slot {
  return seenBefore(module, ref) ?? exactlyOne(matches(module.slots(), ref), ref);
}

/** Where it was when last looked for; asked again, since tokens move. */
function seenBefore(module: Module, ref: TokenRef): Slot | undefined {
  const [seen, second] = matches(module.slotsSeen(), ref);
  if (!seen || second) return undefined;
  try {
    return matches([{ slot: seen.slot, info: module.lib.C_GetTokenInfo(seen.slot) }], ref)[0];
  } catch {
    return undefined; // the slot is gone: the token may be in another one
  }
}

const matches = (slots: readonly Slot[], ref: TokenRef): Slot[] =>
  slots.filter(({ info }) => {
    const { label, serial } = refOf(info);
    return isInitialised(info) && label === ref.label && serial === ref.serial;
  });

function exactlyOne(found: readonly Slot[], ref: TokenRef): Slot {
  if (found.length > 1) {
    throw new GatewayError("token-ambiguous", `expected one token ${quoted(ref.label)}, found ${found.length}`, {
      facts: { ...ref },
    });
  }
  const [token] = found;
  if (token) return token;
  throw new GatewayError("token-not-found", `expected a token ${quoted(ref.label)} with serial ${quoted(ref.serial)}`, {
    facts: { ...ref },
    hint: "tokens that another process has made are seen after a refresh",
  });
}

/**
 * C_InitToken on an uninitialised slot, then C_InitPIN. Whoever has the SO PIN could set a new user PIN, so it is worth the
 * keys: unless the caller sees to it, it is random and forgotten.
 */
export function createToken(
  module: Module,
  label: string,
  pin: string,
  soPin = randomBytes(24).toString("hex"),
): TokenRef {
  checkLabel(label);
  const slots = module.slots();
  if (slots.some(({ info }) => isInitialised(info) && refOf(info).label === label)) {
    throw new GatewayError("token-exists", `expected no token ${quoted(label)}, found one`, { facts: { label } });
  }
  const free = slots.find(({ info }) => !isInitialised(info));
  if (!free) {
    throw new GatewayError("hsm-unavailable", "expected a free slot for a new token, found none", {
      facts: { slots: slots.length },
      hint: "on this HSM its administrators make tokens",
    });
  }
  checkPinLength(free.info, pin);
  checkPinLength(free.info, soPin);
  module.lib.C_InitToken(free.slot, soPin, label.padEnd(LABEL_BYTES, " "));
  initPin(module, free.slot, soPin, pin);
  return refOf(module.lib.C_GetTokenInfo(free.slot));
}

function initPin(module: Module, slot: Handle, soPin: string, pin: string): void {
  const { lib } = module;
  const session = lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
  try {
    lib.C_Login(session, pkcs11.CKU_SO, soPin);
    lib.C_InitPIN(session, pin);
    lib.C_Logout(session);
  } finally {
    lib.C_CloseSession(session);
  }
}

/** ASCII only, so that bytes and characters are one count and no two labels look alike. */
function checkLabel(label: string): void {
  if (/^[!-~]([ -~]{0,30}[!-~])?$/.test(label)) return;
  throw new GatewayError(
    "label-invalid",
    `expected a label of 1 to 32 printable ASCII characters, found ${quoted(label)}`,
  );
}

/** Asked before the HSM is: a refusal in the middle of C_InitToken and C_InitPIN would leave a token without a PIN. */
export function checkPinLength(info: TokenInfo, pin: string): void {
  const bytes = Buffer.byteLength(pin);
  if (bytes >= info.minPinLen && bytes <= info.maxPinLen) return;
  throw new GatewayError(
    "pin-invalid",
    `expected a PIN of ${info.minPinLen} to ${info.maxPinLen} bytes, found ${bytes}`,
  );
}
