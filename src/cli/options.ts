import { Option } from "commander";
import { connect, type GatewayClient, type Transport } from "../sdk/client.ts";
import { GatewayError } from "../domain/errors.ts";
import { ClientId } from "../domain/names.ts";

export type CommonOptions = { readonly json: boolean; readonly as?: string; readonly client?: string };

export const jsonOption = (): Option =>
  new Option("--json", "one JSON document on stdout instead of text").default(false);

export const asOption = (): Option =>
  new Option("--as <file>", "caller file: who asks, and of which gateway").env("PORTCULLIS_CALLER");

export const clientOption = (): Option =>
  new Option("--client <id>", "whose assets; by default the client of the caller file");

export const configOption = (): Option =>
  new Option("--config <file>", "configuration of this gateway").env("PORTCULLIS_CONFIG").default("portcullis.yaml");

export const socketOption = (): Option =>
  new Option("--socket <path>", "speak to the vault's own socket, as `vault.socket` names it: also with the edge down");

/**
 * @param transport instead of HTTP to the caller file's URL
 * @throws {GatewayError} `usage` without a caller file
 */
export function gatewayOf({ as }: Pick<CommonOptions, "as">, transport?: Transport): GatewayClient {
  if (as) return connect(as, transport);
  throw new GatewayError("usage", "expected a caller file, found none", {
    hint: "name it with `--as FILE` or PORTCULLIS_CALLER",
  });
}

/** The client that the command is about. */
export function clientOf(gateway: GatewayClient, { client }: Pick<CommonOptions, "client">): string {
  const id = client ?? gateway.caller.client;
  if (id === undefined)
    throw new GatewayError("usage", "expected a client, found none", { hint: "name it with `--client ID`" });
  const parsed = ClientId.safeParse(id);
  if (!parsed.success) throw new GatewayError("usage", `\`--client\`: ${parsed.error.issues[0]!.message}`);
  return parsed.data;
}
