import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PROGRAM } from "../support/program.ts";

// Goal: the recipe of docs/policy-ci.md does what the page says, as it stands there.
// Method: the script is taken out of the page and run by `sh` on two versions of a repository of policies.

const here = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));

describe("docs/policy-ci.md", function () {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-ci-"));
    const [, script] = /<!-- check-policies\.sh[^\n]*\n\n```sh\n([\s\S]*?)```/.exec(
      readFileSync(here("docs/policy-ci.md"), "utf8"),
    )!;
    writeFileSync(join(folder, "check-policies.sh"), script!);
    for (const side of ["old", "new"]) {
      cpSync(here("policies/shared"), join(folder, side, "shared"), { recursive: true });
      cpSync(here("policies/house.yaml"), join(folder, side, "house.yaml"));
      cpSync(here("policies/examples/hot-wallet/acme-fund.yaml"), join(folder, side, "acme-fund.yaml"));
    }
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const edit = (path: string, from: string, to: string) => {
    const text = readFileSync(join(folder, path), "utf8");
    assert.ok(text.includes(from), from);
    writeFileSync(join(folder, path), text.replace(from, to));
  };
  const check = () => {
    const { status, stderr } = spawnSync("sh", ["check-policies.sh", "old", "new"], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, PORTCULLIS: `${process.execPath} ${PROGRAM}` },
    });
    const report = (name: string) => readFileSync(join(folder, "reports", name), "utf8");
    return { status, stderr, diff: report("diff.md"), junit: report("policies.xml"), sarif: report("policies.sarif") };
  };

  it("nothing changes: 0", () => {
    const { status, diff, junit } = check();
    assert.deepEqual([status, diff], [0, "nothing changes\n"]);
    assert.match(junit, /<testsuites tests="9" failures="0">/);
  });
  it("what only tightens, under a new version: 0, and the report says so", () => {
    edit("new/acme-fund.yaml", "version: 1", "version: 2");
    edit("new/acme-fund.yaml", 'max: "600"', 'max: "500"');
    const { status, diff } = check();
    assert.equal(status, 0);
    assert.match(diff, /^### acme-fund, version 1 to 2\n\n\*\*tightening/);
  });
  it("what opens something: 3", () => {
    edit("new/acme-fund.yaml", "version: 1", "version: 2");
    edit("new/acme-fund.yaml", 'max: "600"', 'max: "700"');
    assert.equal(check().status, 3);
  });
  it("a shared file under the old versions: 3, and the documents are named", () => {
    edit(
      "new/shared/exchanges.yaml",
      "tags: [exchange]\n    coolOff: 24h\n    note",
      "tags: [exchange]\n    coolOff: 36h\n    note",
    );
    const { status, diff } = check();
    assert.equal(status, 3);
    assert.match(
      diff,
      /^- shared\/exchanges\.yaml changed; these 2 documents need a new version: acme-fund\.yaml, house\.yaml$/m,
    );
  });
  it("a failing test: 1, and JUnit has it", () => {
    edit("new/acme-fund.yaml", "version: 1", "version: 2");
    edit("new/acme-fund.yaml", "expect: { decision: allow }", "expect: { decision: deny }");
    const { status, junit, sarif } = check();
    assert.equal(status, 1);
    assert.match(junit, /failures="1"/);
    assert.match(sarif, /"ruleId": "failing-test"/);
  });
});
