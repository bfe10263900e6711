import { join } from "node:path";
import type { Command } from "commander";
import { verifyControl } from "../../custody/control-proof.ts";
import {
  proveLiabilities,
  summaryHash,
  verifyLiability,
  type LiabilityProof,
  type LiabilitySummary,
} from "../../custody/liabilities.ts";
import { GatewayError } from "../../domain/errors.ts";
import { parseVkey } from "../../tlog/note.ts";
import { receiptFor, recordReport, withLog } from "../assurance/gateway-log.ts";
import { heldAgainst, type Held } from "../assurance/held.ts";
import { checkLiabilityReceipt } from "../assurance/liability-receipt.ts";
import { LogFacts } from "../assurance/log-facts.ts";
import { owedIn } from "../assurance/owed.ts";
import { extractProofs, writeProofs } from "../assurance/proof-files.ts";
import { readJson, writeJson } from "../json-file.ts";
import { chainAndUrl } from "../node-option.ts";
import { asOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output, table } from "../output.ts";

const many = (value: string, before: readonly string[]): string[] => [...before, value];

type VerifyFlags = {
  readonly key?: string;
  readonly summary?: string;
  readonly control?: string;
  readonly node: readonly string[];
  readonly json: boolean;
};

/** `liabilities`: what is owed to all clients under one root for each asset. `verify` is for each client, without a gateway. */
export function liabilitiesCommands(program: Command): void {
  const liabilities = program
    .command("liabilities")
    .description(
      "prove what is owed to all clients together: a root and a sum for each asset, and a proof for each client",
    )
    .option(
      "--out <folder>",
      "for summary.json, which is public, and proofs.jsonl, of which a client sees its own alone",
      "liabilities",
    )
    .option("--log <file>", "keep the exported log there, and continue it next time")
    .addOption(asOption())
    .addOption(jsonOption())
    .action(makeProofs);
  liabilities
    .command("extract [clients...]")
    .description("write the proofs of these clients, each into a file of its own; without names, of all")
    .option("--from <folder>", "what `liabilities` has written", "liabilities")
    .option("--out <folder>", "for CLIENT.json", "proofs")
    .addOption(jsonOption())
    .action((clients: string[], { from, out, json }: { from: string; out: string; json: boolean }) => {
      const written = extractProofs(from, out, clients);
      output(json).result({ written }, written.join("\n"));
    });
  liabilities
    .command("verify <proof>")
    .description("that a client's positions are counted under the published roots, without the gateway")
    .option("--key <vkey>", "the log's key: that the log has the summary")
    .option("--summary <file>", "the summary that others see: that yours is the same")
    .option("--control <bundle>", "with `--node`: that the client's own addresses hold as much")
    .option("--node <chain=url>", "your own node; may be repeated", many, [])
    .addOption(jsonOption())
    .action(verifyProof);
}

async function makeProofs(options: CommonOptions & { out: string; log?: string }): Promise<void> {
  const gateway = gatewayOf(options);
  const { owed, checkpoint } = await withLog(gateway, options.log, (file) => {
    const facts = new LogFacts(file);
    const { size, root } = facts.checkpoint;
    return { owed: owedIn(facts), checkpoint: { size, root } };
  });
  if (owed.length === 0) throw new GatewayError("liabilities-invalid", "expected at least one position, found none");
  const made = proveLiabilities(owed, { gateway: gateway.caller.gateway, checkpoint });
  const { leaf, statement } = await recordReport(gateway, {
    kind: "liabilities",
    sha256: summaryHash(made.summary),
    outcome: made.summary.belowZero === 0 ? "ok" : "breaks",
    summary: { assets: made.summary.assets.length, clients: made.clients.length, size: checkpoint.size },
  });
  const receipt = await receiptFor(gateway, leaf.index);
  writeProofs(options.out, made, receipt);
  writeJson(join(options.out, "statement.json"), statement);
  output(options.json).result(
    { summary: made.summary, clients: made.clients, leaf },
    `${summaryText(made.summary)}\n${made.clients.length} clients in ${options.out}: \`liabilities extract\` writes each its own proof\nleaf ${leaf.index} holds the summary's hash`,
  );
}

