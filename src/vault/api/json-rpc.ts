import type { Filling } from "../../chains/evm/fields.ts";
import { checksumAddress } from "../../chains/evm/address.ts";
import { chainOf, evmChainId, addressOf, type Account, type ChainId } from "../../domain/chain.ts";
import { GatewayError, quoted } from "../../domain/errors.ts";
import { Payload, type SigningRequestView } from "../../domain/api.ts";
import { asJson, type Json } from "../../domain/json.ts";
import { isFinal, type RequestId } from "../../domain/request.ts";
import { RPC_ERROR, type Broadcast, type RpcCall, type VaultMethod } from "../../domain/rpc.ts";
import type { RpcBody } from "../../domain/rpc-body.ts";
import { readAssist } from "../assist.ts";
import { supersededBy } from "../replacement.ts";
import type { KeyRow, RequestRow } from "../ports.ts";
import { readRecord } from "../record.ts";
import { sign } from "../sign.ts";
import { isDuplicate, submissionFor, type Asked } from "./asked-again.ts";
import { isWaiting, missingIn, unfilled } from "./filling.ts";
import { problemOfError, rpcCodeOf } from "./problems.ts";
import { readOwn, viewNow } from "./rest.ts";
import type { Answer, Call } from "./routes.ts";

/*
 * Ethereum JSON-RPC: a call becomes a signing request, and what became of it a result or an error. Nothing is decided
 * here, and there is no other way to a signature than `sign`.
 */

type Reply = { readonly result: Json; readonly broadcast?: Broadcast } | { readonly error: RpcError };
type RpcError = { readonly code: number; readonly message: string; readonly data?: Json };

/** One call of a body, with what belongs to it alone. */
type Item = {
  readonly call: Call<RpcBody>;
  readonly params: readonly unknown[];
  /** Its place in a batch; the idempotency key that came with the body, if one did, is divided by it. */
  readonly place: number | undefined;
  /** As the edge sent it. */
  readonly assist: unknown;
};

export async function postRpc(call: Call<RpcBody>): Promise<Answer> {
  const { body, assist } = call;
  const calls = Array.isArray(body) ? body : [body];
  const replies = await Promise.all(
    calls.map(async (each, index) => {
      const place = Array.isArray(body) ? index : undefined;
      const item = { call, params: each.params, place, assist: assist[index] };
      return { id: each.id, reply: await answer(each, item) };
    }),
  );
  const written = replies.map(({ id, reply }) =>
    "error" in reply ? { jsonrpc: "2.0", id, error: reply.error } : { jsonrpc: "2.0", id, result: reply.result },
  );
  const broadcast = replies.flatMap(({ reply }) => ("broadcast" in reply && reply.broadcast ? [reply.broadcast] : []));
  return {
    status: 200,
    body: Array.isArray(body) ? written : written[0],
    ...(broadcast.length > 0 ? { broadcast } : {}),
  };
}

const METHODS: Readonly<Record<VaultMethod, (item: Item) => Promise<Reply>>> = {
  eth_accounts: accounts,
  eth_requestAccounts: accounts,
  eth_chainId: async (item) => ({ result: `0x${evmChainId(onlyChain(await keysOf(item)))!.toString(16)}` }),
  net_version: async (item) => ({ result: evmChainId(onlyChain(await keysOf(item)))!.toString() }),
  eth_signTransaction: (item) => signTransaction(item, "eth_signTransaction"),
  eth_sendTransaction: (item) => signTransaction(item, "eth_sendTransaction"),
  eth_signTypedData_v4: ({ params: [address, data], ...item }) =>
    signText(item, "eth_signTypedData_v4", address, (key) => ({
      type: "evm-typed-data",
      typedData: documentOf(data),
      ...chainHint(key, documentOf(data)),
    })),
  personal_sign: ({ params: [message, address], ...item }) =>
    signText(item, "personal_sign", address, (key) => messagePayload(message, key)),
  eth_sign: ({ params: [address, message], ...item }) =>
    signText(item, "personal_sign", address, (key) => messagePayload(message, key)),
  portcullis_resume: resume,
};

async function answer({ method }: RpcCall, item: Item): Promise<Reply> {
  try {
    if (Object.hasOwn(METHODS, method)) return await METHODS[method as VaultMethod](item);
    return failed(RPC_ERROR.methodNotFound, `expected a method of accounts, found ${quoted(method)}`, {
      hint: "what only reads the chain is answered by the edge, in a body of its own",
    });
  } catch (error) {
    return errorOf(error);
  }
}

const failed = (code: number, message: string, data?: Json): Reply => ({
  error: { code, message, ...(data === undefined ? {} : { data }) },
});

const invalid = (message: string): GatewayError => new GatewayError("invalid-params", message);

