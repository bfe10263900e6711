import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isPolicy } from "../../../src/policy/compare.ts";
import { compileClient, compileHouse } from "../../../src/policy/compile.ts";
import { parsePolicy } from "../../../src/policy/parse.ts";
import type { ClientPolicy } from "../../../src/policy/document.ts";
import { runTests } from "../../../src/policy/test-runner.ts";
import { findingText } from "../../../src/policy/finding.ts";
import { checkPolicy } from "../../../src/policy/lint.ts";
import { policyReference } from "../../../src/policy/reference.ts";
import { policyJsonSchema } from "../../../src/policy/schema.ts";
import { checkAccount } from "./fixture.ts";

// Goal: what ships in `policies/` is what it says: valid, with addresses that exist, and described by the schema there.

const REFERENCE = new URL("../../../docs/policy-reference.md", import.meta.url).pathname;
const POLICIES = fileURLToPath(new URL("../../../policies/", import.meta.url));
const texts = new Map(
  readdirSync(POLICIES, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".yaml"))
    .map((path) => [path, readFileSync(join(POLICIES, path), "utf8")]),
);

describe("policies/", () => {
  it("schema.json is what the schemas say (PORTCULLIS_WRITE=1 writes it)", () => {
    if (process.env.PORTCULLIS_WRITE) writeFileSync(join(POLICIES, "schema.json"), policyJsonSchema());
    assert.equal(readFileSync(join(POLICIES, "schema.json"), "utf8"), policyJsonSchema());
  });
  it("docs/policy-reference.md is what the schemas say (PORTCULLIS_WRITE=1 writes it)", () => {
    if (process.env.PORTCULLIS_WRITE) writeFileSync(REFERENCE, policyReference());
    assert.equal(readFileSync(REFERENCE, "utf8"), policyReference());
  });
  it("every field that holds a value has a description", () => {
    const missing: string[] = [];
    walk(JSON.parse(policyJsonSchema()), "", missing);
    assert.deepEqual(missing, []);
  });
  it("house.yaml is a house policy", () => {
    assert.equal(compileHouse(parsePolicy("house.yaml", texts, checkAccount)).policyQuorum, 1);
  });
  for (const [path, client] of [
    ["examples/hot-wallet/acme-fund.yaml", "acme-fund"],
    ["examples/treasury/blue-harbor.yaml", "blue-harbor"],
  ] as const) {
    it(`${path} is a client policy, and its own tests pass and match every rule and limit`, () => {
      const resolved = parsePolicy(path, texts, checkAccount);
      const compiled = compileClient(resolved);
      assert.equal(compiled.client, client);
      const run = runTests(
        resolved.document as ClientPolicy,
        compiled,
        compileHouse(parsePolicy("house.yaml", texts, checkAccount)),
      );
      assert.deepEqual(
        run.results.flatMap(({ name, failures }) => failures.map((failure) => `${name}: ${failure}`)),
        [],
      );
      assert.deepEqual(
        [...run.coverage.rules].filter(([, times]) => times === 0),
        [],
      );
    });
  }
});

describe("the cookbook", () => {
  const recipes = [...texts.keys()].filter(
    (path) => /^examples\/(?!.*-bad\/)/.test(path) && isPolicy(path, texts.get(path)!),
  );
  const book = readFileSync(new URL("../../../docs/policy-cookbook.md", import.meta.url), "utf8");
  it("has ten policies and two more", () => assert.equal(recipes.length, 12));
  for (const path of recipes) {
    it(`${path} has no findings, its own tests pass and match every rule, and the book has it`, () => {
      // What several owners share is never said without a warning.
      const said = path.startsWith("examples/omnibus/") ? [/the same accounts hold what is several owners'/] : [];
      const found = checkPolicy(path, texts, checkAccount).map(findingText);
      assert.equal(found.length, said.length, found.join());
      for (const [index, message] of said.entries()) assert.match(found[index]!, message);
      assert.ok(book.includes(`](../policies/${path})`), path);
    });
  }
  it("what the book names is there", () => {
    const named = [...book.matchAll(/\.\.\/(policies\/[^)]+\.yaml)/g)].map((match) =>
      match[1]!.slice("policies/".length),
    );
    assert.deepEqual(
      named.filter((path) => !texts.has(path)),
      [],
    );
  });
});

/** Fields are what stands under `properties`; what they are made of describes itself or is described by them. */
function walk(schema: unknown, path: string, missing: string[]): void {
  if (typeof schema !== "object" || schema === null) return;
  for (const [key, value] of Object.entries(schema)) {
    // Conditions hold no values.
    if (key === "if" || key === "then") continue;
    if (key === "properties") {
      for (const [field, inner] of Object.entries(value as Record<string, { description?: string; $ref?: string }>)) {
        if (!inner.description && !inner.$ref) missing.push(`${path}/${field}`);
      }
    }
    walk(value, `${path}/${key}`, missing);
  }
}
