import { hash } from "node:crypto";
import { encodeJson } from "../../domain/json.ts";
import { GatewayError } from "../../domain/errors.ts";
import { parseSignatureInput, splitTarget } from "../../domain/http-signature.ts";
import { HOUSE, type CallerName, type ClientId } from "../../domain/names.ts";
import {
  authenticate,
  evidenceOf,
  type Caller,
  type DeclaredCaller,
  type ReceivedRequest,
} from "../auth/authenticate.ts";
import { StaleDirectory } from "../directory.ts";
import { frozenCallers } from "../frozen.ts";
import type { Gateway } from "../gateway.ts";
import { appendLeaf } from "../log.ts";
import { actOnce } from "./act-once.ts";
import { parseJson } from "../../domain/strict-json.ts";
import { problemOfError, RETRY_AFTER_S } from "./problems.ts";
import { NoQuery } from "./queries.ts";
import { ROUTES, type Answer, type Call, type CallerRoute, type OpenRoute, type Route } from "./routes.ts";

/*
 * The one way in: route → caller → role → body → command. Reached by frames from the edge, which is believed nothing.
 */

type Matched<R extends Route = Route> = {
  readonly route: R;
  readonly client: ClientId;
  readonly parameters: Record<string, string>;
};

const SEGMENT = /\{([a-z]+)(\*?)\}/g;
const ONE = "([A-Za-z0-9-]{1,64})";
/** A public key, as Web3Signer names keys. */
const IDENTIFIER = "([A-Za-z0-9]{1,132})";
const ALL_THAT_FOLLOW = "([A-Za-z0-9./-]{1,128})";
const compiled = ROUTES.map((route) => {
  const names = [...route.path.matchAll(SEGMENT)].map((match) => match[1]!);
  const pattern = route.path.replace(SEGMENT, (_, name, rest) =>
    rest === "*" ? ALL_THAT_FOLLOW : name === "identifier" ? IDENTIFIER : ONE,
  );
  return { route, names, pattern: new RegExp(`^${pattern}$`) };
});

/** @throws {GatewayError} `not-found`, `method-not-allowed` */
function match(method: string, path: string): Matched {
  for (const { route, names, pattern } of compiled) {
    const found = route.method === method ? pattern.exec(path) : null;
    if (!found) continue;
    const parameters = Object.fromEntries(names.map((name, index) => [name, found[index + 1]!]));
    return { route, parameters, client: (parameters["client"] ?? HOUSE) as ClientId };
  }
  const onPath = compiled.filter(({ pattern }) => pattern.test(path));
  if (onPath.length === 0)
    throw new GatewayError("not-found", "expected a path of this API", {
      hint: "/docs shows the paths",
    });
  throw new GatewayError(
    "method-not-allowed",
    `expected ${onPath.map(({ route }) => route.method).join(" or ")}, found \`${method}\``,
  );
}

/** I2: the path names the client; the caller is declared in that client's document or in the house's. */
const declaredFor =
  (gateway: Gateway, client: ClientId) =>
  (name: string): DeclaredCaller | undefined => {
    const own = gateway.directory.find(client)?.policy?.callers.get(name as CallerName);
    if (own) return { role: own.role, keys: own.keys, of: client };
    const house = gateway.directory.house.policy.callers.get(name as CallerName);
    return house && { role: house.role, keys: house.keys, of: HOUSE };
  };

/**
 * The client whose document declares whoever says to have sent this; that it is so is proven afterwards. Of several with
 * a caller of that name it is the one whose caller has signed: a public key belongs to one client for ever. Nobody else
 * learns that there are several (decision 121).
 */
async function clientOf(gateway: Gateway, request: ReceivedRequest): Promise<ClientId> {
  const { headers } = request;
  const name = parseSignatureInput(headers["signature-input"] ?? "")?.parameters.keyid as CallerName | undefined;
  const declaring = gateway.directory
    .clients()
    .filter(({ policy }) => name !== undefined && policy?.callers.has(name))
    .map(({ row }) => row.id);
  if (declaring.length > 1)
    for (const client of declaring) if (await isSignedFor(gateway, client, request)) return client;
  return declaring[0] ?? HOUSE;
}

