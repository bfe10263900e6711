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
  readonly decimals: number;
  /** In the smallest unit, as all amounts here. */
  readonly closing: bigint;
  readonly encumbered: bigint;
  /** Sent to addresses with the venues' tag, less what was returned from them. */
  readonly atVenues: bigint;
};

export type SegregatedClient = {
  readonly client: string;
  readonly owner: "client" | "house";
  readonly token: { readonly label: string; readonly serial: string };
  readonly legalBasis: { readonly kind: string; readonly reference: string } | undefined;
  readonly keys: readonly SegregatedKey[];
  readonly positions: readonly SegregatedPosition[];
  /** The newest reconciliation that was recorded without breaks. */
  readonly reconciled: { readonly leaf: number; readonly at: number } | undefined;
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
  /** All of it where no reconciliation without breaks was recorded within a day before the report. */
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

function figureOf({ client, reconciled }: SegregatedClient, position: SegregatedPosition, at: number): Figure {
  const { asset, decimals, closing, encumbered } = position;
  const onOwnAddresses = notBelowZero(closing);
  const atVenues = notBelowZero(position.atVenues);
  const isFresh = reconciled !== undefined && reconciled.at > at - DAY_MS;
  return {
    client,
    asset,
    decimals,
    total: onOwnAddresses + atVenues,
    onOwnAddresses,
    // Every account is one client's: there are none here that several share.
    onOmnibus: 0n,
    atVenues,
    encumbered,
    unreconciledForADay: isFresh ? 0n : onOwnAddresses,
  };
}

const notBelowZero = (amount: bigint): bigint => (amount > 0n ? amount : 0n);

/** A part of a whole in percent with two digits, as text; `-` of nothing. */
export function shareText(part: bigint, whole: bigint): string {
  if (whole === 0n) return "-";
  const hundredths = (part * 10_000n) / whole;
  return `${hundredths / 100n}.${String(hundredths % 100n).padStart(2, "0")}`;
}
