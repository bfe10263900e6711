import { pricesOf, type Filling, type PartialTransaction } from "../../chains/evm/fields.ts";
import type { SigningRequestBody } from "../../domain/api.ts";
import { addressOf, chainOf, type Account } from "../../domain/chain.ts";
import { GatewayError } from "../../domain/errors.ts";
import { encodeJson } from "../../domain/json.ts";
import type { Wanted } from "../../domain/rpc.ts";
import { readAssist } from "../assist.ts";
import type { RequestRow, Store } from "../ports.ts";
import { accountOf, partialOf } from "../replacement.ts";
import { problemOfError, RETRY_AFTER_S } from "./problems.ts";
import type { Answer, Call } from "./routes.ts";

/*
 * Fields that a signed body left out and only a chain node knows: gas, prices, and the nonce of an account for which
 * nobody has counted yet. The edge asks a node, whom nobody believes further than the policy's fee cap (decision 77); what
 * nobody fills in is said before anything is recorded, since it may pass.
 */

type Asked = Pick<SigningRequestBody, "key" | "payload" | "replaces">;

export type Filled = { readonly assist?: Filling; readonly missing?: Missing };
type Missing = { readonly names: readonly string[]; readonly wanted: Wanted };

/** Of a request over REST, with what the edge has sent for it. */
export async function filledFor(call: Call, asked: Asked, idempotencyKey: string, place = 0): Promise<Filled> {
  const given = call.assist[place];
  const assist = given === undefined ? undefined : readAssist(given);
  const missing = await missingIn(call, asked, assist);
  if (missing && (await mayBeFilled(call, idempotencyKey))) return { missing };
  return assist ? { assist } : {};
}

/** What was authorized or ended is answered also while no node helps. */
async function mayBeFilled({ gateway, client, caller }: Call, key: string): Promise<boolean> {
  const known =
    key === "" ? undefined : await gateway.store.read((r) => r.requestByIdempotencyKey(client, caller.name, key));
  return known === undefined || isWaiting(known);
}

export const isWaiting = ({ state }: RequestRow): boolean => state === "pending" || state === "ready";

/** What cannot be read is missing nothing: it is refused later, and recorded. */
export async function missingIn(
  { gateway, client }: Pick<Call, "gateway" | "client">,
  { key: name, payload, replaces }: Asked,
  assist: Filling = {},
): Promise<Missing | undefined> {
  const key = gateway.directory.get(client).keys.get(name);
  if (payload.type !== "evm-transaction" || payload.transaction === undefined || !key) return undefined;
  const { transaction } = payload;
  const isCounted =
    replaces !== undefined || transaction.nonce !== undefined || areCounted(gateway.store, key.accounts);
  if (isCounted && namesFees(transaction)) return undefined; // the usual case, and nothing has to be read twice
  const partial = partialOf(transaction);
  const account = partial && accountOf(key, partial);
  if (account === undefined) return undefined;
  const names = ["gas" as const, ...pricesOf(partial!.type)]
    .filter((field) => field !== "maxFeePerBlobGas")
    .filter((field) => (partial![field] ?? assist[field]) === undefined);
  const needsNonce = !isCounted && assist.nonce === undefined && !(await isCountedNow(gateway.store, account));
  if (names.length === 0 && !needsNonce) return undefined;
  return {
    names: [...names, ...(needsNonce ? ["nonce"] : [])],
    wanted: { chain: chainOf(account), transaction: asked(account, partial!) },
  };
}

const namesFees = ({ gas, gasPrice, maxFeePerGas, maxPriorityFeePerGas }: Readonly<Record<string, unknown>>): boolean =>
  gas !== undefined && (gasPrice !== undefined || (maxFeePerGas !== undefined && maxPriorityFeePerGas !== undefined));

/** Accounts whose nonces the vault counts: that never ends, so it is asked once. */
const counted = new WeakMap<Store, Set<Account>>();

const areCounted = (store: Store, accounts: readonly Account[]): boolean =>
  accounts.every((account) => counted.get(store)?.has(account));

async function isCountedNow(store: Store, account: Account): Promise<boolean> {
  if ((await store.read((reader) => reader.nextNonce(account))) === undefined) return false;
  const known = counted.get(store) ?? new Set();
  counted.set(store, known.add(account));
  return true;
}

const TYPES = { legacy: "0x0", eip2930: "0x1", eip1559: "0x2", eip4844: "0x3", eip7702: "0x4" } as const;
const QUANTITIES = ["value", "nonce", "gas", "gasPrice", "maxFeePerGas", "maxPriorityFeePerGas"] as const;

/** As a node reads it: the account is the key's, which the edge does not know. */
function asked(account: Account, partial: PartialTransaction): Wanted["transaction"] {
  const { type, to, data, accessList } = partial;
  const quantities = QUANTITIES.flatMap((name) => {
    const value = partial[name];
    return value === undefined ? [] : [[name, `0x${value.toString(16)}`] as const];
  });
  return {
    from: addressOf(account),
    type: TYPES[type],
    ...(to === undefined ? {} : { to }),
    data: `0x${Buffer.from(data).toString("hex")}`,
    ...(accessList.length === 0 ? {} : { accessList }),
    ...Object.fromEntries(quantities),
  };
}

export const unfilled = ({ names }: Missing): GatewayError =>
  new GatewayError("node-unavailable", `nobody has filled in ${names.map((name) => `\`${name}\``).join(", ")}`, {
    hint: "name them, or give the edge a chain node (`edge.nodes` in portcullis.yaml); a node that expects the transaction to fail knows no `gas`",
  });

/** As much as a head may carry, and far less than it may. */
const WANTED_BYTES = 1024 * 1024;

/** Nothing was done. An edge that has nodes asks them and sends the same again; of another one this is the answer. */
export function unfilledAnswer(missing: readonly (Missing | undefined)[]): Answer {
  const problem = problemOfError(unfilled(missing.find((each) => each !== undefined)!));
  const wanted = missing.map((each) => each?.wanted ?? null);
  return {
    status: problem.status,
    body: problem,
    headers: {
      "content-type": "application/problem+json",
      "retry-after": String(RETRY_AFTER_S[problem.status]),
    },
    ...(encodeJson(wanted).length <= WANTED_BYTES ? { wanted } : {}),
  };
}
