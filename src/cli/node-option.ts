import { EVM_CHAIN } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";

/** `--node eip155:1=http://…` @throws {GatewayError} `usage` */
export function chainAndUrl(text: string): [chain: string, url: string] {
  const [chain, url] = [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)];
  if (EVM_CHAIN.test(chain) && URL.canParse(url)) return [chain, url];
  throw new GatewayError("usage", `\`--node\`: expected \`eip155:1=http://…\`, found \`${text}\``);
}
