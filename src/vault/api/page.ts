import { GatewayError } from "../../domain/errors.ts";

/** Every list comes in pages. @throws {GatewayError} `invalid-parameter` */
export function pageSize(text: string | null, { default: usual, max }: { default: number; max: number }): number {
  const limit = Number(text ?? usual);
  if (Number.isInteger(limit) && limit >= 1 && limit <= max) return limit;
  throw new GatewayError("invalid-parameter", `expected \`limit\` from 1 to ${max}, found \`${text}\``);
}
