import { GatewayError, quoted } from "../domain/errors.ts";
import type { Decision } from "../domain/decision.ts";
import { compileClient } from "../policy/compile.ts";
import { decideTest } from "../policy/test-runner.ts";
import { NO_HOUSE } from "../policy/world.ts";
import { resolvePolicy } from "./policy-check.ts";
import { readPolicyFiles } from "./policy-files.ts";

/** The decision in one of a document's own tests, rule by rule: for whoever writes it and wonders. */
export function explainTest(file: string, name: string): Decision {
  const resolved = resolvePolicy(readPolicyFiles(file));
  const tests = "tests" in resolved.document ? (resolved.document.tests ?? []) : [];
  const test = tests.find((one) => one.name === name);
  if (!test) {
    const names = tests.map((one) => quoted(one.name)).join(", ");
    throw new GatewayError("usage", `expected a test of \`${file}\`, found no ${quoted(name)}`, {
      hint: names === "" ? "it has no tests" : `its tests: ${names}`,
    });
  }
  return decideTest(test, { client: compileClient(resolved), house: NO_HOUSE });
}
