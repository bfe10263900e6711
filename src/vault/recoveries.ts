import { GatewayError } from "../domain/errors.ts";
import { HOUSE } from "../domain/names.ts";
import { recoverySigningText, type HeadText, type Lost } from "../domain/recovery.ts";
import type { TreeHead } from "../tlog/checkpoint.ts";
import type { OfficerSignature } from "../domain/governance.ts";
import { requireQuorum } from "./officers.ts";
import { compilers } from "./compilers.ts";
import type { RecoveryRow, StoreReader } from "./ports.ts";

/* Recoveries that officers have decided, as the store holds them: believed only by their signatures. */

/** Of a `restored` leaf. */
export type RestoredOpening = {
  readonly type: string;
  readonly store: HeadText;
  readonly promised: HeadText;
  readonly history: string;
  readonly lost: Lost;
  readonly signatures: readonly OfficerSignature[];
};

export const RECOVERY = {
  code: "officer-signatures",
  what: "this recovery",
  hint: "sign exactly the text in `text`: `portcullis recover --sign` does, with the same options",
};

/**
 * Whether officers have given up that tree: then it need not be in the store any more. A recovery speaks for every
 * promise up to the size that it names: another vault's anchor may have stopped before the largest.
 */
export async function isGivenUp(reader: StoreReader, origin: string, head: TreeHead): Promise<boolean> {
  return (await passedSize(reader, origin, head.size)) >= head.size;
}

/**
 * The largest size up to which another tree was promised once: no checkpoint of that size or less is signed again.
 * @param from smaller ones are of no interest; 0 then
 */
export async function passedSize(reader: StoreReader, origin: string, from: number): Promise<number> {
  let passed = 0;
  for (const row of await reader.recoveries()) {
    // Where nothing was lost, no promise was given up.
    if (row.lost === "nothing" || row.promisedSize < from || row.promisedSize <= passed) continue;
    if (await isSigned(reader, origin, row)) passed = row.promisedSize;
  }
  return passed;
}

/** By the quorum of the house policy that was active when it was decided. */
async function isSigned(reader: StoreReader, origin: string, row: RecoveryRow): Promise<boolean> {
  const leaf = await reader.leaf(row.leaf);
  if (!leaf || leaf.client !== HOUSE) return false;
  const opening = JSON.parse(leaf.opening) as RestoredOpening;
  const { type, promised, lost, signatures } = opening;
  if (type !== "restored" || promised.size !== row.promisedSize || lost !== row.lost) return false;
  const house = await houseAt(reader, row.leaf);
  try {
    requireQuorum(house, signatures, recoverySigningText({ origin, ...opening }, lost), RECOVERY);
    return true;
  } catch (error) {
    if (error instanceof GatewayError) return false;
    throw error;
  }
}

const VERSIONS = 100;

async function houseAt(reader: StoreReader, leaf: number) {
  for (let before: number | undefined; ;) {
    const versions = await reader.policyVersions(HOUSE, {
      limit: VERSIONS,
      ...(before === undefined ? {} : { before }),
    });
    const active = versions.find((each) => each.leaf < leaf);
    if (active) return compilers.house((await reader.policy(HOUSE, active.version))!);
    if (versions.length < VERSIONS) throw new GatewayError("integrity", `expected a house policy before leaf ${leaf}`);
    before = versions.at(-1)!.version;
  }
}
