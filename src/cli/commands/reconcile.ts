import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { InvalidArgumentError, type Command } from "commander";
import { GatewayError } from "../../domain/errors.ts";
import { encodeJson } from "../../domain/json.ts";
import { Duration, durationMs } from "../../policy/fields.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import type { Host } from "../host.ts";
import { confirmationsOption } from "../node-option.ts";
import { asOption, clientOf, clientOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output } from "../output.ts";
import { progressOn } from "../progress.ts";
import { ClientLeaves } from "../reconcile/leaves.ts";
import { isClean, reportText, type Report } from "../reconcile/report.ts";
import { runOnce, type Plan } from "../reconcile/run.ts";

type ReconcileFlags = CommonOptions & {
  readonly node: readonly string[];
  readonly books?: string;
  readonly backed?: string;
  readonly confirmations: number;
  readonly maxLag: number;
  readonly every?: number;
  readonly out?: string;
  readonly record: boolean;
};

/** `reconcile`: a client of the API with the role observer, and with chain nodes of its own. */
export function reconcileCommand(program: Command, host: Host): void {
  program
    .command("reconcile")
    .description(
      "compare chain, register and books, and look for transactions that were signed elsewhere; as an observer",
    )
    .requiredOption("--node <url...>", "your own chain node, one for each chain (JSON-RPC)")
    .option("--books <file>", "what the books say: CSV or JSON, `client,asset,amount`")
    .option("--backed <file>", "tokens whose backing is held here: CSV or JSON, `token,reserve,client`")
    .addOption(confirmationsOption())
    .option("--max-lag <duration>", "how old the node's newest block may be", duration, durationMs("1h"))
    .option("--every <duration>", "again and again, such as `15m`; else once", duration)
    .option("--out <folder>", "keep each report there, as the log has its hash")
    .option("--no-record", "compare only: no leaf is made of it")
    .addOption(clientOption())
    .addOption(asOption())
    .addOption(jsonOption())
    .action((flags: ReconcileFlags) => reconcileAgain(host, flags));
}

async function reconcileAgain(host: Host, flags: ReconcileFlags): Promise<void> {
  const { note } = output(flags.json);
  const gateway = gatewayOf(flags);
  const clients = (await clientsOf(gateway, flags)).map((client) => new ClientLeaves(gateway, client));
  for (;;) {
    const failed = await once(host, gateway, clients, flags).catch((error: unknown) => error as Error);
    if (flags.every === undefined && failed) throw failed;
    if (failed) note(`not reconciled: ${failed.message}`);
    if (flags.every === undefined) return;
    await sleep(flags.every);
  }
}

async function once(
  host: Host,
  gateway: GatewayClient,
  clients: readonly ClientLeaves[],
  flags: ReconcileFlags,
): Promise<void> {
  const { node, maxLag, books, backed, confirmations, record, out, json } = flags;
  const bar = progressOn(process.stderr);
  const { note, result } = output(json);
  try {
    const readers = await Promise.all(node.map((url) => host.readChain(url, maxLag)));
    requireOnce(readers.map(({ chain }) => chain));
    const files = { ...(books === undefined ? {} : { books }), ...(backed === undefined ? {} : { backed }) };
    const plan: Plan = { gateway, clients, readers, confirmations, record, progress: bar.show, tell: note, ...files };
    const reports = await runOnce(plan);
    bar.end();
    if (out !== undefined) keep(out, reports);
    result({ reports }, reports.map(reportText).join("\n"));
    if (!reports.every(isClean)) process.exitCode = 1;
  } finally {
    bar.end();
  }
}

/** The custodian's observer reads all clients, a client's own its client. */
async function clientsOf(gateway: GatewayClient, flags: ReconcileFlags): Promise<string[]> {
  if (gateway.caller.client !== undefined || flags.client !== undefined) return [clientOf(gateway, flags)];
  const { clients } = await gateway.get<{ clients: { client: string }[] }>("/v1/clients");
  return clients.map(({ client }) => client);
}

function requireOnce(chains: readonly string[]): void {
  const twice = chains.find((chain, index) => chains.indexOf(chain) !== index);
  if (twice !== undefined)
    throw new GatewayError("usage", `expected one \`--node\` for each chain, found two of \`${twice}\``);
}

/** Byte for byte what was hashed. */
function keep(folder: string, reports: readonly Report[]): void {
  mkdirSync(folder, { recursive: true });
  for (const report of reports)
    writeFileSync(join(folder, `${report.client}-${report.at.replaceAll(":", "")}.json`), encodeJson(report));
}

function duration(text: string): number {
  if (Duration.safeParse(text).success) return durationMs(text);
  throw new InvalidArgumentError("Expected a duration such as `15m`.");
}
