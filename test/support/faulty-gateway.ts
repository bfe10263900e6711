import { randomUUID } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Transaction } from "ethers";
import { parse, stringify } from "yaml";
import type { SigningRequestView } from "../../src/sdk/client.ts";
import { startDevGateway, type DevGateway } from "./gateway.ts";
import { leavesOf } from "./ledger.ts";
import { eventually, PATIENCE_MS } from "./processes.ts";

/*
 * The real gateway (supervisor, edge, vault) on an HSM module of the test's choice, and wallet services that do not stop
 * asking.
 */

const POLICIES = ["../../bench/policies/bench.yaml", "../../policies/examples/hot-wallet/acme-fund.yaml"].map((path) =>
  fileURLToPath(new URL(path, import.meta.url)),
);

export const BUSY = "bench";
export const QUIET = "acme-fund";
const TREASURY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"; // in both policies' address books

type Module = { readonly module: string; readonly environment: Record<string, string> };

/** A gateway whose folder outlives it: founded on SoftHSM, then started on another module. */
export class KeptGateway {
  readonly folder = mkdtempSync(join(tmpdir(), "portcullis-hsm-"));
  readonly #flags = ["--keep", this.folder, "--policy", ...POLICIES];

  start(): Promise<DevGateway> {
    return startDevGateway(this.#flags);
  }

  /** @param change of the configuration's `hsm` */
  configure(change: (hsm: Module) => object): void {
    const path = join(this.folder, "portcullis.yaml");
    const config = parse(readFileSync(path, "utf8")) as { hsm: Module };
    writeFileSync(path, stringify({ ...config, hsm: { ...config.hsm, ...change(config.hsm) } }));
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const transfer = { to: TREASURY, value: "1", gas: "21000", maxFeePerGas: "30000000000", maxPriorityFeePerGas: "1" };

export const WITHDRAWAL = { key: "hot-1", payload: { type: "evm-transaction", transaction: transfer } };

/**
 * What its caller does with a withdrawal: the same request again, until there is an answer that is final.
 * @param withinMs 0: it asks once
 */
export async function withdraw(
  gateway: DevGateway,
  client: string,
  withinMs = PATIENCE_MS,
): Promise<SigningRequestView> {
  const idempotencyKey = randomUUID();
  const wallet = gateway.as(client, "payouts");
  for (const deadline = Date.now() + withinMs; ; await sleep(20)) {
    const outcome = await wallet.sign(client, WITHDRAWAL, { idempotencyKey }).catch((error: unknown) => error as Error);
    if (!(outcome instanceof Error) && outcome.state === "signed") return outcome;
    if (Date.now() < deadline) continue;
    throw outcome instanceof Error ? outcome : new Error(`not signed within ${withinMs} ms: ${outcome.state}`);
  }
}

/** Withdrawals one after the other, several at a time, until told to stop. */
export class Load {
  readonly signed: SigningRequestView[] = [];
  readonly failed: Error[] = [];
  readonly #workers: Promise<void>[];
  #running = true;

  /** @param withinMs how long each asks for one withdrawal again; 0: it asks once */
  constructor(gateway: DevGateway, workers: number, withinMs = PATIENCE_MS) {
    this.#workers = Array.from({ length: workers }, async () => {
      while (this.#running) {
        await withdraw(gateway, BUSY, withinMs).then(
          (view) => this.signed.push(view),
          (error: Error) => this.failed.push(error),
        );
      }
    });
  }

  /** Waits until so many more were signed. */
  async more(count: number): Promise<void> {
    const wanted = this.signed.length + count;
    await eventually(`${count} more signatures`, () => this.signed.length >= wanted);
  }

  async stop(): Promise<void> {
    this.#running = false;
    await Promise.all(this.#workers);
  }
}

/**
 * Holds what callers got against the key, the log and each other.
 * @returns what is wrong, one line each
 */
export function faultsOf(gateway: DevGateway, load: Pick<Load, "signed" | "failed">): string[] {
  const faults = load.failed.map((error) => `a withdrawal ended with ${String(error)}`);
  const address = gateway.clients.find(({ client }) => client === BUSY)!.keys[0]!.accounts[0]!.split(":")[2]!;
  const recorded = new Map<string, number>();
  for (const leaf of leavesOf(gateway.folder)) {
    if (leaf.type === "signed") recorded.set(leaf.request!, (recorded.get(leaf.request!) ?? 0) + 1);
  }
  const nonces = new Set<number>();
  for (const { id, result } of load.signed) {
    const transaction = Transaction.from(result!.signedTransaction);
    if (transaction.from !== address) faults.push(`${id} is signed by ${transaction.from}, expected ${address}`);
    if (transaction.hash !== result!.transactionHash) faults.push(`${id} has the hash of another transaction`);
    if (nonces.has(transaction.nonce)) faults.push(`nonce ${transaction.nonce} was given out twice`);
    nonces.add(transaction.nonce);
    if (recorded.get(id) !== 1) faults.push(`${id} has ${recorded.get(id) ?? 0} signed leaves`);
  }
  return faults;
}
