import type { CompiledWhen } from "./compile.ts";
import type { Zone } from "./zone.ts";

const MINUTE_MS = 60_000;
const QUARTER_MS = 15 * MINUTE_MS;
const DAY_MS = 86_400_000;
const WEEK_MS = 7 * DAY_MS;

/** A Monday, some years of summer times from which stand for all: zones change against each other year by year alike. */
export const FIRST_DAY = Date.parse("2026-01-05T12:00:00Z");
const DAYS = 6 * 366;

/** Between two changes of some zone's clock. */
type Span = { readonly begin: number; readonly end: number };

/**
 * Moments between which no `when` changes its answer, in every relation that the zones' clocks have to each other,
 * also for an hour only: New York changes its clocks an hour before Chicago.
 */
export function momentsOf(whens: readonly CompiledWhen[]): number[] {
  const zones = [...new Map(whens.map(({ zone }) => [zone.name, zone])).values()];
  const minutes = [...new Set([0, ...whens.flatMap((when) => when.minutes ?? [])])];
  return spansOf(zones).flatMap(({ begin, end }) => [
    begin,
    ...zones.flatMap((zone) => startsIn(zone, minutes, begin, Math.min(end, begin + WEEK_MS))),
  ]);
}

/** When each of these minutes begins, on each day; all with the clock that the zone has at `begin`. */
function startsIn(zone: Zone, minutes: readonly number[], begin: number, end: number): number[] {
  const offset = zone.offsetMs(begin);
  const starts: number[] = [];
  for (let day = Math.floor((begin + offset) / DAY_MS) * DAY_MS - offset; day < end; day += DAY_MS) {
    starts.push(...minutes.map((minute) => day + minute * MINUTE_MS).filter((at) => at >= begin && at < end));
  }
  return starts;
}

/** One zone's local week is the same in each season; the first week of each relation of several stands for the others. */
function spansOf(zones: readonly Zone[]): Span[] {
  if (zones.length === 1) return [{ begin: FIRST_DAY, end: FIRST_DAY + WEEK_MS }];
  const clocks = (at: number) => zones.map((zone) => zone.offsetMs(at)).join();
  const spans: Span[] = [];
  const whole = new Set<string>();
  let begin = FIRST_DAY;
  for (const end of changesOf(clocks)) {
    const [relation, lasts] = [clocks(begin), end - begin >= WEEK_MS];
    if (!whole.has(relation)) spans.push({ begin, end });
    if (lasts) whole.add(relation);
    begin = end;
  }
  return spans;
}

/** The quarter hours at which it changes, and the end. */
function changesOf(clocks: (at: number) => string): number[] {
  const changes: number[] = [];
  for (let day = 0; day < DAYS; day += 1) {
    const [from, to] = [FIRST_DAY + day * DAY_MS, FIRST_DAY + (day + 1) * DAY_MS];
    if (clocks(from) !== clocks(to)) changes.push(...changesBetween(clocks, from, to));
  }
  return [...changes, FIRST_DAY + DAYS * DAY_MS];
}

function changesBetween(clocks: (at: number) => string, from: number, to: number): number[] {
  const changes: number[] = [];
  for (let at = from + QUARTER_MS; at <= to; at += QUARTER_MS) {
    if (clocks(at) !== clocks(at - QUARTER_MS)) changes.push(at);
  }
  return changes;
}
