import { GatewayError, quoted } from "../../domain/errors.ts";
import type {
  Curve,
  KeyAttributes,
  KeyRef,
  SigningOrder,
  SigningPermit,
  Token,
  TokenFacts,
  TokenRef,
} from "../../vault/ports.ts";
import { hsmError, reasonOf, translated, withFacts } from "./errors.ts";
import type { TokenLink } from "./link.ts";

/** A client's token: one login, its keys, and signatures for permits only. */
export class ClientToken implements Token {
  readonly ref: TokenRef;
  readonly #link: TokenLink;
  readonly #redeem: (permit: SigningPermit) => SigningOrder;

  constructor(link: TokenLink, redeem: (permit: SigningPermit) => SigningOrder) {
    this.ref = link.ref;
    this.#link = link;
    this.#redeem = redeem;
  }

  async describe(): Promise<TokenFacts> {
    return translated(`asking token ${quoted(this.ref.label)} about itself`, () =>
      this.#link.run(async (connection) => connection.describe()),
    );
  }

  async generateKey(label: string, curve: Curve): Promise<{ key: KeyRef; attributes: KeyAttributes }> {
    const act = `making key ${quoted(label)} in token ${quoted(this.ref.label)}`;
    const { key, attributes } = await translated(act, () =>
      this.#link.run((connection) => connection.generateKey(label, curve)),
    );
    return { key, attributes };
  }

  async proveKey(key: KeyRef): Promise<KeyAttributes> {
    const act = `proving key ${quoted(key.label)} of token ${quoted(this.ref.label)}`;
    return translated(act, () => this.#link.run((connection) => connection.proveKey(key)));
  }

  async adoptKeys(): Promise<readonly { key: KeyRef; attributes: KeyAttributes }[]> {
    const act = `adopting the keys of token ${quoted(this.ref.label)}`;
    return translated(act, () => this.#link.run((connection) => connection.adoptKeys()));
  }

  async sign(key: KeyRef, permit: SigningPermit): Promise<Uint8Array> {
    // First of all, so that a permit is spent whatever happens afterwards (I3).
    const order = this.#redeem(permit);
    if (order.keyId !== key.id) {
      throw new GatewayError("permit-invalid", "expected a permit for this key, found one for another", {
        facts: { key: key.id, permitted: order.keyId },
      });
    }
    if (order.digest32.length !== 32) {
      throw new GatewayError("permit-invalid", `expected a digest of 32 bytes, found ${order.digest32.length}`);
    }
    // One call may be several tries: a fault that the link hides behind another one leaves its own question open.
    let unsigned = true;
    const started = performance.now();
    try {
      const signature = await this.#link.run((connection) =>
        connection.sign(key, order.digest32, () => (unsigned = false)),
      );
      this.#link.signatures.made(performance.now() - started);
      return signature;
    } catch (error) {
      this.#link.signatures.failed(reasonOf(error));
      const failed = hsmError(error, `signing with key ${quoted(key.label)} of token ${quoted(this.ref.label)}`);
      throw unsigned ? withFacts(failed, { unsigned }) : failed;
    }
  }
}