const isSignedFor = (gateway: Gateway, client: ClientId, request: ReceivedRequest): Promise<boolean> =>
  authenticate(request, gateway.name, declaredFor(gateway, client), Date.now()).then(
    () => true,
    (error: unknown) => {
      if (error instanceof GatewayError) return false;
      throw error;
    },
  );

const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,128}$/;

function idempotencyKeyOf(route: CallerRoute, { headers }: ReceivedRequest): string {
  const key = headers["idempotency-key"];
  if (route.method === "GET" || route.dryRun) return "";
  if (key === undefined && route.ownKey) return "";
  if (key === undefined) {
    throw new GatewayError("idempotency-key-missing", "expected the header `Idempotency-Key`, found none", {
      hint: "choose a new key for each withdrawal, and send the same key again when you repeat it",
    });
  }
  if (!IDEMPOTENCY_KEY.test(key))
    throw new GatewayError(
      "idempotency-key-invalid",
      "expected 1 to 128 visible ASCII characters as `Idempotency-Key`",
    );
  return key;
}

/** @throws {GatewayError} `invalid-body`, naming the field */
function parseBody(route: CallerRoute, body: Uint8Array): unknown {
  if (!route.body) {
    if (body.length > 0) throw new GatewayError("invalid-body", "expected no body");
    return undefined;
  }
  const parsed = route.body.safeParse(parseJson(body));
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map(({ path, message }) => ({ field: path.join(".") || "body", message }));
  const [{ field, message } = { field: "body", message: "invalid" }] = issues;
  throw new GatewayError("invalid-body", `\`${field}\`: ${message}`, { facts: { issues: issues.slice(0, 20) } });
}

/** @throws {GatewayError} `invalid-parameter`: what nobody reads, what stands twice, what is no such value */
function parseQuery({ query: schema = NoQuery }: CallerRoute, text: string): URLSearchParams {
  const query = new URLSearchParams(text.slice(1));
  if (text === "?") return query;
  const entries = [...query];
  const parsed = schema.safeParse(Object.fromEntries(entries));
  const [issue] = parsed.error?.issues ?? [];
  if (!issue && new Set(query.keys()).size === entries.length) return query;
  const [name, message] = issue
    ? [issue.path.join(".") || "query", issue.message]
    : ["query", "expected each parameter once"];
  throw new GatewayError("invalid-parameter", `\`${name}\`: ${message}`);
}

/** How often a directory that lags behind the store is refreshed for one request, before it counts as a fault. */
const REFRESHES = 3;

/** An answer, and whether the request that it answers was proven to be its caller's. */
export type Routed = Answer & { readonly authenticated: boolean };

/** Answers one request; never throws. */
export async function route(gateway: Gateway, request: ReceivedRequest): Promise<Routed> {
  let caller: Caller | undefined;
  try {
    const { path, query } = splitTarget(request.target);
    const found = match(request.method, path);
    if (isOpen(found))
      return { ...(await found.route.handle({ gateway, parameters: found.parameters })), authenticated: false };
    const named = found as Matched<CallerRoute>;
    const matched = named.route.clientOfCaller ? { ...named, client: await clientOf(gateway, request) } : named;
    if (matched.client !== HOUSE && !gateway.directory.find(matched.client)) await gateway.directory.discover();
    gateway.directory.requireFit(matched.client);
    for (let attempt = 0; ; attempt++) {
      caller = await authenticate(request, gateway.name, declaredFor(gateway, matched.client), Date.now());
      try {
        return { ...(await handle(gateway, request, matched, caller, query)), authenticated: true };
      } catch (error) {
        if (!(error instanceof StaleDirectory) || attempt >= REFRESHES) throw error;
        // The policy changed under us: who may ask, what it means and what is allowed are all found out again.
        await (error.client === HOUSE
          ? gateway.directory.refreshHouse()
          : gateway.directory.refreshClient(error.client));
      }
    }
  } catch (error) {
    const problem = problemOfError(error);
    if (!caller) countStranger(gateway, problem.code);
    // What is refused because too much was recorded leaves nothing more behind.
    if (caller && problem.status < 500 && problem.status !== 429)
      await recordRefusal(gateway, caller, request, problem.code);
    if (problem.status === 500) gateway.fault(error);
    return {
      authenticated: caller !== undefined,
      status: problem.status,
      body: problem,
      headers: {
        "content-type": "application/problem+json",
        ...(problem.status in RETRY_AFTER_S ? { "retry-after": String(RETRY_AFTER_S[problem.status]) } : {}),
      },
    };
  }
}

