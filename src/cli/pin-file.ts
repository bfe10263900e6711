import { readFileSync } from "node:fs";
import { GatewayError } from "../domain/errors.ts";

/**
 * The user PIN of a token that its HSM's administrators made, without the line's end. From a file: what stands on a command
 * line is seen by every process.
 * @throws {GatewayError} `usage`; also for an empty file, since an empty PIN would cost one of the token's tries
 */
export function readPinFile(path: string): string {
  let pin: string;
  try {
    pin = readFileSync(path, "utf8").trim();
  } catch (error) {
    throw new GatewayError("usage", `cannot read the PIN: ${(error as Error).message}`);
  }
  if (pin === "") throw new GatewayError("usage", `expected a PIN in \`${path}\`, found nothing`);
  return pin;
}
