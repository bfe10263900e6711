import { InvalidArgumentError, Option } from "commander";
import { EVM_CHAIN } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";

/** `--node eip155:1=http://…` @throws {GatewayError} `usage` */
export function chainAndUrl(text: string): [chain: string, url: string] {
  const [chain, url] = [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)];
  if (EVM_CHAIN.test(chain) && URL.canParse(url)) return [chain, url];
  throw new GatewayError("usage", `\`--node\`: expected \`eip155:1=http://…\`, found \`${text}\``);
}

/** Below that a block may still be another one tomorrow. */
export const confirmationsOption = (): Option =>
  new Option("--confirmations <blocks>", "read nothing newer than the newest block that has so many, itself among them")
    .argParser(blocks)
    .default(12);

function blocks(text: string): number {
  if (/^[1-9][0-9]{0,3}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("Expected a number from 1.");
}
