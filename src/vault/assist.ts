import type { Filling } from "../chains/evm/fields.ts";
import type { Assist } from "../domain/rpc.ts";

const FIELDS = [
  "gas",
  "gasPrice",
  "maxFeePerGas",
  "maxPriorityFeePerGas",
  "nonce",
] as const satisfies readonly (keyof Assist)[];
const QUANTITY = /^0x(?:0|[1-9a-f][0-9a-f]{0,63})$/;

/**
 * What the edge says that a chain node said, for fields that the caller left out (I11): it never overrides the body, and
 * what is filled is decided like anything else. One that is not read is no help, and no fault of the caller.
 */
export function readAssist(assist: unknown): Filling {
  if (typeof assist !== "object" || assist === null) return {};
  const given = assist as Readonly<Record<string, unknown>>;
  const read = FIELDS.flatMap((name) => {
    const value = given[name];
    return typeof value === "string" && QUANTITY.test(value) ? [[name, BigInt(value)] as const] : [];
  });
  return Object.fromEntries(read);
}
