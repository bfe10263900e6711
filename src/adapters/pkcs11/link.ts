import { setTimeout as delay } from "node:timers/promises";
import { GatewayError, quoted } from "../../domain/errors.ts";
import type { KeyRef, TokenHealth, TokenRef } from "../../vault/ports.ts";
import { Connection, type PoolSizes } from "./connection.ts";
import { hsmError, NotRepeatable, reasonOf, Retired, SignerLost } from "./errors.ts";
import { isRefusal, type Remedy, remedyFor } from "./faults.ts";
import type { Module } from "./module.ts";
import { SignatureCounter } from "./signature-counts.ts";

/** A fault that healing ends within this time is seen by no caller; after it, callers are refused at once. */
const HIDE_MS = 2_000;

/** Pauses between attempts to connect again double up to these: while callers wait, and after. */
const PAUSE_MS = { first: 25, whileHidden: 200, after: 1_500 };

type State =
  | { readonly kind: "ready"; readonly connection: Connection }
  | { readonly kind: "healing"; readonly sinceMs: number; readonly healed: Promise<void>; error: unknown }
  /** The HSM refused the PIN, or says that it would: nothing is tried until somebody gives another. */
  | { readonly kind: "refused"; readonly error: unknown }
  | { readonly kind: "closed" };

/** What a link must know of the other tokens: restarting the module interrupts them all. */
export type Restarts = { readonly mayRestart: () => boolean };

/**
 * A token that is kept open: every connection to it is replaced by another when it fails. A circuit breaker of its own
 * for each token, so that one that is away costs the others nothing.
 */
export class TokenLink {
  readonly ref: TokenRef;
  readonly signatures = new SignatureCounter();
  readonly #module: Module;
  readonly #sizes: PoolSizes;
  readonly #restarts: Restarts;
  readonly #stopped = new AbortController();
  #pin: string;
  #state: State;
  /** Asked to prove itself when a connection is replaced, so that "healed" means: a key has signed. */
  #probeKey: KeyRef | undefined;
  /** Connections lost since the last operation that succeeded. */
  #lostInARow = 0;
  #waiting = 0;

  /** @throws what the module throws; the PIN is tried once */
  constructor(module: Module, ref: TokenRef, pin: string, sizes: PoolSizes, restarts: Restarts) {
    this.ref = ref;
    this.#module = module;
    this.#pin = pin;
    this.#sizes = sizes;
    this.#restarts = restarts;
    this.#state = { kind: "ready", connection: new Connection(module, ref, pin, sizes) };
  }

  get isReady(): boolean {
    return this.#state.kind === "ready";
  }

  /** Only another PIN helps: whoever has it opens the token anew. */
  get isRefused(): boolean {
    return this.#state.kind === "refused";
  }

  isOpenWith(pin: string): boolean {
    return this.#pin === pin;
  }

  health(): TokenHealth {
    const state = this.#state;
    const load = state.kind === "ready" ? state.connection.load() : { leased: 0, waiting: this.#waiting, oldestMs: 0 };
    const error = "error" in state ? state.error : undefined;
    const reason = error ? { ckr: reasonOf(error) } : {};
    return { ref: this.ref, state: this.#healthState(), ...reason, ...load, signatures: this.signatures.read() };
  }

  /**
   * Runs an operation on the token, again where a fault allows it. An operation is repeated only if it may be: a
   * signature that was made and lost is known to nobody.
   */
  async run<T>(operation: (connection: Connection) => Promise<T>): Promise<T> {
    let deadline = performance.now() + HIDE_MS;
    for (let sessionFaults = 0; ;) {
      const connection = await this.#ready(deadline);
      try {
        const result = await this.#module.shared(() => {
          // A restart may have come between: its handles are void (see `Module.generation`).
          if (!connection.isCurrent) throw new Retired();
          return operation(connection);
        });
        this.#lostInARow = 0;
        return result;
      } catch (error) {
        const remedy = remedyFor(error);
        if (remedy === "none") throw error;
        if (!(error instanceof Retired)) this.signatures.fault(reasonOf(error));
        if (remedy !== "another-session" || sessionFaults > 0) this.#giveUp(connection, error);
        // The time that it took to see that a signer hangs is not the token's.
        if (error instanceof SignerLost && sessionFaults === 0) deadline = performance.now() + HIDE_MS;
        if (error instanceof NotRepeatable || performance.now() >= deadline) throw error;
        if (!(error instanceof Retired)) sessionFaults += 1;
      }
    }
  }

