import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportLog } from "../../src/cli/log/export.ts";
import { linesOf } from "../../src/cli/log/format.ts";
import { LogVerifier, type Report, type VerifyOptions } from "../../src/cli/log/verify.ts";
import { Checkpoints } from "../../src/vault/checkpoints.ts";
import type { Answer } from "../../src/vault/api/routes.ts";
import { GATEWAY, type TestVault } from "./vault.ts";

/* A log as an auditor has it: exported through the API, in a file, as lines that a test can tamper with. */

export const checkpointsOf = (vault: TestVault): Promise<Checkpoints> => {
  const anchor = { read: async () => undefined, write: async () => undefined };
  const { store, logToken, faults } = vault;
  return Checkpoints.open({ store, logToken, origin: GATEWAY, anchor, fault: (error) => void faults.push(error) });
};

/** The gateway as that caller reads it. */
export const readerFor = (vault: TestVault, caller: string) => ({
  get: async <T>(target: string): Promise<T> => {
    const { status, body }: Answer = await vault.call(caller, "GET", target);
    if (status !== 200) throw new Error(`${target}: ${JSON.stringify(body)}`);
    return JSON.parse(JSON.stringify(body)) as T;
  },
});

/** Lines of an export, the header first. */
export const exported = (vault: TestVault, caller = "inspector", client?: string): Promise<string[]> =>
  exportedBy(readerFor(vault, caller), client);

export async function exportedBy(reader: Parameters<typeof exportLog>[0], client?: string): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-export-"));
  try {
    const file = join(folder, "log.jsonl");
    await exportLog(reader, client, file, () => undefined);
    return readFileSync(file, "utf8").trimEnd().split("\n");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Through a file, as the command reads it. */
export function verified(
  lines: readonly string[],
  options: Partial<VerifyOptions> = {},
  prepare: (verifier: LogVerifier) => void = () => undefined,
): Report {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-verify-"));
  try {
    const file = join(folder, "log.jsonl");
    writeFileSync(file, lines.map((line) => `${line}\n`).join(""));
    const verifier = new LogVerifier({ signatures: true, ...options });
    prepare(verifier);
    for (const line of linesOf(file)) verifier.take(line);
    return verifier.finish();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
