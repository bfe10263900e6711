import { parseFields, type Filling, type PartialTransaction } from "../chains/evm/fields.ts";
import { replacementKind } from "../chains/evm/replacement.ts";
import { decodeUnsigned } from "../chains/evm/transaction.ts";
import { chainOf, evmChainId, type Account } from "../domain/chain.ts";
import type { Charge, CounterId } from "../domain/decision.ts";
import { GatewayError } from "../domain/errors.ts";
import { claimId, intentFromJson, type Claim } from "../domain/intent.ts";
import type { RequestId } from "../domain/request.ts";
import type { Understood } from "./payloads.ts";
import type { KeyRow, RequestRow, Store, StoreReader, StoreTransaction } from "./ports.ts";
import { authorizationOf, readRecord } from "./record.ts";

/*
 * A transaction that takes another one's place (I12): it names the request that signed it, spends the same nonce, and
 * differs in its prices alone or cancels it. One of them at the most is ever mined; so it reserves only what it adds.
 */

/** Of one nonce: whoever bumps a price more often has another problem. */
const MAX_VERSIONS = 32;

const notReplaceable = (detail: string, hint?: string): GatewayError =>
  new GatewayError("not-replaceable", detail, hint === undefined ? {} : { hint });

/**
 * The requests whose place this one would take, the latest first; none where it replaces nothing.
 * @throws {GatewayError} `not-replaceable`
 */
export async function replacedBy(
  reader: StoreReader,
  request: RequestRow,
  understood?: Understood,
): Promise<readonly RequestRow[]> {
  const versions: RequestRow[] = [];
  for (let id = readRecord(request).replaces; id !== undefined; id = readRecord(versions.at(-1)!).replaces) {
    const row = await reader.request(request.client, id);
    if (!row) throw notReplaceable(`expected a request of this client, found no \`${id}\``);
    versions.push(row);
    if (versions.length > MAX_VERSIONS)
      throw notReplaceable(`expected at most ${MAX_VERSIONS} versions of one transaction, found more`);
  }
  if (versions[0] && understood) await requireReplaceable(reader, request, versions[0], understood);
  return versions;
}

async function requireReplaceable(
  reader: StoreReader,
  request: RequestRow,
  replaced: RequestRow,
  { unsigned, intent }: Understood,
): Promise<void> {
  const before = readRecord(replaced);
  if (replaced.key !== request.key || before.payloadType !== "evm-transaction" || before.unsigned === undefined)
    throw notReplaceable(`expected a transaction of key \`${request.key}\` that was authorized, found another request`);
  // What is not final may still be given back, and what this one reserves would then be too little.
  if (replaced.state !== "signed" && replaced.state !== "failed")
    throw notReplaceable(
      `expected a request that is signed, found one that is ${replaced.state}`,
      "finish it first: repeat its POST with its idempotency key",
    );
  const [own] = intent.claims;
  const holder = own && (await reader.claimedBy(claimId(own)));
  if (holder !== replaced.id && holder !== request.id)
    throw notReplaceable(
      "expected the latest request with this nonce, found an earlier one",
      holder === undefined ? undefined : `name \`${holder}\``,
    );
  if (replacementKind(unsigned, Buffer.from(before.unsigned, "hex"), intent.account) === undefined)
    throw notReplaceable(
      "expected the same transaction at another price, or one that cancels it, found another transaction",
      "a fee bump keeps every byte but the prices; a cancellation sends nothing, with no data, to the key's own address",
    );
}

/**
 * Of a transaction over JSON-RPC, which cannot name what it replaces: the request that holds its nonce, where the caller
 * named that nonce and offers more for it. Whether it may take that place is decided like any replacement.
 */
export async function supersededBy(
  store: Pick<Store, "read">,
  key: KeyRow,
  fields: unknown,
  assist: Filling,
): Promise<RequestId | undefined> {
  const partial = partialOf(fields);
  const account = partial && accountOf(key, partial);
  if (account === undefined || partial?.nonce === undefined) return undefined;
  const id = claimId({ kind: "evm-nonce", account, nonce: partial.nonce });
  const holder = await store.read(async (reader) => {
    const request = await reader.claimedBy(id);
    return request === undefined ? undefined : reader.request(key.client, request);
  });
  if (holder?.state !== "signed" || holder.key !== key.name) return undefined;
  const { payloadType, unsigned } = readRecord(holder);
  if (payloadType !== "evm-transaction" || unsigned === undefined) return undefined;
  const offered = priceOf({ ...assist, ...partial });
  return offered > priceOf(decodeUnsigned(Buffer.from(unsigned, "hex"))) ? holder.id : undefined;
}

/** What cannot be read is refused later, and recorded. */
export function partialOf(fields: unknown): PartialTransaction | undefined {
  try {
    return parseFields(fields);
  } catch (error) {
    if (error instanceof GatewayError) return undefined;
    throw error;
  }
}

export const accountOf = ({ accounts }: KeyRow, { chainId }: PartialTransaction): Account | undefined =>
  chainId === undefined && accounts.length === 1
    ? accounts[0]
    : accounts.find((account) => evmChainId(chainOf(account)) === chainId);

const priceOf = (transaction: Pick<Filling, "gasPrice" | "maxFeePerGas">): bigint =>
  transaction.maxFeePerGas ?? transaction.gasPrice ?? 0n;

/** The nonce that a replacement spends, where its caller left it out. */
export async function replacedNonce(reader: StoreReader, request: RequestRow): Promise<bigint | undefined> {
  const [replaced] = await replacedBy(reader, request);
  const intent = replaced && readRecord(replaced).intent;
  return intent === undefined ? undefined : intentFromJson(intent).claims[0]?.nonce;
}

/**
 * What the versions before have reserved already, in each counter. Of one that failed it is not known any more where:
 * it covers nothing, and stays counted beside.
 */
export async function coveredBy(
  reader: StoreReader,
  versions: readonly RequestRow[],
  charges: readonly Pick<Charge, "counter">[],
): Promise<ReadonlyMap<CounterId, bigint>> {
  const covered = new Map<CounterId, bigint>();
  const signed = versions.filter(({ state }) => state === "signed");
  for (const { counter } of charges) {
    let sum = 0n;
    for (const version of signed) sum += await reader.spentAt(counter, authorizationOf(version));
    covered.set(counter, sum);
  }
  return covered;
}

/** The claim is the latest version's. */
export async function handOver(
  transaction: StoreTransaction,
  claim: Claim,
  from: RequestId,
  to: RequestId,
): Promise<boolean> {
  if ((await transaction.claimedBy(claimId(claim))) !== from) return false;
  await transaction.removeClaim(claimId(claim));
  await transaction.insertClaim(claimId(claim), to);
  return true;
}
