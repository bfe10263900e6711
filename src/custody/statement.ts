import { formatAmount, parseAmount } from "../domain/amount.ts";
import type { AssetSymbol } from "../domain/chain.ts";
import type { SubAccountName } from "../domain/names.ts";
import { Register, type Movement, type Opening } from "./register.ts";

/*
 * A client's statement over a period (compare MiCA Art. 75(5)): opening position, every movement with the instruction and
 * the leaf behind it, closing position, liens. Amounts are decimal texts in units of the asset; times ISO 8601.
 */

export type Statement = {
  readonly client: string;
  /** Of an omnibus client: of this one alone. */
  readonly subAccount?: SubAccountName;
  /** The period: from ≤ at < to. */
  readonly from: string;
  readonly to: string;
  readonly positions: readonly StatedPosition[];
  readonly movements: readonly StatedMovement[];
  readonly liens: readonly {
    readonly lien: string;
    readonly asset: string;
    readonly amount: string;
    readonly securedParty: string;
    readonly leaf: number;
  }[];
  /** The client's last leaf before the end: with a later statement, or the log, a withheld one shows. */
  readonly last: { readonly number: number; readonly index: number } | null;
};

export type StatedPosition = {
  readonly asset: string;
  readonly opening: string;
  readonly credits: string;
  readonly debits: string;
  readonly closing: string;
  readonly encumbered: string;
  readonly free: string;
};

export type StatedMovement = {
  readonly at: string;
  readonly leaf: number;
  readonly kind: Movement["kind"];
  readonly asset: string;
  /** `-` where it takes away. */
  readonly amount: string;
  readonly why: string;
  readonly request?: string;
  readonly transaction?: string;
  readonly counterparty?: string;
  /** Of a debit's transaction, as last observed before the end. */
  readonly state?: string;
};

/**
 * @param openings of the client, in the order of the log; those from `to` on are left out
 * @param decimals of each asset by its symbol
 */
export function statementOf(
  client: string,
  openings: Iterable<Opening & { readonly number?: unknown }>,
  period: { readonly from: number; readonly to: number },
  decimals: (asset: AssetSymbol) => number,
  subAccount?: SubAccountName,
): Statement {
  const whole = new Register();
  const register = subAccount === undefined ? whole : whole.subAccount(subAccount);
  let opened: ReadonlyMap<AssetSymbol, bigint> | undefined;
  let last: Statement["last"] = null;
  for (const opening of openings) {
    if (opening.at >= period.to) break;
    if (opening.at >= period.from) opened ??= closings(register);
    whole.apply(opening);
    last = { number: Number(opening.number), index: opening.index };
  }
  const before = opened ?? closings(register);
  const text = (asset: AssetSymbol, amount: bigint) => signedAmount(amount, decimals(asset));
  const within = register.movements.filter(({ at }) => at >= period.from);
  return {
    client,
    ...(subAccount === undefined ? {} : { subAccount }),
    from: new Date(period.from).toISOString(),
    to: new Date(period.to).toISOString(),
    positions: register.positions().map(({ asset, closing, encumbered, free }) => {
      const [opening, added] = [before.get(asset) ?? 0n, sum(within, asset, "credit")];
      return {
        asset,
        opening: text(asset, opening),
        credits: text(asset, added),
        // So that opening + credits − debits = closing, whatever was corrected within the period.
        debits: text(asset, opening + added - closing),
        closing: text(asset, closing),
        encumbered: text(asset, encumbered),
        free: text(asset, free),
      };
    }),
    movements: within.map((movement) => stated(movement, register, text)),
    liens: [...register.liens.values()].map(({ lien, asset, amount, securedParty, placedIn }) => ({
      lien,
      asset,
      amount: amount === "all" ? "all" : text(asset, amount),
      securedParty,
      leaf: placedIn,
    })),
    last,
  };
}

const closings = (register: Register): ReadonlyMap<AssetSymbol, bigint> =>
  new Map(register.positions().map(({ asset, closing }) => [asset, closing]));

const sum = (movements: readonly Movement[], asset: AssetSymbol, kind: Movement["kind"]): bigint =>
  movements.reduce((total, each) => (each.asset === asset && each.kind === kind ? total + each.amount : total), 0n);

function stated(
  { leaf, at, kind, asset, amount, why, request, transaction, counterparty }: Movement,
  register: Register,
  text: (asset: AssetSymbol, amount: bigint) => string,
): StatedMovement {
  const debit = request === undefined ? undefined : register.debits.get(request);
  const hash = transaction ?? debit?.transaction;
  return {
    at: new Date(at).toISOString(),
    leaf,
    kind,
    asset,
    amount: text(asset, kind === "debit" || kind === "fee" ? -amount : amount),
    why,
    ...(request === undefined ? {} : { request }),
    ...(hash === undefined ? {} : { transaction: hash }),
    ...(counterparty === undefined ? {} : { counterparty }),
    ...(debit ? { state: debit.state } : {}),
  };
}

const signedAmount = (amount: bigint, decimals: number): string =>
  amount < 0n ? `-${formatAmount(-amount, decimals)}` : formatAmount(amount, decimals);

/** Amounts of any asset in one unit, so that sums need no decimals of it. */
const DECIMALS = 77;
const scaled = (text: string): bigint =>
  text.startsWith("-") ? -parseAmount(text.slice(1), DECIMALS) : parseAmount(text, DECIMALS);

/** @returns where the account contradicts itself; undefined where opening, movements and closing fit together */
export function contradictionIn(statement: Statement): string | undefined {
  return misplacedIn(statement) ?? wrongSumIn(statement);
}

