import { readFileSync, writeFileSync } from "node:fs";
import { GatewayError } from "../domain/errors.ts";

/** @throws {GatewayError} `usage` */
export function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new GatewayError("usage", `cannot read \`${path}\`: ${(error as Error).message}`);
  }
}

export const writeJson = (path: string, value: unknown): void =>
  writeFileSync(path, `${JSON.stringify(value, undefined, 1)}\n`);
