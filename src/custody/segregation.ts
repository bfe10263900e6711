import type { Exposure } from "./exposure.ts";
import type { Break } from "./reconcile.ts";

/*
 * Is each client's property apart from the house's and from every other client's (I13)? A report over what the log says
 * and what the tokens show now: breaches by name, and figures that a risk model can take. What is not known is said.
 */

export type SegregatedKey = {
  readonly key: string;
  readonly state: string;
  readonly purpose: string;
  readonly publicKey: string;
  readonly accounts: readonly string[];
  readonly createdIn: number;
  /** What the token showed at creation, or shows now. */
  readonly attributes: unknown;
  /** Asked now: whether the key has signed a fresh challenge under the public key of its creation; undefined: not asked. */
  readonly proven?: boolean;
  readonly refused?: string;
};

export type SegregatedPosition = {
  readonly asset: string;
  /** Absent where no registry names the asset any more. */
  readonly chain?: string;
  readonly decimals: number;
  /** In the smallest unit, as all amounts here. */
  readonly closing: bigint;
  readonly encumbered: bigint;
  /** Sent there less what was returned, and what may be there where a limit says so. */
  readonly venues: readonly Exposure[];
};

/** An observer's newest recorded reconciliation. */
export type Reconciliation = {
  readonly leaf: number;
  /** ms since 1970. */
  readonly at: number;
  readonly by: string;
  /** That it has read. */
  readonly chains: readonly string[];
  readonly breaks: readonly Pick<Break, "asset" | "cause" | "difference" | "since">[];
  readonly signedOutside: readonly string[];
  /** Whether its leaf names all that it found. */
  readonly complete: boolean;
};

/** Of an omnibus client: how its positions are divided. */
export type Division = {
  readonly subAccounts: readonly { readonly subAccount: string; readonly asset: string; readonly closing: bigint }[];
  readonly unallocated: readonly { readonly asset: string; readonly closing: bigint }[];
};

export type SegregatedClient = {
  readonly client: string;
  readonly owner: "client" | "house";
  readonly token: { readonly label: string; readonly serial: string };
  readonly legalBasis: { readonly kind: string; readonly reference: string } | undefined;
  readonly keys: readonly SegregatedKey[];
  readonly positions: readonly SegregatedPosition[];
  /** Undefined: all of it is the client's own. */
  readonly omnibus: Division | undefined;
  readonly reconciliations: readonly Reconciliation[];
};

/** A withdrawal between two owners. */
export type Crossed = {
  readonly leaf: number;
  readonly client: string;
  readonly request: string;
  readonly other: string;
  readonly account: string;
  readonly side: "from" | "to";
  readonly named: boolean;
};

export const BREACHES = [
  "token-shared",
  "public-key-shared",
  "account-shared",
  "key-refused",
  "owner-crossed",
  "legal-basis-missing",
  "position-below-zero",
  "sub-account-below-zero",
  "omnibus-short",
  "venue-over-limit",
  "break-open",
  "signed-outside",
] as const;
export type Breach = {
  readonly code: (typeof BREACHES)[number];
  readonly client: string;
  readonly detail: string;
  readonly leaf?: number;
};

export type Figure = {
  readonly client: string;
  readonly asset: string;
  readonly decimals: number;
  /** What the client is owed: on its addresses and at venues; not below zero. */
  readonly total: bigint;
  readonly onOwnAddresses: bigint;
  readonly onOmnibus: bigint;
  readonly atVenues: bigint;
  readonly encumbered: bigint;
  /** Of what is on addresses: all of it where nobody has reconciled its chain within a day, else what has differed for longer. */
  readonly unreconciledForADay: bigint;
};

const DAY_MS = 86_400_000;

/** @param at ms since 1970: of the report */
export function segregationOf(
  clients: readonly SegregatedClient[],
  crossed: readonly Crossed[],
  at: number,
): { readonly breaches: readonly Breach[]; readonly figures: readonly Figure[] } {
  return {
    breaches: [
      ...shared(clients, "token-shared", "token", ({ token }) => [token.serial]),
      ...shared(clients, "public-key-shared", "public key", ({ keys }) => keys.map(({ publicKey }) => publicKey)),
      ...shared(clients, "account-shared", "account", ({ keys }) => [
        ...new Set(keys.flatMap(({ accounts }) => accounts)),
      ]),
      ...clients.flatMap(breachesOf),
      ...clients.flatMap(omnibusBreaches),
      ...clients.flatMap(venueBreaches),
      ...clients.flatMap((client) => reconciliationBreaches(client, at)),
      ...crossed.filter(({ named }) => !named).map(crossing),
    ],
    figures: clients.flatMap((client) => client.positions.map((position) => figureOf(client, position, at))),
  };
}

/** What belongs to one client for ever, found with two. */
function shared(
  clients: readonly SegregatedClient[],
  code: Breach["code"],
  what: string,
  of: (client: SegregatedClient) => readonly string[],
): Breach[] {
  const owners = new Map<string, string>();
  return clients.flatMap((client) =>
    of(client).flatMap((name) => {
      const first = owners.get(name);
      if (first === undefined) owners.set(name, client.client);
      if (first === undefined || first === client.client) return [];
      return [{ code, client: client.client, detail: `its ${what} ${name} is one of \`${first}\` as well` }];
    }),
  );
}