/** Movements of another time than the period, behind the last leaf, or of the other sign than their kind has. */
function misplacedIn({ from, to, last, movements, liens }: Statement): string | undefined {
  const [begin, end] = [Date.parse(from), Date.parse(to)];
  let before = 0;
  for (const { at, leaf, kind, amount, asset } of movements) {
    const moment = Date.parse(at);
    if (moment < begin || moment >= end) return `the movement of leaf ${leaf} is not of the period`;
    if (last === null || leaf > last.index) return `the movement of leaf ${leaf} is behind the client's last leaf`;
    if (leaf < before) return `the movement of leaf ${leaf} is not in the order of the log`;
    before = leaf;
    if (amount.startsWith("-") !== (kind === "debit" || kind === "fee"))
      return `the movement of leaf ${leaf} is a ${kind} of ${amount} ${asset}`;
  }
  const late = liens.find(({ leaf }) => last === null || leaf > last.index);
  return late && `the lien of leaf ${late.leaf} is behind the client's last leaf`;
}

function wrongSumIn({ positions, movements }: Statement): string | undefined {
  const total = (of: readonly StatedMovement[]): bigint => of.reduce((sum, { amount }) => sum + scaled(amount), 0n);
  const stray = movements.find(({ asset }) => !positions.some((position) => position.asset === asset));
  if (stray) return `it moves ${stray.asset}, of which it states no position`;
  const assets = positions.map(({ asset }) => asset);
  const twice = assets.find((asset, at) => assets.indexOf(asset) !== at);
  if (twice !== undefined) return `it states the position of ${twice} twice`;
  for (const { asset, ...position } of positions) {
    const own = movements.filter((movement) => movement.asset === asset);
    const [opening, credits, debits, closing] = (["opening", "credits", "debits", "closing"] as const).map((name) =>
      scaled(position[name]),
    ) as [bigint, bigint, bigint, bigint];
    if (opening + credits - debits !== closing)
      return `opening + credits − debits of ${asset} is not its closing position`;
    if (opening + total(own) !== closing) return `the movements of ${asset} do not lead to its closing position`;
    if (total(own.filter(({ kind }) => kind === "credit")) !== credits)
      return `the credits of ${asset} are not those of its movements`;
  }
  return undefined;
}

const COLUMNS = [
  "at",
  "leaf",
  "kind",
  "asset",
  "amount",
  "why",
  "request",
  "transaction",
  "counterparty",
  "state",
] as const;

/** RFC 4180. A text that a spreadsheet would take for a formula is quoted with an apostrophe, as OWASP advises. */
export function statementCsv({ movements }: Statement): string {
  const rows = movements.map((movement) => COLUMNS.map((column) => field(String(movement[column] ?? ""), column)));
  return [COLUMNS, ...rows].map((row) => `${row.join(",")}\r\n`).join("");
}

const NUMBERS: ReadonlySet<string> = new Set(["amount", "leaf"]);

function field(text: string, column: string): string {
  const safe = !NUMBERS.has(column) && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** One page without scripts or anything from elsewhere: to print, or to keep as a file. */
export function statementHtml(
  statement: Statement,
  signed: { readonly key: string; readonly signature: string },
): string {
  const { client, subAccount, from, to, positions, movements, liens, last } = statement;
  const whose = `${client}${subAccount === undefined ? "" : `, sub-account ${subAccount}`}`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Statement ${escaped(whose)}</title>
<style>body{font:14px/1.4 sans-serif;margin:2em}table{border-collapse:collapse;margin:1em 0;width:100%}td,th{border-bottom:1px solid #bbb;padding:.2em .6em;text-align:left}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}code{word-break:break-all}@media print{body{margin:0}}</style>
</head><body>
<h1>Statement of client ${escaped(whose)}</h1>
<p>${escaped(from)} to ${escaped(to)} (the end is not included)</p>
${table(["asset", "opening", "credits", "debits", "closing", "encumbered", "free"], positions)}
<h2>Movements</h2>
${table(["at", "kind", "asset", "amount", "why", "counterparty", "request", "transaction", "state", "leaf"], movements)}
<h2>Liens</h2>
${table(["lien", "asset", "amount", "securedParty", "leaf"], liens)}
<p>${last === null ? "No leaf of this client is in the log." : `The client's last leaf is number ${last.number}, index ${last.index} of the log.`}</p>
<p>Signed by the gateway's statement key <code>${escaped(signed.key)}</code>: <code>${escaped(signed.signature)}</code>. The signature is over the JSON statement, which <code>portcullis statement verify</code> checks without the gateway.</p>
</body></html>
`;
}

const AMOUNTS: ReadonlySet<string> = new Set([
  "opening",
  "credits",
  "debits",
  "closing",
  "encumbered",
  "free",
  "amount",
]);

function table(columns: readonly string[], rows: readonly object[]): string {
  if (rows.length === 0) return "<p>None.</p>";
  const cell = (tag: string, column: string, text: string) =>
    `<${tag}${AMOUNTS.has(column) ? ' class="n"' : ""}>${escaped(text)}</${tag}>`;
  const head = columns.map((column) => cell("th", column, column)).join("");
  const body = rows.map((row) => {
    const values = row as Readonly<Record<string, string | number>>;
    return `<tr>${columns.map((column) => cell("td", column, String(values[column] ?? ""))).join("")}</tr>`;
  });
  return `<table><thead><tr>${head}</tr></thead><tbody>\n${body.join("\n")}\n</tbody></table>`;
}

const escaped = (text: string): string => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
