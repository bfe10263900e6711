import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { PROBLEMS } from "../../../../src/vault/api/problem-list.ts";
import { askingAgainPage, errorsPage, rolesPage } from "../../../../src/vault/api/reference.ts";
import { ROUTES } from "../../../../src/vault/api/routes.ts";

// Goal: what people read about roles and problems is what the code does, and no problem is left out.
// Method: the pages are printed again and compared; codes are looked for in the sources themselves.

const ROOT = new URL("../../../../", import.meta.url);

const assertPage = (path: string, text: string): void => {
  const file = new URL(path, ROOT);
  if (process.env["PORTCULLIS_WRITE"]) writeFileSync(file, text);
  assert.equal(readFileSync(file, "utf8"), text);
};

/** Thrown inside, and never an answer: at start, by other programs, or where a step of a signing request ends in a row. */
const NEVER_ANSWERED = new Set([
  "already-initialised",
  "ambiguous-key",
  "anchor-invalid",
  "anchor-unavailable",
  "boot-secret",
  "chain-reorganized",
  "challenge-invalid",
  "config-invalid",
  "invalid-abi",
  "invalid-amount",
  "invalid-public-key",
  "malformed-bundle",
  "malformed-checkpoint",
  "malformed-key",
  "malformed-note",
  "malformed-proof",
  "node-answer",
  "node-lags",
  "node-refused",
  "node-unreachable",
  "not-in-tree",
  "not-initialised",
  "permit-invalid",
  "row-key-missing",
  "signed-differs",
  "snapshot-unusable",
  "softhsm-missing",
  "test-invalid",
  "unknown-chain",
  "unsigned-note",
  "witnesses-invalid",
  "wrong-domain",
  "wrong-origin",
]);

const sourcesBelow = (path: string): string[] =>
  readdirSync(new URL(path, ROOT), { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".ts"))
    .map((entry) => readFileSync(`${entry.parentPath}/${entry.name}`, "utf8"));

describe("vault/api/reference", () => {
  it("docs/roles.md is what the route table says (PORTCULLIS_WRITE=1 writes it)", () =>
    assertPage("docs/roles.md", rolesPage(ROUTES)));

  it("docs/errors.md is what the list of problems says (PORTCULLIS_WRITE=1 writes it)", () =>
    assertPage("docs/errors.md", errorsPage()));

  it("docs/asking-again.md is what the route table says, of every change (PORTCULLIS_WRITE=1 writes it)", () => {
    for (const route of ROUTES)
      if (route.method !== "GET")
        assert.equal([route.once, route.dryRun, route.repeated].filter(Boolean).length, 1, route.path);
    assertPage("docs/asking-again.md", askingAgainPage(ROUTES));
  });

  it("every code that the vault may throw is listed, or known never to be an answer", () => {
    const sources = ["src/vault/", "src/chains/", "src/domain/", "src/policy/", "src/tlog/", "src/adapters/"].flatMap(
      sourcesBelow,
    );
    const thrown = sources.flatMap((text) =>
      [...text.matchAll(/(?:new GatewayError|refusal|inProgress)\(\s*"([a-z0-9-]+)"/g)].map(([, code]) => code!),
    );
    assert.ok(thrown.length > 150);
    const unlisted = new Set(thrown.filter((code) => !(code in PROBLEMS) && !NEVER_ANSWERED.has(code)));
    assert.deepEqual([...unlisted], []);
  });

  it("every code that the edge says is listed as the edge's, with its status", () => {
    const said = [...readFileSync(new URL("src/edge/app.ts", ROOT), "utf8").matchAll(/(\d{3}),\s*"([a-z-]+)",/g)];
    assert.ok(said.length > 5);
    for (const [, status, code] of said) {
      const problem = PROBLEMS[code as keyof typeof PROBLEMS];
      assert.equal(problem?.status, Number(status), code);
      assert.ok(problem.unsigned === true || code === "not-found", code);
    }
  });
});