const isOpen = (matched: Matched): matched is Matched<OpenRoute> => matched.route.roles === "anyone";

async function handle(
  gateway: Gateway,
  request: ReceivedRequest,
  { route, client, parameters }: Matched<CallerRoute>,
  caller: Caller,
  query: string,
): Promise<Answer> {
  if (!route.roles.includes(caller.role)) {
    throw new GatewayError(
      "not-permitted",
      `expected one of the roles ${route.roles.join(", ")}, found \`${caller.role}\``,
    );
  }
  if (client !== HOUSE) gateway.directory.get(client);
  await requireCurrentCaller(gateway, client, caller, route);
  const call: Call = {
    gateway,
    caller,
    client,
    parameters,
    query: parseQuery(route, query),
    idempotencyKey: idempotencyKeyOf(route, request),
    body: parseBody(route, request.body),
    bodyHash: hash("sha256", request.body, "hex"),
    evidence: evidenceOf(request),
    assist: request.assist ?? [],
    asksNodes: request.assist?.length === 0,
  };
  return route.once
    ? actOnce(call, `${request.method} ${request.target}`, () => route.handle(call))
    : route.handle(call);
}

/**
 * A caller that any vault has frozen, or whose document has changed, is found out before it does anything: this vault's
 * directory may be older.
 * @throws {GatewayError} `caller-frozen`
 */
async function requireCurrentCaller(
  { store, directory, refusal }: Gateway,
  client: ClientId,
  { name, of }: Caller,
  { method, dryRun, checksItself, whileFrozen }: CallerRoute,
): Promise<void> {
  if (checksItself) return;
  const refused = method === "GET" || dryRun !== undefined ? undefined : refusal();
  if (refused) throw refused; // what is there cannot be held against anything now
  const { house } = directory;
  const entry = client === HOUSE ? undefined : directory.get(client);
  if (method !== "GET" && dryRun === undefined)
    await store.read(async (reader) => {
      if ((await reader.revision(HOUSE)) !== house.revision) throw new StaleDirectory(HOUSE);
      if (entry && (await reader.revision(client)) !== entry.revision) throw new StaleDirectory(client);
    });
  const row = of === HOUSE ? house.row : entry!.row;
  if (whileFrozen || !frozenCallers(row).has(name)) return;
  throw new GatewayError("caller-frozen", `caller \`${name}\` is frozen`, {
    hint: "the policy officers' quorum unfreezes it: `portcullis unfreeze`",
  });
}

/** Codes are ours: as many as the list of problems has. */
const countStranger = ({ strangers }: Gateway, code: string): void =>
  void strangers.set(code, (strangers.get(code) ?? 0) + 1);

/** Refusals of one caller that become leaves, per minute; more are counted only: nobody may fill the disk. */
const REFUSAL_LEAVES_PER_MINUTE = 60;

/** A proven caller that was refused leaves a trace. Strangers leave none: they could fill the disk (DESIGN section 3). */
async function recordRefusal(gateway: Gateway, caller: Caller, request: ReceivedRequest, code: string): Promise<void> {
  const recorded = gateway.refusals.of(`${caller.of}/${caller.name}`);
  if (recorded.leaves === REFUSAL_LEAVES_PER_MINUTE) return;
  recorded.leaves += 1;
  const owner = caller.of === HOUSE ? gateway.directory.house.row : gateway.directory.get(caller.of).row;
  const content = { caller: caller.name, code, method: request.method, path: splitTarget(request.target).path };
  await gateway.store
    .write((transaction) => appendLeaf(transaction, owner, "refused", content))
    .catch((error: unknown) => gateway.fault(error));
}

/** Bytes are what they are; everything else is JSON. */
export const bodyBytes = (body: unknown): Uint8Array =>
  body instanceof Uint8Array ? body : Buffer.from(`${encodeJson(body)}\n`);
