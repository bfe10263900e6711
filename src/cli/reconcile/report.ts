import { createHash } from "node:crypto";
import type { ReportBody } from "../../domain/custody.ts";
import type { AssetSymbol } from "../../domain/chain.ts";
import { formatAmount } from "../../domain/amount.ts";
import { encodeJson } from "../../domain/json.ts";
import { BREAK_CAUSES, type Break, type BreakCause, type Line } from "../../custody/reconcile.ts";
import type { Opening } from "../../custody/register.ts";
import type { Confirmation } from "../../custody/sent.ts";
import type { SignedOutside } from "../../custody/signed-outside.ts";
import { table } from "../output.ts";

/* One client's reconciliation as a document, as the summary in its leaf, and as text. */

/** As old as the first of an unbroken row of reports that say it. */
export type Aged = { readonly since: string; readonly status: "new" | "open" };

export type Report = {
  readonly format: "portcullis/reconciliation/v1";
  readonly gateway: string;
  readonly client: string;
  readonly at: string;
  readonly chains: readonly {
    readonly chain: string;
    readonly block: number;
    readonly hash: string;
    readonly head: number;
  }[];
  /** SHA-256 of the file; absent where none was brought. */
  readonly books?: string;
  readonly assets: readonly {
    readonly asset: string;
    readonly chain: string;
    readonly register: string;
    readonly pending: string;
    readonly books?: string;
  }[];
  readonly breaks: readonly ({
    readonly asset: string;
    readonly cause: BreakCause;
    readonly difference: string;
  } & Aged)[];
  readonly closed: readonly { readonly asset: string; readonly cause: BreakCause; readonly since: string }[];
  /** Of those whose end the register did not know before. */
  readonly transactions: readonly {
    readonly request: string;
    readonly transaction: string;
    readonly state: Confirmation["state"];
    readonly block?: number;
    readonly depth?: number;
  }[];
  readonly signedOutside: readonly ({ readonly what: string } & Aged)[];
  /** Blocks of the report before that the chain no longer has. */
  readonly rewritten: readonly string[];
};

/** What the client's newest report of the same observer said, as its leaf has it. */
export type Before = {
  readonly breaks: readonly Break[];
  /** What was signed outside → since when that is known. */
  readonly outside: ReadonlyMap<string, string>;
  readonly chains: ReadonlyMap<string, { readonly block: number; readonly hash: string }>;
};

const BREAK_KEY = new RegExp(`^(\\S+) (${BREAK_CAUSES.join("|")})$`);

/** @param by who asks: what others reported has no say in how old our findings are */
export function beforeIn(openings: readonly Opening[], client: string, by: string): Before {
  const last = openings.findLast(
    ({ type, ...said }) => type === "reported" && said["kind"] === "reconciliation" && said["by"] === by,
  );
  const summary = Object.entries((last?.["summary"] ?? {}) as Record<string, string | number>);
  const matches = (pattern: RegExp) =>
    summary.flatMap(([key, value]) => {
      const [found, text] = [pattern.exec(key), String(value)];
      return found ? [{ found, text }] : [];
    });
  return {
    breaks: matches(BREAK_KEY).map(({ found: [, asset, cause], text }) => {
      const [difference, since] = text.split(" since ");
      return {
        client,
        asset: asset as AssetSymbol,
        cause: cause as BreakCause,
        difference: BigInt(difference!),
        since: Date.parse(since!),
      };
    }),
    outside: new Map(matches(/^outside \d+$/).map(({ text }) => text.split(" since ") as [string, string])),
    chains: new Map(
      matches(/^\w+:\w+$/).map(({ found: [chain], text }) => {
        const [block, hash] = text.split(" ");
        return [chain, { block: Number(block), hash: hash! }];
      }),
    ),
  };
}

/** So many lines of a summary at the most: of the others the age is not kept. */
const KEPT_MAX = 200;

