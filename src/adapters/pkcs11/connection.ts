import pkcs11, { type Handle, type PKCS11, type TokenInfo } from "pkcs11js";
import { GatewayError } from "../../domain/errors.ts";
import type { Curve, KeyAttributes, KeyRef, TokenFacts, TokenRef } from "../../vault/ports.ts";
import { type AdoptedKey, adopt } from "./adopt.ts";
import { NotRepeatable } from "./errors.ts";
import {
  type FoundKey,
  type GeneratedKey,
  exactlyOne,
  generate,
  prove,
  scanPrivateKeys,
  signOn,
  wholeSignature,
} from "./keys.ts";
import type { Module } from "./module.ts";
import { type PoolLoad, SessionPool } from "./sessions.ts";
import { assertLoggedIn, logIn } from "./login.ts";
import type { SignerLogin } from "./signers.ts";
import { findSealingKey, makeSealingKey, sealOn, unsealOn } from "./sealing.ts";
import { checkPinLength, describeToken, findToken } from "./tokens.ts";

export type PoolSizes = { readonly sessionsPerToken: number; readonly queueLimit: number };

type ProvenKey = { readonly handle: Handle; readonly key: KeyRef };

/** A scan serves all proofs of a start, which come within moments; a proof asked for later looks again. */
const SCAN_FRESH_MS = 1_000;

/**
 * One login to one token, with all that dies with it: sessions, object handles, and which keys have proven themselves.
 */
export class Connection {
  readonly #module: Module;
  readonly #lib: PKCS11;
  readonly #generation: number;
  readonly #slot: Handle;
  /** Never used for an operation: the login lasts as long as one session of the token is open (PKCS#11 2.40, 5.6). */
  readonly #anchor: Handle;
  readonly #pool: SessionPool;
  /** Where other processes sign. */
  readonly #signers: SignerLogin | undefined;
  readonly #proven = new Map<string, ProvenKey>();
  #scan: { readonly at: number; readonly keys: readonly FoundKey[] } | undefined;
  #lastGeneration: Promise<unknown> = Promise.resolve();
  #generatingSince: number | undefined;
  #sealingKey: Handle | undefined;