  /** With an unknown outcome the old PIN is kept: if it is wrong by now, it is tried once more, and then no more. */
  async changePin(newPin: string): Promise<void> {
    await this.run((connection) => connection.setPin(this.#pin, newPin));
    this.#pin = newPin;
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    const state = this.#state;
    this.#state = { kind: "closed" };
    this.#stopped.abort();
    if (state.kind === "ready") await state.connection.close();
    if (state.kind === "healing") await state.healed;
  }

  /** The connection, as soon as there is one. */
  async #ready(deadline: number): Promise<Connection> {
    for (;;) {
      const state = this.#state;
      switch (state.kind) {
        case "ready":
          if (state.connection.isCurrent) return state.connection;
          this.#giveUp(state.connection, new Retired());
          break;
        case "healing":
          await this.#healed(state, Math.min(deadline, state.sinceMs + HIDE_MS));
          break;
        case "refused":
          throw hsmError(state.error, `opening token ${quoted(this.ref.label)}`);
        case "closed":
          throw new GatewayError("hsm-unavailable", "the HSM connection is closed");
        default:
          state satisfies never;
      }
    }
  }

  async #healed(state: State & { kind: "healing" }, until: number): Promise<void> {
    const patienceMs = until - performance.now();
    if (patienceMs <= 0) throw unavailable(this.ref, state.error);
    if (this.#waiting >= this.#sizes.queueLimit) throw tooManyWaiting(this.ref, state.error);
    this.#waiting += 1;
    const patience = new AbortController();
    try {
      await Promise.race([
        state.healed,
        delay(patienceMs, undefined, { signal: patience.signal }).catch(() => undefined),
      ]);
    } finally {
      this.#waiting -= 1;
      patience.abort();
    }
  }

  /** The first to see a connection fail begins the healing; the others wait for it. */
  #giveUp(connection: Connection, error: unknown): void {
    if (this.#state.kind !== "ready" || this.#state.connection !== connection) return;
    this.#probeKey = connection.provenKeys()[0] ?? this.#probeKey;
    let begin!: () => void;
    const begun = new Promise<void>((resolve) => (begin = resolve));
    const healed = begun.then(() => this.#heal(connection));
    this.#state = { kind: "healing", sinceMs: performance.now(), healed, error };
    begin();
  }

  async #heal(lost: Connection): Promise<void> {
    await lost.retire();
    let restarted = false;
    for (let attempt = this.#lostInARow++; ; attempt += 1) {
      await delay(restarted ? 0 : this.#pauseMs(attempt), undefined, { signal: this.#stopped.signal }).catch(
        () => undefined,
      );
      if (this.#state.kind !== "healing") return;
      try {
        return await this.#settle(await this.#module.shared(() => this.#connect()));
      } catch (error) {
        if (!this.#mayTryAgain(error)) return;
        restarted = await this.#restartIfItMayHelp(remedyFor(error), attempt);
      }
    }
  }

  #pauseMs(attempt: number): number {
    if (attempt === 0) return 0;
    const longest = this.#healthState() === "healing" ? PAUSE_MS.whileHidden : PAUSE_MS.after;
    return Math.min(PAUSE_MS.first * 2 ** attempt, longest);
  }

  #mayTryAgain(error: unknown): boolean {
    if (this.#state.kind !== "healing") return false;
    if (isRefusal(error)) this.#state = { kind: "refused", error };
    else this.#state.error = error;
    return !isRefusal(error);
  }

  /** Closed while it was healing: the new connection is closed as well. */
  async #settle(connection: Connection): Promise<void> {
    if (this.#state.kind === "healing") this.#state = { kind: "ready", connection };
    else await connection.close();
  }

  async #connect(): Promise<Connection> {
    const connection = new Connection(this.#module, this.ref, this.#pin, this.#sizes);
    if (!this.#probeKey) return connection;
    try {
      await connection.proveKey(this.#probeKey);
      return connection;
    } catch (error) {
      await connection.retire();
      throw error;
    }
  }

  /** The first failure may be over at the next attempt; only then, and never for one token alone without need. */
  async #restartIfItMayHelp(remedy: Remedy, attempt: number): Promise<boolean> {
    const uninitialised = remedy === "restart";
    if (!uninitialised && (attempt === 0 || !this.#restarts.mayRestart())) return false;
    try {
      await this.#module.restart();
      return true;
    } catch (error) {
      if (this.#state.kind === "healing") this.#state.error = error;
      return false;
    }
  }

  #healthState(): TokenHealth["state"] {
    const state = this.#state;
    if (state.kind === "ready") return "ready";
    if (state.kind === "healing" && performance.now() - state.sinceMs < HIDE_MS) return "healing";
    return "unavailable";
  }
}

const unavailable = (ref: TokenRef, error: unknown) =>
  new GatewayError("hsm-unavailable", `expected token ${quoted(ref.label)} to answer: ${reasonOf(error)}`, {
    facts: { ...ref, ckr: reasonOf(error) },
    hint: "it is tried again by itself; nothing was signed",
    cause: error,
  });

const tooManyWaiting = (ref: TokenRef, error: unknown) =>
  new GatewayError("hsm-busy", `expected fewer requests to wait for token ${quoted(ref.label)} to answer`, {
    facts: { ...ref, ckr: reasonOf(error) },
    hint: "try again later; nothing was signed",
  });
