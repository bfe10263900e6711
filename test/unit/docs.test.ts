import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { SIGN_STEPS } from "../../src/vault/sign.ts";

// Goal: what people read about the life of a signing request is what the code does, step by step.

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

describe("docs/life-of-a-signing-request.md", () => {
  const steps = [...read("src/vault/sign.ts").matchAll(/^ *\/\/ (\d+)\. (\w+): /gm)].map(
    (match) => `${match[1]}. ${match[2]}`,
  );

  it("its numbered headings are the numbered comments of vault/sign.ts, in order", () => {
    const headings = [...read("docs/life-of-a-signing-request.md").matchAll(/^## (\d+\. .+)$/gm)].map(
      (match) => match[1],
    );
    assert.deepEqual(headings, steps);
  });

  it("the comments are the steps at which a vault can be stopped", () => {
    assert.deepEqual(
      steps,
      SIGN_STEPS.map((name, index) => `${index + 1}. ${name}`),
    );
  });
});

describe("the twelve sentences of a policy", () => {
  const tests = ["test/unit/policy/sentences.test.ts", "test/unit/vault/policies.test.ts"].map(read).join("\n");
  for (const number of Array.from({ length: 12 }, (_, n) => n + 1)) {
    it(`sentence ${number} has tests of its own`, () => assert.ok(tests.includes(`describe("sentence ${number}: `)));
  }
});
