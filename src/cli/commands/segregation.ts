import { writeFileSync } from "node:fs";
import type { Command } from "commander";
import { recordReport, withLog } from "../assurance/gateway-log.ts";
import { LogFacts } from "../assurance/log-facts.ts";
import { attestAll, reportHash, requireSigned, segregationReport, segregationText } from "../assurance/segregation.ts";
import { asOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output } from "../output.ts";

type Flags = CommonOptions & { readonly out?: string; readonly log?: string; readonly venueTag: string };

/** `segregation report`: whose is what, and what is wrong with that. */
export function segregationCommands(program: Command): void {
  program
    .command("segregation")
    .description("each client's property apart from all others'")
    .command("report")
    .description(
      "tokens, keys, addresses, legal basis of each client; breaches; figures for a risk model. Exit 1 on a breach",
    )
    .option("--out <file>", "write the report (JSON), whose hash becomes a leaf")
    .option("--log <file>", "keep the exported log there, and continue it next time")
    .option("--venue-tag <tag>", "tag of address books that venues have", "exchange")
    .addOption(asOption())
    .addOption(jsonOption())
    .action(reportSegregation);
}

async function reportSegregation({ out, log, venueTag, ...options }: Flags): Promise<void> {
  const gateway = gatewayOf(options);
  const report = await withLog(gateway, log, async (file) => {
    const facts = new LogFacts(file);
    const attested = await attestAll(
      gateway,
      facts.all().map(({ client }) => client),
    );
    const { statementKey } = gateway.caller;
    if (statementKey !== undefined) requireSigned(attested, statementKey);
    return segregationReport(facts, attested, venueTag);
  });
  const text = `${JSON.stringify(report, undefined, 1)}\n`;
  if (out !== undefined) writeFileSync(out, text);
  const { leaf } = await recordReport(gateway, {
    kind: "segregation",
    sha256: reportHash(text),
    outcome: report.breaches.length === 0 ? "ok" : "breaks",
    summary: { clients: report.clients.length, breaches: report.breaches.length, size: report.checkpoint.size },
  });
  output(options.json).result(
    { ...report, leaf: leaf.index },
    `${segregationText(report)}\nleaf ${leaf.index} holds its hash`,
  );
  if (report.breaches.length > 0) process.exitCode = 1;
}
