import pkcs11, { type Handle, type PKCS11 } from "pkcs11js";
import { GatewayError, quoted } from "../../domain/errors.ts";
import type { KeyRef, LogKeyName, LogToken, TokenRef } from "../../vault/ports.ts";
import { checkAttributes, readAttributes } from "./attributes.ts";
import type { Connection } from "./connection.ts";
import { hsmError, translated } from "./errors.ts";
import { type FoundKey, findObjects, rawPoint, signOn } from "./keys.ts";
import { checkLogText } from "./log-texts.ts";
import { freshChallenge, verifies } from "./proof.ts";

/** The gateway's own token: three keys, each for texts of its own type (I18). */
export class GatewayLogToken implements LogToken {
  readonly ref: TokenRef;
  readonly #connection: Connection;
  readonly #origin: string;
  readonly #keys = new Map<LogKeyName, Promise<KeyRef>>();

  constructor(ref: TokenRef, connection: Connection, origin: string) {
    this.ref = ref;
    this.#connection = connection;
    this.#origin = origin;
  }

  async publicKey(name: LogKeyName): Promise<Uint8Array> {
    return Uint8Array.from((await this.#key(name)).publicKey);
  }

  async sign(name: LogKeyName, text: string): Promise<Uint8Array> {
    checkLogText(name, text, this.#origin);
    const key = await this.#key(name);
    const message = Buffer.from(text, "utf8");
    const signature = await translated(`signing with the log key \`${name}\``, () =>
      this.#connection.sign(key, message),
    );
    if (verifies("ed25519", key.publicKey, message, signature)) return signature;
    throw new GatewayError("hsm-unavailable", `expected a signature that verifies under the log key \`${name}\``, {
      facts: { key: name },
    });
  }

  /** Found or made once; a failure is forgotten, so that the next call tries again. */
  #key(name: LogKeyName): Promise<KeyRef> {
    const known = this.#keys.get(name);
    if (known) return known;
    const key = this.#findOrMake(name).catch((error: unknown) => {
      this.#keys.delete(name);
      throw hsmError(error, `preparing the log key \`${name}\` in token ${quoted(this.ref.label)}`);
    });
    this.#keys.set(name, key);
    return key;
  }

  async #findOrMake(name: LogKeyName): Promise<KeyRef> {
    const keys = (await this.#connection.privateKeys()).filter(({ label }) => label === name);
    const [found, second] = keys;
    if (!found) return (await this.#connection.generateKey(name, "ed25519")).key;
    if (second) throw new GatewayError("key-ambiguous", `expected one log key \`${name}\`, found ${keys.length}`);
    return this.#connection.lease((lib, session) => recoverKey(lib, session, found));
  }
}

/**
 * The public key of a log key made in an earlier run. Only the public object in the token has it, and is not believed:
 * the private key signs a challenge, and the candidate under which the signature verifies is the one.
 */
async function recoverKey(lib: PKCS11, session: Handle, { handle, id, label }: FoundKey): Promise<KeyRef> {
  checkAttributes(label, readAttributes(lib, session, handle));
  const challenge = freshChallenge();
  const signature = await signOn(lib, session, { handle, curve: "ed25519" }, challenge);
  const proven = publicKeyCandidates(lib, session, id).find((key) => verifies("ed25519", key, challenge, signature));
  if (proven) return { id, label, curve: "ed25519", publicKey: proven };
  throw new GatewayError(
    "key-refused",
    `expected a public key in the token under which the log key \`${label}\` signs`,
    {
      facts: { attribute: "publicKey", label, id },
    },
  );
}

/**
 * Private objects first: nobody makes one without the PIN. Where the module keeps public keys as public objects only,
 * all of them are tried.
 */
function publicKeyCandidates(lib: PKCS11, session: Handle, id: string): Uint8Array[] {
  const template = [
    { type: pkcs11.CKA_CLASS, value: pkcs11.CKO_PUBLIC_KEY },
    { type: pkcs11.CKA_ID, value: Buffer.from(id, "hex") },
  ];
  const guarded = findObjects(lib, session, [...template, { type: pkcs11.CKA_PRIVATE, value: true }]);
  const candidates = guarded.length > 0 ? guarded : findObjects(lib, session, template);
  return candidates.flatMap((handle) => {
    try {
      const [point] = lib.C_GetAttributeValue(session, handle, [{ type: pkcs11.CKA_EC_POINT }]);
      return [rawPoint(point!.value, "ed25519")];
    } catch {
      return []; // planted objects may be of any kind
    }
  });
}
