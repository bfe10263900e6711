import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { PROGRAM, run } from "../../support/program.ts";

// Goal: the program says which version it is, and a word that it does not know is a usage error that names the way out.
// Method: the program as people run it.

describe("portcullis", () => {
  it("--version prints the package's version and nothing else", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as {
      version: string;
    };
    assert.deepEqual(await run(["--version"]), { code: 0, stdout: `${version}\n`, stderr: "" });
  });

  for (const [args, why] of [
    [["log", "verify", "/nowhere/log.jsonl"], "it is not there"],
    [["log", "verify", tmpdir()], "it is a directory"],
    [["statement", "verify", tmpdir(), "--key", "x"], "it is a directory"],
  ] as const)
    it(`${args.slice(0, 2).join(" ")} of a file that cannot be read says so in one line: ${why}`, async () => {
      const { code, stdout, stderr } = await run(args);
      assert.deepEqual([code, stdout, stderr], [2, "", `usage: cannot read \`${args[2]}\`: ${why}\n`]);
      const { error } = JSON.parse((await run([...args, "--json"])).stdout) as { error: { code: string } };
      assert.equal(error.code, "usage");
    });

  it("a file that cannot be written is named in one line", async () => {
    const { code, stderr } = await run(["policy", "schema", "--out", "/nowhere/schema.json"]);
    assert.deepEqual(
      [code, stderr],
      [1, "file-unavailable: cannot open or write `/nowhere/schema.json`: it is not there\n"],
    );
  });

  it("whoever reads a part of what it prints, as `head` does, gets no complaint", async () => {
    const child = spawn(process.execPath, [PROGRAM, "policy", "schema"], { stdio: ["ignore", "pipe", "pipe"] });
    child.stdout.destroy();
    const said: string[] = [];
    child.stderr.on("data", (chunk: Buffer) => said.push(chunk.toString()));
    const [code] = (await once(child, "close")) as [number];
    assert.deepEqual([code, said.join("")], [0, ""]);
  });

  for (const args of [["sing"], ["--sing"], ["log", "sing"]])
    it(`${args.join(" ")}: exit code 2, and a hint`, async () => {
      const { code, stdout, stderr } = await run(args);
      assert.deepEqual([code, stdout], [2, ""]);
      assert.match(stderr, /unknown (command|option) '.*sing'[^]*run with --help/);
    });
});
