import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { checkpointsOf, exported } from "../../../support/exported-log.ts";
import { PROGRAM, run } from "../../../support/program.ts";
import { newKey, REQUESTS, testVault, transferBody } from "../../../support/vault.ts";

// Goal: a check that was killed goes on where it was, says in the end what an uninterrupted one says, and no file that it
// left behind makes it pass a log that is not the one it had seen.
// Method: the command itself reads a pipe, so that it is killed at a known line; then the whole file, honest or tampered.

const REQUESTED = 300;

type Said = {
  readonly ok: boolean;
  readonly findings: readonly { readonly code: string }[];
  readonly notChecked: readonly string[];
  readonly error?: { readonly code: string };
};
type Progress = { readonly format: string; readonly lines: number; readonly leaves: number; readonly sha256: string };

describe("log verify --resume", function () {
  let folder: string;
  let lines: string[];
  let vkey: string;
  const at = (name: string) => join(folder, name);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "portcullis-resume-"));
    const vault = await testVault({
      policy: { limits: { daily: { sum: "ETH", max: "600", window: { rolling: "24h" } } } },
    });
    try {
      vkey = vault.gateway.logKey;
      const checkpoints = await checkpointsOf(vault);
      for (let n = 0; n < REQUESTED; n++) await vault.call("payouts", "POST", REQUESTS, transferBody(1), newKey());
      await checkpoints.round();
      lines = await exported(vault);
    } finally {
      await vault.close();
    }
    await interrupt(lines, at("state"));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const write = (name: string, of: readonly string[]): string => {
    writeFileSync(at(name), of.map((line) => `${line}\n`).join(""));
    return at(name);
  };
  const verify = async (file: string, ...flags: readonly string[]) => {
    const { code, stdout, stderr } = await run(["log", "verify", file, "--key", vkey, ...flags, "--json"]);
    assert.notEqual(stdout, "", stderr);
    return { code, said: JSON.parse(stdout) as Said };
  };
  /** With the state that the killed run left. */
  const resume = (of: readonly string[], state = readFileSync(at("state"), "utf8")) => {
    writeFileSync(at("used"), state);
    return verify(write("log.jsonl", of), "--resume", at("used"));
  };

  /** Feeds half of the lines, waits until that is noted, and kills. */
  async function interrupt(of: readonly string[], state: string): Promise<void> {
    const pipe = `${state}.pipe`;
    execFileSync("mkfifo", [pipe]);
    const child = spawn(process.execPath, [PROGRAM, "log", "verify", pipe, "--key", vkey, "--resume", state], {
      stdio: "ignore",
    });
    const exited = once(child, "exit");
    const writer = await open(pipe, "w");
    await writer.writeFile(
      of
        .slice(0, Math.floor(of.length / 2))
        .map((line) => `${line}\n`)
        .join(""),
    );
    for (let n = 0; n < 600 && !existsSync(state); n++) await sleep(20);
    child.kill("SIGKILL");
    await exited;
    await writer.close();
  }

  const progress = () => JSON.parse(readFileSync(at("state"), "utf8")) as Progress;
  /** The nth line that carries a caller's signed request. */
  const withEvidence = (nth: number): number =>
    [...lines.keys()].filter((n) => lines[n]!.includes('"signature-input"'))[nth]!;
  const withOtherEvidence = (nth: number): string[] => {
    const n = withEvidence(nth);
    return lines.with(
      n,
      lines[n]!.replace(/("signature":"sig[^:]*=:)(.)/, (_, head: string, c: string) => head + (c === "A" ? "B" : "A")),
    );
  };

  it("a run that was killed goes on from there, and its verdict is that of one that was not", async () => {
    assert.ok(progress().lines > 0 && progress().lines <= lines.length / 2);
    const whole = await verify(write("whole.jsonl", lines));
    const resumed = await resume(lines);
    assert.deepEqual([whole.code, whole.said.findings], [0, []]);
    const earlier = `signatures of callers and keys in leaves 0 to ${progress().leaves - 1}: by this run, an earlier one did`;
    assert.deepEqual(resumed, { ...whole, said: { ...whole.said, notChecked: [earlier] } });
  });

  it("what it had verified is not verified again, what it had not is", async () => {
    const state = { ...progress(), ...sumOf(withOtherEvidence(0), progress().lines) };
    const skipped = await resume(withOtherEvidence(0), JSON.stringify(state));
    assert.deepEqual([skipped.code, skipped.said.findings], [0, []], "a state made for this very prefix is believed");
    const last = await resume(withOtherEvidence(REQUESTED - 1));
    assert.deepEqual(
      last.said.findings.map(({ code }) => code),
      ["evidence-invalid"],
    );
  });

  it("one byte changed in what was verified, in a leaf or beside it: refused", async () => {
    for (const tampered of [
      withOtherEvidence(0),
      lines.with(withEvidence(1), lines[withEvidence(1)]!.replace('\\"payouts\\"', '\\"payoutz\\"')),
      lines.toSpliced(withEvidence(2), 1),
      lines.slice(0, progress().lines - 1),
    ]) {
      assert.notDeepEqual(tampered, lines);
      const { code, said } = await resume(tampered);
      assert.deepEqual([code, said.error?.code], [1, "resume-differs"]);
    }
  });

  it("a signature that does not hold is never passed: the resumed run finds it again", async () => {
    const tampered = withOtherEvidence(0);
    const file = write("bad.jsonl", tampered);
    const first = await verify(file, "--resume", at("bad"));
    const second = await verify(file, "--resume", at("bad"));
    assert.deepEqual(first, second);
    assert.deepEqual([first.code, first.said.findings.map(({ code }) => code)], [1, ["evidence-invalid"]]);
  });

  it("a state that says more than was verified, or is none, is refused", async () => {
    const more = { ...progress(), leaves: progress().leaves + 50 };
    assert.equal((await resume(lines, JSON.stringify(more))).said.error?.code, "resume-differs");
    for (const state of [
      "",
      "{}",
      JSON.stringify({ ...progress(), more: 1 }),
      JSON.stringify({ ...progress(), lines: -1 }),
    ])
      assert.equal((await resume(lines, state)).said.error?.code, "malformed-resume");
    const both = await verify(write("log.jsonl", lines), "--resume", at("none"), "--no-signatures");
    assert.deepEqual([both.code, both.said.error?.code, existsSync(at("none"))], [2, "usage", false]);
  });

  it("an export that was continued is verified from where the last check ended", async () => {
    copyFileSync(at("state"), at("continued"));
    const checkpoint = lines.findLastIndex((line) => line.startsWith('{"checkpoint"'));
    await verify(write("part.jsonl", lines.slice(0, checkpoint - 10)), "--resume", at("continued"));
    const { leaves } = JSON.parse(readFileSync(at("continued"), "utf8")) as Progress;
    const { code, said } = await verify(write("log.jsonl", lines), "--resume", at("continued"));
    assert.equal(code, 0);
    assert.ok(leaves > progress().leaves && said.notChecked[0]!.includes(`leaves 0 to ${leaves - 1}:`));
  });
});

/** As `sha256sum` counts it. */
function sumOf(lines: readonly string[], count: number): Pick<Progress, "sha256"> {
  const input = lines
    .slice(0, count)
    .map((line) => `${line}\n`)
    .join("");
  return { sha256: execFileSync("sha256sum", { input }).toString().slice(0, 64) };
}
