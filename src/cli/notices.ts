import { createHash } from "node:crypto";
import type { ApprovalView, SigningRequestView } from "../domain/api.ts";
import type { GatewayClient } from "../sdk/client.ts";

/*
 * What people are told of requests that wait for them: names, numbers of persons and times. No payload, no amount, no
 * destination: whoever is asked to approve reads those from the gateway, and decodes them on a machine of their own.
 */

export type Notice = {
  /** The same for the same news, however often it is sent. */
  readonly id: string;
  /** `request.break-glass`: somebody breaks the glass · `request.waiting`: somebody is missing, or somebody else than before · `request.ready`: the caller's next POST signs
   * it · `request.reminder`: it lapses soon and somebody is missing · `request.ended`: it waits no more. */
  readonly type: "request.break-glass" | "request.waiting" | "request.ready" | "request.reminder" | "request.ended";
  readonly at: string;
  readonly gateway: string;
  readonly client: string;
  readonly request: string;
  readonly state: string;
  /** Everything that is told of a request that breaks the glass. */
  readonly urgent?: true;
  readonly breakGlass?: readonly string[];
  readonly missing: readonly { readonly group: string; readonly more: number; readonly from: readonly string[] }[];
  readonly notBefore?: string;
  readonly expires?: string;
};

/** What was told of the requests that wait: by request, the ids of its notices. */
export type Told = Readonly<Record<string, { readonly client: string; readonly ids: readonly string[] }>>;

export type Reading = {
  readonly gateway: GatewayClient;
  readonly clients: readonly string[];
  readonly remindMs: number;
};

/**
 * Looks once. A request that cannot be read silences no other.
 * @returns what has not been told yet, the oldest request first, those that wait now, and what could not be read
 */
export async function readNotices(
  { gateway, clients, remindMs }: Reading,
  told: Told,
  now: number,
): Promise<{
  readonly notices: readonly Notice[];
  readonly waiting: ReadonlySet<string>;
  readonly unread: readonly Error[];
}> {
  const notices: Notice[] = [];
  const waiting = new Set<string>();
  const unread: Error[] = [];
  const viewOf = (client: string, id: string): Promise<ApprovalView | undefined> =>
    gateway
      .get<ApprovalView>(`${requestsOf(client)}/${id}/approvals`)
      .catch((error: unknown) => void unread.push(error as Error));
  for (const client of clients) {
    for (const { id, state } of await pendingOf(gateway, client)) {
      if (state === "expired") continue;
      const view = await viewOf(client, id);
      if (view && !view.waiting) continue;
      waiting.add(id); // what cannot be read now has not ended
      if (view) notices.push(...noticesOf(view, gateway.caller.gateway, remindMs, now));
    }
  }
  for (const [id, { client }] of Object.entries(told)) {
    if (waiting.has(id) || !clients.includes(client)) continue;
    const view = await viewOf(client, id);
    if (view) notices.push(noticeOf("request.ended", view, gateway.caller.gateway, now));
    else waiting.add(id);
  }
  const isNew = ({ request, id }: Notice): boolean => !told[request]?.ids.includes(id);
  return { notices: notices.filter(isNew), waiting, unread };
}

const requestsOf = (client: string): string => `/v1/clients/${client}/signing-requests`;

/** Oldest first. */
async function pendingOf(gateway: GatewayClient, client: string): Promise<SigningRequestView[]> {
  const found: SigningRequestView[] = [];
  for (let cursor: string | null | undefined; cursor !== null;) {
    const query = new URLSearchParams({ state: "pending", ...(cursor === undefined ? {} : { cursor }) });
    const page = await gateway.get<{ requests: SigningRequestView[]; cursor: string | null }>(
      `${requestsOf(client)}?${query.toString()}`,
    );
    found.push(...page.requests);
    cursor = page.cursor;
  }
  return found.toReversed();
}

function noticesOf(view: ApprovalView, gateway: string, remindMs: number, now: number): Notice[] {
  const glass = breakGlassOf(view) === undefined ? [] : [noticeOf("request.break-glass", view, gateway, now)];
  return [...glass, ...newsOf(view, gateway, remindMs, now)];
}

const breakGlassOf = ({ request, waiting }: ApprovalView): readonly string[] | undefined =>
  (waiting ?? (request.decision as { readonly breakGlass?: readonly string[] } | undefined))?.breakGlass;

function newsOf(view: ApprovalView, gateway: string, remindMs: number, now: number): Notice[] {
  const { state } = view.request;
  if (state === "ready") return [noticeOf("request.ready", view, gateway, now)];
  const { expires } = view.waiting!;
  const isSoon = expires !== undefined && Date.parse(expires) - now <= remindMs;
  return (["request.waiting", ...(isSoon ? ["request.reminder" as const] : [])] as const).map((type) =>
    noticeOf(type, view, gateway, now),
  );
}

function noticeOf(type: Notice["type"], { request, waiting }: ApprovalView, gateway: string, now: number): Notice {
  const missing = (waiting?.missing ?? []).map(({ group, have, need, from }) => ({ group, more: need - have, from }));
  const about = { client: request.client, request: request.id, state: request.state, missing };
  const news = type === "request.waiting" ? JSON.stringify([missing, waiting?.notBefore]) : "";
  const breakGlass = breakGlassOf({ request, ...(waiting ? { waiting } : {}) });
  const id = createHash("sha256").update(`${type} ${request.id} ${news}`).digest("hex").slice(0, 32);
  return {
    id,
    type,
    at: new Date(now).toISOString(),
    gateway,
    ...about,
    ...(breakGlass === undefined ? {} : { urgent: true as const, breakGlass }),
    ...(waiting?.notBefore === undefined ? {} : { notBefore: waiting.notBefore }),
    ...(waiting?.expires === undefined ? {} : { expires: waiting.expires }),
  };
}
