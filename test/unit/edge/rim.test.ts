import assert from "node:assert/strict";
import { rateOf } from "../../../src/edge/rim.ts";

// Goal: a batch costs what its calls cost, and nobody's share is another's.
// Method: a clock in the test's hand.

describe("edge/rim", () => {
  it("takes so many a second of each address, all of a batch or nothing of it", () => {
    let now = 0;
    const mayHave = rateOf(100, () => now);
    assert.ok(mayHave("10.0.0.1", 60));
    assert.ok(!mayHave("10.0.0.1", 60));
    assert.ok(mayHave("10.0.0.1", 40), "the refused ones cost nothing");
    assert.ok(!mayHave("10.0.0.1"));
    assert.ok(mayHave("10.0.0.2", 100), "another address");
    now = 500;
    assert.ok(mayHave("10.0.0.1", 50));
    assert.ok(!mayHave("10.0.0.1"));
    now = 60_000;
    assert.ok(!mayHave("10.0.0.1", 101), "never more than one second's share");
  });
});
