import { createHash } from "node:crypto";
import type { Account, AssetSymbol } from "../../domain/chain.ts";
import { formatAmount } from "../../domain/amount.ts";
import { readStatementText, type Statement } from "../../domain/statement.ts";
import {
  segregationOf,
  shareText,
  type Breach,
  type Division,
  type Figure,
  type Reconciliation,
  type SegregatedClient,
  type SegregatedKey,
  type SegregatedPosition,
} from "../../custody/segregation.ts";
import { exposuresOf, type Venue } from "../../custody/exposure.ts";
import type { Register } from "../../custody/register.ts";
import type { CompiledPolicy } from "../../policy/compile.ts";
import { bookNamed } from "../../policy/match.ts";
import { RefusedError, type GatewayClient } from "../../sdk/client.ts";
import { verifyStatement } from "../../sdk/statement.ts";
import { table } from "../output.ts";
import { beforeIn, signed } from "../reconcile/report.ts";
import type { KnownClient, LogFacts, OpenedLeaf } from "./log-facts.ts";

/* The segregation report: from the log, and from what the tokens show when they are asked now. */

export type Attested = {
  readonly keys: readonly {
    readonly key: string;
    readonly publicKey: string;
    readonly proven: boolean;
    readonly attributes?: unknown;
    readonly refused?: { readonly detail: string };
  }[];
};

/** @returns by client; of one whose token is away: why */
export async function attestAll(
  gateway: GatewayClient,
  clients: readonly string[],
): Promise<ReadonlyMap<string, Statement | string>> {
  const statements = new Map<string, Statement | string>();
  for (const client of clients) {
    const asked = gateway.get<Statement>(`/v1/clients/${client}/attestation`);
    statements.set(
      client,
      await asked.catch((error: unknown) =>
        error instanceof RefusedError ? error.message : Promise.reject(error as Error),
      ),
    );
  }
  return statements;
}

export type SegregationReport = {
  readonly kind: "portcullis/segregation/v1";
  readonly gateway: string;
  /** When the last leaf that it rests on was written. */
  readonly at: string;
  readonly checkpoint: { readonly size: number; readonly root: string };
  readonly clients: readonly ReportedClient[];
  readonly breaches: readonly Breach[];
  /** Withdrawals between two owners that a rule names. */
  readonly namedCrossings: readonly { readonly leaf: number; readonly client: string; readonly other: string }[];
  readonly figures: readonly StatedFigure[];
  readonly notKnown: readonly string[];
};

type Held = { readonly asset: string; readonly amount: string };
type ReportedClient = Omit<SegregatedClient, "positions" | "legalBasis" | "reconciliations" | "omnibus"> & {
  readonly legalBasis: SegregatedClient["legalBasis"] | null;
  /** Each observer's newest. */
  readonly reconciliations: readonly {
    readonly leaf: number;
    readonly at: string;
    readonly by: string;
    readonly breaks: number;
  }[];
  /** What each sub-account holds, in units of the asset. */
  readonly omnibus: {
    readonly subAccounts: readonly (Held & { readonly subAccount: string })[];
    readonly unallocated: readonly Held[];
  } | null;
};
/** Amounts in units of the asset, shares in percent of `total`. */
type StatedFigure = {
  readonly client: string;
  readonly asset: string;
  readonly total: string;
  readonly venues: readonly { readonly venue: string; readonly amount: string; readonly max?: string }[];
} & Readonly<Record<(typeof PARTS)[number], { readonly amount: string; readonly share: string }>>;
const PARTS = ["onOwnAddresses", "onOmnibus", "atVenues", "encumbered", "unreconciledForADay"] as const;

/**
 * @param attested undefined: the tokens were not asked, as when the report is made again from an export
 * @param venueTag of address books
 */
export function segregationReport(
  facts: LogFacts,
  attested: ReadonlyMap<string, Statement | string> | undefined,
  venueTag: string,
): SegregationReport {
  const clients = facts.all().map((client) => segregated(facts, client, attested?.get(client.client), venueTag));
  const { breaches, figures } = segregationOf(clients, facts.crossings, facts.at);
  const { size, root } = facts.checkpoint;
  return {
    kind: "portcullis/segregation/v1",
    gateway: facts.header.origin,
    at: new Date(facts.at).toISOString(),
    checkpoint: { size, root },
    clients: clients.map((client) => reported(client, facts.decimalsOf(client.client))),
    breaches,
    namedCrossings: facts.crossings
      .filter(({ named }) => named)
      .map(({ leaf, client, other }) => ({ leaf, client, other })),
    figures: figures.map((figure) => statedFigure(figure, venuesIn(clients, figure))),
    notKnown: notKnown(facts, clients, attested),
  };
}

