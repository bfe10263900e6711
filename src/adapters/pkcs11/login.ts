import pkcs11, { type Handle, type PKCS11 } from "pkcs11js";
import { ckrOf } from "./errors.ts";

export function logIn(lib: PKCS11, session: Handle, pin: string): void {
  try {
    lib.C_Login(session, pkcs11.CKU_USER, pin);
  } catch (error) {
    // Login belongs to the process, not to the session (PKCS#11 2.40, 5.6.5).
    if (ckrOf(error)?.code !== pkcs11.CKR_USER_ALREADY_LOGGED_IN) throw error;
  }
}

/** CKS_RO_USER_FUNCTIONS (PKCS#11 2.40, 3.4): what the sessions of the pool, which are read-only, show after a login. */
const READ_ONLY_USER = 1;

/** @throws CKR_USER_NOT_LOGGED_IN */
export function assertLoggedIn(lib: PKCS11, session: Handle): void {
  if (lib.C_GetSessionInfo(session).state !== READ_ONLY_USER) {
    throw new Error(`CKR_USER_NOT_LOGGED_IN:${pkcs11.CKR_USER_NOT_LOGGED_IN}`);
  }
}