const summaryText = ({ gateway, checkpoint, assets, belowZero }: LiabilitySummary): string =>
  [
    `${gateway}, as its log of ${checkpoint.size} leaves says`,
    table([
      ["asset", "owed (smallest unit)", "positions", "root"],
      ...assets.map(({ asset, sum, count, root }) => [asset, sum, String(count), root]),
    ]),
    ...(belowZero === 0 ? [] : [`${belowZero} positions are below zero: they count as zero`]),
  ].join("\n");

async function verifyProof(file: string, { key, summary, control, node, json }: VerifyFlags): Promise<void> {
  const proof = verifyLiability(readJson(file));
  const found = key === undefined ? undefined : checkLiabilityReceipt(proof, parseVkey(key));
  if (summary !== undefined) requireSame(proof, readJson(summary));
  const held = control === undefined ? undefined : await heldFor(proof, control, key, node);
  const notChecked = [
    ...(found === undefined ? ["that the log has the summary: `--key`"] : []),
    ...(summary === undefined ? ["that others see the same summary: `--summary`"] : []),
    ...(held === undefined ? ["that the client's own addresses hold as much: `--control` and `--node`"] : []),
    ...(held === undefined ? [] : ["that the proofs of control are of today: `prove-control verify --challenge`"]),
    ...notNamedIn(proof).map(
      (asset) => `that ${proof.client} is owed nothing in ${asset}: this proof names no position`,
    ),
  ];
  const short = held?.filter(({ enough }) => !enough) ?? [];
  const { client, positions } = proof;
  output(json).result(
    {
      ok: short.length === 0,
      client,
      positions: positions.map(({ asset, amount }) => ({ asset, amount })),
      leaf: found?.index ?? null,
      at: found?.at ?? null,
      held: held ?? null,
      notChecked,
    },
    [
      `verified: ${positions.length} positions of client ${client} are counted under the published roots`,
      table(positions.map(({ asset, amount }) => [`  ${asset}`, amount])),
      ...(found === undefined ? [] : [`leaf ${found.index} of the log has the summary, since ${found.at}`]),
      ...(held ?? []).map(heldText),
      ...notChecked.map((what) => `not checked: ${what}`),
    ].join("\n"),
  );
  if (short.length > 0) process.exitCode = 1;
}

/** A position that was left out shows to nobody but its owner. */
function notNamedIn({ positions, summary }: LiabilityProof): string[] {
  const named = new Set(positions.map(({ asset }) => asset));
  return summary.assets.map(({ asset }) => asset).filter((asset) => !named.has(asset));
}

const heldText = ({ asset, owed, held, enough }: Held): string =>
  held === null
    ? `UNKNOWN: ${asset}: ${owed} owed; what is held cannot be read`
    : `${enough ? "held" : "SHORT"}: ${asset}: ${held} on the client's own addresses, ${owed} owed`;

/** One summary for everybody: two would each be right in itself. */
function requireSame({ summary }: LiabilityProof, published: unknown): void {
  if (JSON.stringify(published) === JSON.stringify(summary)) return;
  throw new GatewayError("liability-proof-invalid", "the published summary is another one than that of this proof", {
    hint: "keep both: the gateway has told two clients two things",
  });
}

function heldFor(
  proof: LiabilityProof,
  control: string,
  key: string | undefined,
  node: readonly string[],
): Promise<Held[]> {
  const { claims } = verifyControl(readJson(control), { log: key === undefined ? undefined : parseVkey(key) });
  return heldAgainst(
    proof,
    claims.filter(({ client }) => client === proof.client),
    new Map(node.map(chainAndUrl)),
  );
}