function segregated(
  facts: LogFacts,
  { client, token, keys, register, leaves }: KnownClient,
  attested: Statement | string | undefined,
  venueTag: string,
): SegregatedClient {
  const policy = facts.policyOf(client);
  const shown = typeof attested === "object" ? (readStatementText(attested.text)!.content as Attested).keys : [];
  const now = new Map(shown.map((key) => [key.key, key]));
  return {
    client,
    owner: policy?.owner ?? "client",
    token,
    legalBasis: policy?.legalBasis,
    keys: [...keys.values()].map(({ key, state, purpose, publicKey, accounts, createdIn, attributes }) => ({
      ...{ key, state, purpose, publicKey, accounts, createdIn, attributes },
      ...provenNow(now.get(key), publicKey, typeof attested === "object"),
    })),
    positions: positionsOf(register, policy, facts.decimalsOf(client), venueTag),
    omnibus: divisionOf(register, policy),
    reconciliations: reconciliationsIn(leaves, client),
  };
}

/** The key of the log and the key in the token are one only if the public keys are. */
function provenNow(
  shown: Attested["keys"][number] | undefined,
  publicKey: string,
  asked: boolean,
): Pick<SegregatedKey, "proven" | "refused"> & { attributes?: unknown } {
  if (!asked) return {};
  if (!shown) return { proven: false, refused: "its token does not show it" };
  const { proven, refused, attributes } = shown;
  const isSame = shown.publicKey === `0x${publicKey}`;
  return {
    ...(attributes === undefined ? {} : { attributes }),
    proven: proven && isSame,
    ...(isSame ? {} : { refused: "the token has another key of this name" }),
    ...(refused ? { refused: refused.detail } : {}),
  };
}

/** Of a client whose policy says so, or ever did: what was booked to sub-accounts stays theirs. */
function divisionOf(register: Register, policy: CompiledPolicy | undefined): Division | undefined {
  if (!policy?.subAccounts && register.subAccounts.size === 0) return undefined;
  const subAccounts = [...register.subAccounts].flatMap(([subAccount, part]) =>
    part.positions().map(({ asset, closing }) => ({ subAccount, asset, closing })),
  );
  const unallocated = register.positions().map(({ asset }) => ({ asset, closing: register.unallocated(asset) }));
  return { subAccounts, unallocated: unallocated.filter(({ closing }) => closing !== 0n) };
}

/** As their leaves have it, so that whoever has the log can find the same. */
function reconciliationsIn(leaves: readonly OpenedLeaf[], client: string): Reconciliation[] {
  const newest = new Map<string, OpenedLeaf>();
  for (const leaf of leaves)
    if (leaf.type === "reported" && leaf["kind"] === "reconciliation") newest.set(leaf["by"] as string, leaf);
  return [...newest].map(([by, leaf]) => {
    const { breaks, outside, chains } = beforeIn([leaf], client, by);
    const summary = leaf["summary"] as Readonly<Record<string, unknown>>;
    const said = Number(summary["breaks"] ?? 0) + Number(summary["signed outside"] ?? 0);
    // Found, and not named: a chain that was rewritten, or more than a leaf has room for.
    const complete = said === breaks.length + outside.size && (leaf["outcome"] === "ok" || said > 0);
    const read = { chains: [...chains.keys()], breaks, signedOutside: [...outside.keys()], complete };
    return { leaf: leaf.index, at: leaf.at, by, ...read };
  });
}

function positionsOf(
  register: Register,
  policy: CompiledPolicy | undefined,
  decimals: (asset: AssetSymbol) => number,
  venueTag: string,
): SegregatedPosition[] {
  return register.positions().map(({ asset, closing, encumbered }) => {
    const chain = policy?.registry.bySymbol.get(asset)?.chain;
    return {
      asset,
      ...(chain === undefined ? {} : { chain }),
      decimals: decimals(asset),
      closing,
      encumbered,
      venues: policy ? exposuresOf(register, asset, venuesOf(policy, asset, venueTag)) : [],
    };
  });
}

/** Where a limit counts what is outstanding, and what the address book tags as a venue besides. */
function venuesOf({ limits, addresses }: CompiledPolicy, asset: AssetSymbol, venueTag: string): Venue[] {
  const limited = limits
    .filter(({ window, asset: of }) => window.kind === "outstanding" && of?.symbol === asset)
    .map(({ name, max, to }) => ({
      venue: name,
      max,
      isAt: (account: Account) => to !== undefined && bookNamed(to, { known: addresses.get(account), to: account }),
    }));
  const tagged = new Set(
    [...addresses.values()].flatMap(({ names, tags }) => (tags.includes(venueTag) ? names.slice(0, 1) : [])),
  );
  const named = [...tagged].map((venue) => ({
    venue,
    isAt: (account: Account) => {
      const known = addresses.get(account);
      return known?.names[0] === venue && known.tags.includes(venueTag);
    },
  }));
  return [...limited, ...named];
}

const venuesIn = (clients: readonly SegregatedClient[], of: Pick<Figure, "client" | "asset">) =>
  clients.find(({ client }) => client === of.client)!.positions.find(({ asset }) => asset === of.asset)!.venues;

