/**
 * Local time for rules and windows. A zone's offset changes only at quarter hours of UTC, so one answer serves all
 * requests of a quarter hour; asking the ICU tables takes microseconds each time.
 */
export type Zone = { readonly name: string; readonly offsetMs: (at: number) => number };

export const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
export type Weekday = (typeof WEEKDAYS)[number];
export type CalendarUnit = "day" | "week" | "month";

const QUARTER_MS = 900_000;
/** Quarter hours. */
const REMEMBERED = 64;
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

export function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

/** @param name IANA name, such as `Europe/Zurich` */
export function zoneOf(name: string): Zone {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: name,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  const known = new Map<number, number>();
  const offsetMs = (at: number): number => {
    const quarter = Math.floor(at / QUARTER_MS);
    const remembered = known.get(quarter);
    if (remembered !== undefined) return remembered;
    // A decision asks of now and of both sides of its day, week and month.
    if (known.size >= REMEMBERED) known.clear();
    const offset = readOffset(format, quarter * QUARTER_MS);
    known.set(quarter, offset);
    return offset;
  };
  return { name, offsetMs };
}

function readOffset(format: Intl.DateTimeFormat, at: number): number {
  const parts = new Map(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type)!;
  return Date.UTC(part("year"), part("month") - 1, part("day"), part("hour"), part("minute")) - at;
}

/** The wall clock of the zone, as a Date whose UTC fields show it. */
const localDate = (zone: Zone, at: number): Date => new Date(at + zone.offsetMs(at));

export function weekdayAt(zone: Zone, at: number): Weekday {
  // JavaScript's week begins on Sunday, ISO 8601's on Monday.
  return WEEKDAYS[(localDate(zone, at).getUTCDay() + 6) % 7]!;
}

export const minuteOfDayAt = (zone: Zone, at: number): number =>
  Math.floor((localDate(zone, at).getTime() % DAY_MS) / MINUTE_MS);

/** The first moment of the day, ISO week or month in which `at` lies, as that zone's calendar has it. */
export function calendarStart(zone: Zone, unit: CalendarUnit, at: number): number {
  const local = localDate(zone, at);
  const [year, month, day] = [local.getUTCFullYear(), local.getUTCMonth(), local.getUTCDate()];
  const weekday = (local.getUTCDay() + 6) % 7;
  const midnight =
    unit === "month" ? Date.UTC(year, month, 1) : Date.UTC(year, month, unit === "week" ? day - weekday : day);
  // Where clocks change at midnight, that moment exists twice or never: of both offsets the first moment that has the date.
  const candidates = [midnight - zone.offsetMs(midnight - DAY_MS), midnight - zone.offsetMs(midnight + DAY_MS)];
  return Math.min(...candidates.filter((candidate) => candidate + zone.offsetMs(candidate) >= midnight));
}
