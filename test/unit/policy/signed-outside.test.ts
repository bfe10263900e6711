import assert from "node:assert/strict";
import { diffPolicies } from "../../../src/policy/diff.ts";
import { clientPolicy } from "./fixture.ts";

// Goal: what a use of a key elsewhere does is known to be stricter or looser.
// Method: documents with and without `signedOutside`, and their differences.

describe("signedOutside of a policy", () => {
  it("is a tightening when it is written, and a loosening when it is taken away", () => {
    const [without, with_] = [clientPolicy(), clientPolicy({ signedOutside: "freeze" })];
    assert.deepEqual(diffPolicies(without, with_).verdict, "tightening");
    assert.deepEqual(diffPolicies(with_, without).verdict, "loosening");
    assert.deepEqual(diffPolicies(with_, with_).verdict, "none");
    assert.throws(() => clientPolicy({ signedOutside: "ignore" }), /expected `freeze`, found `ignore`/);
  });
});