/** Refusals before anything was recorded: of the call itself, or for now. A directory that lags behind is the router's. */
function errorOf(error: unknown): Reply {
  if (!(error instanceof GatewayError)) throw error;
  const { code, detail, hint } = problemOfError(error);
  const data = { code, ...(hint === undefined ? {} : { hint }) };
  return failed(rpcCodeOf(code), detail, data);
}

/** Active keys that sign for an Ethereum account, by name. */
async function keysOf({ call: { gateway, client } }: Pick<Item, "call">): Promise<KeyRow[]> {
  const rows = await gateway.store.read((reader) => reader.keys(client));
  const signing = rows.filter(
    ({ state, purpose, accounts }) => state === "active" && purpose === "transactions" && accounts.length > 0,
  );
  return signing.toSorted((one, other) => (one.name < other.name ? -1 : 1));
}

const addressesOf = ({ accounts: own }: KeyRow): string[] => own.map(addressOf);

async function accounts(item: Item): Promise<Reply> {
  return { result: [...new Set((await keysOf(item)).flatMap(addressesOf))] };
}

/** The key's, and never the request's (I14): a client with keys on several chains has no single answer. */
function onlyChain(keys: readonly KeyRow[]): ChainId {
  const chains = [...new Set(keys.flatMap((key) => key.chains))];
  if (chains.length === 1) return chains[0]!;
  throw new GatewayError("invalid-params", `expected keys on one chain, found ${chains.length}`, {
    facts: { chains },
    hint: "a client whose keys live on several chains names `chainId` in each transaction",
  });
}

async function keyFor(item: Pick<Item, "call">, address: unknown): Promise<KeyRow> {
  const wanted = typeof address === "string" ? address.toLowerCase() : "";
  const keys = await keysOf(item);
  const key = keys.find((each) => addressesOf(each).some((own) => own.toLowerCase() === wanted));
  if (key) return key;
  throw invalid(`expected an account of \`${item.call.client}\`, found ${quoted(address)}`);
}

const TRANSACTION_FIELDS: ReadonlySet<string> = new Set([
  "type",
  "chainId",
  "to",
  "value",
  "nonce",
  "gas",
  "gasPrice",
  "maxFeePerGas",
  "maxPriorityFeePerGas",
  "maxFeePerBlobGas",
  "blobVersionedHashes",
  "authorizationList",
  "accessList",
]);
const SAME = { input: "data", gasLimit: "gas" } as const;

/** The fields of a signing request: JSON-RPC's second names are brought to one, what is unknown is refused. */
function fieldsOf(params: readonly unknown[]): { readonly from: unknown; readonly fields: Record<string, unknown> } {
  const [given] = params;
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw invalid("expected a transaction object");
  const { from, ...rest } = given as Record<string, unknown>;
  const fields: Record<string, unknown> = {};
  for (const [written, value] of Object.entries(rest)) {
    if (value === undefined || value === null) continue;
    const name = Object.hasOwn(SAME, written) ? SAME[written as keyof typeof SAME] : written;
    if (name !== "data" && !TRANSACTION_FIELDS.has(name)) throw invalid(`unknown field ${quoted(written)}`);
    if (fields[name] !== undefined && fields[name] !== value) throw invalid(`\`${name}\` is said twice, differently`);
    fields[name] = name === "to" ? spelled(value) : value;
  }
  return { from, fields: { ...fields, to: fields["to"] ?? null, value: fields["value"] ?? "0x0" } };
}

/** Programs write addresses in lower case; a person's mixed case must be right. */
const spelled = (address: unknown): unknown =>
  typeof address === "string" && /^0x[0-9a-f]{40}$/.test(address) ? checksumAddress(address) : address;

async function signTransaction(item: Item, method: VaultMethod): Promise<Reply> {
  const { from, fields } = fieldsOf(item.params);
  const key = await keyFor(item, from);
  const body = { key: key.name, payload: parsePayload({ type: "evm-transaction", transaction: fields }) };
  const { call } = item;
  const assist = readAssist(item.assist);
  const asked = await submissionFor({ ...item, method, body });
  if (isDuplicate(asked)) return { error: duplicateOf(asked.duplicate) };
  const { submission, known } = asked;
  // What was authorized or ended is answered also while no node helps.
  if (known === undefined || isWaiting(known)) await requireFilled(call, body, assist);
  const replaces = known ? undefined : await supersededBy(call.gateway.store, key, fields, assist);
  const row = await sign(call.gateway, {
    ...submission,
    body: { ...body, ...(replaces === undefined ? {} : { replaces }) },
    assist,
  });
  call.gateway.changed.notify(row);
  return replyTo(call, row, method === "eth_sendTransaction");
}

/** Without a node nobody knows gas or prices: that is said before anything is recorded, since it may pass. */
async function requireFilled(call: Call, ...asked: [Parameters<typeof missingIn>[1], Filling]): Promise<void> {
  const missing = await missingIn(call, ...asked);
  if (missing) throw unfilled(missing);
}

