import { APPROVAL_NAMESPACE, type PersonSignature } from "../domain/approval.ts";
import { formatAmount } from "../domain/amount.ts";
import type { Lien } from "../custody/register.ts";
import type { Holdings } from "../custody/liens.ts";
import type { Asset } from "../domain/assets.ts";
import type { AssetSymbol } from "../domain/chain.ts";
import { lienReleaseText, lienText, type LienBody, type LienReleaseBody, type LienView } from "../domain/custody.ts";
import { GatewayError } from "../domain/errors.ts";
import { HOUSE, type CallerName, type ClientId, type SubAccountName } from "../domain/names.ts";
import { verifyPerson } from "./auth/person-signature.ts";
import { StaleDirectory, type ClientEntry } from "./directory.ts";
import { frozenCallers } from "./frozen.ts";
import type { Gateway } from "./gateway.ts";
import { appendLeaf } from "./log.ts";
import { requireQuorum } from "./officers.ts";
import type { LeafRef, StoreTransaction } from "./ports.ts";

/* How a client's assets are pledged, by its officers and the secured party together, and released, by that party alone. */

export type Pledged = { readonly lien: Lien; readonly leaf: LeafRef };

const LIEN = {
  code: "officer-signatures",
  what: "this lien",
  hint: "sign exactly the text in `text`: `portcullis lien create --sign` does",
};

/**
 * @throws {GatewayError} `lien-exists`, `not-enough-free`, `asset-not-found`, `caller-not-found`, `officer-signatures`,
 * `person-signature-invalid`, `wrong-namespace`
 */
export async function placeLien(
  { store, directory, name: origin }: Gateway,
  id: ClientId,
  body: LienBody,
  by: CallerName,
): Promise<Pledged> {
  const [client, house] = [directory.get(id), directory.house];
  // The register is read along the log before the transaction, which goes on from there.
  await store.read((reader) => reader.holdings(id, "always"));
  return store.write(async (transaction) => {
    await requireActive(transaction, client, house.policy.hash);
    const { asset, keys } = pledgeable(client, body);
    const { lien, amount, securedParty, subAccount, signatures, agreement } = body;
    requireWhose(client, subAccount);
    const text = lienText({
      origin,
      client: id,
      subAccount,
      lien,
      asset: asset.symbol,
      amount,
      securedParty,
      policy: client.policy!.hash,
    });
    requireQuorum(house.policy, signatures, text, LIEN, frozenCallers((await transaction.client(HOUSE))!));
    requireAgreement(keys, text, agreement);
    requireFree((await transaction.holdings(id, "always"))!, asset, body);
    const { chain, contract } = asset;
    const whose = subAccount === undefined ? {} : { subAccount };
    const said = { lien, asset: asset.symbol, chain, contract, amount, securedParty, ...whose, keys };
    const { index, number, hash } = await appendLeaf(transaction, client.row, "lien-placed", {
      ...said,
      policy: client.policy!.hash,
      signatures,
      agreement,
      by,
    });
    const placed = { ...said, amount: amount === "all" ? amount : BigInt(amount), placedIn: index };
    return { lien: placed as Lien, leaf: { index, number, hash } };
  });
}

/** Of an omnibus client an owner pledges what is its own. */
function requireWhose({ policy }: ClientEntry, subAccount: SubAccountName | undefined): void {
  if (subAccount === undefined && policy?.subAccounts)
    throw new GatewayError("sub-account-missing", "expected `subAccount`, whose asset is pledged, found none");
  if (subAccount !== undefined && !policy?.subAccounts?.has(subAccount))
    throw new GatewayError("sub-account-not-found", `expected a sub-account of the policy, found \`${subAccount}\``);
}

/** Whose signatures count, and what the symbol means, is what is active in this very transaction. */
async function requireActive(transaction: StoreTransaction, client: ClientEntry, houseHash: string): Promise<void> {
  if ((await transaction.policyHash(HOUSE)) !== houseHash) throw new StaleDirectory(HOUSE);
  if ((await transaction.policyHash(client.row.id)) !== client.policy?.hash) throw new StaleDirectory(client.row.id);
}

