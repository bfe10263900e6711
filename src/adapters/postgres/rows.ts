import type {
  CheckpointRow,
  ClientRow,
  KeyRow,
  PinRow,
  PolicyRow,
  PolicyVersionRow,
  RecoveryRow,
  SealedLeaf,
  SealedNonce,
  SealedRequest,
  SealedSpend,
} from "../../vault/ports.ts";
import type { Row } from "./session.ts";

/* Rows of the database as the port knows them; `null` of a column becomes what the port says. */

export const clientRow = (row: Row): ClientRow => ({
  id: row["id"]!,
  owner: row["owner"]!,
  status: row["status"]!,
  token: { label: row["token_label"]!, serial: row["token_serial"]! },
  saltKey: row["salt_key"]!,
  freezes: JSON.parse(row["freezes"]!) as ClientRow["freezes"],
});

export const keyRow = (row: Row): KeyRow => ({
  client: row["client"]!,
  name: row["name"]!,
  id: row["id"]!,
  curve: row["curve"]!,
  purpose: row["purpose"]!,
  publicKey: row["public_key"]!,
  chains: JSON.parse(row["chains"]!) as KeyRow["chains"],
  accounts: row["accounts"]!,
  state: row["state"]!,
  leaf: row["leaf"]!,
});

export const policyVersionRow = (row: Row): PolicyVersionRow => ({
  client: row["client"]!,
  version: row["version"]!,
  hash: row["hash"]!,
  previousHash: row["previous_hash"]!,
  signatures: JSON.parse(row["signatures"]!) as PolicyRow["signatures"],
  appliedAt: row["applied_at"]!,
  leaf: row["leaf"]!,
});

export const policyRow = (row: Row): PolicyRow => ({
  ...policyVersionRow(row),
  entry: row["entry"]!,
  files: JSON.parse(row["files"]!) as PolicyRow["files"],
});

export const requestRow = (row: Row): SealedRequest => ({
  id: row["id"]!,
  client: row["client"]!,
  caller: row["caller"]!,
  key: row["key"]!,
  idempotencyKey: row["idempotency_key"]!,
  bodyHash: row["body_hash"]!,
  state: row["state"]!,
  submittedAt: row["submitted_at"]!,
  changedAt: row["changed_at"]!,
  reference: row["reference"] ?? null,
  record: row["record"]!,
  decisionLeaf: row["decision_leaf"]!,
  decision: row["decision"]!,
  outcome: row["outcome"] ?? null,
  leaf: row["leaf"]!,
  seal: row["seal"]!,
  outcomeSeal: row["outcome_seal"] ?? null,
});

export const spendEntry = (row: Row): SealedSpend => ({
  at: row["at"]!,
  leaf: row["leaf"]!,
  amount: BigInt(row["amount"]!),
  total: BigInt(row["total"]!),
  seal: row["seal"]!,
});

export const nonceRow = (row: Row): SealedNonce => ({
  next: BigInt(row["next"]!),
  leaf: row["leaf"]!,
  seal: row["seal"]!,
});

/** As `idempotencyIndex` says it, and as the index has it. */
export const ASKED = "(requests.client || E'\\n' || requests.caller || E'\\n' || requests.idempotency_key)";

/** A decision is written once, in its leaf. */
export const REQUESTS =
  "SELECT requests.*, leaves.opening AS decision FROM requests JOIN leaves ON leaves.idx = requests.decision_leaf";

export const leafRow = (row: Row): SealedLeaf => ({
  index: row["idx"]!,
  at: row["at"]!,
  hash: row["hash"]!,
  commitment: row["commitment"]!,
  client: row["client"]!,
  number: row["number"]!,
  opening: row["opening"]!,
  seal: row["seal"]!,
});

export const checkpointRow = (row: Row): CheckpointRow => ({
  size: row["size"]!,
  root: row["root"]!,
  at: row["at"]!,
  note: row["note"]!,
});

export const recoveryRow = (row: Row): RecoveryRow => ({
  leaf: row["leaf"]!,
  at: row["at"]!,
  promisedSize: row["promised_size"]!,
  lost: row["lost"]!,
});

export const pinRow = (row: Row): PinRow => ({
  name: row["name"]!,
  version: row["version"]!,
  state: row["state"]!,
  sealed: row["sealed"]!,
});