function reported(
  { positions: _, legalBasis, reconciliations, omnibus, ...client }: SegregatedClient,
  decimals: (asset: AssetSymbol) => number,
): ReportedClient {
  const held = ({ asset, closing }: { readonly asset: string; readonly closing: bigint }): Held => ({
    asset,
    amount: signed(closing, decimals(asset as AssetSymbol)),
  });
  return {
    ...client,
    legalBasis: legalBasis ?? null,
    omnibus: omnibus
      ? {
          subAccounts: omnibus.subAccounts.map((each) => ({ subAccount: each.subAccount, ...held(each) })),
          unallocated: omnibus.unallocated.map(held),
        }
      : null,
    reconciliations: reconciliations.map(({ leaf, at, by, breaks }) => ({
      ...{ leaf, by, at: new Date(at).toISOString() },
      breaks: breaks.length,
    })),
  };
}

function statedFigure(figure: Figure, venues: SegregatedPosition["venues"]): StatedFigure {
  const { client, asset, decimals, total } = figure;
  const text = (amount: bigint) => formatAmount(amount, decimals);
  const parts = PARTS.map((part) => [part, { amount: text(figure[part]), share: shareText(figure[part], total) }]);
  const each = venues.map(({ venue, amount, max }) => ({
    ...{ venue, amount: text(amount) },
    ...(max === undefined ? {} : { max: text(max) }),
  }));
  return { client, asset, total: text(total), ...Object.fromEntries(parts), venues: each } as StatedFigure;
}

function notKnown(
  facts: LogFacts,
  clients: readonly SegregatedClient[],
  attested: ReadonlyMap<string, Statement | string> | undefined,
): string[] {
  const away = [...(attested ?? [])].flatMap(([client, shown]) =>
    typeof shown === "string" ? [`what the token of \`${client}\` shows now: ${shown}`] : [],
  );
  const unnamed = clients.flatMap(({ client, positions }) =>
    positions
      .filter(({ asset }) => !facts.registryOf(client)?.bySymbol.has(asset as AssetSymbol))
      .map(({ asset }) => `what \`${asset}\` of \`${client}\` is: its registry does not name it any more`),
  );
  return [
    ...(attested ? [] : ["what the tokens show now: they were not asked"]),
    ...away,
    ...unnamed,
    "what venues hold: `atVenues` is what was sent there less what an observer has seen come back from there",
    "figures are of each asset by itself: nothing here has a price",
  ];
}

export const reportHash = (text: string): string => createHash("sha256").update(text).digest("hex");

export const segregationText = (report: SegregationReport): string => {
  const { gateway, at, checkpoint, clients, breaches, figures } = report;
  return [
    `${gateway}, ${at}, log of ${checkpoint.size} leaves`,
    ...clients.map(clientText),
    ...(figures.length === 0 ? [] : [figuresText(figures)]),
    ...figures.flatMap(venueText),
    ...report.namedCrossings.map(({ leaf, client, other }) => `named by a rule: leaf ${leaf}, ${client} to ${other}`),
    ...report.notKnown.map((what) => `not known: ${what}`),
    ...breaches.map(
      ({ code, client, detail, leaf }) =>
        `BREACH ${code}: ${client}: ${detail}${leaf === undefined ? "" : ` (leaf ${leaf})`}`,
    ),
    breaches.length === 0 ? "no breach" : `${breaches.length} breaches`,
  ].join("\n");
};

const clientText = ({ client, owner, token, legalBasis, keys, omnibus, reconciliations }: ReportedClient): string =>
  [
    `${client}${omnibus ? ", OMNIBUS" : ""} (${owner === "house" ? "the custodian's own" : legalBasis ? `${legalBasis.kind}: ${legalBasis.reference}` : "NO LEGAL BASIS"}), token ${token.label} ${token.serial}, reconciled ${reconciliations.map(({ at, by }) => `${at} by ${by}`).join(", ") || "never"}`,
    ...(omnibus?.subAccounts ?? []).map(({ subAccount, asset, amount }) => `  ${subAccount}: ${amount} ${asset}`),
    ...(omnibus?.unallocated ?? []).map(({ asset, amount }) => `  unallocated: ${amount} ${asset}`),
    ...keys.flatMap(({ key, state, purpose, proven, accounts }) => [
      `  ${key}: ${state}, ${purpose}, ${proven === undefined ? "not asked now" : proven ? "proven now" : "REFUSED"}`,
      ...accounts.map((account) => `    ${account}`),
    ]),
  ].join("\n");

const venueText = ({ client, asset, venues }: StatedFigure): string[] =>
  venues.map(
    ({ venue, amount, max }) =>
      `${client} at ${venue}: ${amount} ${asset}${max === undefined ? "" : `, at most ${max}`}`,
  );

const figuresText = (figures: readonly StatedFigure[]): string => {
  const cell = ({ amount, share }: { amount: string; share: string }) =>
    share === "-" ? amount : `${amount} (${share} %)`;
  const rows = figures.map((figure) => [
    figure.client,
    figure.asset,
    figure.total,
    ...PARTS.map((part) => cell(figure[part])),
  ]);
  const head = ["client", "asset", "total", "own addresses", "omnibus", "venues", "encumbered", "unreconciled > 1 day"];
  return table([head, ...rows]);
};

/** Statements of tokens are the gateway's word: verified before they are believed. */
export function requireSigned(statements: ReadonlyMap<string, Statement | string>, statementKey: string): void {
  for (const statement of statements.values())
    if (typeof statement === "object") verifyStatement(statement, statementKey);
}