  /** @throws what the module throws; the PIN is tried once */
  constructor(module: Module, ref: TokenRef, pin: string, sizes: PoolSizes) {
    this.#module = module;
    this.#lib = module.lib;
    this.#generation = module.generation;
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
      close: (session) => this.#closeSession(session),
      lanes: module.lanes,
      sessionsMax: sizes.sessionsPerToken,
      queueLimit: sizes.queueLimit,
    });
    this.#signers = module.signers?.login(ref, pin);
  }

  /** False once the module was restarted: no handle of this connection means anything any more. */
  get isCurrent(): boolean {
    return this.#module.generation === this.#generation;
  }

  load(): PoolLoad {
    const load = this.#pool.load();
    const generatingMs = this.#generatingSince === undefined ? 0 : performance.now() - this.#generatingSince;
    return { ...load, oldestMs: Math.max(load.oldestMs, generatingMs) };
  }

  /** Keys that have proven themselves here, for the connection that comes after this one. */
  provenKeys(): KeyRef[] {
    return [...this.#proven.values()].map(({ key }) => key);
  }

  /**
   * Signs with a key that has proven itself on this connection; a key that has not does so first (I1).
   * @param leftOpen told when C_Sign has failed in a way that does not exclude a signature
   */
  async sign(key: KeyRef, message: Uint8Array, leftOpen: () => void = () => undefined): Promise<Uint8Array> {
    return this.#pool.lease(async (session, watchedElsewhere) => {
      const proven = this.#proven.get(key.id) ?? (await this.#proveOn(session, key)).proven;
      if (!sameKey(proven.key, key)) throw notTheProvenKey(key);
      if (this.#signers) {
        watchedElsewhere();
        return wholeSignature(await this.#signers.sign(proven.key, message, leftOpen), leftOpen);
      }
      return signOn(this.#lib, session, { handle: proven.handle, curve: proven.key.curve }, message, leftOpen);
    });
  }

  describe(): TokenFacts {
    return describeToken(this.#lib.C_GetTokenInfo(this.#slot));
  }

  /** Under the token's sealing key, which is made at its first use. */
  async seal(secret: Uint8Array, aad: Buffer): Promise<Uint8Array> {
    return this.#pool.lease((session) => sealOn(this.#lib, session, this.#ownSealingKey(session), secret, aad));
  }

  async unseal(sealed: Uint8Array, aad: Buffer): Promise<Uint8Array> {
    return this.#pool.lease((session) => unsealOn(this.#lib, session, this.#ownSealingKey(session), sealed, aad));
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

  /**
   * Every private key of the token, proven; with one that cannot be, none.
   * @throws {GatewayError} `key-refused`, `key-ambiguous`
   */
  async adoptKeys(): Promise<AdoptedKey[]> {
    return this.#pool.lease(async (session) => {
      const adopted: AdoptedKey[] = [];
      const keys = this.#rescan(session);
      for (const found of keys) adopted.push(await this.#adopt(session, exactlyOne(keys, found)));
      return adopted;
    });
  }

  /** The same for the one key with this label, if the token has one. */
  async adoptKey(label: string): Promise<KeyRef | undefined> {
    return this.#pool.lease(async (session) => {
      const keys = this.#rescan(session);
      const found = keys.find((key) => key.label === label);
      return found && (await this.#adopt(session, exactlyOne(keys, found))).key;
    });
  }

  /**
   * C_SetPIN on a session of its own. The login stays: it is the process's, not the PIN's.
   * @throws {NotRepeatable} if the HSM may have taken the new PIN
   */
  async setPin(pin: string, newPin: string): Promise<void> {
    checkPinLength(this.#lib.C_GetTokenInfo(this.#slot), newPin);
    const change = () =>
      this.#inWritableSession((session) => {
        try {
          this.#lib.C_SetPIN(session, pin, newPin);
        } catch (error) {
          throw new NotRepeatable(error);
        }
      });
    if (this.#signers) await this.#signers.changePin(newPin, change);
    else change();
  }

  /** Waits for what is under way and in the queue; then logs out, which ends every login of this token in the process. */
  async close(): Promise<void> {
    await this.#lastGeneration;
    await this.#pool.drain();
    this.#signers?.close();
    if (!this.isCurrent) return;
    try {
      this.#lib.C_Logout(this.#anchor);
      this.#lib.C_CloseAllSessions(this.#slot);
    } catch {
      // The token is away, and its login with it; C_Finalize, which follows, ends whatever is left.
    }
  }

  /** Gives the connection up for another: what is in the queue is sent there, what is under way may finish. */
  async retire(): Promise<void> {
    await this.#lastGeneration;
    await this.#pool.retire();
    this.#signers?.retire();
    try {
      this.#closeSession(this.#anchor);
    } catch {
      // Most often it is lost, and that is why the connection is given up.
    }
  }

  #ownSealingKey(session: Handle): Handle {
    this.#sealingKey ??= findSealingKey(this.#lib, session);
    if (this.#sealingKey === undefined) {
      assertLoggedIn(this.#lib, session); // without a login it would only not be seen
      this.#inWritableSession((writable) => makeSealingKey(this.#lib, writable));
      this.#sealingKey = findSealingKey(this.#lib, session);
    }
    return this.#sealingKey!;
  }

  #inWritableSession(work: (session: Handle) => void): void {
    const session = this.#lib.C_OpenSession(this.#slot, pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION);
    try {
      work(session);
    } finally {
      this.#closeSession(session);
    }
  }

  #closeSession(session: Handle): void {
    if (this.isCurrent) this.#lib.C_CloseSession(session);
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

  async #adopt(session: Handle, found: FoundKey): Promise<AdoptedKey> {
    const adopted = await adopt(this.#lib, session, found);
    this.#proven.set(found.id, { handle: found.handle, key: adopted.key });
    return adopted;
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
    this.#generatingSince = performance.now();
    try {
      const generated = await generate(this.#lib, session, label, curve);
      this.#proven.set(generated.key.id, { handle: generated.handle, key: generated.key });
      return generated;
    } finally {
      this.#generatingSince = undefined;
      this.#scan = undefined;
      this.#lib.C_CloseSession(session);
    }
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
