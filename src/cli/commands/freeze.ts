import { randomUUID } from "node:crypto";
import { Option, type Command } from "commander";
import { GatewayError } from "../../domain/errors.ts";
import {
  targetOf,
  targetText,
  unfreezeSigningText,
  type FreezeBody,
  type FreezeView,
  type FrozenView,
  type OutView,
} from "../../domain/freeze.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import type { Host } from "../host.ts";
import { readSignature, signaturesOption, signText } from "../officers.ts";
import {
  asOption,
  clientOf,
  clientOption,
  gatewayOf,
  jsonOption,
  socketOption,
  type CommonOptions,
} from "../options.ts";
import { output, table } from "../output.ts";

type TargetFlags = CommonOptions & {
  readonly key?: string;
  readonly caller?: string;
  readonly everybody: boolean;
  readonly socket?: string;
};
type FreezeFlags = TargetFlags & { readonly reason?: string };
type UnfreezeFlags = TargetFlags & { readonly signature: readonly string[]; readonly sign: boolean };

/** `freeze`: by one person, at once. `unfreeze`: by the officers' quorum. */
export function freezeCommands(program: Command, host: Host): void {
  const freezing = (name: string, description: string): Command =>
    program
      .command(name)
      .description(description)
      .addOption(clientOption().conflicts("everybody"))
      .addOption(new Option("--everybody", "the house, and with it all clients").default(false))
      .addOption(new Option("--key <name>", "one key of the client alone").conflicts("caller"))
      .addOption(new Option("--caller <name>", "one caller alone, of the client's document or the house's"))
      .addOption(socketOption())
      .addOption(asOption())
      .addOption(jsonOption());
  freezing("freeze", "stop signing at once; any person of the client, or of the custodian, may")
    .option("--reason <text>", "kept in the log")
    .action((flags: FreezeFlags) => freeze(gatewayFor(host, flags), flags));
  freezing("unfreeze", "sign again: with the signatures of as many policy officers as the house asks for")
    .addOption(signaturesOption())
    .option("--sign", "print your signature for another officer, and change nothing", false)
    .action((flags: UnfreezeFlags) => unfreeze(gatewayFor(host, flags), flags));
}

const gatewayFor = (host: Host, { socket, as }: TargetFlags): GatewayClient =>
  gatewayOf({ ...(as === undefined ? {} : { as }) }, socket === undefined ? undefined : host.onSocket(socket));

const pathOf = (gateway: GatewayClient, flags: TargetFlags): string =>
  `/v1/clients/${flags.everybody ? "house" : clientOf(gateway, flags)}`;

const targetFrom = ({ key, caller }: TargetFlags) => ({
  ...(key === undefined ? {} : { key }),
  ...(caller === undefined ? {} : { caller }),
});

async function freeze(gateway: GatewayClient, flags: FreezeFlags): Promise<void> {
  const body = { ...targetFrom(flags), ...(flags.reason === undefined ? {} : { reason: flags.reason }) };
  const options = { body, idempotencyKey: randomUUID() };
  const frozen = await gateway.call<FrozenView>("POST", `${pathOf(gateway, flags)}/freeze`, options);
  output(flags.json).result(frozen, frozenText(frozen));
}

function frozenText({ client, freeze: { target, since, by, leaf }, isNew, out, more }: FrozenView): string {
  const what = target === "client" ? (client === "house" ? "everybody" : client) : `${target} of ${client}`;
  return [
    `${what} is frozen${isNew ? "" : " already"}, since ${since} by ${by}, leaf ${leaf.index}`,
    ...(out.length === 0 ? ["nothing was signed in the last 24 hours"] : outText(out)),
    ...(more ? ["… and more: `portcullis request list`"] : []),
  ].join("\n");
}

/** Whoever froze it has to know what they are too late for. */
const outText = (out: readonly OutView[]): string[] => [
  "in the last 24 hours, signed (it may be broadcast) or authorized (nothing more is released):",
  table(
    out.map(({ client, id, state, submittedAt, key, caller, transactionHash, digest }) => [
      `  ${client}`,
      id,
      state,
      submittedAt,
      `${caller} ${key}`,
      transactionHash ?? digest ?? "",
    ]),
  ),
];

async function unfreeze(gateway: GatewayClient, flags: UnfreezeFlags): Promise<void> {
  const path = pathOf(gateway, flags);
  const target = targetText(targetOf(targetFrom(flags) as FreezeBody));
  const { client, freezes } = await gateway.get<{ client: string; freezes: FreezeView[] }>(`${path}/freeze`);
  const standing = freezes.find((freeze) => freeze.target === target);
  if (!standing) throw new GatewayError("not-frozen", `expected a freeze of ${target} of \`${client}\`, found none`);
  const text = unfreezeSigningText({ origin: gateway.caller.gateway, client, target, leaf: standing.leaf });
  const own = signText(gateway, text);
  if (flags.sign) return output(flags.json).result({ ...own, text }, `${text}\n${own.person}:${own.signature}`);
  const signatures = [own, ...flags.signature.map(readSignature)];
  const body = { ...targetFrom(flags), signatures };
  const ended = await gateway.call("POST", `${path}/unfreeze`, { body, idempotencyKey: randomUUID() });
  output(flags.json).result(ended, `${target} of ${client} is not frozen any more (${since(standing)})`);
}

const since = ({ by, since: at, reason }: FreezeView): string =>
  `frozen ${at} by ${by}${reason === undefined ? "" : `: ${reason}`}`;
