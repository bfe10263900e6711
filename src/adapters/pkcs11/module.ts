import pkcs11, { type Handle, type PKCS11, type TokenInfo } from "pkcs11js";
import { GatewayError } from "../../domain/errors.ts";
import { ckrOf, hsmError } from "./errors.ts";

/** One shared library, initialised once per process: PKCS#11 knows one application per process, however many objects load it. */
export class Module {
  readonly path: string;
  readonly lib: PKCS11;

  constructor(path: string) {
    this.path = path;
    this.lib = new pkcs11.PKCS11();
    try {
      this.lib.load(path);
    } catch (cause) {
      throw new GatewayError("hsm-unavailable", `expected a PKCS#11 module at \`${path}\`: it cannot be loaded`, {
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

  /** Ends every session and login of the process. */
  finalize(): void {
    this.lib.C_Finalize();
  }

  describe(): { path: string; manufacturer: string; version: string } {
    const info = this.lib.C_GetInfo();
    const { major, minor } = info.libraryVersion;
    return { path: this.path, manufacturer: info.manufacturerID.trim(), version: `${major}.${minor}` };
  }

  /** Slots with a token in them, initialised or not. Slot ids are valid until the next C_Initialize only. */
  slots(): { slot: Handle; info: TokenInfo }[] {
    return this.lib.C_GetSlotList(true).map((slot) => ({ slot, info: this.lib.C_GetTokenInfo(slot) }));
  }
}
