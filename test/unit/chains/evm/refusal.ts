import assert from "node:assert/strict";
import { GatewayError } from "../../../../src/domain/errors.ts";

/** The code with which an act is refused; an act that succeeds, or fails in any other way, fails the test. */
export function refusal(act: () => unknown): string {
  return refusalOf(act).code;
}

export function refusalOf(act: () => unknown): GatewayError {
  let result: unknown;
  try {
    result = act();
  } catch (error) {
    assert.ok(error instanceof GatewayError, `expected a GatewayError, found ${String(error)}`);
    return error;
  }
  return assert.fail(`expected a refusal, found ${String(result)}`);
}
