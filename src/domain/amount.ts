import { GatewayError, quoted } from "./errors.ts";

/** Two words of 256 bits are the most that any chain here can move; a longer text is refused before it is parsed. */
const MAX_DIGITS = 78;

/**
 * Reads a decimal text as a number of smallest units.
 * @param text `12`, `0.02`: digits, at most one point, no sign, no exponent, no leading zero, no blanks
 * @param decimals how many digits stand behind the point in one unit of the asset (ETH: 18)
 * @returns the amount in the smallest unit
 * @throws {GatewayError} `invalid-amount` if the text is anything else or has more decimals than the asset
 */
export function parseAmount(text: string, decimals: number): bigint {
  const match = text.length <= MAX_DIGITS + 1 ? /^(0|[1-9][0-9]*)(?:\.([0-9]+))?$/.exec(text) : null;
  if (!match) {
    throw new GatewayError("invalid-amount", `expected a decimal number such as \`1.5\`, found ${quoted(text)}`, {
      hint: "write digits and at most one point: no sign, no exponent, no separators",
    });
  }
  const [, whole = "", fraction = ""] = match;
  if (fraction.length > decimals) {
    throw new GatewayError("invalid-amount", `expected at most ${decimals} decimals, found ${quoted(text)}`, {
      facts: { decimals },
    });
  }
  return BigInt(whole + fraction.padEnd(decimals, "0"));
}

/** The opposite of `parseAmount`: the shortest decimal text of that amount. */
export function formatAmount(amount: bigint, decimals: number): string {
  const digits = amount.toString().padStart(decimals + 1, "0");
  if (decimals === 0) return digits;
  const fraction = digits.slice(-decimals).replace(/0+$/, "");
  const whole = digits.slice(0, -decimals);
  return fraction === "" ? whole : `${whole}.${fraction}`;
}
