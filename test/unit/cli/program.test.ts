import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { run } from "../../support/program.ts";

// Goal: the program says which version it is, and a word that it does not know is a usage error that names the way out.
// Method: the program as people run it.

describe("portcullis", () => {
  it("--version prints the package's version and nothing else", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
      version: string;
    };
    assert.deepEqual(await run(["--version"]), { code: 0, stdout: `${version}\n`, stderr: "" });
  });

  for (const args of [["sing"], ["--sing"], ["log", "sing"]])
    it(`${args.join(" ")}: exit code 2, and a hint`, async () => {
      const { code, stdout, stderr } = await run(args);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, /unknown (command|option) '.*sing'[^]*run with --help/);
    });
});
