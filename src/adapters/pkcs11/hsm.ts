import pkcs11 from "pkcs11js";
import { GatewayError, quoted } from "../../domain/errors.ts";
import type {
  GatewayToken,
  Hsm,
  LogToken,
  SigningOrder,
  SigningPermit,
  Token,
  TokenHealth,
  TokenRef,
} from "../../vault/ports.ts";
import type { PoolSizes } from "./connection.ts";
import { ckrOf, translated } from "./errors.ts";
import { SealingToken } from "./gateway-token.ts";
import { TokenLink } from "./link.ts";
import { checkOrigin } from "./log-texts.ts";
import { GatewayLogToken } from "./log-token.ts";
import { Module } from "./module.ts";
import { ORDERS_PER_SIGNER, type SignerOptions } from "./signers.ts";
import { ClientToken } from "./token.ts";
import { createToken, listTokens } from "./tokens.ts";

export type HsmOptions = PoolSizes & {
  /** The vendor's shared library. */
  readonly modulePath: string;
  /**
   * Operations of all tokens that run at a time; more wait for their turn. As many as the thread pool has threads
   * (UV_THREADPOOL_SIZE), unless told: what waits in the pool's own queue has no turns.
   */
  readonly lanes?: number;
  /** Processes that sign in place of this one. */
  readonly signers?: SignerOptions;
  /** `redeemPermit` of the vault; handed in, since only `sign.ts` may reach the place where permits are made. */
  readonly redeem: (permit: SigningPermit) => SigningOrder;
};

/** Of libuv, where the environment does not say. */
const THREADS_DEFAULT = 4;

const threads = () => Number(process.env["UV_THREADPOOL_SIZE"]) || THREADS_DEFAULT;

/**
 * Restarting the module interrupts every token: soon when none of them answers anyway, seldom for the sake of one.
 */
const RESTART_PAUSE_MS = { whenAllAreAway: 500, whenOthersAnswer: 30_000 };

/**
 * Loads and initialises the module. One per process: it owns C_Initialize and C_Finalize.
 * @throws {GatewayError} `hsm-unavailable`
 */
export async function openHsm(options: HsmOptions): Promise<Hsm> {
  const { modulePath, lanes, signers } = options;
  const module = new Module(modulePath, lanes ?? (signers ? signers.count * ORDERS_PER_SIGNER : threads()), signers);
  module.initialize();
  return new Pkcs11Hsm(module, options);
}

type AnyToken = Token | LogToken | GatewayToken;
type Opened = { readonly purpose: "client" | "log" | "gateway"; readonly link: TokenLink; readonly token: AnyToken };

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

  async createToken(label: string, pin: string, soPin?: string): Promise<TokenRef> {
    return translated(`making token ${quoted(label)}`, () => {
      this.#refuseWhenClosed();
      return this.#module.shared(() => createToken(this.#module, label, pin, soPin));
    });
  }

  async listTokens(): Promise<TokenRef[]> {
    return translated("listing tokens", () => {
      this.#refuseWhenClosed();
      return this.#module.shared(() => listTokens(this.#module));
    });
  }

  async refresh(): Promise<void> {
    return translated("initialising the module anew", () => {
      this.#refuseWhenClosed();
      return this.#module.restart();
    });
  }

  async openToken(ref: TokenRef, pin: string): Promise<Token> {
    const token = await this.#open("client", ref, pin, (link) => new ClientToken(link, this.#options.redeem));
    return token as Token;
  }

  async openLogToken(ref: TokenRef, pin: string, origin: string): Promise<LogToken> {
    checkOrigin(origin);
    const token = await this.#open("log", ref, pin, (link) => new GatewayLogToken(link, origin));
    return token as LogToken;
  }

  async openGatewayToken(ref: TokenRef, pin: string): Promise<GatewayToken> {
    const token = await this.#open("gateway", ref, pin, (link) => new SealingToken(link));
    return token as GatewayToken;
  }

  async changePin(ref: TokenRef, pin: string, newPin: string): Promise<void> {
    return translated(`changing the PIN of token ${quoted(ref.label)}`, () => {
      const opened = this.#opened.get(nameOf(ref));
      if (!opened) throw new GatewayError("token-not-found", `expected token ${quoted(ref.label)} to be open`);
      if (!opened.link.isOpenWith(pin)) throw pinRefused(ref, "another one than it was opened with");
      return opened.link.changePin(newPin);
    });
  }

  health(): TokenHealth[] {
    return [...this.#opened.values()].map(({ link }) => link.health());
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #open(
    purpose: Opened["purpose"],
    ref: TokenRef,
    pin: string,
    make: (link: TokenLink) => AnyToken,
  ): Promise<AnyToken> {
    return translated(`opening token ${quoted(ref.label)}`, () =>
      this.#module.shared(() => {
        this.#refuseWhenClosed();
        const name = nameOf(ref);
        const before = this.#opened.get(name);
        if (before && !before.link.isRefused) return reopened(before, purpose, ref, pin);
        if (before?.link.isOpenWith(pin)) throw refusedBefore(ref);
        const link = this.#connect(name, ref, pin);
        const token = make(link);
        this.#opened.set(name, { purpose, link, token });
        return token;
      }),
    );
  }

  #connect(name: string, ref: TokenRef, pin: string): TokenLink {
    if (this.#refusedPins.get(name)?.has(pin)) throw refusedBefore(ref);
    const restarts = { mayRestart: () => this.#mayRestart() };
    try {
      return new TokenLink(this.#module, ref, pin, this.#options, restarts);
    } catch (error) {
      if (ckrOf(error)?.code === pkcs11.CKR_PIN_INCORRECT) {
        this.#refusedPins.set(name, (this.#refusedPins.get(name) ?? new Set()).add(pin));
      }
      throw error;
    }
  }

  #mayRestart(): boolean {
    const othersAnswer = [...this.#opened.values()].some(({ link }) => link.isReady);
    const pauseMs = othersAnswer ? RESTART_PAUSE_MS.whenOthersAnswer : RESTART_PAUSE_MS.whenAllAreAway;
    return performance.now() - this.#module.initializedAtMs >= pauseMs;
  }

  #refuseWhenClosed(): void {
    if (this.#closed) throw new GatewayError("hsm-unavailable", "the HSM connection is closed");
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#opened.values()].map(({ link }) => link.close()));
    await translated("closing the HSM", () => this.#module.shared(() => this.#module.finalize()));
  }
}

const nameOf = (ref: TokenRef) => JSON.stringify([ref.label, ref.serial]);

/** An open token is logged in already, and its PIN is not tried again: so it is compared here. */
function reopened(before: Opened, purpose: Opened["purpose"], ref: TokenRef, pin: string): AnyToken {
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
  if (!before.link.isOpenWith(pin)) throw pinRefused(ref, "another PIN than it was opened with");
  return before.token;
}

/** The token's own word, remembered. */
const refusedBefore = (ref: TokenRef) =>
  pinRefused(ref, "one that it has refused before", { ckr: "CKR_PIN_INCORRECT" });

const pinRefused = (ref: TokenRef, found: string, facts: { readonly ckr?: string } = {}) =>
  new GatewayError("pin-incorrect", `expected the PIN of token ${quoted(ref.label)}, found ${found}`, {
    facts: { ...ref, ...facts },
    hint: "the HSM was not asked: it would count another wrong try",
  });
