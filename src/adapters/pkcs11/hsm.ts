import pkcs11 from "pkcs11js";
import { GatewayError, quoted } from "../../domain/errors.ts";
import type { Hsm, LogToken, SigningOrder, SigningPermit, Token, TokenRef } from "../../vault/ports.ts";
import { Connection, type PoolSizes } from "./connection.ts";
import { ckrOf, hsmError, translated } from "./errors.ts";
import { checkOrigin } from "./log-texts.ts";
import { GatewayLogToken } from "./log-token.ts";
import { Module } from "./module.ts";
import { ClientToken } from "./token.ts";
import { createToken } from "./tokens.ts";

export type HsmOptions = PoolSizes & {
  /** The vendor's shared library. */
  readonly modulePath: string;
  /** `redeemPermit` of the vault; handed in, since only `sign.ts` may reach the place where permits are made. */
  readonly redeem: (permit: SigningPermit) => SigningOrder;
};

/**
 * Loads and initialises the module. One per process: it owns C_Initialize and C_Finalize.
 * @throws {GatewayError} `hsm-unavailable`
 */
export async function openHsm(options: HsmOptions): Promise<Hsm> {
  const module = new Module(options.modulePath);
  module.initialize();
  return new Pkcs11Hsm(module, options);
}

type Opened = {
  readonly purpose: "client" | "log";
  readonly pin: string;
  readonly connection: Connection;
  readonly token: Token | LogToken;
};

class Pkcs11Hsm implements Hsm {
  readonly module: Hsm["module"];
  readonly #module: Module;
  readonly #options: HsmOptions;
  readonly #opened = new Map<string, Opened>();
  /** PINs that a token has refused: never offered to it again, however often a caller does. */
  readonly #refusedPins = new Map<string, Set<string>>();
  #closed: Promise<void> | undefined;

  constructor(module: Module, options: HsmOptions) {
    this.#module = module;
    this.#options = options;
    this.module = module.describe();
  }

  async createToken(label: string, pin: string): Promise<TokenRef> {
    return translated(`making token ${quoted(label)}`, () => {
      this.#refuseWhenClosed();
      return createToken(this.#module, label, pin);
    });
  }

  async openToken(ref: TokenRef, pin: string): Promise<Token> {
    const opened = await this.#open(
      "client",
      ref,
      pin,
      (connection) => new ClientToken(ref, connection, this.#options.redeem),
    );
    return opened as Token;
  }

  async openLogToken(ref: TokenRef, pin: string, origin: string): Promise<LogToken> {
    checkOrigin(origin);
    const opened = await this.#open("log", ref, pin, (connection) => new GatewayLogToken(ref, connection, origin));
    return opened as LogToken;
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #open(
    purpose: Opened["purpose"],
    ref: TokenRef,
    pin: string,
    make: (connection: Connection) => Token | LogToken,
  ): Promise<Token | LogToken> {
    return translated(`opening token ${quoted(ref.label)}`, () => {
      this.#refuseWhenClosed();
      const name = JSON.stringify([ref.label, ref.serial]);
      const before = this.#opened.get(name);
      if (before) return reopened(before, purpose, ref, pin);
      const connection = this.#connect(name, ref, pin);
      const token = make(connection);
      this.#opened.set(name, { purpose, pin, connection, token });
      return token;
    });
  }

  #connect(name: string, ref: TokenRef, pin: string): Connection {
    if (this.#refusedPins.get(name)?.has(pin)) throw pinRefused(ref, "one that it has refused before");
    try {
      return new Connection(this.#module, ref, pin, this.#options);
    } catch (error) {
      if (ckrOf(error)?.code === pkcs11.CKR_PIN_INCORRECT)
        this.#refusedPins.set(name, (this.#refusedPins.get(name) ?? new Set()).add(pin));
      throw error;
    }
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw new GatewayError("hsm-unavailable", "the HSM connection is closed");
  }

  async #close(): Promise<void> {
    const closing = [...this.#opened.values()].map(({ connection }) => connection.close());
    const results = await Promise.allSettled(closing);
    // Whatever could not be closed one by one ends here.
    this.#module.finalize();
    const failed = results.find((result) => result.status === "rejected");
    if (failed) throw hsmError(failed.reason, "closing the HSM");
  }
}

/** An open token is logged in already, and its PIN is not tried again: so it is compared here. */
function reopened(before: Opened, purpose: Opened["purpose"], ref: TokenRef, pin: string): Token | LogToken {
  if (before.purpose !== purpose) {
    throw new GatewayError(
      "token-in-use",
      `expected token ${quoted(ref.label)} free, found it open as a ${before.purpose} token`,
      {
        facts: { ...ref },
        hint: "the log's keys live in a token of their own",
      },
    );
  }
  if (before.pin !== pin) throw pinRefused(ref, "another PIN than it was opened with");
  return before.token;
}

const pinRefused = (ref: TokenRef, found: string) =>
  new GatewayError("pin-incorrect", `expected the PIN of token ${quoted(ref.label)}, found ${found}`, {
    facts: { ...ref },
    hint: "the HSM was not asked: it would count another wrong try",
  });
