import { summaryHash, type LiabilityProof } from "../../custody/liabilities.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { NoteKey } from "../../tlog/note.ts";
import { checkReceipt } from "../log/receipt.ts";

/**
 * That the log has the summary under which a client's proof stands.
 * @returns the leaf
 * @throws {GatewayError} `liability-proof-invalid`; as `checkReceipt` does
 */
export function checkLiabilityReceipt({ receipt, summary }: LiabilityProof, log: NoteKey): number {
  if (receipt === null)
    throw new GatewayError("liability-proof-invalid", "expected a receipt for the summary, found none");
  const { index, opening } = checkReceipt(receipt, log);
  const { type, kind, sha256 } = opening as Record<"type" | "kind" | "sha256", unknown>;
  if (type === "reported" && kind === "liabilities" && sha256 === summaryHash(summary)) return index;
  throw new GatewayError("liability-proof-invalid", `leaf ${index} of the log is of another summary`);
}
