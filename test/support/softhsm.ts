import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openHsm, type HsmOptions } from "../../src/adapters/pkcs11/hsm.ts";
import { prepareSoftHsm } from "../../src/adapters/pkcs11/softhsm.ts";
import { redeemPermit } from "../../src/vault/permit.ts";
import type { Hsm } from "../../src/vault/ports.ts";

/** The PIN of every scratch token. */
export const SCRATCH_PIN = "scratch-pin-1234";

export type ScratchFolder = {
  readonly directory: string;
  readonly modulePath: string;
  /** For tools that open the same tokens: `{...process.env, ...environment}`. */
  readonly environment: { readonly SOFTHSM2_CONF: string };
  /** Puts the environment back and removes the folder. */
  readonly remove: () => void;
};

export type ScratchHsm = ScratchFolder & {
  readonly hsm: Hsm;
  /** Closes the HSM, so that the process may initialise the module again, and removes the folder. */
  readonly close: () => Promise<void>;
};

/**
 * An empty token folder in a temporary place, with SOFTHSM2_CONF set in this process. SoftHSM reads it at each
 * C_Initialize, so tests of one process follow each other with a folder each, but never two at a time.
 */
export function scratchFolder(): ScratchFolder {
  const directory = mkdtempSync(join(tmpdir(), "portcullis-hsm-"));
  const { modulePath, environment } = prepareSoftHsm(directory);
  const before = process.env["SOFTHSM2_CONF"];
  process.env["SOFTHSM2_CONF"] = environment.SOFTHSM2_CONF;
  const remove = () => {
    if (before === undefined) delete process.env["SOFTHSM2_CONF"];
    else process.env["SOFTHSM2_CONF"] = before;
    rmSync(directory, { recursive: true, force: true });
  };
  return { directory, modulePath, environment, remove };
}

/** A real SoftHSM with nothing in it. Call `close` after the test. */
export async function scratchHsm(options: Partial<HsmOptions> = {}): Promise<ScratchHsm> {
  const folder = scratchFolder();
  try {
    return await openIn(folder, options);
  } catch (error) {
    folder.remove();
    throw error;
  }
}

/** The same tokens after a restart of the vault: other logins, slots and handles. */
export async function reopened(before: ScratchHsm, options: Partial<HsmOptions> = {}): Promise<ScratchHsm> {
  await before.hsm.close();
  return openIn(before, options);
}

async function openIn(folder: ScratchFolder, options: Partial<HsmOptions>): Promise<ScratchHsm> {
  const { directory, modulePath, environment, remove } = folder;
  const defaults = { modulePath, sessionsPerToken: 4, queueLimit: 256, redeem: redeemPermit };
  const hsm = await openHsm({ ...defaults, ...options });
  return { directory, modulePath, environment, remove, hsm, close: () => hsm.close().finally(remove) };
}
