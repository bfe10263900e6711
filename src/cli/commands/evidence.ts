import type { Command } from "commander";
import { GatewayError } from "../../domain/errors.ts";
import { parseVkey } from "../../tlog/note.ts";
import { makePack } from "../evidence/make.ts";
import { packText, verifyPack } from "../evidence/verify.ts";
import { asOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output } from "../output.ts";
import { progressOn } from "../progress.ts";

type PackFlags = CommonOptions & {
  readonly from: string;
  readonly to?: string;
  readonly out: string;
  readonly key: string;
  readonly reports: readonly string[];
  readonly venueTag: string;
};

/** `evidence`: all that an audit of a period asks for, in one folder. `verify` needs no gateway. */
export function evidenceCommands(program: Command): void {
  const evidence = program.command("evidence").description("evidence packs for auditors");
  evidence
    .command("pack")
    .description(
      "gather keys, policies, access, log, reports, statements, segregation and controls of a period, for an auditor of the house",
    )
    .requiredOption("--from <time>", "its first moment, such as `2026-01-01T00:00:00Z`")
    .option("--to <time>", "the first moment after it; default: now")
    .requiredOption("--out <folder>", "a new folder")
    .requiredOption("--key <vkey>", "the log's key, as its operators published it")
    .option(
      "--reports <folder...>",
      "where reports were kept (`reconcile --out`): those that the log holds are taken",
      [],
    )
    .option("--venue-tag <tag>", "tag of address books that venues have", "exchange")
    .addOption(asOption())
    .addOption(jsonOption())
    .action(pack);
  evidence
    .command("verify <folder>")
    .description("check a pack with the log's key alone: that it is whole, unchanged and true. Exit 1 where it is not")
    .requiredOption("--key <vkey>", "the log's key, as its operators published it")
    .addOption(jsonOption())
    .action((folder: string, { key, json }: { key: string; json: boolean }) => {
      const progress = progressOn(process.stderr);
      const report = verifyPack(folder, parseVkey(key), progress.show);
      progress.end();
      output(json).result(report, packText(report));
      if (!report.ok) process.exitCode = 1;
    });
}

async function pack({ from, to, out, key, reports, venueTag, json, ...options }: PackFlags): Promise<void> {
  const progress = progressOn(process.stderr);
  const { sources, manifest, leaf } = await makePack(gatewayOf({ ...options }), {
    period: { from: momentOf("--from", from), to: to === undefined ? aSecondAgo() : momentOf("--to", to) },
    ...{ folder: out, reports, venueTag, key: parseVkey(key), progress: progress.show },
  });
  progress.end();
  const { verification } = sources;
  const lines = [
    `${out}: ${manifest.files.length} files, ${manifest.from} to ${manifest.to}, log of ${manifest.checkpoint.size} leaves`,
    `leaf ${leaf} holds the manifest's hash`,
    verification.ok ? "the log verifies" : "the log does NOT verify: `verification.json` says why",
    `next: portcullis evidence verify ${out} --key ${key}`,
  ];
  output(json).result({ folder: out, ...manifest, leaf, logVerifies: verification.ok }, lines.join("\n"));
  if (!verification.ok) process.exitCode = 1;
}

/** The gateway's clock may be a moment behind this one. */
const aSecondAgo = (): string => new Date(Date.now() - 1_000).toISOString();

/** As statements write it. @throws {GatewayError} `usage` */
function momentOf(option: string, text: string): string {
  const at = Date.parse(text);
  if (/^\d{4}-\d{2}-\d{2}T.*Z$/.test(text) && !Number.isNaN(at)) return new Date(at).toISOString();
  throw new GatewayError("usage", `\`${option}\`: expected a time such as \`2026-01-01T00:00:00Z\`, found \`${text}\``);
}
