import type { Command } from "commander";
import { GatewayError } from "../../domain/errors.ts";
import { entryText, tokenFromNode } from "../assets-add.ts";
import { checkRegistryFiles } from "../assets-check.ts";
import { output } from "../output.ts";
import { jsonOption } from "../options.ts";
import { findingsText } from "../policy-check.ts";

/** `assets`: the pinned asset registry, as files; needs no gateway. */
export function assetCommands(program: Command): void {
  const assets = program.command("assets").description("the pinned asset registry");
  assets
    .command("check")
    .description("form, checksums, duplicates, and symbols that look alike; exit 1 if anything is wrong")
    .argument("[files...]", "asset registries that are used together", ["policies/shared/assets.yaml"])
    .addOption(jsonOption())
    .action(check);
  assets
    .command("add")
    .description("read a token from an Ethereum node and print its entry for review; writes nothing")
    .argument("<address>", "the token's contract, with its checksum")
    .requiredOption("--from-node <url>", "JSON-RPC of a node of the token's chain")
    .option("--symbol <symbol>", "the registry's name for it; by default the contract's own")
    .addOption(jsonOption())
    .action(add);
}

function check(files: readonly string[], { json }: { json: boolean }): void {
  const checked = checkRegistryFiles(files);
  const { findings, chains, assets, contracts } = checked;
  const text = `ok: ${assets} assets and ${contracts} contracts on ${chains} chains`;
  output(json).result(checked, findings.length > 0 ? findingsText(findings) : text);
  if (findings.length > 0)
    throw new GatewayError("assets-check-failed", `expected no findings, found ${findings.length}`);
}

async function add(address: string, options: { fromNode: string; symbol?: string; json: boolean }): Promise<void> {
  const entry = await tokenFromNode(options.fromNode, address, options.symbol);
  const { note, result } = output(options.json);
  result(entry, entryText(entry));
  note("compare address and decimals with the issuer's own page: a node, and a contract, may say anything");
}