function pledgeable({ row, policy }: ClientEntry, body: LienBody): { asset: Asset; keys: readonly string[] } {
  const asset = policy?.registry.bySymbol.get(body.asset as AssetSymbol);
  if (!asset)
    throw new GatewayError("asset-not-found", `expected an asset of the client's registry, found \`${body.asset}\``);
  const party = policy?.callers.get(body.securedParty);
  if (party?.role !== "secured-party") {
    throw new GatewayError(
      "caller-not-found",
      `expected a secured party that the policy of \`${row.id}\` declares, found \`${body.securedParty}\``,
    );
  }
  return { asset, keys: party.keys };
}

/** @throws {GatewayError} `person-signature-invalid`, `wrong-namespace`; the facts say what had to be signed */
function requireAgreement(keys: readonly string[], text: string, signature: PersonSignature): void {
  try {
    verifyPerson(keys, { text, signature, namespace: APPROVAL_NAMESPACE });
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    throw new GatewayError(error.code, error.message, { facts: { text }, hint: error.hint ?? LIEN.hint });
  }
}

/** What is pledged once is not pledged again: a lien begins on what nobody else has. */
function requireFree(holdings: Holdings, asset: Asset, { lien, amount, subAccount }: LienBody): void {
  if (holdings.wasPledged(lien))
    throw new GatewayError("lien-exists", `expected a name that no lien of this client has had, found \`${lien}\``);
  if (amount === "all") {
    if (!holdings.isPledged(asset.symbol, subAccount)) return;
    throw new GatewayError("not-enough-free", `expected \`${asset.symbol}\` without a lien, found one that stands`);
  }
  const available = holdings.availableFor(subAccount, { asset: asset.symbol, ...onlyPlace(asset) });
  const found = available === "none" || available < 0n ? 0n : available;
  if (BigInt(amount) > 0n && BigInt(amount) <= found) return;
  throw new GatewayError(
    "not-enough-free",
    `expected an amount up to the ${formatAmount(found, asset.decimals)} ${asset.symbol} that are free`,
    { hint: "what no observer has read on the chain counts as nothing: `portcullis reconcile` reads it" },
  );
}

const onlyPlace = ({ chain, contract }: Asset) => ({ chain, ...(contract === undefined ? {} : { contract }) });

/**
 * By the keys that the secured party had when it agreed, whatever the policy says today.
 * @returns what stays of it
 * @throws {GatewayError} `lien-not-found`, `not-less`, `person-signature-invalid`, `wrong-namespace`
 */
export async function releaseLien(
  { store, directory, name: origin }: Gateway,
  id: ClientId,
  name: string,
  { remaining, signature }: LienReleaseBody,
  by: CallerName,
): Promise<{ readonly lien: Lien | null; readonly leaf: LeafRef }> {
  const client = directory.get(id);
  return store.write(async (transaction) => {
    const lien = (await transaction.holdings(id))?.lien(name);
    if (!lien)
      throw new GatewayError("lien-not-found", `expected a lien of \`${id}\` that stands, found no \`${name}\``);
    const text = lienReleaseText({ origin, client: id, lien: name, placedIn: lien.placedIn, remaining });
    requireAgreement(lien.keys, text, signature);
    if (remaining !== "none" && lien.amount !== "all" && BigInt(remaining) >= lien.amount)
      throw new GatewayError(
        "not-less",
        `expected less than the ${lien.amount} that are encumbered, found ${remaining}`,
      );
    const said = { lien: name, remaining, signature, by };
    const { index, number, hash } = await appendLeaf(transaction, client.row, "lien-released", said);
    const left = remaining === "none" ? null : { ...lien, amount: BigInt(remaining) };
    return { lien: left, leaf: { index, number, hash } };
  });
}

/** Those that stand, in the order in which they were placed; also what another vault has placed a moment ago. */
export const liensOf = async ({ store, registers }: Gateway, client: ClientId): Promise<Lien[]> => {
  const register = await store.read((reader) => registers.of(reader, client));
  return [...register.liens.values()];
};

export const lienView = (
  { lien, asset, amount, securedParty, subAccount, placedIn }: Lien,
  decimals: (asset: AssetSymbol) => number,
): LienView => ({
  ...(subAccount === undefined ? {} : { subAccount }),
  lien,
  asset,
  amount: amount === "all" ? amount : formatAmount(amount, decimals(asset)),
  securedParty,
  leaf: placedIn,
});
