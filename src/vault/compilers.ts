import { parseAddress } from "../chains/evm/address.ts";
import type { PolicyBody } from "../domain/api.ts";
import { addressOf, chainOf, evmChainId, type Account } from "../domain/chain.ts";
import { GatewayError } from "../domain/errors.ts";
import { HOUSE, type ClientId } from "../domain/names.ts";
import { compileClient, compileHouse, type CompiledHouse, type CompiledPolicy } from "../policy/compile.ts";
import { parsePolicy } from "../policy/parse.ts";
import type { PolicyCompilers } from "./directory.ts";
import type { PolicyRow } from "./ports.ts";

/** An account in a policy must be one that a chain here can have, in its one spelling. */
export function checkAccount(account: string): void {
  if (evmChainId(chainOf(account as Account)) === undefined) {
    throw new GatewayError("invalid-address", `expected an account such as \`eip155:1:0x…\`, found \`${account}\``);
  }
  parseAddress(addressOf(account as Account));
}

const resolve = ({ entry, files }: Pick<PolicyRow, "entry" | "files">) =>
  parsePolicy(entry, new Map(Object.entries(files)), checkAccount);

export const compilers: PolicyCompilers = {
  client: (row) => compileClient(resolve(row)),
  house: (row) => compileHouse(resolve(row)),
};

/** @throws {GatewayError} `policy-invalid` with all findings, or for another client's document */
export function compileFor(
  client: ClientId,
  body: Pick<PolicyBody, "entry" | "files">,
): CompiledPolicy | CompiledHouse {
  if (client === HOUSE) return compilers.house(body);
  const compiled = compilers.client(body);
  if (compiled.client !== client) {
    throw new GatewayError(
      "policy-invalid",
      `expected a policy for \`${client}\`, found one for \`${compiled.client}\``,
    );
  }
  return compiled;
}
