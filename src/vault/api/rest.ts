import type {
  ClockBody,
  EvaluationBody,
  KeyBody,
  KeyStateBody,
  PinBody,
  PolicyBody,
  SigningRequestBody,
} from "../../domain/api.ts";
import { StateFilter, type ClientBody, type SigningRequestView } from "../../domain/api.ts";
import type { z } from "zod";
import type { ChainId } from "../../domain/chain.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { CancellationBody } from "../../domain/governance.ts";
import { asJson } from "../../domain/json.ts";
import { isFinal, type RequestId, type RequestState } from "../../domain/request.ts";
import { HOUSE, type CallerName, type KeyName } from "../../domain/names.ts";
import { attestKeys } from "../attest.ts";
import { addClient, adoptClient, createKey, endKey, rotatePin, setPin } from "../clients.ts";
import { evaluateOnly } from "../evaluate-only.ts";
import { freezeView } from "../frozen.ts";
import { changePolicy } from "../policies.ts";
import type { KeyRow, PolicyRow, RequestRow, ScheduledPolicyRow, StoreReader } from "../ports.ts";
import { viewOf } from "../record.ts";
import { cancelScheduled } from "../scheduled-policies.ts";
import { settleRequest } from "../recover.ts";
import { sign } from "../sign.ts";
import { filledFor, unfilledAnswer } from "./filling.ts";
import { fittingPage, pageSize } from "./page.ts";
import { problemOf, statusOf } from "./problems.ts";
import type { Answer, Call } from "./routes.ts";

/* Commands spoken as REST: a call becomes a command, its result a status and a body. */

const STATUS_OF_STATE = { signed: 201, pending: 202, ready: 202, authorized: 202 } as const;

export async function postSigningRequest(call: Call<SigningRequestBody>): Promise<Answer> {
  const { gateway, client, caller, idempotencyKey, bodyHash, body, evidence } = call;
  const { missing, ...filled } = await filledFor(call, body, idempotencyKey);
  if (missing) return unfilledAnswer([missing]);
  const row = await sign(gateway, { client, caller: caller.name, idempotencyKey, bodyHash, body, evidence, ...filled });
  gateway.changed.notify(row);
  return answerOf(row, await shownAt(gateway, row));
}

/** By the clock that decides: what waits becomes ready, or too late, without anybody doing anything. */
export const shownAt = async ({ store }: Call["gateway"], row: RequestRow): Promise<number> =>
  row.state === "pending" ? store.read((reader) => reader.now()) : row.changedAt;

export const viewNow = async (gateway: Call["gateway"], row: RequestRow): Promise<SigningRequestView> =>
  viewOf(row, await shownAt(gateway, row), (problem) => problemOf(problem, row.id));

/** One final answer per request: the same row gives the same bytes, however often it is asked for. */
export function answerOf(row: RequestRow, now: number): Answer {
  const view = viewOf(row, now, (problem) => problemOf(problem, row.id));
  if (view.problem) {
    const { problem, ...request } = view;
    return {
      status: problem.status,
      body: { ...problem, request },
      headers: { "content-type": "application/problem+json" },
    };
  }
  const location = `/v1/clients/${row.client}/signing-requests/${row.id}`;
  return {
    status: STATUS_OF_STATE[view.state as keyof typeof STATUS_OF_STATE] ?? statusOf("internal-error"),
    body: view,
    headers: { location },
  };
}

const MAX_WAIT_S = 60;

export async function getSigningRequest(call: Call): Promise<Answer> {
  const { gateway, caller, query } = call;
  const id = call.parameters["id"] as RequestId;
  const deadline = Date.now() + waitMs(query.get("wait"));
  const first = await readOwn(call, id);
  let row = first;
  while (!isFinal(row.state) && row.changedAt === first.changedAt && Date.now() < deadline) {
    if (!(await gateway.changed.wait(`${caller.of}/${caller.name}`, id, deadline - Date.now()))) break;
    row = await readOwn(call, id);
  }
  return { status: 200, body: await viewNow(gateway, row) };
}

function waitMs(text: string | null): number {
  if (text === null) return 0;
  const match = /^([0-9]{1,2})s$/.exec(text);
  if (!match || Number(match[1]) > MAX_WAIT_S) {
    throw new GatewayError(
      "invalid-parameter",
      `expected \`wait\` as seconds up to \`${MAX_WAIT_S}s\`, found \`${text}\``,
    );
  }
  return Number(match[1]) * 1000;
}

/** A wallet service reads its own requests; people and auditors read their client's. */
export async function readOwn({ gateway, client, caller }: Call, id: RequestId): Promise<RequestRow> {
  const row = await gateway.store.read((reader) => reader.request(client, id));
  if (!row || (caller.role === "wallet-service" && row.caller !== caller.name)) {
    throw new GatewayError(
      "request-not-found",
      `expected a signing request of client \`${client}\`, found no \`${id}\``,
    );
  }
  return row;
}

