import type { Band, Compiled, CompiledLimit, Destinations } from "./compile.ts";
import { bookNamed } from "./match.ts";
import type { CalendarUnit } from "./zone.ts";

/** A limit, and what its words stand for. */
export type InBook = { readonly limit: CompiledLimit; readonly book: Compiled["addresses"] };

/**
 * Whether `strong` keeps everything within `weak`: it counts at least what `weak` counts, in windows that hold at least
 * as much, up to at most the same cap. Sound, not complete: two limits that together do what one did are not seen.
 */
export function dominates(strongIn: InBook, weakIn: InBook): boolean {
  const [strong, weak] = [strongIn.limit, weakIn.limit];
  return (
    strong.of === weak.of &&
    countsSameUnit(strong, weak) &&
    strong.max <= weak.max &&
    windowCovers(strong.window, weak.window) &&
    // Whatever comes back lowers it: what another counts it must count of the same destinations.
    (strong.window.kind !== "outstanding" || coversTo(weakIn, strongIn)) &&
    (strong.per === undefined || strong.per === weak.per) &&
    coversSet(strong.by, weak.by) &&
    coversSet(strong.key, weak.key) &&
    coversTo(strongIn, weakIn) &&
    coversAmount(strong.amount, weak.amount) &&
    coversFee(strong, weak)
  );
}

const countsSameUnit = (strong: CompiledLimit, weak: CompiledLimit): boolean =>
  strong.asset?.symbol === weak.asset?.symbol &&
  (strong.asset?.contract ?? strong.asset?.chain) === (weak.asset?.contract ?? weak.asset?.chain);

/** A sum that has `to`, `amount` or counts per destination leaves the fee out. */
function coversFee(strong: CompiledLimit, weak: CompiledLimit): boolean {
  const countsFee = ({ asset, to, amount, per }: CompiledLimit) =>
    asset?.standard === "native" && !to && !amount && per !== "destination";
  return !countsFee(weak) || countsFee(strong);
}

const coversSet = (strong: ReadonlySet<string> | undefined, weak: ReadonlySet<string> | undefined): boolean =>
  strong === undefined || (weak !== undefined && [...weak].every((word) => strong.has(word)));

/** By the addresses that words stand for: a name may stand for others in the other version. */
function coversTo({ limit: strong, book }: InBook, { limit: weak, book: weakBook }: InBook): boolean {
  const [wide, narrow] = [strong.to, weak.to];
  if (wide === undefined || wide.anyone) return true;
  if (narrow === undefined || narrow.anyone) return false;
  const words = (["own", "house"] as const).every((word) => !narrow[word] || wide[word]);
  const clients = [...narrow.clients].every((client) => wide.clients.has(client));
  const accounts = [...weakBook.keys(), ...narrow.accounts].filter((to) =>
    bookNamed(narrow, { to, known: weakBook.get(to) }),
  );
  return words && clients && accounts.every((to) => bookNamed(wide, { to, known: book.get(to) }));
}

function coversAmount(strong: CompiledLimit["amount"], weak: CompiledLimit["amount"]): boolean {
  if (strong === undefined) return true;
  if (weak === undefined) return false;
  return [...weak].every(([asset, band]) => strong.has(asset) && coversBand(strong.get(asset)!, band));
}

const coversBand = (outer: Band, inner: Band): boolean =>
  outer.over <= inner.over && (outer.max === undefined || (inner.max !== undefined && inner.max <= outer.max));

const HOUR_MS = 3_600_000;
const LONGEST_MS = { day: 24 * HOUR_MS, week: 168 * HOUR_MS, month: 31 * 24 * HOUR_MS };
/** The longest that a day, week and month can be: clocks go back, by two hours in Antarctica/Troll. */
const longestMs = ({ unit, tz }: { readonly unit: CalendarUnit; readonly tz: string }): number =>
  LONGEST_MS[unit] + (tz === "UTC" ? 0 : 2 * HOUR_MS);

function windowCovers(strong: CompiledLimit["window"], weak: CompiledLimit["window"]): boolean {
  if (strong.kind === "lifetime") return true;
  if (strong.kind === "outstanding") return weak.kind === "outstanding";
  if (weak.kind === "lifetime" || weak.kind === "outstanding") return false;
  if (strong.kind === "rolling") return strong.lengthMs >= (weak.kind === "rolling" ? weak.lengthMs : longestMs(weak));
  if (weak.kind === "rolling" || strong.tz !== weak.tz) return false;
  return strong.unit === weak.unit || weak.unit === "day";
}

/** With what it counts: a reader would else take a limit on one destination for one on all. */
export const limitText = (limit: CompiledLimit): string => {
  const { asset, maxText, windowText, per } = limit;
  const only = [
    ...(limit.by ? [`by ${[...limit.by].join(", ")}`] : []),
    ...(limit.key ? [`with key ${[...limit.key].join(", ")}`] : []),
    ...(limit.to ? [`to ${wordsOf(limit.to).join(", ")}`] : []),
    ...(limit.amount ? ["within its band of amounts"] : []),
  ];
  const what = `${maxText} ${asset?.symbol ?? "transactions"}`;
  return `${[what, ...only].join(" ")} (${windowText}${per ? `, per ${per}` : ""})`;
};

const wordsOf = (to: Destinations): string[] => [
  ...(["anyone", "own", "house"] as const).filter((word) => to[word]),
  ...[...to.clients].map((client) => `client:${client}`),
  ...to.names,
  ...[...to.tags].map((tag) => `tag:${tag}`),
  ...to.accounts,
];
