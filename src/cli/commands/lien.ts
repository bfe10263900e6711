import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { APPROVAL_NAMESPACE } from "../../domain/approval.ts";
import { lienReleaseText, lienText, type LienView } from "../../domain/custody.ts";
import { GatewayError } from "../../domain/errors.ts";
import type { GatewayClient } from "../../sdk/client.ts";
import { readSignature, signaturesOption, signText, type PersonSignature } from "../officers.ts";
import { asOption, clientOf, clientOption, gatewayOf, jsonOption, type CommonOptions } from "../options.ts";
import { output, table } from "../output.ts";
import { signAsPerson, withKey, type KeyOptions } from "../person-signer.ts";

type SignFlags = CommonOptions & KeyOptions & { readonly signature: readonly string[]; readonly sign: boolean };
type CreateFlags = SignFlags & {
  readonly asset: string;
  readonly amount: string;
  readonly party: string;
  readonly subAccount?: string;
};
type ReleaseFlags = CommonOptions &
  KeyOptions & { readonly remaining: string; readonly sign: boolean; readonly signature?: string };

/** `lien create|list|release`: a client's assets pledged to a secured party. */
export function lienCommands(program: Command): void {
  const lien = program.command("lien").description("what of a client's assets is pledged, and to whom");
  const common = (command: Command): Command =>
    command.addOption(clientOption()).addOption(asOption()).addOption(jsonOption());
  withKey(common(lien.command("create <name>")))
    .description("pledge an asset: officers and secured party sign one text, one of them sends all signatures")
    .requiredOption("--asset <symbol>", "of the client's registry")
    .requiredOption("--amount <amount>", "in the asset's smallest unit, or `all`")
    .requiredOption("--party <name>", "the secured party, as the client's policy declares it")
    .option("--sub-account <name>", "of an omnibus client: whose asset it is")
    .addOption(signaturesOption())
    .option("--sign", "print your signature for whoever sends it, and change nothing", false)
    .action(create);
  common(lien.command("list")).description("the liens that stand").action(list);
  withKey(common(lien.command("release <name>")))
    .description("release a lien, or a part of it: by the secured party alone")
    .option("--remaining <amount>", "what stays encumbered, in the smallest unit; `none` ends it", "none")
    .option("--signature <text>", "the secured party's signature, where another sends it")
    .option("--sign", "print the signature for whoever sends it, and change nothing", false)
    .action(release);
}

const pathOf = (client: string): string => `/v1/clients/${client}/liens`;

async function create(lien: string, flags: CreateFlags): Promise<void> {
  const gateway = gatewayOf(flags);
  const client = clientOf(gateway, flags);
  const { hash } = await gateway.get<{ hash: string }>(`/v1/clients/${client}/policy`);
  const { asset, amount, party, subAccount } = flags;
  const fields = { origin: gateway.caller.gateway, client, lien, asset, amount, securedParty: party, policy: hash };
  const text = lienText({ ...fields, subAccount });
  const own = gateway.caller.caller === party ? signParty(gateway, text, flags) : signText(gateway, text, keyIn(flags));
  if (flags.sign) return output(flags.json).result({ ...own, text }, `${text}\n${own.person}:${own.signature}`);
  const all = [own, ...flags.signature.map(readSignature)];
  const agreement = all.find(({ person }) => person === party)?.signature;
  if (agreement === undefined)
    throw new GatewayError("usage", `expected the signature of \`${party}\`, found none`, {
      hint: `\`portcullis lien create … --sign\` as \`${party}\`, then \`--signature ${party}:…\` here`,
    });
  const signatures = all.filter(({ person }) => person !== party);
  const whose = subAccount === undefined ? {} : { subAccount };
  const body = { lien, asset, amount, securedParty: party, ...whose, signatures, agreement };
  const made = await gateway.call<{ lien: LienView }>("POST", pathOf(client), { body, idempotencyKey: randomUUID() });
  output(flags.json).result(made, `lien ${lien}: ${lienLine(made.lien)}, leaf ${made.lien.leaf}`);
}

const lienLine = ({ amount, asset, securedParty }: LienView): string => `${amount} ${asset} for ${securedParty}`;

const signParty = ({ caller }: GatewayClient, text: string, flags: KeyOptions): PersonSignature => ({
  person: caller.caller,
  signature: signAsPerson(text, APPROVAL_NAMESPACE, keyIn(flags), caller) as string,
});

/** These commands have another `--signature` than a signer has. */
const keyIn = ({ sshKey, keyFile }: KeyOptions): KeyOptions => ({
  ...(sshKey === undefined ? {} : { sshKey }),
  ...(keyFile === undefined ? {} : { keyFile }),
});

const liensOf = (gateway: GatewayClient, client: string) =>
  gateway.get<{ client: string; liens: LienView[] }>(pathOf(client));

async function list(flags: CommonOptions): Promise<void> {
  const gateway = gatewayOf(flags);
  const found = await liensOf(gateway, clientOf(gateway, flags));
  const rows = found.liens.map((each) => [each.lien, each.amount, each.asset, each.securedParty, `leaf ${each.leaf}`]);
  output(flags.json).result(found, rows.length === 0 ? "no liens" : table(rows));
}

async function release(name: string, flags: ReleaseFlags): Promise<void> {
  const gateway = gatewayOf(flags);
  const client = clientOf(gateway, flags);
  const lien = (await liensOf(gateway, client)).liens.find((each) => each.lien === name);
  if (!lien)
    throw new GatewayError("lien-not-found", `expected a lien of \`${client}\` that stands, found no \`${name}\``);
  const { remaining } = flags;
  const text = lienReleaseText({ origin: gateway.caller.gateway, client, lien: name, placedIn: lien.leaf, remaining });
  const signature =
    flags.signature === undefined
      ? signParty(gateway, text, flags).signature
      : readSignature(`-:${flags.signature}`).signature;
  if (flags.sign) return output(flags.json).result({ signature, text }, `${text}\n${signature}`);
  const body = { remaining, signature };
  const options = { body, idempotencyKey: randomUUID() };
  const released = await gateway.call<{ lien: LienView | null }>("POST", `${pathOf(client)}/${name}/release`, options);
  const left = released.lien ? `${lienLine(released.lien)} stays` : "it has ended";
  output(flags.json).result(released, `lien ${name} of ${client} was released: ${left}`);
}
