import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MUTANTS, type Mutant } from "../support/policy-mutants.ts";

// Goal: no change of deciding, limits or windows that lets more through goes unseen by the tests.
// Method: each mutant, made by hand, is put into a copy of the source; the policies' own tests have to fail on it. That takes
// minutes, so `npm test` tries two; the soak tries all.

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const SOAK = process.env["SOAK"] !== undefined;
/** Together they know every sentence of the format. */
const TESTS = [
  "test/unit/policy/sentences.test.ts",
  "test/unit/policy/diff.test.ts",
  "test/property/policy-evaluate.test.ts",
];
const COPIED = ["src", "test", "policies", "package.json", "tsconfig.json", ".mocharc.json"];

const occurrences = ({ file, from }: Mutant): number => readFileSync(join(ROOT, file), "utf8").split(from).length - 1;

describe("mutants of the evaluator", function () {
  this.timeout(180_000);
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-mutants-"));
    for (const path of COPIED) cpSync(join(ROOT, path), join(folder, path), { recursive: true });
    symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  /** @returns whether the tests pass on the copy */
  async function passes(): Promise<boolean> {
    const mocha = join(ROOT, "node_modules/mocha/bin/mocha.js");
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => name !== "SOAK"));
    const child = spawn(process.execPath, [mocha, "--bail", ...TESTS], { cwd: folder, env, stdio: "ignore" });
    const [code] = (await once(child, "exit")) as [number | null];
    return code === 0;
  }

  it("each changes one place of the source as it is", () =>
    assert.deepEqual(
      MUTANTS.filter((mutant) => occurrences(mutant) !== 1).map(({ file, what }) => `${file}: ${what}`),
      [],
    ));

  it("the tests pass on the source as it is", async () => assert.ok(await passes()));

  for (const { file, what, from, to } of SOAK ? MUTANTS : MUTANTS.filter((_, at) => at === 1 || at === 12)) {
    it(`${file}: ${what}`, async () => {
      const source = readFileSync(join(ROOT, file), "utf8");
      writeFileSync(
        join(folder, file),
        source.replace(from, () => to),
      );
      try {
        assert.ok(!(await passes()), "no test failed");
      } finally {
        writeFileSync(join(folder, file), source);
      }
    });
  }
});