/** Whatever it ended as: settling twice is settling once. */
export async function postSettlement({ gateway, client, caller, parameters }: Call): Promise<Answer> {
  const row = await settleRequest(gateway, client, parameters["id"] as RequestId, caller.name);
  gateway.changed.notify(row);
  return { status: 200, body: await viewNow(gateway, row) };
}

const PAGE = { default: 50, max: 500 };

export async function listSigningRequests({ gateway, client, caller, query }: Call): Promise<Answer> {
  const limit = pageSize(query.get("limit"), PAGE);
  const before = query.get("cursor") as RequestId | null;
  const state = stateFilter(query.get("state"));
  const filter = {
    limit: limit + 1,
    ...(caller.role === "wallet-service" ? { caller: caller.name } : {}),
    ...(state ? { state } : {}),
    ...narrowed(query, caller),
    ...(before ? { before } : {}),
  };
  const [rows, now] = await gateway.store.read(
    async (reader) => [await reader.requests(client, filter), await reader.now()] as const,
  );
  const views = rows.slice(0, limit).map((row) => viewOf(row, now, (problem) => problemOf(problem, row.id)));
  const requests = fittingPage(views);
  const cursor = requests.length < rows.length ? requests.at(-1)!.id : null;
  return { status: 200, body: { requests, cursor } };
}

/** The router has held the query against its schema. */
function narrowed(query: URLSearchParams, caller: Call["caller"]): Partial<Parameters<StoreReader["requests"]>[1]> {
  const [key, by, reference, since, until] = ["key", "caller", "reference", "since", "until"].map(
    (name) => query.get(name) ?? undefined,
  );
  return {
    ...(key === undefined ? {} : { key: key as KeyName }),
    ...(by === undefined || caller.role === "wallet-service" ? {} : { caller: by as CallerName }),
    ...(reference === undefined ? {} : { reference }),
    ...(since === undefined ? {} : { since: Date.parse(since) }),
    ...(until === undefined ? {} : { until: Date.parse(until) }),
  };
}

function stateFilter(text: string | null): RequestState | undefined {
  if (text === null) return undefined;
  const parsed = StateFilter.safeParse(text);
  if (!parsed.success)
    throw new GatewayError(
      "invalid-parameter",
      `expected \`state\` as one of ${StateFilter.options.join(", ")}, found \`${text}\``,
    );
  return parsed.data;
}

export async function postEvaluation(call: Call<z.infer<typeof EvaluationBody>>): Promise<Answer> {
  const { gateway, client, caller } = call;
  const { caller: asCaller, ...request } = call.body;
  const { missing, assist } = await filledFor(call, request, "");
  if (missing) return unfilledAnswer([missing]);
  return { status: 200, body: asJson(await evaluateOnly(gateway, client, asCaller ?? caller.name, request, assist)) };
}

const keyView = (row: KeyRow, refused?: GatewayError) => ({
  name: row.name,
  state: row.state,
  purpose: row.purpose,
  curve: row.curve,
  publicKey: `0x${Buffer.from(row.publicKey).toString("hex")}`,
  chains: row.chains,
  accounts: row.accounts,
  createdInLeaf: row.leaf,
  usable: refused === undefined && row.state === "active",
  ...(refused ? { refused: { code: refused.code, detail: refused.message } } : {}),
});

export async function listKeys({ gateway, client }: Call): Promise<Answer> {
  const { refusedKeys } = gateway.directory.get(client);
  const rows = await gateway.store.read((reader) => reader.keys(client));
  return { status: 200, body: { client, keys: rows.map((row) => keyView(row, refusedKeys.get(row.name))) } };
}

export async function postKey({ gateway, client, caller, body }: Call<z.infer<typeof KeyBody>>): Promise<Answer> {
  const row = await createKey(gateway, client, { ...body, chains: body.chains as ChainId[] }, caller.name);
  return { status: 201, body: keyView(row) };
}

const policyView = ({ client, version, hash, previousHash, entry, files, signatures, appliedAt, leaf }: PolicyRow) => ({
  client,
  version,
  hash,
  previousHash,
  appliedAt: new Date(appliedAt).toISOString(),
  leaf,
  signatures,
  entry,
  files,
});

export async function getPolicy({ gateway, client, query }: Call): Promise<Answer> {
  const version = versionOf("version", query);
  const row = await gateway.store.read((reader) => reader.policy(client, version));
  if (!row)
    throw new GatewayError(
      "policy-not-found",
      `client \`${client}\` has no ${version === undefined ? "policy yet" : `policy of version ${version}`}`,
    );
  return { status: 200, body: policyView(row) };
}

function versionOf(parameter: string, query: URLSearchParams): number | undefined {
  const text = query.get(parameter);
  if (text === null) return undefined;
  if (/^[1-9][0-9]{0,8}$/.test(text)) return Number(text);
  throw new GatewayError("invalid-parameter", `expected \`${parameter}\` as a number, found \`${text}\``);
}

