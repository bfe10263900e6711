import { GatewayError } from "../../domain/errors.ts";
import { intentFromJson } from "../../domain/intent.ts";
import type { RecordedDecision } from "../../domain/api.ts";
import type { RequestId } from "../../domain/request.ts";
import { accountsOf } from "../claim.ts";
import type { RequestRow, StoreReader } from "../ports.ts";
import { readRecord, type RequestRecord } from "../record.ts";
import { pageBytes, pageSize } from "./page.ts";
import type { Answer, Call } from "./routes.ts";

/*
 * What was decided and on which facts, so that a changed policy can be held against it (`policy simulate`). Requests that
 * could not be decoded have no intent, so no policy decides them: they are not in it.
 */

const PAGE = { default: 100, max: 200 };

export async function listDecisions({ gateway, client, query }: Call): Promise<Answer> {
  const limit = pageSize(query.get("limit"), PAGE);
  const since = sinceOf(query.get("since"));
  const before = query.get("cursor") as RequestId | null;
  const { heldSince, keys } = gateway.directory.get(client);
  return gateway.store.read(async (reader) => {
    const rows = await reader.requests(client, { limit: limit + 1, ...(before ? { before } : {}) });
    const page = rows.slice(0, limit).filter(({ submittedAt }) => submittedAt >= since);
    let cursor = page.length === limit && rows.length > limit ? page.at(-1)!.id : null;
    const isLast = pageBytes();
    const decisions: RecordedDecision[] = [];
    for (const row of page) {
      const record = readRecord(row);
      if (record.intent === undefined || record.decision === undefined) continue;
      const facts = await factsOf(reader, record, heldSince);
      const decision: RecordedDecision = {
        ...shown(row, record),
        ...facts,
        keyPurpose: keys.get(row.key)?.purpose ?? "transactions",
      };
      decisions.push(decision);
      if (!isLast(decision)) continue;
      if (row !== page.at(-1)) cursor = row.id;
      break;
    }
    return { status: 200, body: { client, decisions, cursor } };
  });
}

/** What the accounts that the intent names are, today: whose they are never changes. */
async function factsOf(
  reader: StoreReader,
  { intent }: RequestRecord,
  heldSince: ReadonlyMap<string, number>,
): Promise<Pick<RecordedDecision, "owners" | "heldSince">> {
  const accounts = accountsOf(intentFromJson(intent));
  const held = accounts.flatMap((account) => {
    const since = heldSince.get(account);
    return since === undefined ? [] : [[account, new Date(since).toISOString()] as const];
  });
  return { owners: Object.fromEntries(await reader.owners(accounts)), heldSince: Object.fromEntries(held) };
}

function shown(row: RequestRow, { intent, decision, authorizedAt, subAccount }: RequestRecord) {
  return {
    id: row.id,
    caller: row.caller,
    key: row.key,
    ...(subAccount === undefined ? {} : { subAccount }),
    submittedAt: new Date(row.submittedAt).toISOString(),
    decidedAt: new Date(authorizedAt ?? row.changedAt).toISOString(),
    outcome: decision!.outcome,
    reasons: decision!.reasons.map(({ code }) => code),
    intent: intent!,
  };
}

function sinceOf(text: string | null): number {
  const since = text === null ? 0 : Date.parse(text);
  if (Number.isNaN(since))
    throw new GatewayError("invalid-parameter", `expected \`since\` as an ISO 8601 time, found \`${text}\``);
  return since;
}
