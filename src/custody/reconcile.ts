import type { Account, AssetSymbol } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";

/*
 * Reconciliation, three ways: what the chain holds, what the register says, what the custodian's books say. The register
 * stands in the middle: it counts a debit from its authorization on, at the most that its bytes can cost, so until the
 * chain has settled it the others may rightly show up to that much more, and never less.
 */

/** What one account held of one asset at the block of the reading; undefined: the node did not say, which is not zero. */
export type ChainBalance = {
  readonly client: string;
  readonly account: Account;
  readonly asset: AssetSymbol;
  readonly amount: bigint | undefined;
};

export type RegisterPosition = {
  readonly client: string;
  readonly asset: AssetSymbol;
  readonly closing: bigint;
  /** Debits and fees that are counted and not settled on the chain; zero or more. */
  readonly pending: bigint;
};

export type BookEntry = { readonly client: string; readonly asset: AssetSymbol; readonly amount: bigint };

export type Sides = {
  readonly chain: readonly ChainBalance[];
  readonly register: readonly RegisterPosition[];
  /** Absent: no books were brought, and none are compared. */
  readonly books?: readonly BookEntry[];
};

/**
 * `chain-not-read`: nothing is known · `chain-over`: a deposit that nobody reported · `chain-under`: something left
 * without an instruction · `books-over`: a withdrawal or fee that was never booked · `books-under`: a deposit that was
 * never booked · `backing-short`: more of a token is out than its reserves hold · `backing-not-read`: its supply or a
 * reserve is unknown. The likely cause each; a person finds the true one.
 */
export const BREAK_CAUSES = [
  "chain-not-read",
  "chain-over",
  "chain-under",
  "books-over",
  "books-under",
  "backing-short",
  "backing-not-read",
] as const;
export type BreakCause = (typeof BREAK_CAUSES)[number];

export type Break = {
  readonly client: string;
  readonly asset: AssetSymbol;
  readonly cause: BreakCause;
  /** How far it is outside of what would fit; zero where nothing was read. */
  readonly difference: bigint;
  /** ms since 1970: the first of the unbroken row of reports that show it. */
  readonly since: number;
};

/** One client's asset as the sides show it. */
export type Line = {
  readonly client: string;
  readonly asset: AssetSymbol;
  readonly chain: bigint | undefined;
  readonly closing: bigint;
  readonly pending: bigint;
  /** Absent where no books were brought. */
  readonly books?: bigint;
};

export type Reconciliation = {
  readonly at: number;
  readonly lines: readonly Line[];
  readonly breaks: readonly Break[];
  /** Breaks of the report before that are no more. */
  readonly closed: readonly Break[];
};

/**
 * @param at ms since 1970
 * @param before the report before this one: from it breaks have their age
 * @throws {GatewayError} `counted-twice` if an account's balance, a position or a book entry is given twice
 */
export function reconcile(sides: Sides, at: number, before: readonly Break[] = []): Reconciliation {
  const lines = linesOf(sides);
  return { at, lines, ...aged(lines.flatMap(findings), at, before) };
}

export type Finding = Omit<Break, "since">;

/** Those that the report before had have its age. */
export function aged(
  findings: readonly Finding[],
  at: number,
  before: readonly Break[],
): { readonly breaks: readonly Break[]; readonly closed: readonly Break[] } {
  const known = new Map(before.map((found) => [identityOf(found), found]));
  const breaks = findings.map((found) => ({ ...found, since: known.get(identityOf(found))?.since ?? at }));
  const open = new Set(breaks.map(identityOf));
  return { breaks, closed: before.filter((found) => !open.has(identityOf(found))) };
}

type Growing = { -readonly [Name in keyof Line]: Line[Name] };

// Client and symbol hold no `/`.
const lineOf = ({ client, asset }: Pick<Line, "client" | "asset">): string => `${client}/${asset}`;
const identityOf = (found: Finding): string => `${lineOf(found)}/${found.cause}`;

/** What one side does not name, it says to be zero. */
function linesOf({ chain, register, books }: Sides): Line[] {
  requireOnce(chain.map(({ account, asset }) => `${account}/${asset}`));
  requireOnce(register.map(lineOf));
  requireOnce((books ?? []).map(lineOf));
  const lines = new Map<string, Growing>();
  const line = ({ client, asset }: Pick<Line, "client" | "asset">): Growing => {
    const name = lineOf({ client, asset });
    const known = lines.get(name) ?? {
      client,
      asset,
      chain: 0n,
      closing: 0n,
      pending: 0n,
      ...(books ? { books: 0n } : {}),
    };
    lines.set(name, known);
    return known;
  };
  for (const { closing, pending, ...of } of register) Object.assign(line(of), { closing, pending });
  for (const entry of books ?? []) line(entry).books = entry.amount;
  for (const balance of chain) {
    const of = line(balance);
    // One account that was not read leaves the whole line unknown.
    of.chain = of.chain === undefined || balance.amount === undefined ? undefined : of.chain + balance.amount;
  }
  return [...lines.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
}

/** A balance that counts twice would hide a shortfall of the same size. */
function requireOnce(names: readonly string[]): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) {
      throw new GatewayError("counted-twice", `expected \`${name}\` once, found it twice`, { facts: { name } });
    }
    seen.add(name);
  }
}

function findings({ client, asset, chain, closing, pending, books }: Line): Finding[] {
  const fits = { least: closing, most: closing + pending };
  const onChain = chain === undefined ? undefined : outside(chain, fits);
  // Where the chain contradicts the register, the chain is right, and the books are held against it.
  const inBooks =
    books === undefined
      ? 0n
      : outside(books, chain === undefined || onChain === 0n ? fits : { least: chain, most: chain });
  const found: [BreakCause, bigint][] = [];
  if (onChain === undefined) found.push(["chain-not-read", 0n]);
  else if (onChain !== 0n) found.push([onChain > 0n ? "chain-over" : "chain-under", onChain]);
  if (inBooks !== 0n) found.push([inBooks > 0n ? "books-over" : "books-under", inBooks]);
  return found.map(([cause, difference]) => ({ client, asset, cause, difference }));
}

function outside(amount: bigint, { least, most }: { least: bigint; most: bigint }): bigint {
  if (amount < least) return amount - least;
  return amount > most ? amount - most : 0n;
}
