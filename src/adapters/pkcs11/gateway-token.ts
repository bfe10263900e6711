import { quoted } from "../../domain/errors.ts";
import type { GatewayToken, TokenRef } from "../../vault/ports.ts";
import { translated } from "./errors.ts";
import type { TokenLink } from "./link.ts";

/** The gateway's own token: it seals the PINs of all others. */
export class SealingToken implements GatewayToken {
  readonly ref: TokenRef;
  readonly #link: TokenLink;

  constructor(link: TokenLink) {
    this.ref = link.ref;
    this.#link = link;
  }

  async seal(secret: Uint8Array, context: string): Promise<Uint8Array> {
    return translated(`sealing with token ${quoted(this.ref.label)}`, () =>
      this.#link.run((connection) => connection.seal(secret, Buffer.from(context, "utf8"))),
    );
  }

  async unseal(sealed: Uint8Array, context: string): Promise<Uint8Array> {
    return translated(`unsealing with token ${quoted(this.ref.label)}`, () =>
      this.#link.run((connection) => connection.unseal(sealed, Buffer.from(context, "utf8"))),
    );
  }
}
