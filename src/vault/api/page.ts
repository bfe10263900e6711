import { GatewayError } from "../../domain/errors.ts";
import { encodeJson } from "../../domain/json.ts";

/** A page ends with the item that reaches this, however many were asked for; a frame leaves room for that item. */
const PAGE_BYTES = 2 * 1024 * 1024;

/** @returns whether the page ends with the item that it is told */
export function pageBytes(): (item: unknown) => boolean {
  let bytes = 0;
  return (item) => (bytes += Buffer.byteLength(encodeJson(item))) >= PAGE_BYTES;
}

/** As many of them, from the first on, as make one page. */
export function fittingPage<Item>(items: readonly Item[]): readonly Item[] {
  const last = items.findIndex(pageBytes());
  return last === -1 ? items : items.slice(0, last + 1);
}

/** Every list comes in pages. @throws {GatewayError} `invalid-parameter` */
export function pageSize(text: string | null, { default: usual, max }: { default: number; max: number }): number {
  const limit = Number(text ?? usual);
  if (Number.isInteger(limit) && limit >= 1 && limit <= max) return limit;
  throw new GatewayError("invalid-parameter", `expected \`limit\` from 1 to ${max}, found \`${text}\``);
}
