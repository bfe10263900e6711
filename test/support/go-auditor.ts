import { execFile, execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";

/** Of Debian's golang-golang-x-mod-dev, where the set-up looks for it too: nothing is fetched. */
const GOPATH = "/usr/share/gocode";

export type GoAuditor = {
  /** @returns whether it accepts, and what it said */
  readonly run: (...args: string[]) => Promise<{ readonly ok: boolean; readonly said: string }>;
  /** @returns of each proof whether it holds */
  readonly proofs: (proofs: readonly object[]) => Promise<boolean[]>;
  readonly remove: () => void;
};

/** The program beside this file, built. */
export function buildGoAuditor(): GoAuditor {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-go-"));
  const [program, source] = [join(folder, "auditor"), fileURLToPath(new URL("go-auditor/main.go", import.meta.url))];
  const env = { ...process.env, GO111MODULE: "off", GOFLAGS: "", GOPATH, GOCACHE: join(folder, "cache") };
  execFileSync("go", ["build", "-o", program, source], { env });
  return {
    run: (...args) =>
      new Promise((resolve) =>
        execFile(program, args, (error, stdout, stderr) => resolve({ ok: !error, said: (stdout + stderr).trim() })),
      ),
    proofs: async (proofs) => {
      const child = spawn(program, ["proofs"], { stdio: ["pipe", "pipe", "inherit"] });
      child.stdin.end(proofs.map((proof) => `${JSON.stringify(proof)}\n`).join(""));
      return JSON.parse(await text(child.stdout)) as boolean[];
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
