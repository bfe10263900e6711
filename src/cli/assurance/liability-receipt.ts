import { summaryHash, type LiabilityProof } from "../../custody/liabilities.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { NoteKey } from "../../tlog/note.ts";
import { checkReceipt } from "../log/receipt.ts";

/**
 * That the log has the summary under which a client's proof stands.
 * @returns the leaf, and when it was written: an older proof is as right as it was then
 * @throws {GatewayError} `liability-proof-invalid`; as `checkReceipt` does
 */
export function checkLiabilityReceipt({ receipt, summary }: LiabilityProof, log: NoteKey): ProvenIn {
  if (receipt === null) throw invalid("expected a receipt for the summary, found none");
  const { index, at, opening } = checkReceipt(receipt, log);
  const { type, kind, sha256 } = opening as Record<"type" | "kind" | "sha256", unknown>;
  if (type !== "reported" || kind !== "liabilities" || sha256 !== summaryHash(summary))
    throw invalid(`leaf ${index} of the log is of another summary`);
  if (summary.gateway !== log.name)
    throw invalid(`the summary is of gateway \`${summary.gateway}\`, the log that has it is \`${log.name}\``);
  if (summary.checkpoint.size > index)
    throw invalid(`the summary is of ${summary.checkpoint.size} leaves, and leaf ${index} was written before them`);
  return { index, at };
}

export type ProvenIn = { readonly index: number; readonly at: string };

const invalid = (message: string): GatewayError => new GatewayError("liability-proof-invalid", message);