/** Which document stood when, and by whose signatures; the documents themselves by `GET …/policy?version=`. */
export async function listPolicyVersions({ gateway, client, query }: Call): Promise<Answer> {
  const limit = pageSize(query.get("limit"), PAGE);
  const before = versionOf("cursor", query);
  const [rows, active] = await gateway.store.read(
    async (reader) =>
      [
        await reader.policyVersions(client, { limit: limit + 1, ...(before === undefined ? {} : { before }) }),
        await reader.policyHash(client),
      ] as const,
  );
  const all = rows.slice(0, limit).map(({ appliedAt, ...row }) => ({
    ...row,
    appliedAt: new Date(appliedAt).toISOString(),
    active: row.hash === active,
  }));
  const versions = fittingPage(all);
  const cursor = versions.length < rows.length ? versions.at(-1)!.version : null;
  return { status: 200, body: { client, versions, cursor } };
}

export async function putPolicy({ gateway, client, caller, body }: Call<PolicyBody>): Promise<Answer> {
  const { store, directory, name: origin } = gateway;
  const changed = await changePolicy({ store, directory, origin }, client, body, caller.name);
  return "policy" in changed
    ? { status: 200, body: policyView(changed.policy) }
    : { status: 202, body: scheduledView(changed.scheduled) };
}

const scheduledView = ({ by: _, activeAt, ...row }: ScheduledPolicyRow) => ({
  ...row,
  activeAt: new Date(activeAt).toISOString(),
});

export async function getScheduledPolicy({ gateway, client }: Call): Promise<Answer> {
  const row = await gateway.store.read((reader) => reader.scheduledPolicy(client));
  return { status: 200, body: { client, scheduled: row ? scheduledView(row) : null } };
}

export async function postPolicyCancellation({
  gateway,
  client,
  caller,
  body,
}: Call<CancellationBody>): Promise<Answer> {
  const { store, directory, name: origin } = gateway;
  const row = await cancelScheduled({ store, directory, origin }, client, body, caller.name);
  return { status: 200, body: scheduledView(row) };
}

export async function listClients({ gateway }: Call): Promise<Answer> {
  // Any vault may have frozen one this moment.
  const rows = new Map((await gateway.store.read((reader) => reader.clients())).map((row) => [row.id, row]));
  const house = rows.get(HOUSE)!;
  const clients = gateway.directory.clients().map(({ row, token, tokenError, keys, policy }) => ({
    client: row.id,
    status: rows.get(row.id)!.status,
    freezes: rows.get(row.id)!.freezes.map(freezeView),
    token: row.token,
    available: token !== undefined,
    ...(tokenError ? { unavailable: { code: tokenError.code, detail: tokenError.message } } : {}),
    keys: [...keys.keys()],
    policy: policy ? { version: policy.version, hash: policy.hash } : null,
  }));
  return { status: 200, body: { clients, house: { status: house.status, freezes: house.freezes.map(freezeView) } } };
}

export async function postClient({ gateway, caller, body }: Call<z.infer<typeof ClientBody>>): Promise<Answer> {
  if (!body.adopt) {
    const { id, status, token } = await addClient(gateway, body.client, caller.name);
    return { status: 201, body: { client: id, status, token, keys: [] } };
  }
  const adoption = { ...body.adopt, chains: body.adopt.chains as ChainId[] };
  const { row, keys, pinKept } = await adoptClient(gateway, body.client, adoption, caller.name);
  const { id, status, token } = row;
  const shown = pinKept && { code: pinKept.code, detail: pinKept.message };
  const view = {
    client: id,
    status,
    token,
    keys: keys.map((key) => keyView(key)),
    ...(shown ? { pinKept: shown } : {}),
  };
  return { status: 201, body: view };
}

export const getAttestation = async ({ gateway, client }: Call): Promise<Answer> => ({
  status: 200,
  body: await attestKeys(gateway, client),
});

export async function postPin({ gateway, client, caller, body }: Call<z.infer<typeof PinBody>>): Promise<Answer> {
  const { row } = gateway.directory.get(client);
  const version = await (body.pin === undefined
    ? rotatePin(gateway, row, caller.name)
    : setPin(gateway, row, body.pin, caller.name));
  return { status: 200, body: { client, version } };
}

export async function postKeyState(call: Call<z.infer<typeof KeyStateBody>>): Promise<Answer> {
  const { gateway, client, caller, parameters, body } = call;
  return {
    status: 200,
    body: keyView(await endKey(gateway, client, parameters["key"] as KeyName, body.state, caller.name)),
  };
}

export async function postClock({ gateway, caller, body }: Call<z.infer<typeof ClockBody>>): Promise<Answer> {
  const now = await gateway.confirmClock(Date.parse(body.seen), caller.name);
  return { status: 201, body: { confirmed: new Date(now).toISOString() } };
}