function breachesOf({ client, owner, legalBasis, keys, positions }: SegregatedClient): Breach[] {
  const refused = keys
    .filter(({ proven }) => proven === false)
    .map(({ key, refused: why, createdIn: leaf }) => ({
      code: "key-refused" as const,
      client,
      detail: `key \`${key}\` does not show what it must: ${why ?? "it is another key than the log has"}`,
      leaf,
    }));
  const below = positions
    .filter(({ closing }) => closing < 0n)
    .map(({ asset, closing }) => ({
      code: "position-below-zero" as const,
      client,
      detail: `its position in ${asset} is ${closing} of the smallest unit: more went out than anybody saw come in`,
    }));
  // The house holds its own for itself: there is nothing to agree on.
  if (owner === "house" || legalBasis !== undefined) return [...refused, ...below];
  const detail = "its policy declares no `legalBasis`";
  return [...refused, ...below, { code: "legal-basis-missing", client, detail }];
}

const crossing = ({ leaf, client, other, account, side, request }: Crossed): Breach => ({
  code: "owner-crossed",
  client,
  leaf,
  detail:
    side === "from"
      ? `request ${request} spends from ${account}, an account of \`${other}\``
      : `request ${request} pays ${account}, an account of \`${other}\`, and no rule names it`,
});

/** What sub-accounts are owed together, or one of them took, is more than there is. */
function omnibusBreaches({ client, omnibus }: SegregatedClient): Breach[] {
  const below = (omnibus?.subAccounts ?? [])
    .filter(({ closing }) => closing < 0n)
    .map(({ subAccount, asset, closing }) => ({
      code: "sub-account-below-zero" as const,
      client,
      detail: `sub-account \`${subAccount}\` has ${closing} of the smallest unit of ${asset}: it took what is another's`,
    }));
  const short = (omnibus?.unallocated ?? [])
    .filter(({ closing }) => closing < 0n)
    .map(({ asset, closing }) => ({
      code: "omnibus-short" as const,
      client,
      detail: `sub-accounts are owed ${-closing} of the smallest unit of ${asset} more than there is`,
    }));
  return [...below, ...short];
}

const venueBreaches = ({ client, positions }: SegregatedClient): Breach[] =>
  positions.flatMap(({ asset, venues }) =>
    venues
      .filter(({ amount, max }) => max !== undefined && amount > max)
      .map(({ venue, amount, max }) => ({
        code: "venue-over-limit" as const,
        client,
        detail: `${amount} of the smallest unit of ${asset} are at \`${venue}\`, where at most ${max} may be`,
      })),
  );

/** As the newest word of each observer has it, however old that is. */
function reconciliationBreaches({ client, reconciliations }: SegregatedClient, at: number): Breach[] {
  const found = reconciliations.flatMap(({ leaf, breaks, signedOutside }): Breach[] => [
    ...breaks
      .filter(({ since }) => isOld(since, at))
      .map(({ asset, cause, difference, since }) => ({
        code: "break-open" as const,
        client,
        leaf,
        detail: `${asset} ${cause} ${difference} of the smallest unit, since ${new Date(since).toISOString()}`,
      })),
    ...signedOutside.map((what) => ({ code: "signed-outside" as const, client, leaf, detail: what })),
  ]);
  // Two observers who see the same have found one thing.
  return [...new Map(found.map((breach) => [`${breach.code} ${breach.detail}`, breach])).values()];
}

const isOld = (since: number, at: number): boolean => since <= at - DAY_MS;

function figureOf(
  { client, omnibus, reconciliations }: SegregatedClient,
  position: SegregatedPosition,
  at: number,
): Figure {
  const { asset, decimals, closing, encumbered, venues } = position;
  const onAddresses = notBelowZero(closing);
  const atVenues = venues.reduce((sum, { amount }) => sum + amount, 0n);
  return {
    client,
    asset,
    decimals,
    total: onAddresses + atVenues,
    onOwnAddresses: omnibus ? 0n : onAddresses,
    onOmnibus: omnibus ? onAddresses : 0n,
    atVenues,
    encumbered,
    unreconciledForADay: unreconciled(onAddresses, position, reconciliations, at),
  };
}

/** Of several observers of the last day the one counts that has found most; a break without an amount is one of all. */
function unreconciled(
  amount: bigint,
  { asset, chain }: SegregatedPosition,
  reconciliations: readonly Reconciliation[],
  at: number,
): bigint {
  const fresh = reconciliations.filter((each) => !isOld(each.at, at) && each.chains.some((read) => read === chain));
  if (fresh.length === 0 || fresh.some(({ complete }) => !complete)) return amount;
  const differing = fresh
    .flatMap(({ breaks }) => breaks)
    .filter((found) => found.asset === asset && isOld(found.since, at))
    .map(({ difference }) => (difference === 0n ? amount : difference < 0n ? -difference : difference));
  const most = differing.reduce((one, other) => (one > other ? one : other), 0n);
  return most < amount ? most : amount;
}

const notBelowZero = (amount: bigint): bigint => (amount > 0n ? amount : 0n);

/** A part of a whole in percent with two digits, as text; `-` of nothing. */
export function shareText(part: bigint, whole: bigint): string {
  if (whole === 0n) return "-";
  const hundredths = (part * 10_000n) / whole;
  return `${hundredths / 100n}.${String(hundredths % 100n).padStart(2, "0")}`;
}