/** What the leaf says besides the report's hash: enough for the next report to know how old a break is. */
export function bodyOf(report: Report, breaks: readonly Break[]): ReportBody {
  const kept = [
    ...report.signedOutside.map(({ what, since }, index) => [`outside ${index + 1}`, `${what} since ${since}`]),
    ...breaks.map(({ asset, cause, difference, since }) => [
      `${asset} ${cause}`,
      `${difference} since ${new Date(since).toISOString()}`,
    ]),
  ];
  return {
    kind: "reconciliation",
    sha256: createHash("sha256").update(encodeJson(report)).digest("hex"),
    outcome: isClean(report) ? "ok" : "breaks",
    summary: Object.fromEntries([
      ["breaks", breaks.length],
      ["signed outside", report.signedOutside.length],
      ...(report.books === undefined ? [] : [["books", report.books]]),
      ...report.chains.map(({ chain, block, hash }) => [chain, `${block} ${hash}`]),
      ...kept.slice(0, KEPT_MAX),
    ]) as Record<string, string | number>,
  };
}

export const isClean = ({ breaks, signedOutside, rewritten }: Report): boolean =>
  breaks.length === 0 && signedOutside.length === 0 && rewritten.length === 0;

export const outsideText = (found: SignedOutside): string =>
  found.kind === "transaction"
    ? `${found.account} transaction ${found.nonce} ${found.transaction}`
    : `${found.account} nonces ${found.first}-${found.last}`;

export const signed = (amount: bigint, decimals: number): string =>
  amount < 0n ? `-${formatAmount(-amount, decimals)}` : formatAmount(amount, decimals);

export function assetsOf(lines: readonly Line[], decimals: (asset: AssetSymbol) => number): Report["assets"] {
  return lines.map(({ asset, chain, closing, pending, books }) => {
    const text = (amount: bigint): string => signed(amount, decimals(asset));
    return {
      asset,
      chain: chain === undefined ? "not read" : text(chain),
      register: text(closing),
      pending: text(pending),
      ...(books === undefined ? {} : { books: text(books) }),
    };
  });
}

const LIKELY: Readonly<Record<BreakCause, string>> = {
  "chain-not-read": "the node did not say",
  "chain-over": "a deposit that nobody reported",
  "chain-under": "something left without an instruction",
  "books-over": "a withdrawal or fee that was never booked",
  "books-under": "a deposit that was never booked",
  "backing-short": "more is out than its reserves hold",
  "backing-not-read": "the node did not say",
};

export function reportText(report: Report): string {
  const { client, chains, assets, breaks, closed, transactions, signedOutside, rewritten } = report;
  const at = chains.map(({ chain, block }) => `block ${block} of ${chain}`).join(", ");
  const heads = [
    "asset",
    "chain",
    "register",
    "pending",
    ...(report.books === undefined ? [] : ["books" as const]),
  ] as const;
  const open = transactions.filter(({ state }) => state !== "mined");
  return [
    `${client} at ${at}: ${isClean(report) ? "no breaks" : `${breaks.length} breaks`}`,
    ...(assets.length === 0
      ? []
      : [indented(table([[...heads], ...assets.map((each) => heads.map((head) => each[head]!))]))]),
    ...signedOutside.map(({ what, since, status }) => `  SIGNED OUTSIDE ${what} (${status}, since ${since})`),
    ...rewritten.map((what) => `  REWRITTEN ${what}`),
    ...breaks.map(
      ({ asset, cause, difference, since, status }) =>
        `  break ${asset} ${cause} ${difference}: ${LIKELY[cause]} (${status}, since ${since})`,
    ),
    ...closed.map(({ asset, cause }) => `  closed ${asset} ${cause}`),
    ...open.map(({ request, state, depth }) => `  ${request} ${state}${depth === undefined ? "" : `, ${depth} deep`}`),
  ].join("\n");
}

const indented = (text: string): string => text.replace(/^/gm, "  ");
