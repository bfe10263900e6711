import { GatewayError, quoted } from "../../domain/errors.ts";
import type { KeyRef, LogKeyName, LogToken, TokenRef } from "../../vault/ports.ts";
import { hsmError, translated } from "./errors.ts";
import type { TokenLink } from "./link.ts";
import { checkLogText } from "./log-texts.ts";
import { verifiesEd25519 } from "./proof.ts";

/** The gateway's own token: three keys, each for texts of its own type (I18). */
export class GatewayLogToken implements LogToken {
  readonly ref: TokenRef;
  readonly #link: TokenLink;
  readonly #origin: string;
  readonly #keys = new Map<LogKeyName, Promise<KeyRef>>();

  constructor(link: TokenLink, origin: string) {
    this.ref = link.ref;
    this.#link = link;
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
      this.#link.run((connection) => connection.sign(key, message)),
    );
    if (verifiesEd25519(key.publicKey, message, signature)) return signature;
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
    const found = await this.#link.run((connection) => connection.adoptKey(name));
    const key = found ?? (await this.#link.run((connection) => connection.generateKey(name, "ed25519"))).key;
    if (key.curve === "ed25519") return key;
    throw new GatewayError("key-refused", `expected an ed25519 key \`${name}\`, found ${key.curve}`, {
      facts: { attribute: "CKA_KEY_TYPE", label: name },
    });
  }
}