function parsePayload(payload: unknown): Payload {
  const parsed = Payload.safeParse(payload);
  if (parsed.success) return parsed.data;
  throw invalid(parsed.error.issues[0]?.message ?? "expected a payload");
}

const messagePayload = (message: unknown, key: KeyRow): unknown => ({
  type: "evm-message",
  message,
  ...(key.chains.length > 1 ? { chain: key.chains[0] } : {}),
});

/** Its own domain says the chain; one that says none is for a key on one chain, or for the first of several. */
function chainHint(key: KeyRow, document: unknown): { readonly chain?: string } {
  const { domain } = (document ?? {}) as { domain?: { chainId?: unknown } };
  return domain?.chainId === undefined && key.chains.length > 1 ? { chain: key.chains[0]! } : {};
}

/** As an object, or as the text that some clients send. */
function documentOf(data: unknown): unknown {
  if (typeof data !== "string") return data;
  try {
    return JSON.parse(data) as unknown;
  } catch {
    throw invalid("expected typed data as JSON");
  }
}

async function signText(
  item: Omit<Item, "params">,
  method: VaultMethod,
  address: unknown,
  payloadFor: (key: KeyRow) => unknown,
): Promise<Reply> {
  const key = await keyFor(item, address);
  const body = { key: key.name, payload: parsePayload(payloadFor(key)) };
  // The same text has the same signature: there is no second one that could do harm.
  const { submission } = (await submissionFor({ ...item, method, body, repeatable: true })) as Asked;
  const row = await sign(item.call.gateway, submission);
  item.call.gateway.changed.notify(row);
  return replyTo(item.call, row, false);
}

function duplicateOf(row: RequestRow): RpcError {
  const { transactionHash } = readRecord(row).result ?? {};
  return {
    code: RPC_ERROR.rejected,
    message: `duplicate of ${transactionHash ?? row.id}`,
    data: {
      requestId: row.id,
      hint: "the same call was made within a day; an Idempotency-Key of its own makes another",
    },
  };
}

/** Goes on with a request that people had to approve. */
async function resume(item: Item): Promise<Reply> {
  const [id] = item.params;
  if (typeof id !== "string" || !/^[0-9a-f]{32}$/.test(id)) throw invalid("expected the id of a request");
  const { call } = item;
  const row = await readOwn(call, id as RequestId);
  const { payload } = readRecord(row);
  if (isFinal(row.state) || payload === undefined) return replyTo(call, row, true);
  const assist = assistFor(row, item.assist);
  await requireFilled(call, { key: row.key, payload }, assist);
  const { client, caller, key, idempotencyKey, bodyHash } = row;
  const finished = await sign(call.gateway, {
    ...{ client, caller, idempotencyKey, bodyHash, evidence: call.evidence },
    body: { key, payload },
    assist,
  });
  call.gateway.changed.notify(finished);
  return replyTo(call, finished, true);
}

/**
 * Prices of today, from the node of the request's own chain; as much gas as was filled in when it was first asked, and a
 * count that begins where it began then, since the edge does not know the transaction.
 */
function assistFor(row: RequestRow, assist: unknown): Filling {
  const { intent, filling } = readRecord(row);
  const { account } = (intent ?? {}) as { account?: Account };
  const byChain = (assist ?? {}) as Readonly<Record<string, unknown>>;
  const kept = (["gas", "nonce"] as const).flatMap((name) => {
    const value = filling?.[name];
    return value === undefined ? [] : [[name, BigInt(value)] as const];
  });
  return {
    ...Object.fromEntries(kept),
    ...(account === undefined ? {} : readAssist(byChain[chainOf(account)])),
  };
}

async function replyTo({ gateway }: Call, row: RequestRow, send: boolean): Promise<Reply> {
  const view = await viewNow(gateway, row);
  const { result, problem } = view;
  if (result?.signedTransaction !== undefined) {
    const { signedTransaction: raw, transactionHash } = result;
    const chain = chainOf((view.intent as { account: string }).account as never);
    return send ? { result: transactionHash!, broadcast: { chain, raw } } : { result: raw };
  }
  if (result) return { result: result.signature };
  if (problem) return failed(rpcCodeOf(problem.code), `${problem.code}: ${problem.detail}`, denialData(view));
  const waits = view.state === "pending" || view.state === "ready";
  const data = {
    requestId: view.id,
    state: view.state,
    ...(view.decision === undefined ? {} : { decision: view.decision }),
  };
  if (!waits) return failed(RPC_ERROR.later, "authorized, and not signed yet: the same call finishes it", data);
  return failed(RPC_ERROR.approvalNeeded, `request ${view.id} needs approval`, {
    ...data,
    hint: "when nothing is missing any more: `portcullis_resume` with this id, or the same call again",
  });
}

const denialData = ({ id, problem, decision }: SigningRequestView): Json => ({
  requestId: id,
  ...(asJson(problem) as Record<string, Json>),
  ...(decision === undefined ? {} : { decision }),
});
