import pkcs11, { type Handle, type PKCS11, type TokenInfo } from "pkcs11js";
import { GatewayError } from "../../domain/errors.ts";
import type { Curve, KeyAttributes, KeyRef, TokenRef } from "../../vault/ports.ts";
import { ckrOf } from "./errors.ts";
import { type FoundKey, type GeneratedKey, exactlyOne, generate, prove, scanPrivateKeys, signOn } from "./keys.ts";
import type { Module } from "./module.ts";
import { SessionPool } from "./sessions.ts";
import { findToken } from "./tokens.ts";

export type PoolSizes = { readonly sessionsPerToken: number; readonly queueLimit: number };

type ProvenKey = { readonly handle: Handle; readonly key: KeyRef };

/** A scan serves all proofs of a start, which come within moments; a proof asked for later looks again. */
const SCAN_FRESH_MS = 1_000;

/**
 * One login to one token, with all that dies with it: sessions, object handles, and which keys have proven themselves.
 */
export class Connection {
  readonly #lib: PKCS11;
  readonly #slot: Handle;
  /** Never used for an operation: the login lasts as long as one session of the token is open (PKCS#11 2.40, 5.6). */
  readonly #anchor: Handle;
  readonly #pool: SessionPool;
  readonly #proven = new Map<string, ProvenKey>();
  #scan: { readonly at: number; readonly keys: readonly FoundKey[] } | undefined;
  #lastGeneration: Promise<unknown> = Promise.resolve();

  /** @throws what the module throws; the PIN is tried once */
  constructor(module: Module, ref: TokenRef, pin: string, sizes: PoolSizes) {
    this.#lib = module.lib;
    const { slot, info } = findToken(module, ref);
    refuseLastTry(ref, info);
    this.#slot = slot;
    this.#anchor = this.#lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION);
    try {
      logIn(this.#lib, this.#anchor, pin);
    } catch (error) {
      this.#lib.C_CloseSession(this.#anchor);
      throw error;
    }
    this.#pool = new SessionPool({
      // Read-only sessions: signing needs no more, and nothing can be made or destroyed on them.
      open: () => this.#lib.C_OpenSession(slot, pkcs11.CKF_SERIAL_SESSION),
      close: (session) => this.#lib.C_CloseSession(session),
      sessionsMax: sizes.sessionsPerToken,
      queueLimit: sizes.queueLimit,
    });
  }

  /** Signs with a key that has proven itself on this connection; a key that has not does so first (I1). */
  async sign(key: KeyRef, message: Uint8Array): Promise<Uint8Array> {
    return this.#pool.lease(async (session) => {
      const proven = this.#proven.get(key.id) ?? (await this.#proveOn(session, key)).proven;
      if (!sameKey(proven.key, key)) throw notTheProvenKey(key);
      return signOn(this.#lib, session, { handle: proven.handle, curve: proven.key.curve }, message);
    });
  }

  /** I1 from the beginning, whether the key has proven itself before or not. */
  async proveKey(key: KeyRef): Promise<KeyAttributes> {
    return this.#pool.lease(async (session) => (await this.#proveOn(session, key)).attributes);
  }

  /** One at a time: two generations with one label would both find it free. */
  async generateKey(label: string, curve: Curve): Promise<GeneratedKey> {
    const generation = this.#lastGeneration.then(() => this.#generate(label, curve));
    this.#lastGeneration = generation.catch(() => undefined);
    return generation;
  }

  /** The private keys of the token, as it is now. */
  async privateKeys(): Promise<readonly FoundKey[]> {
    return this.#pool.lease(async (session) => this.#rescan(session));
  }

  /** For what needs a session of the pool and is no signature. */
  async lease<T>(operation: (lib: PKCS11, session: Handle) => Promise<T>): Promise<T> {
    return this.#pool.lease((session) => operation(this.#lib, session));
  }

  /** Waits for what is under way; then logs out, which ends every login of this token in the process. */
  async close(): Promise<void> {
    await this.#lastGeneration;
    await this.#pool.drain();
    this.#lib.C_Logout(this.#anchor);
    this.#lib.C_CloseAllSessions(this.#slot);
  }

  async #proveOn(session: Handle, key: KeyRef): Promise<{ proven: ProvenKey; attributes: KeyAttributes }> {
    // Until it succeeds, whatever the key showed before counts no more.
    this.#proven.delete(key.id);
    const { handle } = exactlyOne(this.#recentScan(session), key);
    const attributes = await prove(this.#lib, session, key, handle);
    const proven = { handle, key };
    this.#proven.set(key.id, proven);
    return { proven, attributes };
  }

  #recentScan(session: Handle): readonly FoundKey[] {
    const recent = this.#scan !== undefined && performance.now() - this.#scan.at < SCAN_FRESH_MS;
    return recent ? this.#scan!.keys : this.#rescan(session);
  }

  #rescan(session: Handle): readonly FoundKey[] {
    const keys = scanPrivateKeys(this.#lib, session);
    this.#scan = { at: performance.now(), keys };
    return keys;
  }

  async #generate(label: string, curve: Curve): Promise<GeneratedKey> {
    const session = this.#lib.C_OpenSession(this.#slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
    try {
      const generated = await generate(this.#lib, session, label, curve);
      this.#proven.set(generated.key.id, { handle: generated.handle, key: generated.key });
      return generated;
    } finally {
      this.#scan = undefined;
      this.#lib.C_CloseSession(session);
    }
  }
}

function logIn(lib: PKCS11, session: Handle, pin: string): void {
  try {
    lib.C_Login(session, pkcs11.CKU_USER, pin);
  } catch (error) {
    // Login belongs to the process, not to the session (PKCS#11 2.40, 5.6.5).
    if (ckrOf(error)?.code !== pkcs11.CKR_USER_ALREADY_LOGGED_IN) throw error;
  }
}

/** A start that is repeated by a supervisor must not use up the tries that a person still has. */
function refuseLastTry(ref: TokenRef, info: TokenInfo): void {
  const locked = (info.flags & pkcs11.CKF_USER_PIN_LOCKED) !== 0;
  if (!locked && (info.flags & pkcs11.CKF_USER_PIN_FINAL_TRY) === 0) return;
  throw new GatewayError("pin-locked", `expected a token with tries left, found ${locked ? "none" : "one"}`, {
    facts: { ...ref, triesLeft: locked ? 0 : 1 },
    hint: locked
      ? "only the HSM's security officer can set a new PIN"
      : "log in once with the HSM's own tool: a right PIN gives the tries back",
  });
}

const sameKey = (one: KeyRef, other: KeyRef) =>
  one === other ||
  (one.label === other.label && one.curve === other.curve && Buffer.compare(one.publicKey, other.publicKey) === 0);

const notTheProvenKey = (key: KeyRef) =>
  new GatewayError("key-refused", `expected the key that was proven under id ${key.id}`, {
    facts: { attribute: "publicKey", label: key.label, id: key.id },
  });
