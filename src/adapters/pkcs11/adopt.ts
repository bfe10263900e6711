import pkcs11, { type Handle, type PKCS11 } from "pkcs11js";
import { GatewayError, quoted } from "../../domain/errors.ts";
import type { Curve, KeyAttributes, KeyRef } from "../../vault/ports.ts";
import { CURVES, checkAttributes, readAttributes } from "./attributes.ts";
import { type FoundKey, findObjects, rawPoint, signOn } from "./keys.ts";
import { freshChallenge, proves } from "./proof.ts";

export type AdoptedKey = { readonly key: KeyRef; readonly attributes: KeyAttributes };

/**
 * Takes on a key that the token has and no record speaks of: made by the HSM's administrators, or in an earlier run.
 * Attributes as I1 asks. Its public key is only in the token's public object, which is not believed: the private key
 * signs a challenge, and the candidate under which the signature verifies is the one.
 * @throws {GatewayError} `key-refused` naming the attribute
 */
export async function adopt(lib: PKCS11, session: Handle, { handle, id, label }: FoundKey): Promise<AdoptedKey> {
  const attributes = readAttributes(lib, session, handle);
  checkAttributes(label, attributes);
  const curve = curveOf(lib, session, handle, label);
  const challenge = freshChallenge();
  const signature = await signOn(lib, session, { handle, curve }, challenge.digest32);
  const candidates = publicKeyCandidates(lib, session, id, curve);
  const publicKey = candidates.find((candidate) => proves(curve, candidate, challenge, signature));
  if (publicKey) return { key: { id, label, curve, publicKey }, attributes };
  throw new GatewayError("key-refused", `expected a public key in the token under which ${quoted(label)} signs`, {
    facts: { attribute: "publicKey", label, id, candidates: candidates.length },
  });
}

/** The PrintableString `edwards25519`. */
const EDWARDS25519_NAME = Buffer.from("130c656477617264733235353139", "hex");

function curveOf(lib: PKCS11, session: Handle, handle: Handle, label: string): Curve {
  const [parameters] = lib.C_GetAttributeValue(session, handle, [{ type: pkcs11.CKA_EC_PARAMS }]);
  const found = parameters!.value ?? Buffer.alloc(0);
  // By name, too: PKCS#11 3.0 permits both, and SoftHSM writes the name into a private key made with the identifier.
  if (found.equals(EDWARDS25519_NAME)) return "ed25519";
  const curves = Object.keys(CURVES) as Curve[];
  const curve = curves.find((each) => CURVES[each].parameters.equals(found));
  if (curve) return curve;
  throw new GatewayError("key-refused", `expected key ${quoted(label)} on one of ${curves.join(", ")}`, {
    facts: { attribute: "CKA_EC_PARAMS", label },
  });
}

/**
 * Private objects first: nobody makes one without the PIN. Where the module keeps public keys as public objects only,
 * all of them are tried.
 */
function publicKeyCandidates(lib: PKCS11, session: Handle, id: string, curve: Curve): Uint8Array[] {
  const template = [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PUBLIC_KEY },
    { type: pkcs11.CKA_ID, value: Buffer.from(id, "hex") },
  ];
  const guarded = findObjects(lib, session, [...template, { type: pkcs11.CKA_PRIVATE, value: true }]);
  const candidates = guarded.length > 0 ? guarded : findObjects(lib, session, template);
  return candidates.flatMap((handle) => {
    try {
      const [point] = lib.C_GetAttributeValue(session, handle, [{ type: pkcs11.CKA_EC_POINT }]);
      return [rawPoint(point!.value, curve)];
    } catch {
      return []; // planted objects may be of any kind
    }
  });
}
