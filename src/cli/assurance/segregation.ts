import { createHash } from "node:crypto";
import type { Account, AssetSymbol } from "../../domain/chain.ts";
import { formatAmount } from "../../domain/amount.ts";
import { readStatementText, type Statement } from "../../domain/statement.ts";
import {
  segregationOf,
  shareText,
  type Breach,
  type Figure,
  type SegregatedClient,
  type SegregatedKey,
  type SegregatedPosition,
} from "../../custody/segregation.ts";
import type { Register } from "../../custody/register.ts";
import type { CompiledPolicy } from "../../policy/compile.ts";
import { RefusedError, type GatewayClient } from "../../sdk/client.ts";
import { verifyStatement } from "../../sdk/statement.ts";
import { table } from "../output.ts";
import type { KnownClient, LogFacts } from "./log-facts.ts";

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

type ReportedClient = Omit<SegregatedClient, "positions" | "legalBasis" | "reconciled"> & {
  readonly legalBasis: SegregatedClient["legalBasis"] | null;
  readonly reconciled: { readonly leaf: number; readonly at: string } | null;
};
/** Amounts in units of the asset, shares in percent of `total`. */
type StatedFigure = { readonly client: string; readonly asset: string; readonly total: string } & Readonly<
  Record<(typeof PARTS)[number], { readonly amount: string; readonly share: string }>
>;
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
    clients: clients.map(({ positions: _, legalBasis, reconciled, ...client }) => ({
      ...client,
      legalBasis: legalBasis ?? null,
      reconciled: reconciled ? { leaf: reconciled.leaf, at: new Date(reconciled.at).toISOString() } : null,
    })),
    breaches,
    namedCrossings: facts.crossings
      .filter(({ named }) => named)
      .map(({ leaf, client, other }) => ({ leaf, client, other })),
    figures: figures.map(statedFigure),
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
  const reconciled = leaves.findLast(
    ({ type, kind, outcome }) => type === "reported" && kind === "reconciliation" && outcome === "ok",
  );
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
    reconciled: reconciled && { leaf: reconciled.index, at: reconciled.at },
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

function positionsOf(
  register: Register,
  policy: CompiledPolicy | undefined,
  decimals: (asset: AssetSymbol) => number,
  venueTag: string,
): SegregatedPosition[] {
  const isVenue = (account: Account | undefined): boolean =>
    account !== undefined && (policy?.addresses.get(account)?.tags.includes(venueTag) ?? false);
  const atVenues = new Map<string, bigint>();
  for (const { kind, leaf, asset, amount, request, counterparty } of register.movements) {
    if (!isVenue(counterparty)) continue;
    const debit = request === undefined ? undefined : register.debits.get(request);
    // What was given back has no amounts any more; what was authorized again counts from then on.
    const stands = kind === "credit" || (debit?.authorizedIn === leaf && debit.amounts.has(asset));
    if (stands) atVenues.set(asset, (atVenues.get(asset) ?? 0n) + (kind === "credit" ? -amount : amount));
  }
  return register.positions().map(({ asset, closing, encumbered }) => ({
    ...{ asset, closing, encumbered },
    decimals: decimals(asset),
    atVenues: atVenues.get(asset) ?? 0n,
  }));
}

function statedFigure(figure: Figure): StatedFigure {
  const { client, asset, decimals, total } = figure;
  const parts = PARTS.map((part) => [
    part,
    { amount: formatAmount(figure[part], decimals), share: shareText(figure[part], total) },
  ]);
  return { client, asset, total: formatAmount(total, decimals), ...Object.fromEntries(parts) } as StatedFigure;
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
    "what venues hold: `atVenues` is what was sent there less what came back from the same addresses",
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
    ...report.namedCrossings.map(({ leaf, client, other }) => `named by a rule: leaf ${leaf}, ${client} to ${other}`),
    ...report.notKnown.map((what) => `not known: ${what}`),
    ...breaches.map(
      ({ code, client, detail, leaf }) =>
        `BREACH ${code}: ${client}: ${detail}${leaf === undefined ? "" : ` (leaf ${leaf})`}`,
    ),
    breaches.length === 0 ? "no breach" : `${breaches.length} breaches`,
  ].join("\n");
};

const clientText = ({ client, owner, token, legalBasis, keys, reconciled }: ReportedClient): string =>
  [
    `${client} (${owner === "house" ? "the custodian's own" : legalBasis ? `${legalBasis.kind}: ${legalBasis.reference}` : "NO LEGAL BASIS"}), token ${token.label} ${token.serial}, reconciled ${reconciled?.at ?? "never"}`,
    ...keys.flatMap(({ key, state, purpose, proven, accounts }) => [
      `  ${key}: ${state}, ${purpose}, ${proven === undefined ? "not asked now" : proven ? "proven now" : "REFUSED"}`,
      ...accounts.map((account) => `    ${account}`),
    ]),
  ].join("\n");

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
