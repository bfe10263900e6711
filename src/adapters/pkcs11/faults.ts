import pkcs11 from "pkcs11js";
import { GatewayError } from "../../domain/errors.ts";
import { ckrOf, NotRepeatable, Retired, SignerLost } from "./errors.ts";

/** What may help after a failed call; each remedy includes the ones before it. */
export type Remedy = "none" | "another-session" | "new-login" | "restart";

const ANOTHER_SESSION: ReadonlySet<number> = new Set([
  pkcs11.CKR_SESSION_CLOSED,
  pkcs11.CKR_SESSION_HANDLE_INVALID,
  pkcs11.CKR_OPERATION_ACTIVE,
  pkcs11.CKR_OPERATION_NOT_INITIALIZED,
  pkcs11.CKR_FUNCTION_CANCELED,
]);

/** Handles of another life, a login that is gone, a device that is away: all that was opened is opened again. */
const NEW_LOGIN: ReadonlySet<number> = new Set([
  pkcs11.CKR_USER_NOT_LOGGED_IN,
  pkcs11.CKR_OBJECT_HANDLE_INVALID,
  pkcs11.CKR_KEY_HANDLE_INVALID,
  pkcs11.CKR_DEVICE_ERROR,
  pkcs11.CKR_DEVICE_MEMORY,
  pkcs11.CKR_DEVICE_REMOVED,
  pkcs11.CKR_TOKEN_NOT_PRESENT,
  pkcs11.CKR_TOKEN_NOT_RECOGNIZED,
  pkcs11.CKR_SLOT_ID_INVALID,
  pkcs11.CKR_SESSION_COUNT,
  pkcs11.CKR_HOST_MEMORY,
  pkcs11.CKR_FUNCTION_FAILED,
  pkcs11.CKR_GENERAL_ERROR,
]);

/** CKR_VENDOR_DEFINED: the codes from here on are the vendor's own. */
const VENDOR_DEFINED = 0x8000_0000;

/** What a code not named here asks for is that somebody looks: a wrong PIN, a mechanism that the token lacks. */
export function remedyFor(error: unknown): Remedy {
  if (error instanceof Retired || error instanceof SignerLost) return "another-session";
  if (error instanceof NotRepeatable) return remedyFor(error.cause);
  const code = ckrOf(error)?.code;
  if (code === undefined) return "none";
  if (code === pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED) return "restart";
  if (ANOTHER_SESSION.has(code)) return "another-session";
  // A vendor's own codes mostly speak of its network or its daemon.
  return NEW_LOGIN.has(code) || code >= VENDOR_DEFINED ? "new-login" : "none";
}

/**
 * Answers of C_Sign that PKCS#11 (2.40, 5.1) gives before the work is begun. All others leave it open: a device that fails,
 * goes away or loses the session may have signed before, and a vendor's code may mean anything.
 */
const REFUSED_BEFORE_SIGNING: ReadonlySet<number> = new Set([
  pkcs11.CKR_ARGUMENTS_BAD,
  pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED,
  pkcs11.CKR_DATA_INVALID,
  pkcs11.CKR_DATA_LEN_RANGE,
  pkcs11.CKR_FUNCTION_NOT_SUPPORTED,
  pkcs11.CKR_FUNCTION_REJECTED,
  pkcs11.CKR_OPERATION_NOT_INITIALIZED,
  pkcs11.CKR_SESSION_HANDLE_INVALID,
  pkcs11.CKR_USER_NOT_LOGGED_IN,
]);

/** Whether C_Sign, failing with this, has certainly made no signature. */
export const excludesSignature = (error: unknown): boolean => REFUSED_BEFORE_SIGNING.has(ckrOf(error)?.code ?? -1);

/** Errors after which another try with the same PIN could lock the token. */
export function isRefusal(error: unknown): boolean {
  const code = ckrOf(error)?.code;
  if (code === pkcs11.CKR_PIN_INCORRECT || code === pkcs11.CKR_PIN_LOCKED || code === pkcs11.CKR_PIN_EXPIRED)
    return true;
  return error instanceof GatewayError && error.code === "pin-locked";
}
