import type { KeyRef, TokenRef } from "../../vault/ports.ts";
import { Retired } from "./errors.ts";
import { isRefusal } from "./faults.ts";
import { SignerProcess } from "./signer-process.ts";

export type SignerOptions = {
  /** Processes that sign for the vault. */
  readonly count: number;
  /** One that has orders and answers none for so long is killed; they go to another. */
  readonly hangMs: number;
};

/** Orders on their way to each of them at once: it must not run dry while the vault is busy. */
export const ORDERS_PER_SIGNER = 4;

/** How often they are looked after. One look may come late: what they answered is read after it. */
const LOOK_MS = 100;
const LATE_LOOKS = 2;

/** A login that a second signer did not get is tried there again after this: the first goes on meanwhile. */
const SPREAD_PAUSE_MS = 1_000;

/**
 * The processes that sign. A signature in the vault's own process costs its main thread more than it costs the HSM: the
 * module's locks, a thread's turn, a callback. Here it costs a part of one system call, and a module that crashes or
 * hangs ends a signer.
 */
export class Signers {
  readonly #modulePath: string;
  readonly #options: SignerOptions;
  #processes: SignerProcess[] = [];
  readonly #logins = new Set<SignerLogin>();
  readonly #lateLooks = new WeakMap<SignerProcess, number>();
  /** Several processes that log in at one moment have been seen to miss a token: one after the other. */
  #lastOpening: Promise<unknown> = Promise.resolve();
  #loginCount = 0;
  #looking: NodeJS.Timeout | undefined;

  constructor(modulePath: string, options: SignerOptions) {
    this.#modulePath = modulePath;
    this.#options = options;
  }

  /** Keys of this token may be used from now on. @param pin one that the token has just taken */
  login(ref: TokenRef, pin: string): SignerLogin {
    this.#looking ??= setInterval(() => this.#look(), LOOK_MS).unref();
    const login = new SignerLogin((this.#loginCount += 1), ref, pin, this);
    this.#logins.add(login);
    return login;
  }

  logout(login: SignerLogin): void {
    this.#logins.delete(login);
  }

  /** Those that serve, the least loaded first. */
  serving(): SignerProcess[] {
    return this.#processes.filter(({ isServing }) => isServing).sort((one, other) => one.underWay - other.underWay);
  }

  /** No token is on all signers at once: one that hangs or is slow leaves the others one. */
  get shareMax(): number {
    return Math.max(1, this.#options.count - 1);
  }

  get count(): number {
    return this.#options.count;
  }

  /** Opens the login on a signer that does not have it yet. */
  openOnAnother(login: SignerLogin): Promise<void> {
    const opening = this.#lastOpening.then(() => this.#openOnAnother(login));
    this.#lastOpening = opening.catch(() => undefined);
    return opening;
  }

  /** All end when they have done what they were given; the next order finds new ones, with the module opened anew. */
  async restart(): Promise<void> {
    const before = this.#processes.splice(0);
    await Promise.all(before.map((signer) => signer.end()));
  }

  async end(): Promise<void> {
    clearInterval(this.#looking);
    this.#logins.clear(); // so that no opening that waits for its turn starts another
    await this.restart();
    await this.#lastOpening;
    await this.restart();
  }

  async #openOnAnother(login: SignerLogin): Promise<void> {
    const serving = this.serving();
    const other = serving.find((signer) => !signer.isOpenFor(login.number));
    if (!other || serving.length < this.#options.count) return login.openOn(this.#startFor(login));
    try {
      await login.openOn(other);
    } catch (error) {
      if (isRefusal(error)) throw error;
      // A token made after its module was opened is seen by another process alone.
      other.leave();
      await login.openOn(this.#startFor(login));
    }
  }

  /** @throws {Retired} if the login was closed while it waited for its turn */
  #startFor(login: SignerLogin): SignerProcess {
    if (!this.#logins.has(login)) throw new Retired();
    const signer = new SignerProcess(this.#modulePath);
    this.#processes = [...this.#processes.filter(({ hasEnded }) => !hasEnded), signer];
    return signer;
  }

  #look(): void {
    for (const signer of this.#processes) {
      const isLate = signer.silentMs() > this.#options.hangMs;
      const late = isLate ? (this.#lateLooks.get(signer) ?? 0) + 1 : 0;
      this.#lateLooks.set(signer, late);
      if (late >= LATE_LOOKS) signer.kill();
    }
  }
}

/** What one connection to a token has with the signers: its PIN, and on which of them it is logged in. */
export class SignerLogin {
  readonly number: number;
  readonly #ref: TokenRef;
  readonly #signers: Signers;
  #pin: string;
  #opening: Promise<void> | undefined;
  #spreadAgainAt = 0;
  /** The token does not take the PIN any more: no signer offers it again. */
  #refused: Error | undefined;
  readonly #failedOn = new Set<SignerProcess>();

  constructor(number: number, ref: TokenRef, pin: string, signers: Signers) {
    this.number = number;
    this.#ref = ref;
    this.#pin = pin;
    this.#signers = signers;
  }

  /** @param leftOpen told before the error, where it does not exclude that a signature was made */
  async sign(key: KeyRef, message: Uint8Array, leftOpen: () => void): Promise<Uint8Array> {
    const signer = this.#choose() ?? (await this.#first());
    this.#spread();
    try {
      return await signer.sign(this.number, key, message, leftOpen);
    } catch (error) {
      this.#failedOn.add(signer);
      throw error;
    }
  }

  /** To be called by `Signers` alone, one at a time. */
  async openOn(signer: SignerProcess): Promise<void> {
    if (this.#refused) throw this.#refused;
    try {
      await signer.open(this.number, this.#ref, this.#pin);
    } catch (error) {
      if (isRefusal(error)) this.#refused = error as Error;
      throw error;
    }
  }

  /** Nobody logs in while the PIN is being changed. @param change at once, without waiting for anything */
  async changePin(newPin: string, change: () => void): Promise<void> {
    while (this.#opening) await this.#opening.catch(() => undefined);
    try {
      change();
    } catch (error) {
      this.#refused = error as Error; // the old one may be wrong by now
      throw error;
    }
    this.#pin = newPin;
  }

  close(): void {
    this.#signers.logout(this);
    for (const signer of this.#signers.serving()) signer.close(this.number);
  }

  /** The connection has failed: where that was seen, the module is not trusted to find its way back. */
  retire(): void {
    for (const signer of this.#failedOn) signer.leave();
    this.close();
  }

  #choose(): SignerProcess | undefined {
    const open = this.#signers.serving().filter((signer) => signer.isOpenFor(this.number));
    const busy = open.filter((signer) => signer.underWayFor(this.number) > 0);
    return busy.length >= this.#signers.shareMax ? busy[0] : open[0];
  }

  async #first(): Promise<SignerProcess> {
    await this.#open();
    return this.#choose() ?? this.#first();
  }

  /** On the others as well, while the first one signs already. */
  #spread(): void {
    const open = this.#signers.serving().filter((signer) => signer.isOpenFor(this.number));
    if (open.length >= this.#signers.count || this.#opening || performance.now() < this.#spreadAgainAt) return;
    this.#open().catch(() => (this.#spreadAgainAt = performance.now() + SPREAD_PAUSE_MS));
  }

  #open(): Promise<void> {
    this.#opening ??= this.#signers.openOnAnother(this).finally(() => (this.#opening = undefined));
    return this.#opening;
  }
}
