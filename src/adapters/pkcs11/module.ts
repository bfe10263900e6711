import pkcs11, { type Handle, type PKCS11, type TokenInfo } from "pkcs11js";
import { GatewayError } from "../../domain/errors.ts";
import { ckrOf, hsmError } from "./errors.ts";
import { Lanes } from "./lanes.ts";
import { Signers, type SignerOptions } from "./signers.ts";

export type Slot = { readonly slot: Handle; readonly info: TokenInfo };

/** One shared library, initialised once per process: PKCS#11 knows one application per process, however many objects load it. */
export class Module {
  readonly path: string;
  readonly lib: PKCS11;
  readonly lanes: Lanes;
  /** The processes that sign with it, where there are some. */
  readonly signers: Signers | undefined;
  /** On the clock of `performance.now`. */
  initializedAtMs = 0;
  #generation = 0;
  #running = 0;
  #restarting: Promise<void> | undefined;
  #seen: { readonly generation: number; readonly slots: Slot[] } | undefined;
  #quiet: (() => void) | undefined;

  /** @param lanes operations of all tokens that run at a time */
  constructor(path: string, lanes: number, signers?: SignerOptions) {
    this.path = path;
    this.signers = signers && new Signers(path, signers);
    this.lanes = new Lanes(lanes);
    this.lib = new pkcs11.PKCS11();
    try {
      this.lib.load(path);
    } catch (cause) {
      const reason = (cause as Error).message.replace(`${path}: `, "");
      throw new GatewayError("hsm-unavailable", `cannot load the PKCS#11 module \`${path}\`: ${reason}`, {
        facts: { path },
        hint: "give the path of the HSM vendor's PKCS#11 library",
        cause,
      });
    }
  }

  /**
   * CKF_OS_LOCKING_OK tells the module that several threads call it (PKCS#11 2.40, 5.4): signatures run on the thread
   * pool, and a module that was not told so corrupts its memory.
   */
  initialize(): void {
    this.initializedAtMs = performance.now();
    try {
      this.lib.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
    } catch (error) {
      if (ckrOf(error)?.code !== pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)
        throw hsmError(error, "starting the HSM module");
      // Whoever initialised it may also finalize it under our hands: one HSM connection per process.
      throw new GatewayError("hsm-unavailable", "expected the HSM module to be free, found it in use in this process", {
        facts: { ckr: "CKR_CRYPTOKI_ALREADY_INITIALIZED" },
        hint: "close the other connection of this process first",
        cause: error,
      });
    }
  }

  /**
   * Grows with each C_Initialize. Handles of an earlier generation must never be used or closed: the numbers are given
   * out anew, and a stale one could name another client's session or key.
   */
  get generation(): number {
    return this.#generation;
  }

  /** Runs work on the module; a restart waits for it, and it waits for a restart. */
  async shared<T>(work: () => T | Promise<T>): Promise<T> {
    while (this.#restarting) await this.#restarting.catch(() => undefined);
    this.#running += 1;
    try {
      return await work();
    } finally {
      this.#running -= 1;
      if (this.#running === 0) this.#quiet?.();
    }
  }

  /**
   * C_Finalize and C_Initialize, for modules that find their device again in no other way. Waits until nothing runs, since
   * finalizing under a running call is undefined (PKCS#11 2.40, 5.4); everything opened before is void.
   * @throws what C_Initialize throws; the module is then not initialised
   */
  restart(): Promise<void> {
    this.#restarting ??= this.#restart().finally(() => (this.#restarting = undefined));
    return this.#restarting;
  }

  async #restart(): Promise<void> {
    if (this.#running > 0) await new Promise<void>((resolve) => (this.#quiet = resolve));
    this.#generation += 1;
    await this.signers?.restart();
    try {
      this.lib.C_Finalize();
    } catch {
      // Not initialised any more, or the device is away: C_Initialize says what matters.
    }
    this.initialize();
  }

  /** Ends every session and login of the process, and those that sign for it. */
  async finalize(): Promise<void> {
    await this.signers?.end();
    try {
      this.lib.C_Finalize();
    } catch (error) {
      // A restart that failed has left it so.
      if (ckrOf(error)?.code !== pkcs11.CKR_CRYPTOKI_NOT_INITIALIZED) throw error;
    }
  }

  describe(): { path: string; manufacturer: string; version: string } {
    const info = this.lib.C_GetInfo();
    const { major, minor } = info.libraryVersion;
    return { path: this.path, manufacturer: info.manufacturerID.trim(), version: `${major}.${minor}` };
  }

  /** Slots with a token in them, initialised or not. Slot ids are valid until the next C_Initialize only. */
  slots(): Slot[] {
    const slots = this.lib.C_GetSlotList(true).map((slot) => ({ slot, info: this.lib.C_GetTokenInfo(slot) }));
    this.#seen = { generation: this.#generation, slots };
    return slots;
  }

  /** As they were when last looked at: asking for each of some hundreds of tokens, for each of them, takes seconds. */
  slotsSeen(): Slot[] {
    return this.#seen?.generation === this.#generation ? this.#seen.slots : this.slots();
  }
}
