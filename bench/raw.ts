import { execFileSync, spawn, type ChildProcessByStdio } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";

export type RawOptions = {
  readonly processes: number;
  readonly seconds: number;
  readonly modulePath: string;
  readonly softhsmConf: string;
  readonly tokenLabel: string;
  readonly pin: string;
  readonly keyLabel: string;
};

type Signer = { readonly child: ChildProcessByStdio<Writable, Readable, null>; readonly lines: AsyncIterator<string> };

/** PKCS#11's own header, as the binding ships it. */
const HEADERS = join(dirname(createRequire(import.meta.url).resolve("pkcs11js")), "includes", "pkcs11");

const SOURCE = fileURLToPath(new URL("./raw/raw.c", import.meta.url));

/**
 * Signatures per second that C programs get out of the module when nothing else runs: the ceiling of every other figure.
 * Compiles the program with the machine's C compiler each time, so that it can never be an old one.
 * @returns the sum over all processes, which sign at the same time
 */
export async function rawSigningRate(options: RawOptions): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "portcullis-raw-"));
  const signers: Signer[] = [];
  try {
    const program = join(folder, "raw");
    execFileSync(process.env["CC"] ?? "cc", ["-O2", "-Wall", "-I", HEADERS, "-o", program, SOURCE, "-ldl"]);
    // One by one: SoftHSM processes that initialise at the same instant have been seen to miss a token.
    for (let index = 0; index < options.processes; index += 1) signers.push(await startSigner(program, options));
    for (const { child } of signers) child.stdin.write("go\n");
    const rates = await Promise.all(signers.map(rateOf));
    return rates.reduce((sum, rate) => sum + rate, 0);
  } finally {
    for (const { child } of signers) child.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function startSigner(program: string, options: RawOptions): Promise<Signer> {
  const { modulePath, tokenLabel, keyLabel, seconds } = options;
  const child = spawn(program, [modulePath, tokenLabel, keyLabel, String(seconds)], {
    env: { ...process.env, SOFTHSM2_CONF: options.softhsmConf },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const reader: Interface = createInterface({ input: child.stdout });
  const lines = reader[Symbol.asyncIterator]();
  child.stdin.write(`${options.pin}\n`);
  if ((await lines.next()).value !== "ready") throw new Error("the raw signer did not start; its reason stands above");
  return { child, lines };
}

async function rateOf({ lines }: Signer): Promise<number> {
  const line = await lines.next();
  if (line.done) throw new Error("the raw signer ended without a result; its reason stands above");
  const [count, nanoseconds] = line.value.split(" ").map(Number);
  return count! / (nanoseconds! / 1e9);
}
