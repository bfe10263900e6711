import pkcs11 from "pkcs11js";
import { GatewayError } from "../../domain/errors.ts";

/** What a module answered, by the names of PKCS#11. */
export type Ckr = { readonly code: number; readonly name: string };

const NAMES = new Map(
  Object.entries(pkcs11)
    .filter((entry): entry is [string, number] => entry[0].startsWith("CKR_") && typeof entry[1] === "number")
    .map(([name, code]) => [code, name]),
);

/** The binding throws `CKR_NAME` with a `code`, and from C_FindObjects the bare text `CKR_NAME:code`. */
export function ckrOf(error: unknown): Ckr | undefined {
  if (!(error instanceof Error)) return undefined;
  const thrown = error as Error & { readonly code?: unknown };
  const code =
    /CKR_\w+:(\d+)/.exec(thrown.message)?.[1] ?? (thrown.message.startsWith("CKR_") ? thrown.code : undefined);
  return code === undefined ? undefined : ckr(Number(code));
}

/** Vendors have codes of their own (CKR_VENDOR_DEFINED and up), and PKCS#11 3.x some that the binding does not know. */
export function ckr(code: number): Ckr {
  return { code, name: NAMES.get(code) ?? `CKR_0x${code.toString(16).padStart(8, "0")}` };
}

/** PKCS#11's name of the answer, or the gateway's own code where the module gave none. */
export const reasonOf = (error: unknown): string => {
  if (error instanceof GatewayError) return typeof error.facts["ckr"] === "string" ? error.facts["ckr"] : error.code;
  return ckrOf(error)?.name ?? "CKR_unknown";
};

/** The connection was replaced while the call waited for its turn: nothing was done, and the next one may do it. */
export class Retired extends Error {
  constructor() {
    super("the connection to the token was replaced");
  }
}

/** The process that had the order has ended: another one may do it. */
export class SignerLost extends Error {
  constructor() {
    super("the process that was to sign has ended");
  }
}

/** A call that may have done its work although it failed, and whose work must not be done twice. */
export class NotRepeatable extends Error {
  constructor(cause: unknown) {
    super("the outcome of a call that changes the token is unknown", { cause });
  }
}

/**
 * What the rest of the gateway is told of a failed call. Nothing of the call's arguments goes into it: they may be PINs.
 * @param act what was being done, for the message: "opening token `acme`"
 */
export function hsmError(error: unknown, act: string): GatewayError {
  if (error instanceof GatewayError) return error;
  if (error instanceof NotRepeatable) return hsmError(error.cause, act);
  const answer = ckrOf(error);
  const facts = { ckr: answer?.name ?? "none", act };
  const cause = error;
  switch (answer?.code) {
    case pkcs11.CKR_PIN_INCORRECT:
      return new GatewayError("pin-incorrect", `${act}: the HSM refused the PIN`, {
        facts,
        hint: "it is not tried a second time, since HSMs lock a token after a few wrong PINs",
        cause,
      });
    case pkcs11.CKR_PIN_LOCKED:
      return new GatewayError("pin-locked", `${act}: the token is locked`, {
        facts,
        hint: "only the HSM's security officer can set a new PIN",
        cause,
      });
    case pkcs11.CKR_USER_PIN_NOT_INITIALIZED:
    case pkcs11.CKR_PIN_EXPIRED:
    case pkcs11.CKR_PIN_INVALID:
    case pkcs11.CKR_PIN_LEN_RANGE:
      return new GatewayError("pin-invalid", `${act}: the HSM answered ${answer.name}`, { facts, cause });
    case pkcs11.CKR_MECHANISM_INVALID:
      return new GatewayError("hsm-unavailable", `${act}: the token does not offer this curve's mechanism`, {
        facts,
        hint: "Ed25519 came with PKCS#11 3.0: older modules lack it, and p11-kit's socket does not pass it on",
        cause,
      });
    default:
      return new GatewayError("hsm-unavailable", `${act}: the HSM answered ${answer?.name ?? String(error)}`, {
        facts,
        cause,
      });
  }
}

/** Runs one piece of work on the module and turns what it throws into the gateway's error. */
export async function translated<T>(act: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw hsmError(error, act);
  }
}

export const withFacts = (error: GatewayError, facts: GatewayError["facts"]): GatewayError =>
  new GatewayError(error.code, error.message, {
    facts: { ...error.facts, ...facts },
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    cause: error.cause,
  });
