import { readFileSync } from "node:fs";
import type { Config } from "./config.ts";
import { GatewayError } from "./domain/errors.ts";
import { parseWitnesses, type Witnesses } from "./tlog/witnesses.ts";

/** The witnesses that the configuration names, for the vault, which believes them, and for the edge, which asks them. */
export function witnessesIn({ log: { witnesses: path } }: Pick<Config, "log">): Witnesses | undefined {
  if (path === undefined) return undefined;
  try {
    return parseWitnesses(readFileSync(path));
  } catch (error) {
    throw new GatewayError("config-invalid", `\`${path}\`: ${(error as Error).message}`, { cause: error });
  }
}
